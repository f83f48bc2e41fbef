"""Report a batch: progress bars on a terminal, otherwise one line per video or JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from facetrack.batch.messages import Message, Outcome, Progressed, Started
from facetrack.batch.plan import Task
from facetrack.batch.state import Batch
from facetrack.batch.summary import table
from facetrack.cli.printing import echo
from facetrack.cli.reporter import reported_fields, weights_note
from facetrack.files import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class BatchReporter:
    """Report a batch. Use it as a context manager around the work."""

    def __init__(self, count: int, as_json: bool, quiet: bool) -> None:
        """
        Args:
            count: number of videos.
            as_json: print JSON lines on stdout.
            quiet: print only errors.
        """
        self._count, self._json, self._quiet = count, as_json, quiet
        self._shows_bars = not quiet and not as_json and sys.stderr.isatty()
        self._bars: Progress | None = None
        self._total_bar: TaskID | None = None
        self._video_bars: dict[int, TaskID] = {}
        self._ended_count = 0
        self._reported_weights: set[str] = set()

    def __enter__(self) -> BatchReporter:
        if self._shows_bars:
            self._start_bars()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def handle(self, task: Task, message: Message) -> None:
        """Report a message about a task."""
        if self._bars is not None and self._total_bar is not None:
            self._bars.update(self._total_bar, description="videos")
        if isinstance(message, Started):
            self._started(task, message)
        elif isinstance(message, Progressed):
            self._progressed(task, message)
        else:
            self._ended_count += 1
            self._outcome(task, message)

    def finish(self, batch: Batch, summaries: Sequence[Path]) -> None:
        """Report the end of the batch: counts, notes and the summary files."""
        if self._json:
            files = [batch.store.shown(path) for path in summaries]
            counts = {name.replace(" ", "_"): n for name, n in batch.counts().items()}
            seconds = round(batch.seconds, 3)
            self._line(
                **{"event": "batch", **counts, "seconds": seconds, "files": files},
                notes=batch.notes,
                left_out=batch.left_out,
            )
        if self._quiet or self._json:
            return
        from rich.console import Console

        Console(width=None if sys.stdout.isatty() else 200).print(table(batch))
        for note in batch.notes:
            echo(f"facetrack: {note}", err=True)
        for path in summaries:
            echo(f"  {batch.store.shown(path)}", err=True)

    # ---------------------------------------------------------------- one video

    def _started(self, task: Task, message: Started) -> None:
        if self._json:
            self._line(video=str(task.video), event="start", **reported_fields(message.parts))
            return
        # Usually the same for all videos: print each note once.
        note = weights_note(message.parts)
        if note and not self._quiet and note not in self._reported_weights:
            self._reported_weights.add(note)
            self._print(note)

    def _progressed(self, task: Task, message: Progressed) -> None:
        if self._json:
            self._line(
                video=str(task.video), event="progress", frames=message.done, total=message.total
            )
        elif self._bars is not None:
            if id(task) not in self._video_bars:
                name = printable(task.video.name)
                self._video_bars[id(task)] = self._bars.add_task(name, total=None)
            end = None if message.total is None else max(message.total, message.done)
            self._bars.update(self._video_bars[id(task)], completed=message.done, total=end)

    def _outcome(self, task: Task, outcome: Outcome) -> None:
        if self._bars is not None and self._total_bar is not None:
            if (bar := self._video_bars.pop(id(task), None)) is not None:
                self._bars.remove_task(bar)
            self._bars.update(self._total_bar, completed=self._ended_count)
        name = printable(str(task.video))
        if self._json:
            self._json_outcome(task, outcome)
        elif outcome.status == "failed":
            self._print(outcome.traceback + f"facetrack: {printable(outcome.message)}", err=True)
        elif not self._quiet and self._bars is None:
            duration = (
                "complete already" if outcome.status == "skipped" else f"{outcome.seconds:.1f} s"
            )
            self._print(
                f"[{self._ended_count}/{self._count}] {name}: {outcome.frames} frames, {duration}"
            )
        if not self._quiet and not self._json:
            for warning in outcome.warnings:
                self._print(f"facetrack: warning: {name}: {printable(warning)}", err=True)

    def _json_outcome(self, task: Task, outcome: Outcome) -> None:
        if outcome.status == "failed":
            self._line(video=str(task.video), event="error", message=outcome.message)
            return
        self._line(
            video=str(task.video),
            event=outcome.status,
            frames=outcome.frames,
            seconds=None if outcome.seconds is None else round(outcome.seconds, 3),
            files=task.shown,
            warnings=outcome.warnings,
        )

    def _print(self, text: str, err: bool = False) -> None:
        if self._bars is None:
            typer.echo(text, err=err)
        else:
            self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _line(self, **content: object) -> None:
        typer.echo(json.dumps(content))

    def _start_bars(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            console=Console(stderr=True),
        )
        self._total_bar = self._bars.add_task("videos, loading the models", total=self._count)
        self._bars.start()
