"""`facetrack train ...`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from facetrack.cli.options import Device

FacesFolder = Annotated[
    Path,
    typer.Option(
        help="Folder of face crops (.jpg) with landmarks68.npz, which holds names and points."
    ),
]
Steps = Annotated[
    int, typer.Option(help="Budget in optimiser steps. [default: --minutes limits the run]")
]
Workers = Annotated[
    int,
    typer.Option(
        min=1, help="On a CPU: number of single-threaded processes whose gradients are averaged."
    ),
]
StartFrom = Annotated[Path | None, typer.Option(help="Initial weights from an earlier run.")]
Resume = Annotated[bool, typer.Option(help="Continue from OUT/checkpoint.pt.")]


def tracker(
    faces: FacesFolder,
    out: Annotated[
        Path, typer.Option(help="Folder for checkpoint.pt, the weights (.safetensors), log.jsonl.")
    ],
    arch: Annotated[
        str,
        typer.Option(
            help="Network to train: tapir, occlusion (which refines tapir's visibility of points "
            "that may be hidden) or heatmap1d (the refinement of its heat maps over time)."
        ),
    ] = "tapir",
    minutes: Annotated[float, typer.Option(help="Wall-clock budget.")] = 60.0,
    steps: Steps = 0,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Clips per process and step; points for occlusion. [default: 1; 512 for "
            "occlusion]",
        ),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak learning rate. [default: the architecture's]")
    ] = None,
    ramp: Annotated[
        float,
        typer.Option(help="tapir: fraction of the budget over which clips get harder."),
    ] = 0.15,
    width: Annotated[
        int,
        typer.Option(min=8, max=1024, help="tapir: channels of the refinement, a multiple of 8."),
    ] = 192,
    depth: Annotated[int, typer.Option(min=1, max=24, help="tapir: blocks of the refinement.")] = 5,
    videos: Annotated[
        Path | None,
        typer.Option(
            help="tapir: folder of unlabelled face videos for self-training on the tracks of the "
            "averaged weights."
        ),
    ] = None,
    real_share: Annotated[
        float, typer.Option(min=0, max=1, help="tapir: fraction of the steps that use --videos.")
    ] = 0.3,
    detector_weights: Annotated[
        str, typer.Option(help="heatmap1d: weights of the detector, which stay fixed.")
    ] = "auto",
    tracker_weights: Annotated[
        str, typer.Option(help="occlusion: weights of the tracker, which stay fixed.")
    ] = "tapir-s",
    seed: Annotated[int, typer.Option(help="Random seed of the weights and the clips.")] = 1,
    workers: Workers = 2,
    device: Device = "auto",
    resume: Resume = False,
    start_from: Annotated[
        Path | None,
        typer.Option(help="Start from these weights (.safetensors) of an earlier run."),
    ] = None,
) -> None:
    """Train a point tracker on rendered clips of moving faces.

    A rule on the file names holds out one face in ten. --resume continues an interrupted run.
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
    torch_device = choose_device(device)
    if arch == "tapir":
        if width % (2 * TAPIR_S.attention_heads):
            raise FacetrackError(f"--width {width} is not a multiple of 8.")
        config = dataclasses.replace(TAPIR_S, mixer_width=width, mixer_blocks=depth)
        recipe = Recipe(**shared, ramp_share=ramp, real_share=real_share)
        train(config, recipe, faces, out, torch_device, resume, start_from, videos)
    elif arch == "heatmap1d":
        refinement_recipe = refinement.RefinementRecipe(**shared)
        refinement.train(
            detector_weights, refinement_recipe, faces, out, torch_device, resume, start_from
        )
    elif arch == "occlusion":
        occlusion_recipe = occlusion.OcclusionRecipe(**shared)
        occlusion.train(
            tracker_weights, occlusion_recipe, faces, out, torch_device, resume, start_from
        )
    else:
        raise FacetrackError(
            f"There is no tracker {arch!r} to train: choose tapir, occlusion or heatmap1d."
        )


