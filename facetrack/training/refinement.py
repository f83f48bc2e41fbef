"""Train the temporal refinement of 1D heat maps on rendered clips. The detector stays fixed.

Yin et al., "Attentive One-Dimensional Heatmap Regression for Facial Landmark Detection and
Tracking", ACM MM 2020 (arXiv 2004.02108), who train on the clips of 300-VW.
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
from facetrack.detectors.crops import SIZE
from facetrack.detectors.heatmap1d import Heatmap1d
from facetrack.detectors.heatmap1d_maps import Marginals, draw, read
from facetrack.detectors.heatmap1d_network import TemporalRefinement
from facetrack.detectors.hourglass import signed_bgr
from facetrack.files import sha256_of
from facetrack.landmarks.schemes import get
from facetrack.trackers.heatmap1d import ARCH, MAX_DRIFT
from facetrack.training import loop
from facetrack.training.detectors import losses
from facetrack.training.detectors.data import JITTER
from facetrack.training.precision import autocast
from facetrack.training.render import Clip, render
from facetrack.training.signals import Random
from facetrack.training.textures import Textures, load_textures

CLIPS, FRAMES = 16, 24
"""Number of clips of held-out faces that each save evaluates, and their length in frames."""


@dataclass(frozen=True)
class RefinementRecipe(loop.Recipe):
    """Settings of a training run; `batch` counts clips of `frames` frames."""

    minutes: float = 10.0
    frames: int = 10
    learning_rate: float = 2e-3
    ema: float = 0.99
    warm_up_steps: int = 50


class DetectedMaps(NamedTuple):
    """The detector's maps for a batch of clips, and the truth.

    Attributes:
        maps: (B, T, N, L) for each axis.
        points: (B, T, N, 2) true landmarks in pixels of the crop (pixel centres).
        weight: (B, T, N) 1 if the truth is known and lies in the crop, otherwise 0.
    """

    maps: Marginals
    points: Tensor
    weight: Tensor


def crops_of(clip: Clip, detector: Heatmap1d, random: Random) -> tuple[Tensor, Tensor]:
    """Cut crops around the faces of clips.

    The crop follows the face, as the tracker's does (`NeuralDetector.frame_around`). Through a clip
    it is off by as much as the tracker lets the face drift, or as a face detector's box.

    Returns:
        Crops (B, T, 3, SIZE, SIZE), and the landmarks in them (B, T, N, 2) (pixel centres).
    """
    batch, frames = clip.video.shape[:2]
    points = (clip.xy.transpose(1, 2) - 0.5).flatten(0, 1)
    squares = [detector.frame_around(face) for face in points.double().cpu().numpy()]
    numbers = np.array([[*square.centre, square.side, square.roll] for square in squares])
    centre, side, roll = torch.from_numpy(numbers).to(points).split([2, 1, 1], dim=1)
    scatter = JITTER if detector.aligned is None else (MAX_DRIFT,) * 3
    jitter = points.new_tensor(scatter) * random.normal(batch, 3)
    jitter = jitter.repeat_interleave(frames, 0)
    centre = centre + jitter[:, :2] * side
    step = side * jitter[:, 2:].exp() / SIZE
    cos, sin = roll.cos() * step, roll.sin() * step
    matrix = torch.cat([cos, -sin, sin, cos], 1).view(-1, 2, 2)
    axis = torch.arange(SIZE, device=points.device) - (SIZE - 1) / 2
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    places = torch.stack([columns, rows], -1).view(1, -1, 2).to(points)
    places = places @ matrix.transpose(1, 2) + centre[:, None]
    grid = ((places + 0.5) / clip.video.shape[-1] * 2 - 1).view(-1, SIZE, SIZE, 2)
    crops = F.grid_sample(clip.video.flatten(0, 1), grid, align_corners=False)
    offset = points - centre[:, None]
    inside = offset @ torch.linalg.inv(matrix).transpose(1, 2) + (SIZE - 1) / 2
    return crops.unflatten(0, (batch, frames)), inside.unflatten(0, (batch, frames))


@torch.no_grad()
def detect_maps(clip: Clip, detector: Heatmap1d, random: Random) -> DetectedMaps:
    """Compute the fixed detector's maps of clips."""
    crops, points = crops_of(clip, detector, random)
    pictures = signed_bgr(crops.flatten(0, 1)).contiguous(memory_format=torch.channels_last)
    with autocast(pictures.device):
        maps = detector.network(pictures)
    inside = ((points > -0.5) & (points < SIZE - 0.5)).all(-1)
    weight = (inside & clip.valid.transpose(1, 2)).float()
    shape = crops.shape[:2]
    return DetectedMaps(Marginals(*(m.float().unflatten(0, shape) for m in maps)), points, weight)


