"""Adapt a trained landmark network to a few faces: those of one person, or of one study.

The faces are varied as in any training (`augment`), and all layers learn. What a few faces cannot
tell stays as it was: the statistics of the batch normalisation, the mean face of PIPNet, the crop
and the calibration of the scores. The averaged weights are those of the last steps.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from facetrack.detectors import DetectorOptions, alignment, create
from facetrack.detectors.star import HALVED
from facetrack.errors import FacetrackError
from facetrack.training import loop
from facetrack.training.detectors.data import load_held_out, names_of
from facetrack.training.detectors.networks import restore
from facetrack.training.detectors.train import DetectorRun, Recipe, measure_both
from facetrack.training.detectors.trainee import Trainee
from facetrack.weights import get, state_dict, store
from facetrack.weights.registry import REGISTRY

LEARNING_RATE = 2e-4
"""Peak learning rate, a fifth of that of a training from the beginning."""


class Start(NamedTuple):
    """Weights to begin with.

    Attributes:
        path: the file.
        arch: the network's name, as "star"; None if the file does not say.
    """

    path: Path
    arch: str | None


def find_start(choice: str) -> Start:
    """Find weights by their name in `facetrack weights list`, or by their path.

    Raises:
        FacetrackError: there are none, or the file cannot be read.
    """
    if choice in REGISTRY:
        weights = get(choice)
        return Start(store.path_of(weights), weights.part)
    path = Path(os.path.expanduser(choice))
    if not os.path.isfile(path):  # Path.is_file raises if the name is too long
        raise FacetrackError(f"{choice} is neither a file nor weights of `facetrack weights list`.")
    return Start(path, state_dict.read_weights(path)[1].get("arch"))


class _AdaptingRun(DetectorRun):
    """The part of an adaptation in one process."""

    def __init__(
        self,
        build: Callable[[], Trainee],
        start: Path,
        faces: Path,
        recipe: Recipe,
        out: Path,
        rank: int,
        device: torch.device,
    ) -> None:
        super().__init__(build, faces, None, recipe, out, rank, device)
        self.begin_from(start)
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.eval()

    def metadata(self) -> dict[str, str]:
        """Return what the detector reads, as the start's file has it."""
        return {**super().metadata(), **self.trainee.inherited}


def adapt(
    start: Start,
    recipe: Recipe,
    faces: Path,
    out: Path,
    device: torch.device,
    scheme: str = "68",
    resume: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[float, float]:
    """Adapt a network until the budget is spent.

    `out` receives checkpoint.pt, <arch>.safetensors (averaged weights) and log.jsonl.

    Args:
        start: the network's weights: bundled ones, or others that `facetrack train` has written.
        recipe: settings; those that follow from the start's file are replaced.
        faces: folder of face crops with landmarks<scheme>.npz.
        scheme: the point layout.
        resume: continue from `out`/checkpoint.pt.
        progress: receives lines that say what is done.

    Returns:
        The errors of the start and of the adapted network on the faces that were held out, in per
        cent of the distance between the outer eye corners, in boxes as a face detector gives them.

    Raises:
        FacetrackError: the faces or the weights are not usable.
    """
    known, held_out = names_of(faces, scheme)
    build = functools.partial(restore, start.path, scheme)
    trainee = build()
    arch = trainee.arch
    if trainee.from_box:
        raise FacetrackError(
            f"{arch} learns its mean shape from many faces: adapt pipnet, fan, star or heatmap1d."
        )
    recipe = replace(
        recipe,
        aligned=alignment.KEY in trainee.inherited,
        halved=1.0 if trainee.inherited.get(HALVED) == "true" else 0.0,
        fifa=0.0,
        warm_up_steps=20,
        weight_decay=0.0,
        ema=0.99,
    )
    progress(f"{arch}: {len(known)} faces to learn from, {len(held_out)} held out")
    options = DetectorOptions(weights=str(start.path), device=str(device))
    detector = create(arch, options)
    before = measure_both(detector, load_held_out(faces, scheme), trainee.scheme)
    loop.launch(
        functools.partial(_AdaptingRun, build, start.path, faces), recipe, out, device, resume
    )
    lines = (out / "log.jsonl").read_text(encoding="utf-8").splitlines()
    after = json.loads(lines[-1])["held_out"]
    errors = tuple(found["jittered_boxes"]["nme_ic"] for found in (before, after))
    result = out / f"{arch}.safetensors"
    progress(f"error on the held-out faces: {errors[0]:.2f} % before, {errors[1]:.2f} % now")
    if errors[1] >= errors[0]:
        progress("It is no better there: correct more frames, or keep the network as it was.")
    progress(f"{result}: use it with --init {arch} --detector-weights {result}")
    return errors[0], errors[1]
