"""`facetrack train ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def tracker(
    faces: Annotated[
        Path,
        typer.Option(help="Folder of face crops (.jpg) with landmarks68.npz: names, points."),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for checkpoint.pt, tracker.safetensors and log.jsonl.")
    ],
    minutes: Annotated[float, typer.Option(help="Wall-clock budget.")] = 60.0,
    steps: Annotated[
        int, typer.Option(help="Budget in optimiser steps instead. [default: by --minutes]")
    ] = 0,
    batch: Annotated[int, typer.Option(help="Clips a process and step.")] = 1,
    learning_rate: Annotated[float, typer.Option(help="At its peak.")] = 8e-4,
    ramp: Annotated[
        float, typer.Option(help="Share of the budget over which clips grow from easy to hard.")
    ] = 0.15,
    seed: Annotated[int, typer.Option(help="Of weights and clips.")] = 1,
    workers: Annotated[
        int, typer.Option(help="On a CPU: processes of one thread, gradients averaged.")
    ] = 2,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    resume: Annotated[bool, typer.Option(help="Go on from OUT/checkpoint.pt.")] = False,
    start_from: Annotated[
        Path | None,
        typer.Option(help="Begin with these weights (.safetensors) of an earlier run."),
    ] = None,
) -> None:
    """Train the compact TAPIR on rendered clips of moving faces.

    One face in ten is held out, by a rule on the file names. A killed run goes on with --resume.
    """
    from facetrack.device import choose_device
    from facetrack.errors import FacetrackError
    from facetrack.trackers.tapir.config import TAPIR_S
    from facetrack.training.tracker import Recipe, train

    if start_from is not None and not start_from.is_file():
        raise FacetrackError(f"{start_from} does not exist.")
    if resume and not (out / "checkpoint.pt").is_file():
        raise FacetrackError(f"{out} has no checkpoint.pt to resume from.")
    recipe = Recipe(
        minutes=minutes,
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        ramp_share=ramp,
        seed=seed,
        workers=workers,
    )
    train(TAPIR_S, recipe, faces, out, choose_device(device), resume, start_from)
