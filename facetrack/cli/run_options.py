"""Options of the commands that read the results of earlier runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from facetrack.cli.output_folder import folder_option

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
MovedVideo = Annotated[
    Path | None,
    typer.Option(
        help="Path of the video, if it has moved since it was tracked.", show_default=False
    ),
]


@contextlib.contextmanager
def stopping_between(runs: Sequence[object], done: str) -> Iterator[Callable[[int], None]]:
    """Let a signal end the work on several runs after the one that is being worked on.

    That of a single run is interrupted at once.

    Args:
        runs: the runs.
        done: what is done with each, such as "measured".

    Yields:
        A function to call before each run, with the number of runs that are done.
        It raises KeyboardInterrupt, with a sentence, once a signal has arrived.
    """
    from facetrack.runtime.interrupts import defer_interrupts

    if len(runs) < 2:
        yield lambda count: None
        return
    with defer_interrupts() as stop:

        def check(count: int) -> None:
            if stop.requested:
                raise KeyboardInterrupt(
                    f"{count} of {len(runs)} runs are {done}, and their files are whole"
                )

        yield check
