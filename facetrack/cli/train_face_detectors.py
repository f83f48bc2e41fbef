"""`facetrack train face-detector`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facetrack.cli.options import Device
from facetrack.cli.train_options import (
    FacesFolder,
    Minutes,
    Resume,
    SaveMinutes,
    Seed,
    StartFrom,
    Steps,
    check_start,
    count_faces,
)


def face_detector(
    faces: FacesFolder,
    backgrounds: Annotated[
        Path, typer.Option(help="Folder of photographs without faces, as varied as possible.")
    ],
    arch: Annotated[str, typer.Option(help="Face detector to train: mtcnn.")] = "mtcnn",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for checkpoint.pt, ARCH.safetensors and log.jsonl. [default: runs/ARCH]"
        ),
    ] = None,
    minutes: Minutes = 25.0,
    steps: Steps = 0,
    batch: Annotated[
        int,
        typer.Option(
            min=7,
            help="Windows per step of the last network; the others have two and three times as "
            "many.",
        ),
    ] = 112,
    scenes: Annotated[
        int, typer.Option(min=1, help="Pictures from which the windows of a network come.")
    ] = 800,
    learning_rate: Annotated[
        float,
        typer.Option(
            min=0,
            help="Peak learning rate of the first network; the others have 0.4 and 0.2 of it.",
        ),
    ] = 1e-2,
    seed: Seed = 1,
    save_minutes: SaveMinutes = 5.0,
    device: Device = "auto",
    resume: Resume = False,
    start_from: StartFrom = None,
) -> None:
    """Train a face detector on annotated faces and on photographs without faces.

    Its three networks are trained one after another, each on what those before it take for faces.
    A tenth of the faces and photographs is held out and measured at every save. An interrupted run
    continues with --resume. `--face-detector mtcnn=OUT/mtcnn.safetensors` uses the result.
    """
    from facetrack.errors import FacetrackError
    from facetrack.runtime.device import choose_device
    from facetrack.training.face_detectors.train import MtcnnRecipe, train

    if arch != "mtcnn":
        raise FacetrackError(f"There is no face detector {arch!r} to train: choose mtcnn.")
    out = out or Path("runs") / arch
    check_start(out, resume, start_from)
    count_faces(faces)
    recipe = MtcnnRecipe(
        minutes=minutes,
        steps=steps,
        batch=batch,
        scenes=scenes,
        learning_rate=learning_rate,
        seed=seed,
        save_minutes=save_minutes,
    )
    train(recipe, faces, backgrounds, out, choose_device(device), resume, start_from)
