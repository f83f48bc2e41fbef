"""Options of the commands that read the results of earlier runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facetrack.cli.options import OUTPUT
from facetrack.cli.output_folder import folder_option
from facetrack.cli.printing import echo

if TYPE_CHECKING:
    from facetrack.formats.earlier_runs import SavedRun

_RUN = (
    "Results of facetrack track (.csv, .npz or .json), a folder of them or of facetrack compare, "
    "or a video that has results beside it."
)
Run = Annotated[Path, typer.Argument(metavar="RUN", help=_RUN, show_default=False)]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN", help=_RUN, show_default=False)]
RunFolder = Annotated[
    str | None,
    folder_option("Output folder. [default: that of each run]", show_default=False),
]
RunFocal = Annotated[
    float | None,
    typer.Option(
        "--focal",
        metavar="PIXELS",
        help="Focal length of the camera, for head poses. [default: that of the run, otherwise as "
        "OpenFace, 500 at 640 x 480, in proportion to the size]",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]
MovedVideo = Annotated[
    Path | None,
    typer.Option(
        help="Path of the video, if it has moved since it was tracked.", show_default=False
    ),
]


def work_on_runs(
    runs: Sequence[SavedRun], work: Callable[[SavedRun], None], done: str, as_json: bool
) -> list[SavedRun]:
    """Do some work on each run. One that fails does not keep the others from being done.

    A signal ends the work on several runs after the one that is being worked on. That of a single
    run is interrupted at once.

    Args:
        runs: the runs.
        work: what to do with each.
        done: what is done with each, such as "measured".
        as_json: print a line about each that fails, beside the sentence on standard error.

    Returns:
        The runs that failed, if others are done.

    Raises:
        FacetrackError: all runs failed.
        KeyboardInterrupt: a signal has arrived, with a sentence.
    """
    from facetrack.errors import FacetrackError
    from facetrack.runtime.interrupts import defer_interrupts

    if len(runs) == 1:
        work(runs[0])
        return []
    failed: list[SavedRun] = []
    with defer_interrupts() as stop:
        for count, run in enumerate(runs):
            if stop.requested:
                raise KeyboardInterrupt(
                    f"{count - len(failed)} of {len(runs)} runs are {done}, and their files are "
                    "whole"
                )
            try:
                work(run)
            except FacetrackError as error:
                failed.append(run)
                _print_failure(run, error, as_json)
    if len(failed) == len(runs):
        refuse_failed(failed, runs, done)
    return failed


def refuse_failed(failed: Sequence[SavedRun], runs: Sequence[SavedRun], done: str) -> None:
    """Raise FacetrackError if some of the runs failed."""
    from facetrack.errors import FacetrackError

    if failed:
        names = ", ".join(str(run.table) for run in failed)
        raise FacetrackError(f"{len(failed)} of {len(runs)} runs could not be {done}: {names}.")


def _print_failure(run: SavedRun, error: Exception, as_json: bool) -> None:
    echo(f"facetrack: {error}", err=True)
    if as_json:
        import json

        line = {"event": "error", "run": str(run.table), "message": str(error)}
        typer.echo(json.dumps(line))
