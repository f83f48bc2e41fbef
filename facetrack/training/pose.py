"""Train the network that regresses head poses from pictures (`facetrack.head_pose`).

As in FacePoseNet (Chang et al., ICCVW 2017), no pose is annotated: the annotated landmarks of each
face give it by perspective-n-point on the generic 3-D face, and the network learns from many
perturbed copies of the faces. Here faces are also turned in depth up to profile
(`facetrack.training.detectors.profiling`), which photographs of 300-W hardly show.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from facetrack.detectors import alignment
from facetrack.detectors.alignment import FaceFrame
from facetrack.detectors.crops import SIZE
from facetrack.errors import FacetrackError
from facetrack.head_pose.estimator import face_frame
from facetrack.head_pose.network import SIDE, FacePoseNet
from facetrack.head_pose.picture_pose import MIRROR, PicturePoses, from_numbers, to_numbers
from facetrack.landmarks import schemes
from facetrack.measures import face_model, rotations
from facetrack.measures.pose import Camera, estimate
from facetrack.training import loop
from facetrack.training.detectors import augment
from facetrack.training.detectors.data import load
from facetrack.training.precision import autocast
from facetrack.training.signals import Random

VIEWS = augment.Augmentation(
    rotation=0.0, scale=(1.0, 1.0), shift=0.0, mirror=0.0, lids=0.1, lips=0.1, turned=0.55
)
"""How the faces of the pool are changed: lids and lips move, and faces turn up to profile."""
RANGES = augment.Augmentation(rotation=45.0, scale=(0.78, 1.28), shift=0.16)
"""Perturbations of the copies. Boxes of face detectors are upright, so faces are rolled in them."""
POOL, HELD_OUT_POOL = 5000, 600
"""Faces of which copies are drawn, some of them turned versions of the same photographs."""
POOL_SIDE, POOL_REACH = 112, 1.7
"""Width of their pictures in pixels, and in sides of the network's crop: perturbed copies lie
within."""
POOL_BATCH = 48
DISTANCE = 1000.0
"""Distance in mm from which photographs of unknown cameras count as taken; it has to be far."""
MEASURED_CROPS = 1200
"""Held-out crops that are measured at every save, as many as give the mean of the poses."""
BANDS = (15.0, 45.0, 75.0, 180.0)
"""Upper limits of the bands of yaw in which errors are stated, in degrees."""
CROP = FaceFrame.of_square(alignment.WHOLE)
"""The square of a crop in its own pixels."""


@dataclass(frozen=True)
class PoseRecipe(loop.SmallNetworkRecipe):
    """Settings of a training run; `batch` is the number of faces per step."""

    minutes: float = 14.0
    batch: int = 64
    save_minutes: float = 7.0


class Pool(NamedTuple):
    """Faces with poses.

    Attributes:
        pictures: (P, 3, POOL_SIDE, POOL_SIDE) uint8 RGB.
        points: (P, 68, 2) landmarks in their pixels.
        squares: (P, 4) x and y of the centre, side and roll of the crops of exact boxes.
        poses: of the heads, in the terms of the pictures.
    """

    pictures: Tensor
    points: Tensor
    squares: Tensor
    poses: PicturePoses


class Crops(NamedTuple):
    """A batch of crops with poses.

    Attributes:
        pictures: (B, 3, SIDE, SIDE) RGB in [0, 1].
        numbers: (B, 6) of `facetrack.head_pose.picture_pose.to_numbers`.
    """

    pictures: Tensor
    numbers: Tensor


def pose_of_landmarks(points: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Estimate the poses of annotated faces by perspective-n-point on the generic 3-D face.

    Each face is first turned upright, because the line of the jaw counts by the yaw.

    Args:
        points: (B, 68, 2) landmarks in pixels of crops of SIZE pixels.
        seen: (B, 68) bool, landmarks that nothing hides.

    Returns:
        (B, 6) numbers in the terms of the crops, NaN for a face without a pose.
    """
    frames = [alignment.align(face) for face in points]
    upright = np.array([f.to_crop(face) for f, face in zip(frames, points, strict=True)])
    width = alignment.SIDE * (face_model.load().mean[:, 0].max() * 2)  # of the crop, in mm
    camera = Camera(DISTANCE * SIZE / width, (CROP.centre[0], CROP.centre[1]))
    found = estimate(upright, seen, camera, face_model.load().mean)
    numbers = np.full((len(points), 6), np.nan)
    rows = np.flatnonzero(found.known)
    if len(rows):
        poses = PicturePoses.of_camera(found.rotation[rows], found.translation[rows], camera)
        in_upright = to_numbers(poses, [CROP] * len(rows))
        there = from_numbers(in_upright, [frames[row] for row in rows])
        numbers[rows] = to_numbers(there, [CROP] * len(rows))
    return numbers


