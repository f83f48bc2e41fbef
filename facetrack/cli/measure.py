"""`facetrack measure RUN...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facetrack.cli.options import (
    AsJson,
    AudioOffset,
    Focal,
    FrameSize,
    Overwrite,
    Quiet,
    Utc,
    parse_lab_times,
    parse_size,
)


def measure(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Results of facetrack track (.csv, .npz or .json), folders of such files, or the "
            "output folder of facetrack compare.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Output folder. [default: that of each run]", show_default=False),
    ] = None,
    focal: Focal = None,
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
    import json

    from facetrack.api.measure import (
        check_table,
        find_runs,
        measure_to_files,
        read_groups,
        write_table_file,
    )
    from facetrack.errors import FacetrackError

    if groups is not None and table is None:
        raise FacetrackError("--groups needs --table.")
    known = None if groups is None else read_groups(groups)
    found = find_runs(runs, None if size is None else parse_size(size))
    inputs = {} if groups is None else {"manifest of groups": groups}
    if table is not None:
        check_table(table, {**inputs, **{f"table {run.table}": run.table for run in found}})
    names = [(out or run.table.parent, run.stem) for run in found]
    if len(set(names)) < len(names):
        raise FacetrackError("Two runs would write the same files: measure them one by one.")
    moment, offset = parse_lab_times(utc, audio_offset, False, len(found) == 1)
    assert not isinstance(moment, str)  # that is for live sources
    results = []
    for run in found:
        result = measure_to_files(run, out, focal, overwrite, moment, offset)
        results.append(result)
        if json_progress:
            files = {kind: str(path) for kind, path in result.paths.items()}
            line = {"event": "done", "run": str(run.table), "files": files}
            typer.echo(json.dumps({**line, "faces": result.measured.summaries()}))
        elif not quiet:
            for summary in result.measured.summaries():
                typer.echo(f"{run.stem}, face {summary['face_id']}: {_sentence(summary)}")
            for kind, path in result.paths.items():
                typer.echo(f"  {kind}: {path}")
    if table is not None:
        for warning in write_table_file(table, results, known, inputs, overwrite):
            typer.echo(f"facetrack: warning: {warning}", err=True)
        if not quiet and not json_progress:
            typer.echo(f"table: {table}")


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
