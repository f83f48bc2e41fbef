"""`facetrack report RUN...`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from facetrack.cli.options import Overwrite, Quiet
from facetrack.cli.printing import echo
from facetrack.cli.run_options import MovedVideo, Runs


def report(
    runs: Runs,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "--output",
            "-o",
            help="The page to write. [default: <stem>.report.html next to a single result, "
            "otherwise report.html in its folder]",
            show_default=False,
        ),
    ] = None,
    video: MovedVideo = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write a page that shows tracks: annotated frames, curves, measures and settings.

    The runs are of the same video. The page is one self-contained HTML file. It opens from disk,
    without a network.
    """
    from facetrack.api.single_file import SingleFile
    from facetrack.formats.earlier_runs import named_run
    from facetrack.report import focal_of, input_files, of_runs, write_report

    names = [named_run(run) for run in runs]
    path = _default_path(names) if out is None else out
    comparison = of_runs(names, video)
    inputs = {**input_files(names), "video of these runs": comparison.video}
    with SingleFile(path, "report", "--out", inputs, overwrite).staged() as staged:
        warnings = write_report(comparison, staged, focal_of(comparison))
    for warning in warnings:
        echo(f"facetrack: warning: {warning}", err=True)
    if not quiet:
        echo(f"report: {path}")


def _default_path(runs: list[Path]) -> Path:
    """Return the page's path if --out is not given."""
    from facetrack.formats.earlier_runs import summary_of

    first = runs[0]
    if os.path.isdir(first):
        return first / "report.html"
    if len(runs) == 1 and summary_of(first) is None:
        return first.with_name(f"{first.stem}.report.html")
    return first.parent / "report.html"