@torch.no_grad()
def evaluate(
    module: TemporalRefinement, detector: Heatmap1d, textures: Textures, clips: int, frames: int
) -> dict[str, dict[str, float]]:
    """Return errors and jitter without and with refinement, on seeded clips of held-out faces.

    They are in per cent of the inter-ocular distance.
    """
    corners = get(detector.scheme).eye_corners
    assert corners is not None
    sums: dict[str, dict[str, list[float]]] = {
        kind: {"nrmse": [], "jitter": []} for kind in ("drawn", "refined")
    }
    for i in range(clips):
        random = Random(77_000 + i, textures.faces.device)
        detected = detect_maps(render(textures, random, 1, frames, None), detector, random)
        left, right = (detected.points[:, :, c] for c in corners)
        scale = (left - right).norm(dim=-1)[..., None]
        known = detected.weight > 0
        for kind, maps in (("drawn", detected.maps), ("refined", module(detected.maps))):
            error = read(maps, detector.config.sigma)[0] - detected.points
            acceleration = error[:, 2:] - 2 * error[:, 1:-1] + error[:, :-2]
            all_known = known[:, 2:] & known[:, 1:-1] & known[:, :-2]
            sums[kind]["nrmse"] += (100 * error.norm(dim=-1) / scale)[known].tolist()
            sums[kind]["jitter"] += (100 * acceleration.norm(dim=-1) / scale[:, 1:-1])[
                all_known
            ].tolist()
    return {
        kind: {name: round(sum(v) / max(len(v), 1), 3) for name, v in figures.items()}
        for kind, figures in sums.items()
    }


class _Run(loop.Run):
    """The part of a training run in one process."""

    result = f"{ARCH}.safetensors"
    recipe: RefinementRecipe

    def __init__(
        self,
        weights: str,
        faces: Path,
        recipe: RefinementRecipe,
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
        """Return the loss on new rendered clips, and the loss of the detector's unrefined maps."""
        recipe, config = self.recipe, self.detector.config
        detected = detect_maps(
            render(self.textures, random, recipe.batch, recipe.frames, None), self.detector, random
        )
        target = draw(detected.points, config.length, config.sigma)
        before = losses.marginal_loss(detected.maps, target, detected.weight)
        loss = losses.marginal_loss(self.network(detected.maps), target, detected.weight)
        return loss, {"drawn": losses.number(before)}

    def metadata(self) -> dict[str, str]:
        """Return the SHA-256 of the detector that the refinement was trained for."""
        return {"arch": ARCH, "detector_sha256": sha256_of(self.detector.found.path)}

    def measure(self) -> dict[str, Any]:
        """Evaluate errors and jitter on clips of held-out faces."""
        assert self.held_out is not None
        module = TemporalRefinement(self.detector.config.points).to(self.device)
        module.load_state_dict(self.ema)
        return evaluate(module.eval(), self.detector, self.held_out, CLIPS, FRAMES)


def train(
    weights: str,
    recipe: RefinementRecipe,
    faces: Path,
    out: Path,
    device: torch.device,
    resume: bool = False,
    start_from: Path | None = None,
) -> None:
    """Train until the budget is spent.

    Args:
        weights: of the 1D-heatmap detector, see `--detector-weights`.
        recipe: settings.
        faces: folder of face crops with landmarks68.npz.
        out: folder for checkpoint.pt, heatmap1d-time.safetensors and log.jsonl.
        device: the device.
        resume: continue from `out`/checkpoint.pt.
        start_from: weights to start from.

    Raises:
        FacetrackError: the weights are missing, or the faces are not usable.
    """
    Heatmap1d(DetectorOptions(weights=weights))  # raises errors here rather than in a subprocess
    make = functools.partial(_Run, weights, faces)
    loop.launch(make, recipe, out, device, resume, start_from)
