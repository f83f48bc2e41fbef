"""Train the networks that detect eyelids and lips in patches of a face, on still pictures."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facetrack.trackers.expression.face_parts import PATCH_LAYOUTS
from facetrack.trackers.expression.part_network import PartNetwork
from facetrack.training import loop
from facetrack.training.part_pictures import Bank, build_banks, read_faces, sample
from facetrack.training.precision import autocast
from facetrack.training.signals import Random
from facetrack.training.textures import split_names

NUM_MEASURED = 2048
"""Held-out patches of each layout that are measured at every save."""


@dataclass(frozen=True)
class PartRecipe(loop.SmallNetworkRecipe):
    """Settings of a training run; `batch` is the number of patches of each kind per step.

    Attributes:
        kinds: names of the networks to train; the others keep their weights.
    """

    minutes: float = 30.0
    batch: int = 128
    kinds: tuple[str, ...] = tuple(PATCH_LAYOUTS)


def opening(positions: Tensor, kind: str) -> Tensor:
    """Return the vertical distances (M, pairs) between eyelids or lips (M, points, 2)."""
    layout = PATCH_LAYOUTS[kind]
    return (positions[:, layout.lower] - positions[:, layout.upper])[..., 1]


def compute_loss(
    prediction: tuple[Tensor, Tensor], positions: Tensor, known: Tensor, kind: str
) -> Tensor:
    """Return the loss: errors of positions, their likelihood by the uncertainties, and openings."""
    predicted, spread = prediction
    error = (predicted - positions).square().sum(-1).add(1e-8).sqrt()
    likelihood = error / spread + 2 * spread.log()
    distance = ((10 * error + 0.1 * likelihood) * known).sum() / known.sum()
    opening_error = (opening(predicted, kind) - opening(positions, kind)).abs().mean()
    return distance + 15 * opening_error


def build() -> nn.ModuleDict:
    """Build untrained networks for all layouts."""
    return nn.ModuleDict({name: PartNetwork(layout) for name, layout in PATCH_LAYOUTS.items()})


class _Run(loop.Run):
    """One process's part of a training run."""

    result = "parts.safetensors"
    half_from = 2
    recipe: PartRecipe

    def __init__(
        self,
        faces: Path,
        table: Path | None,
        recipe: PartRecipe,
        out: Path,
        rank: int,
        device: torch.device,
    ) -> None:
        super().__init__(build, recipe, out, rank, device)
        names = split_names(sorted(p.name for p in faces.glob("*.jpg")))
        self.annotated = build_banks(read_faces(faces, names[0]), device)
        self.labelled = build_banks(read_faces(faces, [], table), device) if table else None
        self.held_out: dict[str, Bank] = build_banks(read_faces(faces, names[1]), device)

    def losses(self, random: Random, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the loss on new patches, at random of annotated or of mesh-labelled faces."""
        total = torch.zeros(())
        parts: dict[str, float] = {}
        labelled = self.labelled is not None and bool(random.chance(0.5, 1))
        source = self.labelled if labelled and self.labelled is not None else self.annotated
        for name in self.recipe.kinds:
            layout = PATCH_LAYOUTS[name]
            drawn = sample(source[name], layout, self.recipe.batch, random)
            with autocast(self.device):
                prediction = self.network[name](
                    drawn.pictures.contiguous(memory_format=torch.channels_last)
                )
            loss = compute_loss(prediction, drawn.positions, drawn.known, name)
            total = total + loss
            parts[name] = float(loss.detach())
        return total, parts

    @torch.no_grad()
    def measure(self) -> dict[str, Any]:
        """Measure seeded patches of held-out faces.

        Errors are in per cent of a unit of the face. Of openings, the correlation and the slope are
        measured as well. "photographs" are patches in which nothing was drawn.
        """
        networks = build().to(self.device)
        networks.load_state_dict(self.ema)
        networks.eval()
        figures: dict[str, Any] = {}
        kinds = [(name, drawn) for name in PATCH_LAYOUTS for drawn in (True, False)]
        for name, animated in kinds:
            drawn = sample(
                self.held_out[name],
                PATCH_LAYOUTS[name],
                NUM_MEASURED,
                Random(77_000, self.device),
                degraded=animated,
                animated=animated,
            )
            predicted = torch.cat([networks[name](part)[0] for part in drawn.pictures.split(128)])
            error = 100 * (predicted - drawn.positions).norm(dim=-1)
            pair = torch.stack(
                [opening(predicted, name).mean(1), opening(drawn.positions, name).mean(1)]
            )
            slope = float(torch.cov(pair)[0, 1] / pair[1].var())
            figures[name if animated else f"{name}, photographs"] = {
                "error": [round(float(e), 3) for e in error.mean(0)],
                "opening": round(100 * float((pair[0] - pair[1]).abs().mean()), 3),
                "correlation": round(float(torch.corrcoef(pair)[0, 1]), 4),
                "slope": round(slope, 4),
            }
        return figures


def train(
    recipe: PartRecipe,
    faces: Path,
    table: Path | None,
    out: Path,
    device: torch.device,
    resume: bool = False,
    start_from: Path | None = None,
) -> None:
    """Train until the time budget is spent.

    `out` receives checkpoint.pt, parts.safetensors and log.jsonl.

    Args:
        faces: folder of face crops with landmarks68.npz.
        table: file of faces that a mesh has labelled, for `part_pictures.read_faces`.
        resume: continue from `out`/checkpoint.pt.
        start_from: initial weights.
    """
    loop.launch(functools.partial(_Run, faces, table), recipe, out, device, resume, start_from)
