"""Summaries of a batch: `batch.json`, `batch.csv` and a table for the terminal."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facetrack.batch.plan import SUMMARY_COLUMNS
from facetrack.files import printable
from facetrack.record import environment, write_record
from facetrack.tables import TableWriter

if TYPE_CHECKING:
    from rich.table import Table

    from facetrack.batch.messages import Outcome
    from facetrack.batch.plan import Task
    from facetrack.batch.state import Batch

MAX_ROWS = 40
"""Maximum number of videos that are all listed in the terminal. In larger batches only those that
failed or were not reached are listed."""
_STYLES = {"done": "green", "skipped": "dim", "failed": "bold red", "not reached": "yellow"}


def write(batch: Batch, paths: dict[str, Path]) -> None:
    """Write the summary. Each file appears only once it is complete.

    Args:
        batch: the batch.
        paths: by kind, "json" and "csv"; either may be missing.

    Raises:
        FacetrackError: a file cannot be written.
    """
    pairs = list(zip(batch.tasks, batch.outcomes, strict=True))
    if "csv" in paths:
        with (
            batch.store.writing(paths["csv"]) as temporary,
            # Lone surrogates, from file names that are not UTF-8, are written as \udcXX.
            open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
        ):
            writer = TableWriter(file)
            writer.writerow(SUMMARY_COLUMNS)
            for task, outcome in pairs:
                writer.writerow(_row(task, outcome))
    if "json" in paths:
        content = {
            **environment(),
            "options": dataclasses.asdict(batch.options),
            "shard": batch.shard,
            "jobs": batch.jobs,
            "seconds": round(batch.seconds, 3),
            "counts": batch.counts(),
            "notes": batch.notes,
            "left_out": batch.left_out,
            "videos": [_entry(task, outcome) for task, outcome in pairs],
        }
        with batch.store.writing(paths["json"]) as temporary:
            write_record(temporary, content)


def table(batch: Batch) -> Table:
    """Build a table of the videos and the number of each status."""
    from rich.table import Table
    from rich.text import Text

    pairs = list(zip(batch.tasks, batch.outcomes, strict=True))
    counts = {status: count for status, count in batch.counts().items() if count}
    title = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no videos"
    if len(pairs) > MAX_ROWS:
        pairs = [(t, o) for t, o in pairs if o.status in ("failed", "not reached")]
    rich_table = Table(box=None, pad_edge=False, caption=title, caption_justify="left")
    rich_table.add_column("video", overflow="fold")
    rich_table.add_column("")
    rich_table.add_column("frames", justify="right")
    rich_table.add_column("seconds", justify="right")
    rich_table.add_column("why", overflow="fold")
    for task, outcome in pairs[: 2 * MAX_ROWS]:
        rich_table.add_row(
            Text(printable(str(task.video))),
            Text(outcome.status, _STYLES[outcome.status]),
            "" if outcome.frames is None else str(outcome.frames),
            "" if outcome.seconds is None else f"{outcome.seconds:.1f}",
            Text(printable(outcome.message)),
        )
    if len(pairs) > 2 * MAX_ROWS:
        rich_table.add_row("...")
    return rich_table


def _row(task: Task, outcome: Outcome) -> list[str]:
    return [
        str(task.video),
        outcome.status,
        "" if outcome.frames is None else str(outcome.frames),
        "" if outcome.seconds is None else f"{outcome.seconds:.3f}",
        str(len(outcome.warnings)),
        outcome.message,
        task.shown["sidecar"] if outcome.status in ("done", "skipped") else "",
    ]


def _entry(task: Task, outcome: Outcome) -> dict[str, Any]:
    entry = dataclasses.asdict(outcome)
    if outcome.seconds is not None:
        entry["seconds"] = round(outcome.seconds, 3)
    has_files = outcome.status in ("done", "skipped")
    return {"video": str(task.video), **entry, "files": task.shown if has_files else {}}
