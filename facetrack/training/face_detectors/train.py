"""Train MTCNN: P-Net, R-Net and O-Net in this order, each on the mistakes of those before it.

Zhang et al., Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks,
IEEE Signal Processing Letters 2016.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from facetrack.face_detectors import mtcnn_network
from facetrack.face_detectors.mtcnn import Mtcnn
from facetrack.face_detectors.mtcnn_network import Networks, StageNetwork
from facetrack.training import degrade, loop
from facetrack.training.detectors.augment import occlude
from facetrack.training.face_detectors import losses
from facetrack.training.face_detectors.losses import Answers, Targets
from facetrack.training.face_detectors.samples import (
    Mine,
    Samples,
    batch_counts,
    collect,
    overlaps,
)
from facetrack.training.face_detectors.scenes import FIVE_SWAP, Scene, draw_scene, load_sources
from facetrack.training.precision import autocast
from facetrack.training.signals import Random

STAGES = ("proposal", "refinement", "output")
SIDES = (12, 24, 48)
"""Sides in pixels of the windows that the three networks see."""
ENDS = (0.15, 0.4, 1.0)
"""Fractions of the budget at which each network's training ends. It includes the time to collect
its windows."""
COLLECTING = 0.35
"""Share of a network's time after which no further scenes are drawn for it: a slow machine has
fewer."""
WARM_UP = 0.05
"""Share of a network's time over which its learning rate rises. At the full rate the first steps of
R-Net and O-Net, whose layers have a thousand inputs, would end in constant answers."""
LARGEST_RATE = (1.0, 0.4, 0.2)
"""Peak learning rates of the three networks, as shares of the recipe's."""
SHARES_OF_SCENES = (0.5, 0.8, 1.0)
"""Scenes from which each network's windows come, as shares of the recipe's."""
BATCHES = (3, 2, 1)
"""Windows in a mini-batch of each network, in multiples of the recipe's."""
AUXILIARY = "auxiliary"
"""Landmark outputs of P-Net and R-Net, which only their training has."""
NUM_MEASURED = 40
"""Held-out scenes that are measured at every save."""
ALIKE = 16
"""Windows that share one blur."""
GREY_SHARE, OCCLUDED_SHARE = 0.1, 0.15


@dataclass(frozen=True)
class MtcnnRecipe(loop.SmallNetworkRecipe):
    """Settings of a training run.

    Attributes:
        batch: windows in a mini-batch of O-Net; P-Net has three times as many, R-Net twice.
        scenes: number of scenes from which O-Net's windows come; the others need fewer.
    """

    minutes: float = 25.0
    batch: int = 112
    learning_rate: float = 1e-2
    scenes: int = 800
    save_minutes: float = 5.0


