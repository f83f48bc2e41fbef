"""Pictures of eyes and mouths with their landmarks, that open and shut, as patches show them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.errors import FacetrackError
from facetrack.ops.similarity import as_complex
from facetrack.trackers.expression.face_parts import EYE, MOUTH, PARTS, Kind
from facetrack.training.detectors.augment import occlude
from facetrack.training.lids import lids
from facetrack.training.mouth import mouths
from facetrack.training.signals import Random

ROOM = 1.9
"""Sides of a bank's pictures in those of the patches that are cut from them, near enough."""
FINE = 1.15
"""Pixels of a bank's pictures in one of a patch, along either axis."""
ALIKE = 16
"""Patches that share one blur, so that a batch holds several."""
KNOWN = np.array([*range(36, 68), 8])
"""Landmarks that faces labelled by a mesh have; the others are not to be learned from those."""


SHUT, PARTED = 0.045, 0.04
"""Units of the face by which lids of an eye that is nearly shut, and lips of a mouth that is
somewhat open, are apart."""


class Bank(NamedTuple):
    """Pictures of parts of one kind, all as the right eye is, upright.

    Attributes:
        pictures: (M, 3, h, w) uint8 RGB.
        landmarks: (M, 68, 2) float32 pixels of them, origin at the CORNER of the top-left pixel;
            those of the right eye are the part's own in pictures of a left one.
        known: (M, points) bool, which landmarks of the part are to be learned.
        odds: (M,) how often each is drawn: shut eyes and open mouths are few, and the more to be
            learned from.
        unit: (M,) pixels a unit of the face.
        middle: (M, 2) the part's middle in the picture.
    """

    pictures: Tensor
    landmarks: Tensor
    known: Tensor
    odds: Tensor
    unit: Tensor
    middle: Tensor


class Faces(NamedTuple):
    """Labelled faces on disk.

    Attributes:
        paths: of their pictures.
        points: (M, 68, 2) pixels, by pixel centres.
        whole: (M,) bool, whether all are labelled, or KNOWN alone.
    """

    paths: list[Path]
    points: np.ndarray
    whole: np.ndarray


def faces_of(folder: Path, names: list[str], table: Path | None = None) -> Faces:
    """Annotated faces, and those that a mesh has labelled.

    Args:
        folder, names: pictures with `landmarks68.npz`.
        table: `names` (paths) and `points` (M, 68, 2) of others, of which KNOWN count.

    Raises:
        FacetrackError: a table cannot be read.
    """
    try:
        with np.load(folder / "landmarks68.npz", allow_pickle=False) as data:
            known = dict(zip(data["names"].tolist(), data["points"], strict=True))
        paths, points = [folder / n for n in names], [known[n] for n in names]
        whole = [True] * len(names)
        if table is not None:
            with np.load(table, allow_pickle=False) as data:
                paths += [Path(n) for n in data["names"].tolist()]
                points += list(data["points"])
                whole += [False] * len(data["names"])
    except (OSError, KeyError, ValueError) as error:
        raise FacetrackError(f"the faces' landmarks cannot be read: {error}") from error
    return Faces(paths, np.array(points, float), np.array(whole))


def banks(faces: Faces, device: torch.device) -> dict[str, Bank]:
    """Pictures of all eyes, and of all mouths."""
    made: dict[str, list[tuple[np.ndarray, ...]]] = {"eye": [], "mouth": []}
    for path, points, whole in zip(*faces, strict=True):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise FacetrackError(f"{path} cannot be read as a picture.")
        image = image[..., ::-1]
        for part in range(len(PARTS)):
            made["eye" if PARTS[part].kind is EYE else "mouth"].append(
                _picture(image, points, bool(whole), part)
            )
    return {
        name: Bank(
            *(torch.from_numpy(np.stack(kind)).to(device) for kind in zip(*one, strict=True))
        )
        for name, one in made.items()
    }


