"""Training of the networks that see lids and lips in patches of a face, on still pictures."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facetrack.trackers.expression.face_parts import KINDS
from facetrack.trackers.expression.part_network import PartNetwork
from facetrack.training import loop
from facetrack.training.part_pictures import Bank, banks, faces_of, sample
from facetrack.training.precision import autocast
from facetrack.training.signals import Random
from facetrack.training.textures import split_names

MEASURED = 2048


@dataclass(frozen=True)
class Recipe(loop.Recipe):
    """All that decides a training run; `batch` counts patches of each kind.

    Attributes:
        kinds: which are learned; the others stay.
    """

    minutes: float = 30.0
    batch: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    clip_norm: float = 5.0
    ema: float = 0.998
    workers: int = 1
    kinds: tuple[str, ...] = tuple(KINDS)


def opening(places: Tensor, kind: str) -> Tensor:
    """(M, pairs) how far apart lids or lips of places (M, points, 2) are, downwards."""
    pairs = KINDS[kind]
    return (places[:, pairs.lower] - places[:, pairs.upper])[..., 1]


def loss_of(answer: tuple[Tensor, Tensor], places: Tensor, known: Tensor, kind: str) -> Tensor:
    """How far places are off, how likely that is by their spreads, and openings."""
    said, spread = answer
    error = (said - places).square().sum(-1).add(1e-8).sqrt()
    likely = error / spread + 2 * spread.log()
    far = ((10 * error + 0.1 * likely) * known).sum() / known.sum()
    off = (opening(said, kind) - opening(places, kind)).abs().mean()
    return far + 15 * off


def build() -> nn.ModuleDict:
    """The networks of both kinds."""
    return nn.ModuleDict({name: PartNetwork(kind) for name, kind in KINDS.items()})


class _Run(loop.Run):
    """One process's part of a training run."""

    result = "parts.safetensors"
    recipe: Recipe

    def __init__(
        self,
        faces: Path,
        table: Path | None,
        recipe: Recipe,
        out: Path,
        rank: int,
        device: torch.device,
    ) -> None:
        super().__init__(build, recipe, out, rank, device)
        names = split_names(sorted(p.name for p in faces.glob("*.jpg")))
        self.annotated = banks(faces_of(faces, names[0]), device)
        self.labelled = banks(faces_of(faces, [], table), device) if table else None
        self.held_out: dict[str, Bank] = banks(faces_of(faces, names[1]), device)

    def losses(self, random: Random, progress: float) -> tuple[Tensor, dict[str, float]]:
        """The loss on fresh patches of annotated faces, or of those labelled by a mesh."""
        total = torch.zeros(())
        parts: dict[str, float] = {}
        labelled = self.labelled is not None and bool(random.chance(0.5, 1))
        source = self.labelled if labelled and self.labelled is not None else self.annotated
        for name in self.recipe.kinds:
            kind = KINDS[name]
            drawn = sample(source[name], kind, self.recipe.batch, random)
            with autocast(self.device):
                answer = self.network[name](
                    drawn.pictures.contiguous(memory_format=torch.channels_last)
                )
            loss = loss_of(answer, drawn.places, drawn.known, name)
            total = total + loss
            parts[name] = float(loss.detach())
        return total, parts

    def stored(self, value: Tensor) -> Tensor:
        """float16, but for vectors, of which there are few."""
        return (value.half() if value.ndim > 1 else value.float()).contiguous()

    def metadata(self) -> dict[str, str]:
        return {}

    @torch.no_grad()
    def measure(self) -> dict[str, Any]:
        """Errors in per cent of a unit on seeded patches of held-out faces; of openings, the
        correlation and the slope as well."""
        networks = build().to(self.device)
        networks.load_state_dict(self.ema)
        networks.eval()
        figures: dict[str, Any] = {}
        for name, kind in KINDS.items():
            drawn = sample(self.held_out[name], kind, MEASURED, Random(77_000, self.device))
            said = torch.cat([networks[name](part)[0] for part in drawn.pictures.split(128)])
            error = 100 * (said - drawn.places).norm(dim=-1)
            pair = torch.stack([opening(said, name).mean(1), opening(drawn.places, name).mean(1)])
            slope = float(torch.cov(pair)[0, 1] / pair[1].var())
            figures[name] = {
                "error": [round(float(e), 3) for e in error.mean(0)],
                "opening": round(100 * float((pair[0] - pair[1]).abs().mean()), 3),
                "correlation": round(float(torch.corrcoef(pair)[0, 1]), 4),
                "slope": round(slope, 4),
            }
        return figures


def train(
    recipe: Recipe,
    faces: Path,
    table: Path | None,
    out: Path,
    device: torch.device,
    resume: bool = False,
    start_from: Path | None = None,
) -> None:
    """Train until the budget is spent; `out` receives checkpoint.pt, parts.safetensors and
    log.jsonl.

    Args:
        faces: folder of face crops with landmarks68.npz.
        table: faces that a mesh has labelled, for `part_pictures.faces_of`.
        resume: go on from `out`/checkpoint.pt.
        start_from: weights to begin with.
    """
    loop.launch(functools.partial(_Run, faces, table), recipe, out, device, resume, start_from)
