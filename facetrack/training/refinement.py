"""Training of the temporal refinement of 1D heat maps, on rendered clips, the detector fixed.

Yin et al., "Attentive One-Dimensional Heatmap Regression for Facial Landmark Detection and
Tracking", ACM MM 2020 (arXiv 2004.02108), where clips are those of 300-VW.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrack.detectors import DetectorOptions
from facetrack.detectors.crops import SIZE, hog_box
from facetrack.detectors.heatmap1d import Heatmap1d
from facetrack.detectors.heatmap1d_maps import Marginals, draw, read
from facetrack.detectors.heatmap1d_network import TemporalRefinement
from facetrack.detectors.hourglass import signed_bgr
from facetrack.files import sha256_of
from facetrack.landmarks.schemes import get
from facetrack.trackers.heatmap1d import ARCH
from facetrack.training import loop
from facetrack.training.detectors import losses
from facetrack.training.detectors.data import JITTER
from facetrack.training.render import Clip, render
from facetrack.training.signals import Random
from facetrack.training.textures import Textures, load_textures

CLIPS, FRAMES = 16, 24
"""Clips of held-out faces that a save measures, and their length."""


@dataclass(frozen=True)
class Recipe(loop.Recipe):
    """All that decides a training run; `batch` counts clips of `frames` frames."""

    minutes: float = 10.0
    frames: int = 10
    learning_rate: float = 2e-3
    ema: float = 0.99
    warm_up_steps: int = 50


class Seen(NamedTuple):
    """What the detector makes of clips.

    Attributes:
        maps: (B, T, N, L) for either axis.
        points: (B, T, N, 2) true landmarks in pixels of the crop, by pixel centres.
        weight: (B, T, N) 1 where the truth is known and lies in the crop.
    """

    maps: Marginals
    points: Tensor
    weight: Tensor


def crops_of(clip: Clip, detector: Heatmap1d, random: Random) -> tuple[Tensor, Tensor]:
    """Crops (B, T, 3, SIZE, SIZE) around the faces of clips, as a face detector's box would place
    them in the middle frame, and the landmarks in them (B, T, N, 2), by pixel centres."""
    batch, frames = clip.video.shape[:2]
    points = clip.xy.transpose(1, 2) - 0.5
    boxes = hog_box(points[:, frames // 2].double().cpu().numpy())
    squares = np.array([detector.crop_box(box) for box in boxes])
    side = torch.from_numpy(squares[:, 2] - squares[:, 0]).float().to(points.device)
    centre = torch.from_numpy(squares[:, :2] + squares[:, 2:]).float().to(points.device) / 2
    off = points.new_tensor(JITTER) * random.normal(batch, 3)
    centre = centre + off[:, :2] * side[:, None]
    step = (side * off[:, 2].exp() / SIZE)[:, None, None]
    axis = torch.arange(SIZE, device=points.device) - (SIZE - 1) / 2
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    places = torch.stack([columns, rows], -1).view(1, -1, 2) * step + centre[:, None]
    grid = ((places + 0.5) / clip.video.shape[-1] * 2 - 1).view(batch, 1, SIZE, SIZE, 2)
    grid = grid.expand(-1, frames, -1, -1, -1).flatten(0, 1)
    crops = F.grid_sample(clip.video.flatten(0, 1), grid, align_corners=False)
    inside = (points - centre[:, None, None]) / step[..., None] + (SIZE - 1) / 2
    return crops.unflatten(0, (batch, frames)), inside


@torch.no_grad()
def look(clip: Clip, detector: Heatmap1d, random: Random) -> Seen:
    """The fixed detector's maps of clips."""
    crops, points = crops_of(clip, detector, random)
    pictures = signed_bgr(crops.flatten(0, 1)).contiguous(memory_format=torch.channels_last)
    with torch.autocast(pictures.device.type, torch.bfloat16):
        maps = detector.network(pictures)
    inside = ((points > -0.5) & (points < SIZE - 0.5)).all(-1)
    weight = (inside & clip.valid.transpose(1, 2)).float()
    shape = crops.shape[:2]
    return Seen(Marginals(*(m.float().unflatten(0, shape) for m in maps)), points, weight)


