"""`facetrack measure RUN...`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facetrack.cli.options import (
    AsJson,
    AudioOffset,
    FrameSize,
    Overwrite,
    Quiet,
    Utc,
    parse_lab_times,
    parse_size,
)
from facetrack.cli.output_folder import output_folder
from facetrack.cli.printing import echo
from facetrack.cli.run_options import RunFocal, RunFolder, Runs, refuse_failed, work_on_runs

if TYPE_CHECKING:
    from facetrack.api.measure import MeasuredRun
    from facetrack.formats.earlier_runs import SavedRun


def measure(
    runs: Runs,
    out: RunFolder = None,
    focal: RunFocal = None,
    size: FrameSize = None,
    table: Annotated[
        Path | None,
        typer.Option(
            help="Also write one CSV table of all videos: a row per video and face.",
            show_default=False,
        ),
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with a column video and columns of your own (subject, condition, ...) "
            "to put into --table.",
            show_default=False,
        ),
    ] = None,
    utc: Utc = None,
    audio_offset: AudioOffset = None,
    overwrite: Overwrite = False,
    json_progress: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure tracked faces: head pose, eyes, mouth, brows, asymmetries, and blinks.

    Writes <stem>.measures.csv, <stem>.events.csv and <stem>.measures.json for each run. Nothing is
    tracked again, and the video is not needed.
    """
    from facetrack.api.measure import (
        measure_to_files,
        read_groups,
        table_file,
        table_rows,
    )
    from facetrack.errors import FacetrackError
    from facetrack.formats.earlier_runs import find_runs
    from facetrack.measures.files import write_table

    if groups is not None and table is None:
        raise FacetrackError("--groups needs --table.")
    folder = None if out is None else output_folder(out, runs)
    known = None if groups is None else read_groups(groups)
    found = find_runs(runs, None if size is None else parse_size(size))
    names = [(folder or run.table.parent, run.stem) for run in found]
    if len(set(names)) < len(names):
        raise FacetrackError("Two runs would write the same files: measure them one by one.")
    moment, offset = parse_lab_times(utc, audio_offset, False, len(found) == 1)
    assert not isinstance(moment, str)  # that is for live sources
    results: list[MeasuredRun] = []

    def measure_one(run: SavedRun) -> None:
        result = measure_to_files(run, folder, focal, overwrite, moment, offset)
        results.append(result)
        _print(result, json_progress, quiet)

    with ExitStack() as stack:
        staged = None
        if table is not None:
            file = table_file(table, found, folder, groups, overwrite)
            staged = stack.enter_context(file.staged())
        failed = work_on_runs(found, measure_one, "measured", json_progress)
        if staged is not None:
            rows, warnings = table_rows(found, results, known)
            write_table(staged, rows)
            for warning in warnings:
                echo(f"facetrack: warning: {warning}", err=True)
    if table is not None and not quiet and not json_progress:
        echo(f"table: {table}")
    refuse_failed(failed, found, "measured")


def _print(result: MeasuredRun, as_json: bool, quiet: bool) -> None:
    if as_json:
        import json

        files = {kind: str(path) for kind, path in result.paths.items()}
        line = {"event": "done", "run": str(result.run.table), "files": files}
        typer.echo(json.dumps({**line, "faces": result.measured.summaries()}))
    elif not quiet:
        for summary in result.measured.summaries():
            echo(f"{result.run.stem}, face {summary['face_id']}: {_sentence(summary)}")
        for kind, path in result.paths.items():
            echo(f"  {kind}: {path}")


def _sentence(summary: dict[str, object]) -> str:
    """Return the main figures of a face in one line."""
    events: dict[str, dict[str, object]] = summary["events"]  # type: ignore[assignment]
    measures: dict[str, dict[str, object]] = summary["measures"]  # type: ignore[assignment]
    blinks = events["blink"]
    rate = blinks["per_minute"]
    text = f"{blinks['count']} blinks" + ("" if rate is None else f" ({rate:.1f} a minute)")
    yaw = measures["pose_Ry"]
    if yaw["median"] is None:
        return text + ", no head pose"
    low, high = (57.29578 * float(str(yaw[name])) for name in ("p5", "p95"))
    return f"{text}, yaw {low:.0f} to {high:.0f} degrees"