class MtcnnRun(loop.Run):
    """One process's part of a training run.

    The budget is divided among the three networks. A network whose time has passed keeps its
    averaged weights, and proposes the windows of the next.
    """

    result = "mtcnn.safetensors"
    recipe: MtcnnRecipe

    def __init__(
        self,
        faces: Path,
        backgrounds: Path,
        recipe: MtcnnRecipe,
        out: Path,
        rank: int,
        device: torch.device,
    ) -> None:
        self.source, self.held_out = load_sources(faces, backgrounds)
        self.stage: int | None = None
        self.samples: Samples
        self._by_kind: dict[int, np.ndarray] = {}

        def build() -> nn.Module:
            networks = mtcnn_network.build()
            heads = {STAGES[0]: nn.Conv2d(32, 10, 1), STAGES[1]: nn.Linear(128, 10)}
            for network in networks:
                network.features.apply(initialise)
                network.outputs.apply(initialise_output)
            auxiliary = nn.ModuleDict(heads).apply(initialise_output)
            return nn.ModuleDict({**networks._asdict(), AUXILIARY: auxiliary})

        super().__init__(build, recipe, out, rank, device)

    # ------------------------------------------------------------------ the three networks

    def train_step(self, progress: float) -> dict[str, float]:
        """Train the network whose turn it is; its learning rate falls over its own budget."""
        stage = next((i for i, end in enumerate(ENDS) if progress < end), len(ENDS) - 1)
        if stage != self.stage:
            self._begin(stage)
        start, share = _budget(stage)
        return super().train_step((progress - start) / share)

    def warm_up(self, progress: float) -> float:
        """Return the factor of the learning rate: of each network its own, rising over WARM_UP."""
        assert self.stage is not None
        return LARGEST_RATE[self.stage] * min(1.0, 0.01 + progress / WARM_UP)

    def _begin(self, stage: int) -> None:
        """Fix the networks before this one at their averaged weights, and collect its windows."""
        state = self.network.state_dict()
        for name, value in self.ema.items():
            if self._stage_of(name) < stage:
                state[name].copy_(value)
        random = np.random.default_rng([self.recipe.seed, stage])
        scenes = math.ceil(self.recipe.scenes * SHARES_OF_SCENES[stage])
        seconds = 60 * self.recipe.minutes * COLLECTING * _budget(stage)[1]
        # A budget in steps stands for a run that is to be the same on every machine.
        limit = math.inf if self.recipe.steps else seconds
        mine = self._miner(stage)
        self.save_new_steps()
        with self.stop.lifted():  # it takes minutes, and no step is under way
            self.samples = collect(self.source, scenes, SIDES[stage], random, mine, limit)
        kinds = self.samples.kind
        self._by_kind = {int(kind): np.flatnonzero(kinds == kind) for kind in np.unique(kinds)}
        self.stage = stage
        counts = {str(kind): len(members) for kind, members in self._by_kind.items()}
        self.log({"stage": STAGES[stage], "windows": counts})

    @staticmethod
    def _stage_of(name: str) -> int:
        parts = name.split(".")
        return STAGES.index(parts[1] if parts[0] == AUXILIARY else parts[0])

    def _miner(self, stage: int) -> Mine | None:
        if not stage:
            return None
        return functools.partial(Mtcnn.of(self._averaged()).candidates, networks=stage)

    def _averaged(self) -> Networks:
        """Return the three networks with the averaged weights, on the CPU."""
        networks = mtcnn_network.build()
        together = nn.ModuleDict(networks._asdict())
        kept = {k: v.cpu() for k, v in self.ema.items() if not k.startswith(AUXILIARY)}
        together.load_state_dict(kept)
        together.eval().requires_grad_(False)
        return networks

    def weights(self) -> dict[str, Tensor]:
        """Return the content of the weights file: the outputs that detection needs."""
        return {k: v for k, v in super().weights().items() if not k.startswith(AUXILIARY)}

    # ------------------------------------------------------------------ steps

    def losses(self, random: Random, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a new mini-batch."""
        assert self.stage is not None
        pictures, targets = self._draw_batch(random)
        answers = self._answer(pictures)
        of_output = self.stage == len(STAGES) - 1
        weights = losses.OUTPUT_WEIGHTS if of_output else losses.PROPOSAL_WEIGHTS
        return losses.multi_task_loss(answers, targets, weights)

    def _draw_batch(self, random: Random) -> tuple[Tensor, Targets]:
        """Draw windows of each kind, mirror half of them, and spoil their pictures."""
        assert self.stage is not None
        rows = []
        for which, count in batch_counts(self.recipe.batch * BATCHES[self.stage]).items():
            members = self._by_kind.get(which)
            if members is not None:
                rows.append(members[random.integers(len(members), count).cpu().numpy()])
        chosen = np.concatenate(rows)
        taken = (torch.from_numpy(values[chosen]) for values in self.samples)
        pictures, kind, offsets, points = (value.to(self.device) for value in taken)
        shown = pictures.permute(0, 3, 1, 2).float() / 255
        flip = random.chance(0.5, len(shown)).bool()
        shown, targets = mirror(shown, Targets(kind, offsets, points), flip)
        return (spoil(shown, random) * 255 - 127.5) / 128, targets

    def _answer(self, pictures: Tensor) -> Answers:
        assert self.stage is not None
        name = STAGES[self.stage]
        network = self.network.get_submodule(name)
        assert isinstance(network, StageNetwork)
        with autocast(self.device):
            features = network.features(pictures.contiguous(memory_format=torch.channels_last))
        # Box and points are differences of pixels: bfloat16 would round them.
        features = features.float()
        outputs = [output(features).flatten(1) for output in network.outputs]
        if len(outputs) == 2:
            head = self.network.get_submodule(f"{AUXILIARY}.{name}")
            outputs.insert(1, head(features).flatten(1))
        return Answers(*outputs)

    # ------------------------------------------------------------------ evaluation

    def measure(self) -> dict[str, Any]:
        """Measure the networks so far on held-out faces in held-out photographs."""
        random = np.random.default_rng(77_000)
        scenes = [draw_scene(self.held_out, random) for _ in range(NUM_MEASURED)]
        stage = self.stage or 0
        return {"stage": STAGES[stage], **measured(Mtcnn.of(self._averaged()), scenes, stage)}


def _budget(stage: int) -> tuple[float, float]:
    """Return when a network's turn begins and how long it lasts, as shares of the run."""
    start = ENDS[stage - 1] if stage else 0.0
    return start, ENDS[stage] - start


def initialise(layer: nn.Module) -> None:
    """Draw a layer's weights so that signals keep their variance (He et al., ICCV 2015).

    Without batch normalisation, PyTorch's own smaller weights take hundreds of steps to recover.
    """
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(layer.weight, a=0.25)  # the initial slope of PReLU
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)


