"""Options that the training commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FacesFolder = Annotated[
    Path,
    typer.Option(
        help="Folder of square face crops (.jpg) with landmarks68.npz, which holds names and "
        "points."
    ),
]
Minutes = Annotated[float, typer.Option(min=0.01, help="Wall-clock budget.")]
Steps = Annotated[
    int,
    typer.Option(min=0, help="Budget in optimiser steps. [default: --minutes limits the run]"),
]
SaveMinutes = Annotated[
    float,
    typer.Option(min=0, help="Minutes between saves; each save evaluates the held-out faces."),
]
LearningRate = Annotated[float, typer.Option(min=0, help="Peak learning rate.")]
Seed = Annotated[
    int,
    # A generator takes 64 bits, in which the number of the step comes after the seed.
    typer.Option(min=0, max=2**32 - 1, help="Seed of all that is drawn at random."),
]
Workers = Annotated[
    int,
    typer.Option(
        min=1, help="On a CPU: number of single-threaded processes whose gradients are averaged."
    ),
]
StartFrom = Annotated[Path | None, typer.Option(help="Initial weights from an earlier run.")]
Resume = Annotated[bool, typer.Option(help="Continue from OUT/checkpoint.pt.")]


def check_start(out: Path, resume: bool, start_from: Path | None = None) -> None:
    """Raise an error before anything is loaded if a training cannot begin.

    Weights to start from may be missing, or `out` may hold the weights of another training.
    """
    from facetrack.errors import FacetrackError

    if start_from is not None and not start_from.is_file():
        raise FacetrackError(f"{start_from} does not exist.")
    if resume and not (out / "checkpoint.pt").is_file():
        raise FacetrackError(f"{out} has no checkpoint.pt to resume from.")
    if not resume and any(out.glob("*.safetensors")):
        raise FacetrackError(
            f"{out} holds weights already: continue their training with --resume, or name another "
            "folder with --out."
        )


def count_faces(faces: Path, scheme: str = "68") -> None:
    """Print how many faces a training learns from, and how many are held out.

    An error in the folder is thereby reported before anything else is loaded.
    """
    from facetrack.training.detectors.data import names_of, refuse_few
    from facetrack.training.detectors.train import check_scheme

    check_scheme(scheme)
    known, held_out = names_of(faces, scheme)
    refuse_few(faces)
    typer.echo(f"{len(known)} faces to learn from, {len(held_out)} held out")


def refuse_existing(out: Path) -> None:
    """Raise an error if the file to write exists: no training replaces one."""
    import os

    from facetrack.errors import FacetrackError

    if os.path.lexists(out):
        raise FacetrackError(f"{out} exists, and a training replaces no file: name another.")