@torch.no_grad()
def draw_pool(folder: Path, count: int, device: torch.device, held_out: bool = False) -> Pool:
    """Draw the faces of which copies are made; those without a pose are left out.

    Args:
        folder: the training faces.
        count: number of faces, turned ones included.
        device: of the training.
        held_out: take the held-out faces instead.

    Raises:
        FacetrackError: the faces cannot be read, or no landmarks give a pose.
    """

    def wide(points: np.ndarray) -> FaceFrame:
        frame = face_frame(points)
        return frame._replace(side=POOL_REACH * frame.side)

    source = augment.Source.of(
        load(folder, "68", device, held_out=held_out),
        wide,
        torch.tensor(schemes.get("68").swap, device=device),
    )
    random = Random(int(held_out), device)
    pictures, points, numbers = [], [], []
    for start in range(0, count, POOL_BATCH):
        views = augment.sample_clear(
            source, min(POOL_BATCH, count - start), random, VIEWS, POOL_SIDE
        )
        pictures.append((255 * views.pictures).round().clamp(0, 255).byte())
        points.append(views.points)
        seen = (~views.hidden & (views.labelled > 0)).cpu().numpy()
        numbers.append(pose_of_landmarks(views.points.cpu().numpy().astype(float), seen))
    every = np.concatenate(numbers)
    known = np.flatnonzero(np.isfinite(every).all(-1))
    if not len(known):
        raise FacetrackError("The landmarks of these faces give no head pose: are they faces?")
    rows = torch.from_numpy(known).to(device)
    own = (torch.cat(points)[rows] + 0.5) * (POOL_SIDE / SIZE) - 0.5
    whole = FaceFrame(np.full(2, (POOL_SIDE - 1) / 2), POOL_SIDE, 0.0)
    return Pool(
        torch.cat(pictures)[rows],
        own,
        augment.squares_of(own.cpu().numpy().astype(float), face_frame).to(device),
        from_numbers(every[known], [whole] * len(known)),
    )


@torch.no_grad()
def draw_crops(
    pool: Pool, count: int, random: Random, ranges: augment.Augmentation = RANGES
) -> Crops:
    """Draw perturbed copies of random faces.

    Args:
        pool: the faces.
        count: number of crops.
        random: source of randomness.
        ranges: how far the copies go.
    """
    index = random.integers(len(pool.pictures), count)
    where = augment.draw(pool.squares[index], random, ranges, SIDE)
    swap = torch.tensor(schemes.get("68").swap, device=index.device)
    pictures, points, _ = augment.cut(
        *(pool.pictures[index].float() / 255, pool.points[index], where, swap),
        reflect=random.chance(0.6, count).bool(),
        side=SIDE,
    )
    chosen = random.chance(ranges.spoilt, count).nonzero()[:, 0]
    if len(chosen):
        pictures[chosen] = augment.spoil(pictures[chosen], random)
    in_crop = (points + 0.5) * (SIZE / SIDE) - 0.5
    pictures = augment.end_pictures(pictures, in_crop, ranges.ended, random)
    numbers = to_numbers(pool.poses.select(index.tolist()), frames_of(where))
    numbers = np.where(where.mirrored.cpu().numpy()[:, None], numbers * MIRROR, numbers)
    return Crops(pictures, torch.from_numpy(numbers).float().to(pictures.device))