@torch.no_grad()
def evaluate(
    module: TemporalRefinement, detector: Heatmap1d, textures: Textures, clips: int, frames: int
) -> dict[str, dict[str, float]]:
    """Errors and jitter, in per cent of the inter-ocular distance, of the maps as drawn and as
    refined, on seeded clips of held-out faces."""
    corners = get(detector.scheme).eye_corners
    assert corners is not None
    sums: dict[str, dict[str, list[float]]] = {
        kind: {"nrmse": [], "jitter": []} for kind in ("drawn", "refined")
    }
    for i in range(clips):
        random = Random(77_000 + i, textures.faces.device)
        seen = look(render(textures, random, 1, frames, None), detector, random)
        left, right = (seen.points[:, :, c] for c in corners)
        scale = (left - right).norm(dim=-1)[..., None]
        known = seen.weight > 0
        for kind, maps in (("drawn", seen.maps), ("refined", module(seen.maps))):
            away = read(maps, detector.config.sigma)[0] - seen.points
            bend = away[:, 2:] - 2 * away[:, 1:-1] + away[:, :-2]
            both = known[:, 2:] & known[:, 1:-1] & known[:, :-2]
            sums[kind]["nrmse"] += (100 * away.norm(dim=-1) / scale)[known].tolist()
            sums[kind]["jitter"] += (100 * bend.norm(dim=-1) / scale[:, 1:-1])[both].tolist()
    return {
        kind: {name: round(sum(v) / max(len(v), 1), 3) for name, v in figures.items()}
        for kind, figures in sums.items()
    }


class _Run(loop.Run):
    """One process's part of a training run."""

    result = f"{ARCH}.safetensors"
    recipe: Recipe

    def __init__(
        self,
        weights: str,
        faces: Path,
        recipe: Recipe,
        out: Path,
        rank: int,
        device: torch.device,
    ) -> None:
        self.detector = Heatmap1d(DetectorOptions(weights=weights, device=str(device)))

        def build() -> nn.Module:
            return TemporalRefinement(self.detector.config.points)

        super().__init__(build, recipe, out, rank, device)
        self.textures = load_textures(faces, device)
        self.held_out = load_textures(faces, device, held_out=True) if rank == 0 else None

    def losses(self, random: Random, progress: float) -> tuple[Tensor, dict[str, float]]:
        """The loss on freshly rendered clips, and that of the maps as the detector draws them."""
        recipe, config = self.recipe, self.detector.config
        seen = look(
            render(self.textures, random, recipe.batch, recipe.frames, None), self.detector, random
        )
        wanted = draw(seen.points, config.length, config.sigma)
        before = losses.marginal_loss(seen.maps, wanted, seen.weight)
        loss = losses.marginal_loss(self.network(seen.maps), wanted, seen.weight)
        return loss, {"drawn": losses.number(before)}

    def metadata(self) -> dict[str, str]:
        """Which detector's maps it has learned to refine."""
        return {"arch": ARCH, "detector_sha256": sha256_of(self.detector.found.path)}

    def measure(self) -> dict[str, Any]:
        """Errors and jitter on clips of held-out faces."""
        assert self.held_out is not None
        module = TemporalRefinement(self.detector.config.points).to(self.device)
        module.load_state_dict(self.ema)
        return evaluate(module.eval(), self.detector, self.held_out, CLIPS, FRAMES)


def train(
    weights: str,
    recipe: Recipe,
    faces: Path,
    out: Path,
    device: torch.device,
    resume: bool = False,
    start_from: Path | None = None,
) -> None:
    """Train until the budget is spent; `out` receives checkpoint.pt, heatmap1d-time.safetensors
    and log.jsonl.

    Args:
        weights: of the 1D-heatmap detector, as `--detector-weights` takes them.
        faces: folder of face crops with landmarks68.npz.
        resume: go on from `out`/checkpoint.pt.
        start_from: weights to begin with.

    Raises:
        FacetrackError: there are no such weights, or the faces are not usable.
    """
    Heatmap1d(DetectorOptions(weights=weights))  # better said here than in another process
    make = functools.partial(_Run, weights, faces)
    loop.launch(make, recipe, out, device, resume, start_from)
