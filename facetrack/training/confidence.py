"""Train the network that judges placed landmarks (`facetrack.confidence`)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrack.confidence.estimator import mean_face_in_crop
from facetrack.confidence.network import CROP_SIZE, ConfidenceNetwork
from facetrack.detectors.alignment import FaceFrame
from facetrack.detectors.crops import SIZE, hog_box
from facetrack.identity.shape_model import ShapeModel
from facetrack.landmarks import schemes
from facetrack.training import degrade, loop
from facetrack.training.covering import cover
from facetrack.training.detectors import augment
from facetrack.training.detectors.data import load
from facetrack.training.placements import misplace
from facetrack.training.precision import autocast
from facetrack.training.signals import Random
from facetrack.training.textures import load_photographs

EXACT = 0.05
"""Distance from the true place, in distances of the outer eye corners, up to which a landmark
counts as exact."""
SQUARE_SIDE = 1.6
"""Sides of the face's box that the drawn crops are wide."""
RANGES = augment.Augmentation(lids=0.2, lips=0.15)
NUM_MEASURED = 480
"""Held-out crops that are measured at every save."""


@dataclass(frozen=True)
class ConfidenceRecipe(loop.SmallNetworkRecipe):
    """Settings of a training run; `batch` is the number of faces per step."""

    minutes: float = 30.0
    batch: int = 48
    save_minutes: float = 12.0


class Crops(NamedTuple):
    """A batch of crops with judged landmarks.

    Attributes:
        pictures: (B, 3, CROP_SIZE, CROP_SIZE) RGB in [0, 1].
        points: (B, 68, 2) placed landmarks, crop pixels, origin at the corner.
        labels: (B, 68, 2) float32, 1 where a landmark is exact, and where it is visible.
    """

    pictures: Tensor
    points: Tensor
    labels: Tensor


class Source(NamedTuple):
    """Faces to draw crops from.

    Attributes:
        crops: faces with true landmarks.
        photographs: (P, 3, SIDE, SIDE) uint8 textures of objects.
        shape: the distribution of shapes.
    """

    crops: augment.Source
    photographs: Tensor
    shape: ShapeModel


def _frame_of(points: np.ndarray) -> FaceFrame:
    box = hog_box(points)
    return FaceFrame((box[:2] + box[2:]) / 2, SQUARE_SIDE * float(box[2] - box[0]), 0.0)


def load_source(folder: Path, device: torch.device, held_out: bool = False) -> Source:
    """Load the training faces, or the held-out faces."""
    faces = load(folder, "68", device, held_out=held_out)
    swap = torch.tensor(schemes.get("68").swap, device=device)
    return Source(
        augment.Source.of(faces, _frame_of, swap),
        torch.from_numpy(load_photographs()).to(device),
        ShapeModel.load(),
    )


@torch.no_grad()
def draw_crops(source: Source, count: int, random: Random, mean: Tensor) -> Crops:
    """Draw crops of random faces, covered in part, with landmarks placed well or badly.

    Args:
        source: the faces.
        count: number of crops.
        random: source of randomness.
        mean: (68, 2) the mean face in the crop.
    """
    views = augment.sample_clear(source.crops, count, random, RANGES)
    shown, visible = cover(views.pictures, views.points, source.photographs, random)
    visible = visible * ~views.hidden
    video = degrade.light(shown[:, None], random)
    spoilt = []
    for part in video.split(augment.ALIKE):
        soft = degrade.noise(degrade.soften(part, random), random)
        spoilt.append(degrade.blocks(soft, random)[:, 0])
    true = views.points + 0.5
    placed = misplace(true, source.shape, random)
    unit = (true[:, 36] - true[:, 45]).norm(dim=-1)[:, None]
    exact = ((placed - true).norm(dim=-1) <= EXACT * unit).float()
    crops, points = crop_upright(torch.cat(spoilt), placed, mean)
    return Crops(crops, points, torch.stack([exact, visible], -1))


