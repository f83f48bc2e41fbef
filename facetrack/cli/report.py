"""`facetrack report RUN...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Tables of facetrack track (.csv or .npz, with their .json), a folder of them, or "
            "the folder of a facetrack compare; all of one video.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The page; else <stem>.report.html beside one table, report.html in a folder.",
            show_default=False,
        ),
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(
            help="Where the video is now, if not where it was tracked.", show_default=False
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing but warnings.")] = False,
) -> None:
    """Make a page to look at tracks: frames with points, curves, measures, how it was made.

    One HTML file with everything inside; it opens from disk, without a network.
    """
    from facetrack.errors import FacetrackError
    from facetrack.report import of_runs, write_report

    comparison = of_runs(runs, video)
    path = out or _default(runs)
    if path.exists() and any(path.samefile(p) for p in [*runs, comparison.video] if p.exists()):
        raise FacetrackError(f"{path} is an input: choose another --out.")
    for warning in write_report(comparison, path):
        typer.echo(f"facetrack: warning: {warning}", err=True)
    if not quiet:
        typer.echo(f"report: {path}")


def _default(runs: list[Path]) -> Path:
    first = runs[0]
    if first.is_dir():
        return first / "report.html"
    if len(runs) == 1 and first.name != "summary.json":
        return first.with_name(f"{first.stem}.report.html")
    return first.parent / "report.html"
