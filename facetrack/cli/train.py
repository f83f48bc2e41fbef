"""`facetrack train ...`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from facetrack.cli.options import Device

FacesFolder = Annotated[
    Path,
    typer.Option(help="Folder of face crops (.jpg) with landmarks68.npz: names, points."),
]
Steps = Annotated[
    int, typer.Option(help="Budget in optimiser steps instead. [default: by --minutes]")
]
Workers = Annotated[
    int, typer.Option(min=1, help="On a CPU: processes of one thread, gradients averaged.")
]
Resume = Annotated[bool, typer.Option(help="Go on from OUT/checkpoint.pt.")]


def tracker(
    faces: FacesFolder,
    out: Annotated[
        Path, typer.Option(help="Folder for checkpoint.pt, the weights (.safetensors), log.jsonl.")
    ],
    arch: Annotated[
        str,
        typer.Option(
            help="tapir; occlusion: its closer look at points that may be hidden; or heatmap1d: "
            "the refinement of its maps over time."
        ),
    ] = "tapir",
    minutes: Annotated[float, typer.Option(help="Wall-clock budget.")] = 60.0,
    steps: Steps = 0,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1, help="Clips (of occlusion: points) a process and step. [default: 1 (512)]"
        ),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="At its peak. [default: the architecture's]")
    ] = None,
    ramp: Annotated[
        float,
        typer.Option(help="Of tapir: share of the budget over which clips grow from easy to hard."),
    ] = 0.15,
    width: Annotated[
        int,
        typer.Option(
            min=8, max=1024, help="Of tapir: channels of the refinement; a multiple of 8."
        ),
    ] = 192,
    depth: Annotated[
        int, typer.Option(min=1, max=24, help="Of tapir: blocks of the refinement.")
    ] = 5,
    videos: Annotated[
        Path | None,
        typer.Option(
            help="Of tapir: folder of unlabelled videos of faces to learn from as well, from the "
            "averaged weights' own tracks (self-training)."
        ),
    ] = None,
    real_share: Annotated[
        float, typer.Option(min=0, max=1, help="Of tapir: share of the steps that take --videos.")
    ] = 0.3,
    detector_weights: Annotated[
        str, typer.Option(help="Of heatmap1d: the detector whose maps are refined; it stays.")
    ] = "auto",
    tracker_weights: Annotated[
        str, typer.Option(help="Of occlusion: the tracker whose points are looked at; it stays.")
    ] = "tapir-s",
    seed: Annotated[int, typer.Option(help="Of weights and clips.")] = 1,
    workers: Workers = 2,
    device: Device = "auto",
    resume: Resume = False,
    start_from: Annotated[
        Path | None,
        typer.Option(help="Begin with these weights (.safetensors) of an earlier run."),
    ] = None,
) -> None:
    """Train a point tracker on rendered clips of moving faces.

    One face in ten is held out, by a rule on the file names. A killed run goes on with --resume.
    """
    from facetrack.errors import FacetrackError
    from facetrack.runtime.device import choose_device
    from facetrack.trackers.tapir.config import TAPIR_S
    from facetrack.training import occlusion, refinement
    from facetrack.training.tracker import Recipe, train

    _check_start(out, resume, start_from)
    shared: dict[str, Any] = {
        "minutes": minutes,
        "steps": steps,
        "seed": seed,
        "workers": workers,
    }
    for name, value in (("batch", batch), ("learning_rate", learning_rate)):
        if value is not None:
            shared[name] = value
    where = choose_device(device)
    if arch == "tapir":
        if width % (2 * TAPIR_S.attention_heads):
            raise FacetrackError(f"--width {width} is not a multiple of 8.")
        config = dataclasses.replace(TAPIR_S, mixer_width=width, mixer_blocks=depth)
        recipe = Recipe(**shared, ramp_share=ramp, real_share=real_share)
        train(config, recipe, faces, out, where, resume, start_from, videos)
    elif arch == "heatmap1d":
        small = refinement.Recipe(**shared)
        refinement.train(detector_weights, small, faces, out, where, resume, start_from)
    elif arch == "occlusion":
        looking = occlusion.Recipe(**shared)
        occlusion.train(tracker_weights, looking, faces, out, where, resume, start_from)
    else:
        raise FacetrackError(
            f"There is no tracker {arch!r} to train: tapir, occlusion or heatmap1d."
        )


def detector(
    arch: Annotated[str, typer.Option(help="pipnet, fan, star, heatmap1d or ert.")],
    faces: FacesFolder,
    out: Annotated[
        Path,
        typer.Option(help="Folder for checkpoint.pt, ARCH.safetensors (ert.dat) and log.jsonl."),
    ],
    minutes: Annotated[
        float, typer.Option(help="Wall-clock budget; ert takes what it takes.")
    ] = 60.0,
    steps: Steps = 0,
    batch: Annotated[int, typer.Option(min=1, help="Faces a process and step.")] = 8,
    learning_rate: Annotated[float, typer.Option(help="At its peak.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Of weights and augmentation.")] = 1,
    workers: Workers = 2,
    save_minutes: Annotated[
        float, typer.Option(help="Time between saves; each measures the held-out faces.")
    ] = 10.0,
    device: Device = "auto",
    resume: Resume = False,
    start_from: Annotated[
        Path | None,
        typer.Option(help="Begin with these weights, as far as their layers are the same."),
    ] = None,
    points_scheme: Annotated[str, typer.Option(help="68, or 98 (of landmarks98.npz).")] = "68",
    stacks: Annotated[int, typer.Option(help="Hourglasses in a row. [default: compact]")] = 0,
    width: Annotated[int, typer.Option(help="Their channels. [default: compact]")] = 0,
    heatmap_loss: Annotated[str, typer.Option(help="Of fan: awing or mse.")] = "awing",
    fifa: Annotated[
        bool,
        typer.Option(help="Fiducial Focus Augmentation: black squares on landmarks that shrink."),
    ] = True,
    dcca: Annotated[
        float,
        typer.Option(
            min=0, help="Weight of the agreement of two views of each face; 1 as published."
        ),
    ] = 0.0,
    halved: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of the budget, its first, on pictures of half the side: four times as many "
            "faces a minute. Not for heatmap1d. 1 makes a star for such pictures.",
        ),
    ] = 0.0,
    antialiased: Annotated[
        bool, typer.Option(help="Of star and heatmap1d: blur before each halving.")
    ] = False,
    ff_parser: Annotated[
        bool, typer.Option(help="Of star and heatmap1d: learned filters in the Fourier domain.")
    ] = False,
) -> None:
    """Train a landmark detector on annotated faces.

    201 faces are held out, by a rule on the file names, and measured at each save. A killed run
    goes on with --resume, with the options it began with.
    """
    from facetrack.errors import FacetrackError
    from facetrack.runtime.device import choose_device
    from facetrack.training.detectors.ert import ErtRecipe, train_ert
    from facetrack.training.detectors.networks import Options
    from facetrack.training.detectors.train import Recipe, train

    if arch == "ert":
        if resume or start_from is not None:
            raise FacetrackError("dlib trains an ERT in one go: nothing to resume or start from.")
        train_ert(ErtRecipe(seed=seed, workers=workers), faces, out, points_scheme)
        return
    _check_start(out, resume, start_from)
    recipe = Recipe(
        minutes=minutes,
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        seed=seed,
        workers=workers,
        save_minutes=save_minutes,
        fifa=Recipe.fifa if fifa else 0.0,
        dcca=dcca,
        halved=halved,
    )
    options = Options(stacks, width, heatmap_loss, antialiased, ff_parser)
    train(
        arch, recipe, faces, out, choose_device(device), points_scheme, options, resume, start_from
    )


def shape(
    faces: FacesFolder,
    out: Annotated[Path, typer.Option(help="File for the model (.safetensors).")],
) -> None:
    """Fit the landmark shape model to annotated faces; the held-out ones are not looked at."""
    from facetrack.training.shape_model import train

    train(faces, out)


def _check_start(out: Path, resume: bool, start_from: Path | None) -> None:
    """Say before anything is loaded that there is nothing to begin with."""
    from facetrack.errors import FacetrackError

    if start_from is not None and not start_from.is_file():
        raise FacetrackError(f"{start_from} does not exist.")
    if resume and not (out / "checkpoint.pt").is_file():
        raise FacetrackError(f"{out} has no checkpoint.pt to resume from.")