def crop_upright(pictures: Tensor, placed: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Crop faces as `ConfidenceEstimator` does: upright if their landmarks are right.

    Args:
        pictures: (B, 3, SIZE, SIZE).
        placed: (B, 68, 2) landmarks in pixels, origin at the corner.
        mean: (68, 2) the mean face in the crop.

    Returns:
        Crops (B, 3, CROP_SIZE, CROP_SIZE), and the landmarks (B, 68, 2) in them.
    """
    points = torch.complex(placed[..., 0], placed[..., 1])
    target = torch.complex(mean[:, 0], mean[:, 1])
    centre, middle = points.mean(1, keepdim=True), target.mean()
    spread, wanted = points - centre, target - middle
    power = spread.abs().square().sum(1, keepdim=True).clamp_min(1e-6)
    to_crop = (spread.conj() * wanted).sum(1, keepdim=True) / power
    inside = spread * to_crop + middle
    axis = torch.arange(CROP_SIZE, device=placed.device) + 0.5
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    source = (torch.complex(x, y).view(1, -1) - middle) / to_crop + centre
    grid = torch.stack([source.real, source.imag], -1) / SIZE * 2 - 1
    # The crop has about half the resolution: halve the picture first, to avoid aliasing.
    crops = F.grid_sample(
        F.avg_pool2d(pictures, 2), grid.view(-1, CROP_SIZE, CROP_SIZE, 2), align_corners=False
    )
    return crops, torch.stack([inside.real, inside.imag], -1)


class _Run(loop.Run):
    """One process's part of a training run."""

    result = "confidence.safetensors"
    half_from = 3
    recipe: ConfidenceRecipe

    def __init__(
        self, faces: Path, recipe: ConfidenceRecipe, out: Path, rank: int, device: torch.device
    ) -> None:
        self.source = load_source(faces, device)
        self.mean = torch.from_numpy(mean_face_in_crop(self.source.shape.mean)).float().to(device)

        def build() -> ConfidenceNetwork:
            network = ConfidenceNetwork()
            network.mean_face.copy_(self.mean)
            return network

        super().__init__(build, recipe, out, rank, device)
        self.held_out = load_source(faces, device, held_out=True)

    def losses(self, random: Random, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the loss on new crops."""
        drawn = draw_crops(self.source, self.recipe.batch, random, self.mean)
        with autocast(self.device):
            logits = self.network(
                drawn.pictures.contiguous(memory_format=torch.channels_last), drawn.points
            )
        each = nn.functional.binary_cross_entropy_with_logits(
            logits, drawn.labels, reduction="none"
        ).mean((0, 1))
        return each.sum(), {"exact": float(each[0].detach()), "visible": float(each[1].detach())}

    @torch.no_grad()
    def measure(self) -> dict[str, Any]:
        """Measure both probabilities on seeded crops of held-out faces."""
        network = ConfidenceNetwork().to(self.device)
        network.load_state_dict(self.ema)
        network.eval()
        random = Random(77_000, self.device)
        probabilities, labels = [], []
        for _ in range(0, NUM_MEASURED, self.recipe.batch):
            drawn = draw_crops(self.held_out, self.recipe.batch, random, self.mean)
            probabilities.append(network(drawn.pictures, drawn.points).sigmoid())
            labels.append(drawn.labels)
        known, truth = (torch.cat(x).cpu().numpy() for x in (probabilities, labels))
        return {
            name: measure_probabilities(known[..., i].ravel(), truth[..., i].ravel())
            for i, name in enumerate(("exact", "visible"))
        }


def measure_probabilities(probability: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Measure probabilities (N,) against labels (N,) of 0 and 1.

    Returns:
        The area under the ROC curve, the means of both, and the mean label where the probability is
        between 0.85 and 0.95.
    """
    rank = np.empty(len(probability))
    rank[probability.argsort()] = np.arange(1, len(rank) + 1)
    positive = label > 0.5
    count = positive.sum()
    area = (rank[positive].sum() - count * (count + 1) / 2) / max(count * (len(rank) - count), 1)
    near = (probability > 0.85) & (probability < 0.95)
    return {
        "area": round(float(area), 4),
        "mean": round(float(probability.mean()), 4),
        "share": round(float(label.mean()), 4),
        "share near 0.9": round(float(label[near].mean()), 4) if near.any() else float("nan"),
    }


def train(
    recipe: ConfidenceRecipe,
    faces: Path,
    out: Path,
    device: torch.device,
    resume: bool = False,
    start_from: Path | None = None,
) -> None:
    """Train until the time budget is spent.

    `out` receives checkpoint.pt, confidence.safetensors and log.jsonl.

    Args:
        faces: folder of face crops with landmarks68.npz.
        resume: continue from `out`/checkpoint.pt.
        start_from: initial weights.
    """
    loop.launch(functools.partial(_Run, faces), recipe, out, device, resume, start_from)