def _picture(
    image: np.ndarray, points: np.ndarray, whole: bool, index: int
) -> tuple[np.ndarray, ...]:
    """One face's part, as `Bank` has it."""
    part, kind = PARTS[index], PARTS[index].kind
    xy = as_complex(points)
    arrow = xy[45] - xy[36]
    width, height = (round(ROOM * FINE * side / 4) * 4 for side in (kind.width, kind.height))
    step = arrow / abs(arrow) * (abs(arrow) / (kind.scale * FINE))  # frame pixels, one pixel right
    middle = xy[list(part.middle)].mean()
    flip = -1 if part.mirrored else 1
    matrix = np.array([[step.real * flip, -step.imag], [step.imag * flip, step.real]])
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = np.array([middle.real, middle.imag]) - matrix @ centre
    cut = cv2.warpAffine(
        image,
        np.column_stack([matrix, shift]),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    inside = (points - shift) @ np.linalg.inv(matrix).T + 0.5
    landmarks = inside.copy()
    if kind is EYE:
        landmarks[PARTS[0].points] = inside[part.points]
        landmarks[42:48] = landmarks[36:42]
    known = np.full(len(part.points), True) if whole else np.isin(part.points, KNOWN)
    if kind is MOUTH and not whole:
        known &= part.points != 8  # the mesh's chin is another: for the jaw's motion alone
    return (
        np.ascontiguousarray(cut.transpose(2, 0, 1)),
        landmarks.astype(np.float32),
        known,
        np.float32(_odds(landmarks, kind)),
        np.float32(kind.scale * FINE),
        np.float32(centre + 0.5),
    )


def _odds(landmarks: np.ndarray, kind: Kind) -> float:
    """As `Bank` has them, of the landmarks of one picture."""
    upper, lower = ([37, 38], [41, 40]) if kind is EYE else ([61, 62, 63], [67, 66, 65])
    apart = np.linalg.norm(landmarks[lower] - landmarks[upper], axis=-1).mean()
    opening = float(apart) / (kind.scale * FINE)
    return 1 + 3 * float(opening < SHUT) if kind is EYE else 1 + min(4, opening / PARTED)


class Patches(NamedTuple):
    """A batch to learn from.

    Attributes:
        pictures: (B, 3, height, width) RGB in [0, 1].
        places: (B, points, 2) from the patch's middle, in units of the face.
        known: (B, points) float32.
    """

    pictures: Tensor
    places: Tensor
    known: Tensor


@torch.no_grad()
def sample(bank: Bank, kind: Kind, count: int, random: Random, spoilt: bool = True) -> Patches:
    """Random patches, shut or opened as may be."""
    index = torch.multinomial(bank.odds, count, True, generator=random.generator)
    pictures, landmarks = bank.pictures[index].float() / 255, bank.landmarks[index]
    grid, turned = _places(bank, index, kind, random)
    part = PARTS[0] if kind is EYE else PARTS[2]
    texture, shade, paint = grid[:, None], None, None
    carried = landmarks[:, None]
    if kind is EYE:
        lid, _ = lids(random, landmarks, _closing(random, count)[:, None, None].expand(-1, 2, 1))
        texture, shade = lid.close(texture)
        carried = lid.carry(carried, 0)
    else:
        mouth = mouths(random, landmarks, 1, torch.ones(count, device=random.device), 0.65)
        if mouth is not None:
            carried, _ = mouth.carry(landmarks, True)
            texture, inside, colour = mouth.open(texture)
            paint = inside[:, 0], colour[:, 0]
    size = pictures.new_tensor([pictures.shape[3], pictures.shape[2]])
    shown = F.grid_sample(
        pictures, texture[:, 0] / size * 2 - 1, padding_mode="border", align_corners=False
    )
    if shade is not None:
        shown = shown * shade
    if paint is not None:
        shown = shown + paint[0] * (paint[1] - shown)
    if spoilt:
        worse = random.chance(0.75, count, 1, 1, 1)
        shown = torch.lerp(shown, spoil(shown.clamp(0, 1), random), worse)
    places = turned(carried[:, 0][:, torch.as_tensor(part.points, device=random.device)])
    return Patches(shown.clamp(0, 1), places, bank.known[index].float())


def _closing(random: Random, count: int) -> Tensor:
    """(B,) how far eyes are shut: many not at all, a quarter wholly."""
    wholly = random.chance(0.4, count)
    share = wholly * random.uniform(0.93, 1.04, count) + (1 - wholly) * random.uniform(0, 1, count)
    return share * random.chance(0.6, count)


def _places(bank: Bank, index: Tensor, kind: Kind, random: Random):  # type: ignore[no-untyped-def]
    """Where patches' pixels are in the bank's pictures (B, h, w, 2), and what turns pixels of these
    into places in the patch."""
    count = len(index)
    wide = random.chance(0.2, count)
    angle = random.normal(count) * (0.05 + 0.15 * wide)
    scale = (random.normal(count) * (0.08 + 0.1 * wide)).clamp(-0.35, 0.35).exp()
    off = random.normal(count, 2) * (0.02 + 0.05 * wide)[:, None]
    if kind is MOUTH:
        off = off + random.normal(count, 2) * off.new_tensor([0.02, 0.05])
    unit = bank.unit[index] * scale
    cos, sin = angle.cos() * unit, angle.sin() * unit
    matrix = torch.stack([cos, -sin, sin, cos], -1).view(count, 2, 2)
    middle = bank.middle[index] + off.clamp(-0.2, 0.2) * unit[:, None]
    x = (torch.arange(kind.width, device=unit.device) + 0.5 - kind.width / 2) / kind.scale
    y = (torch.arange(kind.height, device=unit.device) + 0.5 - kind.height / 2) / kind.scale
    inside = torch.stack(torch.meshgrid(x, y + kind.drop, indexing="xy"), -1).view(1, -1, 2)
    grid = inside @ matrix.transpose(1, 2) + middle[:, None]
    inverse = torch.linalg.inv(matrix).transpose(1, 2)
    drop = unit.new_tensor([0, kind.drop])

    def turned(pixels: Tensor) -> Tensor:
        return (pixels - middle[:, None]) @ inverse - drop

    return grid.view(count, kind.height, kind.width, 2), turned


def spoil(pictures: Tensor, random: Random) -> Tensor:
    """What things before it, light, lenses, sensors and codecs do to patches (B, 3, h, w)."""
    count, _, height, width = pictures.shape
    pictures = occlude(pictures, random, 0.12)
    grey = random.chance(0.15, count, 1, 1, 1)
    pictures = torch.lerp(pictures, pictures.mean(1, keepdim=True), grey)
    blurred = []
    for part in pictures.split(ALIKE):
        kind = float(random.uniform(0, 1, 1))
        if kind < 0.4:
            rate = float(random.uniform(0.3, 0.85, 1))
            small = F.interpolate(part, scale_factor=rate, mode="area")
            part = F.interpolate(small, (height, width), mode="bilinear", align_corners=False)
        elif kind < 0.55:
            side = 2 * int(random.integers(3, 1)) + 3
            both = [(side, 1), (1, side), (3, 3)][int(random.integers(3, 1))]
            half = (both[1] // 2, both[1] // 2, both[0] // 2, both[0] // 2)
            part = F.avg_pool2d(F.pad(part, half, mode="replicate"), both, 1)
        blurred.append(part)
    pictures = torch.cat(blurred)
    gain = random.log_uniform(0.35, 1.4, count, 1, 1, 1)
    colour = 1 + 0.08 * random.normal(count, 3, 1, 1)
    gamma = random.log_uniform(0.65, 1.5, count, 1, 1, 1)
    slope = random.normal(count, 2, 1, 1) * 0.25
    x = torch.linspace(-1, 1, width, device=pictures.device)
    y = torch.linspace(-1, 1, height, device=pictures.device)[:, None]
    light = (1 + slope[:, :1] * x + slope[:, 1:] * y).clamp(0.3, 1.7)
    pictures = (pictures.clamp_min(1e-3) ** gamma * gain * colour * light).clamp(0, 1)
    sigma = random.log_uniform(0.003, 0.06, count, 1, 1, 1) * random.chance(0.7, count, 1, 1, 1)
    noise = random.normal(*pictures.shape)
    coarse = random.normal(count, 3, height // 2, width // 2)
    noise = noise + F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return pictures + noise * sigma * math.sqrt(0.5)
