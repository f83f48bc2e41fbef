"""`facetrack train`: everything but the landmark detectors (`train_detectors`)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from facetrack.cli.options import Device
from facetrack.cli.train_options import (
    FacesFolder,
    LearningRate,
    Minutes,
    Resume,
    Seed,
    StartFrom,
    Steps,
    Workers,
    check_start,
    count_faces,
    refuse_existing,
)


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
    minutes: Minutes = 60.0,
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
        float | None,
        typer.Option(min=0, help="Peak learning rate. [default: the architecture's]"),
    ] = None,
    ramp: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="tapir: fraction of the budget over which clips get harder."
        ),
    ] = 0.15,
    width: Annotated[
        int,
        typer.Option(min=8, max=1024, help="tapir: channels of the refinement, a multiple of 8."),
    ] = 192,
    depth: Annotated[int, typer.Option(min=1, max=24, help="tapir: blocks of the refinement.")] = 5,
    iterations: Annotated[
        int, typer.Option(min=1, max=8, help="tapir: iterations of the refinement.")
    ] = 2,
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
    seed: Seed = 1,
    workers: Workers = 2,
    device: Device = "auto",
    resume: Resume = False,
    start_from: Annotated[
        Path | None,
        typer.Option(help="Start from these weights (.safetensors) of an earlier run."),
    ] = None,
) -> None:
    """Train a point tracker on rendered clips of moving faces.

    One face in ten is held out, by a rule on its file name. --resume continues an interrupted run.
    """
    from facetrack.errors import FacetrackError
    from facetrack.runtime.device import choose_device
    from facetrack.trackers.tapir.config import TAPIR_S
    from facetrack.training import occlusion, refinement
    from facetrack.training.tracker import Recipe, train

    check_start(out, resume, start_from)
    count_faces(faces)
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
        config = dataclasses.replace(
            TAPIR_S, mixer_width=width, mixer_blocks=depth, iterations=iterations
        )
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
        str, typer.Option(help="Networks or filters to train; the others keep their weights.")
    ] = "eye,mouth",
    parts: Annotated[
        Path | None, typer.Option(help="Filter only: parts.safetensors, which stays unchanged.")
    ] = None,
    clips: Annotated[
        int, typer.Option(min=10, help="Filter only: number of clips to render and track first.")
    ] = 400,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.01, help="Wall-clock budget in minutes. [default: 30, filter: 10]"),
    ] = None,
    steps: Steps = 0,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Patches (filter: clips) of each kind per step.")
    ] = None,
    learning_rate: LearningRate = 2e-3,
    seed: Seed = 1,
    device: Device = "auto",
    resume: Resume = False,
    start_from: StartFrom = None,
) -> None:
    """Train the networks that correct a tracker's points where eyes and mouths open and shut.

    One face in ten is held out, by a rule on its file name, and measured at every save. An
    interrupted run continues with --resume.
    """
    from facetrack.errors import FacetrackError
    from facetrack.runtime.device import choose_device
    from facetrack.training import part_filter
    from facetrack.training import parts as part_networks

    check_start(out, resume, start_from)
    count_faces(faces)
    shared: dict[str, Any] = {"steps": steps, "seed": seed, "learning_rate": learning_rate}
    for name, value in (("minutes", minutes), ("batch", batch)):
        if value is not None:
            shared[name] = value
    where = choose_device(device)
    chosen = tuple(kinds.split(","))
    if unknown := set(chosen) - set(part_networks.PATCH_LAYOUTS):
        raise FacetrackError(f"There are no parts called {', '.join(sorted(unknown))}.")
    shared["kinds"] = chosen
    if arch == "parts":
        recipe = part_networks.PartRecipe(**shared)
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
    minutes: Minutes = 30.0,
    steps: Steps = 0,
    batch: Annotated[int, typer.Option(min=4, help="Faces per step.")] = 48,
    learning_rate: LearningRate = 2e-3,
    seed: Seed = 1,
    device: Device = "auto",
    resume: Resume = False,
    start_from: StartFrom = None,
) -> None:
    """Train the network that judges whether placed landmarks are exact and visible.

    One face in ten is held out, by a rule on its file name, and measured at every save. An
    interrupted run continues with --resume.
    """
    from facetrack.runtime.device import choose_device
    from facetrack.training.confidence import ConfidenceRecipe, train

    check_start(out, resume, start_from)
    count_faces(faces)
    recipe = ConfidenceRecipe(
        minutes=minutes, steps=steps, batch=batch, learning_rate=learning_rate, seed=seed
    )
    train(recipe, faces, out, choose_device(device), resume, start_from)


def pose(
    faces: FacesFolder,
    out: Annotated[
        Path, typer.Option(help="Folder for checkpoint.pt, pose.safetensors, log.jsonl.")
    ],
    minutes: Minutes = 14.0,
    steps: Steps = 0,
    batch: Annotated[int, typer.Option(min=4, help="Crops per step.")] = 64,
    learning_rate: LearningRate = 2e-3,
    seed: Seed = 1,
    device: Device = "auto",
    resume: Resume = False,
    start_from: StartFrom = None,
) -> None:
    """Train the network that regresses head poses from pictures, without landmarks.

    Landmarks are needed for the training alone: they give the pose of each face. One face in ten is
    held out, by a rule on its file name, and measured at every save. An interrupted run continues
    with --resume.
    """
    from facetrack.runtime.device import choose_device
    from facetrack.training.pose import PoseRecipe, train

    check_start(out, resume, start_from)
    count_faces(faces)
    recipe = PoseRecipe(
        minutes=minutes, steps=steps, batch=batch, learning_rate=learning_rate, seed=seed
    )
    train(recipe, faces, out, choose_device(device), resume, start_from)


def shape(
    faces: FacesFolder,
    out: Annotated[Path, typer.Option(help="Model file to write (.safetensors).")],
) -> None:
    """Fit the landmark shape model to annotated faces, without the held-out faces."""
    from facetrack.training.shape_model import train

    refuse_existing(out)
    count_faces(faces)
    train(faces, out)


def shape3d(
    faces: FacesFolder,
    out: Annotated[Path, typer.Option(help="Model file to write (.safetensors).")],
) -> None:
    """Fit the 3-D face of head poses to annotated faces, without the held-out faces."""
    from facetrack.training.shape3d import train

    refuse_existing(out)
    count_faces(faces)
    train(faces, out)