def initialise_output(layer: nn.Module) -> None:
    """Begin with even odds of a face, the window as its box, and all points in the middle."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.normal_(layer.weight, std=0.01)
        assert layer.bias is not None
        nn.init.constant_(layer.bias, 0.5 if len(layer.bias) == 10 else 0.0)


def measured(detector: Mtcnn, scenes: list[Scene], stage: int) -> dict[str, float]:
    """Return the recall in per cent (IoU of at least 0.5), and other windows per scene.

    Args:
        detector: MTCNN.
        scenes: with known faces.
        stage: the last network to use, 0 to 2.
    """
    faces = found = others = 0
    for scene in scenes:
        if stage < len(STAGES) - 1:
            boxes = detector.candidates(scene.image, networks=stage + 1)
        else:
            boxes = detector.detect(scene.image).boxes + 0.5
        shared = overlaps(boxes, scene.boxes) >= 0.5
        faces += len(scene.boxes)
        found += int(shared.any(0).sum())
        others += int((~shared.any(1)).sum())
    return {
        "recall": round(100 * found / max(faces, 1), 2),
        "others": round(others / len(scenes), 3),
    }


def mirror(pictures: Tensor, targets: Targets, flip: Tensor) -> tuple[Tensor, Targets]:
    """Mirror the windows (B, 3, H, W) for which `flip` (B,) is true, and their targets."""
    shown = torch.where(flip[:, None, None, None], pictures.flip(3), pictures)
    offsets = torch.where(
        flip[:, None],
        targets.offsets[:, [2, 1, 0, 3]] * torch.tensor([-1.0, 1, -1, 1], device=flip.device),
        targets.offsets,
    )
    x, y = targets.points[:, :5][:, FIVE_SWAP], targets.points[:, 5:][:, FIVE_SWAP]
    points = torch.where(flip[:, None], torch.cat([1 - x, y], 1), targets.points)
    return shown, Targets(targets.kind, offsets, points)


def spoil(pictures: Tensor, random: Random) -> Tensor:
    """Cover parts of windows (B, 3, H, W) in [0, 1], change colour, light and sharpness."""
    pictures = occlude(pictures, random, OCCLUDED_SHARE)
    grey = random.chance(GREY_SHARE, len(pictures), 1, 1, 1)
    pictures = torch.lerp(pictures, pictures.mean(1, keepdim=True), grey)
    spoilt = []
    for part in degrade.light(pictures[:, None], random).split(ALIKE):
        spoilt.append(degrade.noise(degrade.soften(part, random), random)[:, 0])
    return torch.cat(spoilt)


def train(
    recipe: MtcnnRecipe,
    faces: Path,
    backgrounds: Path,
    out: Path,
    device: torch.device,
    resume: bool = False,
    start_from: Path | None = None,
) -> None:
    """Train until the time budget is spent.

    `out` receives checkpoint.pt, mtcnn.safetensors and log.jsonl.

    Args:
        faces: folder of face crops with landmarks68.npz.
        backgrounds: folder of photographs without faces.
        resume: continue from `out`/checkpoint.pt. The windows are collected anew.
        start_from: initial weights.
    """
    make = functools.partial(MtcnnRun, faces, backgrounds)
    loop.launch(make, recipe, out, device, resume, start_from)
