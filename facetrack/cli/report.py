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
            help="Results of facetrack track (.csv or .npz, with their .json), a folder of such "
            "files, or the output folder of facetrack compare; all of the same video.",
            show_default=False,
        ),
    ],
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
    video: Annotated[
        Path | None,
        typer.Option(
            help="Path of the video, if it has moved since it was tracked.", show_default=False
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only warnings.")] = False,
) -> None:
    """Write a page that shows tracks: annotated frames, curves, measures and settings.

    The page is one self-contained HTML file. It opens from disk, without a network.
    """
    from facetrack.errors import FacetrackError
    from facetrack.report import focal_of, of_runs, write_report

    comparison = of_runs(runs, video)
    path = out or _default_path(runs)
    if path.exists() and any(path.samefile(p) for p in [*runs, comparison.video] if p.exists()):
        raise FacetrackError(f"{path} is an input: choose another --out.")
    for warning in write_report(comparison, path, focal_of(comparison)):
        typer.echo(f"facetrack: warning: {warning}", err=True)
    if not quiet:
        typer.echo(f"report: {path}")


def _default_path(runs: list[Path]) -> Path:
    """Return the page's path if --out is not given."""
    first = runs[0]
    if first.is_dir():
        return first / "report.html"
    if len(runs) == 1 and first.name != "summary.json":
        return first.with_name(f"{first.stem}.report.html")
    return first.parent / "report.html"