def detector(
    arch: Annotated[
        str, typer.Option(help="Detector to train: pipnet, fan, star, heatmap1d or ert.")
    ],
    faces: FacesFolder,
    out: Annotated[
        Path,
        typer.Option(help="Folder for checkpoint.pt, ARCH.safetensors (ert.dat) and log.jsonl."),
    ],
    minutes: Annotated[float, typer.Option(help="Wall-clock budget; ert ignores it.")] = 60.0,
    steps: Steps = 0,
    batch: Annotated[int, typer.Option(min=1, help="Faces per process and step.")] = 8,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Random seed of the weights and the augmentation.")] = 1,
    workers: Workers = 2,
    save_minutes: Annotated[
        float,
        typer.Option(help="Minutes between saves; each save evaluates the held-out faces."),
    ] = 10.0,
    device: Device = "auto",
    resume: Resume = False,
    start_from: Annotated[
        Path | None,
        typer.Option(help="Start from these weights where the layers are the same."),
    ] = None,
    points_scheme: Annotated[
        str, typer.Option(help="Landmark layout: 68, or 98 (in landmarks98.npz).")
    ] = "68",
    stacks: Annotated[
        int, typer.Option(help="Number of stacked hourglasses. [default: compact]")
    ] = 0,
    width: Annotated[int, typer.Option(help="Channels of the hourglasses. [default: compact]")] = 0,
    heatmap_loss: Annotated[
        str, typer.Option(help="fan: loss of the heat maps, awing or mse.")
    ] = "awing",
    fifa: Annotated[
        bool,
        typer.Option(help="Use Fiducial Focus Augmentation: shrinking black squares on landmarks."),
    ] = True,
    dcca: Annotated[
        float,
        typer.Option(
            min=0,
            help="Weight of the loss on the agreement of two views of each face; 1 as published.",
        ),
    ] = 0.0,
    halved: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="First fraction of the budget, which trains on images of half the side at four "
            "times as many faces per minute. Not for heatmap1d. 1 trains a star for such images.",
        ),
    ] = 0.0,
    antialiased: Annotated[
        bool, typer.Option(help="star and heatmap1d: blur before each downsampling.")
    ] = False,
    ff_parser: Annotated[
        bool, typer.Option(help="star and heatmap1d: use learned filters in the Fourier domain.")
    ] = False,
) -> None:
    """Train a landmark detector on annotated faces.

    A rule on the file names holds out 201 faces, which are evaluated at each save. --resume
    continues an interrupted run; give the same options as before.
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


def expressions(
    arch: Annotated[
        str,
        typer.Option(
            help="parts: the networks that detect eyelids and lips; filter: the recurrent filter "
            "that combines them with a tracker."
        ),
    ],
    faces: FacesFolder,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for checkpoint.pt, parts.safetensors or expressions.safetensors, "
            "log.jsonl, and the filter's clips."
        ),
    ],
    labelled: Annotated[
        Path | None,
        typer.Option(
            help="Parts only: additional faces that a mesh has labelled "
            "(benchmarks/calibration/mesh_labels.py)."
        ),
    ] = None,
    kinds: Annotated[
        str, typer.Option(help="Parts only: networks to train; the others keep their weights.")
    ] = "eye,mouth",
    parts: Annotated[
        Path | None, typer.Option(help="Filter only: parts.safetensors, which stays unchanged.")
    ] = None,
    clips: Annotated[
        int, typer.Option(min=10, help="Filter only: number of clips to render and track first.")
    ] = 400,
    minutes: Annotated[
        float | None, typer.Option(help="Wall-clock budget in minutes. [default: 30, filter: 10]")
    ] = None,
    steps: Steps = 0,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Patches (filter: clips) of each kind per step.")
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    seed: Annotated[int, typer.Option(help="Seed of weights, patches and clips.")] = 1,
    device: Device = "auto",
    resume: Resume = False,
    start_from: StartFrom = None,
) -> None:
    """Train the networks that correct a tracker's points where eyes and mouths open and shut.

    201 faces are held out by a rule on the file names and measured at every save. An interrupted
    run continues with --resume.
    """
    from facetrack.errors import FacetrackError
    from facetrack.runtime.device import choose_device
    from facetrack.training import part_filter
    from facetrack.training import parts as part_networks

    _check_start(out, resume, start_from)
    shared: dict[str, Any] = {"steps": steps, "seed": seed, "learning_rate": learning_rate}
    for name, value in (("minutes", minutes), ("batch", batch)):
        if value is not None:
            shared[name] = value
    where = choose_device(device)
    if arch == "parts":
        chosen = tuple(kinds.split(","))
        if unknown := set(chosen) - set(part_networks.PATCH_LAYOUTS):
            raise FacetrackError(f"There are no parts called {', '.join(sorted(unknown))}.")
        recipe = part_networks.PartRecipe(**shared, kinds=chosen)
        part_networks.train(recipe, faces, labelled, out, where, resume, start_from)
    elif arch == "filter":
        if parts is None:
            raise FacetrackError(
                "--arch filter needs the trained networks: --parts PARTS.safetensors."
            )
        filtering = part_filter.FilterRecipe(**shared, clips=clips)
        part_filter.train(parts, filtering, faces, out, where, resume, start_from)
    else:
        raise FacetrackError(f"Unknown --arch {arch!r}: parts or filter.")


def confidence(
    faces: FacesFolder,
    out: Annotated[
        Path, typer.Option(help="Folder for checkpoint.pt, confidence.safetensors, log.jsonl.")
    ],
    minutes: Annotated[float, typer.Option(help="Wall-clock budget.")] = 30.0,
    steps: Steps = 0,
    batch: Annotated[int, typer.Option(min=4, help="Faces per step.")] = 48,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    seed: Annotated[int, typer.Option(help="Seed of weights and crops.")] = 1,
    device: Device = "auto",
    resume: Resume = False,
    start_from: StartFrom = None,
) -> None:
    """Train the network that judges whether placed landmarks are exact and visible.

    201 faces are held out by a rule on the file names and measured at every save. An interrupted
    run continues with --resume.
    """
    from facetrack.runtime.device import choose_device
    from facetrack.training.confidence import ConfidenceRecipe, train

    _check_start(out, resume, start_from)
    recipe = ConfidenceRecipe(
        minutes=minutes, steps=steps, batch=batch, learning_rate=learning_rate, seed=seed
    )
    train(recipe, faces, out, choose_device(device), resume, start_from)


def shape(
    faces: FacesFolder,
    out: Annotated[Path, typer.Option(help="Model file to write (.safetensors).")],
) -> None:
    """Fit the landmark shape model to annotated faces, without the held-out faces."""
    from facetrack.training.shape_model import train

    train(faces, out)


def shape3d(
    faces: FacesFolder,
    out: Annotated[Path, typer.Option(help="Model file to write (.safetensors).")],
) -> None:
    """Fit the 3-D face of head poses to annotated faces, without the held-out faces."""
    from facetrack.training.shape3d import train

    train(faces, out)


def _check_start(out: Path, resume: bool, start_from: Path | None) -> None:
    """Raise an error before anything is loaded if the weights to start from are missing."""
    from facetrack.errors import FacetrackError

    if start_from is not None and not start_from.is_file():
        raise FacetrackError(f"{start_from} does not exist.")
    if resume and not (out / "checkpoint.pt").is_file():
        raise FacetrackError(f"{out} has no checkpoint.pt to resume from.")