def frames_of(where: augment.Transform) -> list[FaceFrame]:
    """Return the squares of crops of SIDE pixels, before some of them are mirrored."""
    down = where.matrix[:, :, 1].cpu().numpy().astype(float)  # does not change with mirroring
    sides, rolls = SIDE * np.linalg.norm(down, axis=1), np.arctan2(-down[:, 0], down[:, 1])
    centres = where.centre.cpu().numpy().astype(float)
    return [
        FaceFrame(centre, float(side), float(roll))
        for centre, side, roll in zip(centres, sides, rolls, strict=True)
    ]


class _Run(loop.Run):
    """One process's part of a training run."""

    result = "pose.safetensors"
    half_from = 2
    recipe: PoseRecipe

    def __init__(
        self, faces: Path, recipe: PoseRecipe, out: Path, rank: int, device: torch.device
    ) -> None:
        self.pool = draw_pool(faces, POOL, device)
        self.held_out = draw_pool(faces, HELD_OUT_POOL, device, held_out=True)
        drawn = draw_crops(self.pool, MEASURED_CROPS, Random(recipe.seed, device)).numbers

        def build() -> FacePoseNet:
            network = FacePoseNet()
            network.mean.copy_(drawn.mean(0))
            network.deviation.copy_(drawn.std(0))
            return network

        super().__init__(build, recipe, out, rank, device)

    def losses(self, random: Random, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the mean squared error of the standardised poses of new crops."""
        drawn = draw_crops(self.pool, self.recipe.batch, random)
        with autocast(self.device):
            answer = self.network(drawn.pictures.contiguous(memory_format=torch.channels_last))
        network = self.network
        assert isinstance(network, FacePoseNet)
        square = (answer - network.standardise(drawn.numbers)).square().mean(0)
        turn, place, size = (float(square[k].detach().mean()) for k in (slice(3), slice(3, 5), 5))
        return square.mean(), {"rotation": turn, "place": place, "size": size}

    @torch.no_grad()
    def measure(self) -> dict[str, Any]:
        """Measure the averaged weights on seeded crops of held-out faces, in one pass each."""
        network = FacePoseNet().to(self.device)
        network.load_state_dict(self.ema)
        network.eval()
        random = Random(77_000, self.device)
        found, truth = [], []
        for start in range(0, MEASURED_CROPS, self.recipe.batch):
            count = min(self.recipe.batch, MEASURED_CROPS - start)
            drawn = draw_crops(self.held_out, count, random)
            found.append(network.numbers(drawn.pictures))
            truth.append(drawn.numbers)
        known, wanted = (torch.cat(x).cpu().numpy().astype(float) for x in (found, truth))
        first, second = (rotations.from_vector(x[:, :3]) for x in (known, wanted))
        error, yaw = rotations.angle_between(first, second), rotations.sideways(second)
        result: dict[str, Any] = {"median degrees": round(float(np.median(error)), 3)}
        for low, high in zip((0.0, *BANDS), BANDS, strict=False):
            part = error[(yaw >= low) & (yaw < high)]
            if len(part):
                result[f"from {low:g}"] = round(float(np.median(part)), 3)
        off = np.abs(known - wanted)[:, 3:]
        result["place"] = round(float(np.median(np.hypot(off[:, 0], off[:, 1]))), 4)
        result["size"] = round(float(np.median(off[:, 2])), 4)
        return result


def train(
    recipe: PoseRecipe,
    faces: Path,
    out: Path,
    device: torch.device,
    resume: bool = False,
    start_from: Path | None = None,
) -> None:
    """Train until the time budget is spent.

    `out` receives checkpoint.pt, pose.safetensors and log.jsonl.

    Args:
        faces: folder of face crops with landmarks68.npz.
        resume: continue from `out`/checkpoint.pt.
        start_from: initial weights.
    """
    loop.launch(functools.partial(_Run, faces), recipe, out, device, resume, start_from)
