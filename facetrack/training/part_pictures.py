"""Draw training patches of eyes and mouths that open and shut, with exact landmarks."""

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
from facetrack.trackers.expression.face_parts import EYE, FACE_PARTS, MOUTH, PatchLayout
from facetrack.training.detectors.augment import occlude
from facetrack.training.face_folder import landmarks_of, read_labels, read_table
from facetrack.training.lids import draw_lids
from facetrack.training.mouth import mouths
from facetrack.training.signals import Random

BANK_MARGIN = 1.9
"""Approximate size of a bank's picture relative to the patches that are cropped from it."""
BANK_RESOLUTION = 1.15
"""Pixels of a bank's picture per pixel of a patch, along each axis."""
BLUR_GROUP = 16
"""Number of patches that share one blur, so that a batch contains several."""
MESH_LANDMARKS = np.array([*range(36, 68), 8])
"""Landmarks with labels on faces that a mesh has labelled."""
SHUT_EYE, OPEN_MOUTH = 0.045, 0.04
"""Openings in units of the face: an eye below the first counts as nearly shut, and the odds of a
mouth grow by 1 with every multiple of the second."""


ANIMATED = 0.5
"""Share of the mouths that open or shut."""


class Bank(NamedTuple):
    """Upright pictures of the parts of one layout; left eyes are mirrored.

    Attributes:
        pictures: (M, 3, h, w) uint8 RGB.
        landmarks: (M, 68, 2) float32 pixels, origin at the CORNER of the top-left pixel. In
            pictures of a left eye, the indices of the right eye hold its landmarks.
        known: (M, points) bool, True for landmarks with labels.
        odds: (M,) relative sampling frequency; shut eyes and open mouths are rare and sampled more
            often.
        unit: (M,) pixels per unit of the face.
        centre: (M, 2) the part's centre in the picture.
    """

    pictures: Tensor
    landmarks: Tensor
    known: Tensor
    odds: Tensor
    unit: Tensor
    centre: Tensor


class Faces(NamedTuple):
    """Labelled faces on disk.

    Attributes:
        paths: pictures.
        points: (M, 68, 2) pixels, origin at the centre of the top-left pixel.
        complete: (M,) bool; True if all landmarks are labelled, False if only MESH_LANDMARKS are.
    """

    paths: list[Path]
    points: np.ndarray
    complete: np.ndarray


def read_faces(folder: Path, names: list[str], table: Path | None = None) -> Faces:
    """Read annotated faces, and faces that a mesh has labelled.

    Args:
        folder: folder of pictures with `landmarks68.npz`.
        names: file names of the annotated faces to read.
        table: file with `names` (paths) and `points` (M, 68, 2) of further faces, of which only
            MESH_LANDMARKS are used.

    Raises:
        FacetrackError: a file of landmarks cannot be read.
    """
    known = read_table(folder, "68")
    paths, points = [folder / n for n in names], [landmarks_of(known, n, folder) for n in names]
    complete = [True] * len(names)
    if table is not None:
        more, their_points = read_labels(table, 68)
        paths += [Path(name) for name in more]
        points += list(their_points)
        complete += [False] * len(more)
    return Faces(paths, np.array(points, float), np.array(complete))


def build_banks(faces: Faces, device: torch.device) -> dict[str, Bank]:
    """Crop pictures of all eyes and of all mouths.

    Raises:
        FacetrackError: a picture cannot be read.
    """
    rows: dict[str, list[tuple[np.ndarray, ...]]] = {"eye": [], "mouth": []}
    for path, points, complete in zip(*faces, strict=True):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise FacetrackError(f"{path} cannot be read as a picture.")
        image = image[..., ::-1]
        for part in range(len(FACE_PARTS)):
            row = _crop_picture(image, points, bool(complete), part)
            # The mesh leaves shut eyes slightly open, so its labels of them are not used.
            if row is not None:
                rows["eye" if FACE_PARTS[part].layout is EYE else "mouth"].append(row)
    return {
        name: Bank(
            *(torch.from_numpy(np.stack(field)).to(device) for field in zip(*part, strict=True))
        )
        for name, part in rows.items()
    }


def _crop_picture(
    image: np.ndarray, points: np.ndarray, complete: bool, index: int
) -> tuple[np.ndarray, ...] | None:
    """Return the fields of `Bank` for one part of one face.

    Return None for a nearly shut eye without annotation (`complete` is False).
    """
    part, layout = FACE_PARTS[index], FACE_PARTS[index].layout
    xy = as_complex(points)
    axis = xy[45] - xy[36]
    width, height = (
        round(BANK_MARGIN * BANK_RESOLUTION * side / 4) * 4
        for side in (layout.width, layout.height)
    )
    step = (
        axis / abs(axis) * (abs(axis) / (layout.px_per_unit * BANK_RESOLUTION))
    )  # one bank pixel to the right, in frame pixels
    middle = xy[list(part.centre)].mean()
    flip = -1 if part.mirrored else 1
    matrix = np.array([[step.real * flip, -step.imag], [step.imag * flip, step.real]])
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = np.array([middle.real, middle.imag]) - matrix @ centre
    crop = cv2.warpAffine(
        image,
        np.column_stack([matrix, shift]),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    inside = (points - shift) @ np.linalg.inv(matrix).T + 0.5
    landmarks = inside.copy()
    if layout is EYE:
        landmarks[FACE_PARTS[0].points] = inside[part.points]
        landmarks[42:48] = landmarks[36:42]
    known = np.full(len(part.points), True) if complete else np.isin(part.points, MESH_LANDMARKS)
    if layout is MOUTH and not complete:
        known &= part.points != 8  # the mesh's chin is another point and only drives the jaw
    opening = _measure_opening(landmarks, layout)
    if layout is EYE and not complete and opening < SHUT_EYE:
        return None
    return (
        np.ascontiguousarray(crop.transpose(2, 0, 1)),
        landmarks.astype(np.float32),
        known,
        np.float32(
            1 + 3 * float(opening < SHUT_EYE) if layout is EYE else 1 + min(4, opening / OPEN_MOUTH)
        ),
        np.float32(layout.px_per_unit * BANK_RESOLUTION),
        np.float32(centre + 0.5),
    )


def _measure_opening(landmarks: np.ndarray, layout: PatchLayout) -> float:
    """Return the opening of the eye or mouth in a bank's picture, in units of the face."""
    upper, lower = ([37, 38], [41, 40]) if layout is EYE else ([61, 62, 63], [67, 66, 65])
    apart = np.linalg.norm(landmarks[lower] - landmarks[upper], axis=-1).mean()
    return float(apart) / (layout.px_per_unit * BANK_RESOLUTION)


class Patches(NamedTuple):
    """A training batch.

    Attributes:
        pictures: (B, 3, height, width) RGB in [0, 1].
        positions: (B, points, 2) relative to the patch's centre, in units of the face.
        known: (B, points) float32, 1 for landmarks with labels.
    """

    pictures: Tensor
    positions: Tensor
    known: Tensor


@torch.no_grad()
def sample(
    bank: Bank,
    layout: PatchLayout,
    count: int,
    random: Random,
    degraded: bool = True,
    animated: bool = True,
) -> Patches:
    """Draw random patches whose eyes or mouths open and shut.

    Args:
        bank: the pictures.
        layout: the layout of the patches.
        count: number of patches.
        random: source of randomness.
        degraded: add occlusion, blur, noise and changes of light to three quarters of them.
        animated: shut and open eyes and mouths; otherwise they stay as in the photographs.
    """
    index = torch.multinomial(bank.odds, count, True, generator=random.generator)
    pictures, landmarks = bank.pictures[index].float() / 255, bank.landmarks[index]
    grid, to_patch = _sampling_grid(bank, index, layout, random)
    part = FACE_PARTS[0] if layout is EYE else FACE_PARTS[2]
    texture, shade, paint = grid[:, None], None, None
    carried = landmarks[:, None]
    if not animated:
        pass
    elif layout is EYE:
        lid, _ = draw_lids(
            random, landmarks, _closing(random, count)[:, None, None].expand(-1, 2, 1)
        )
        texture, shade = lid.close(texture)
        carried = lid.carry(carried, 0)
    else:
        mouth = mouths(random, landmarks, 1, torch.ones(count, device=random.device), ANIMATED)
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
    if degraded:
        chosen = random.chance(0.75, count, 1, 1, 1)
        shown = torch.lerp(shown, degrade(shown.clamp(0, 1), random), chosen)
    positions = to_patch(carried[:, 0][:, torch.as_tensor(part.points, device=random.device)])
    return Patches(shown.clamp(0, 1), positions, bank.known[index].float())


def _closing(random: Random, count: int) -> Tensor:
    """Draw how far eyes shut (B,): not at all in 40 %, completely in 24 %, else partly."""
    complete = random.chance(0.4, count)
    share = complete * random.uniform(0.93, 1.04, count) + (1 - complete) * random.uniform(
        0, 1, count
    )
    return share * random.chance(0.6, count)


def _sampling_grid(bank: Bank, index: Tensor, layout: PatchLayout, random: Random):  # type: ignore[no-untyped-def]
    """Draw the placement of patches in the bank's pictures.

    Returns:
        The pictures' positions (B, h, w, 2) that the patches' pixels show, and a function that
        converts positions in the pictures to positions in the patches.
    """
    count = len(index)
    wide = random.chance(0.2, count)
    angle = random.normal(count) * (0.05 + 0.15 * wide)
    scale = (random.normal(count) * (0.08 + 0.1 * wide)).clamp(-0.35, 0.35).exp()
    off = random.normal(count, 2) * (0.02 + 0.05 * wide)[:, None]
    if layout is MOUTH:
        off = off + random.normal(count, 2) * off.new_tensor([0.02, 0.05])
    unit = bank.unit[index] * scale
    cos, sin = angle.cos() * unit, angle.sin() * unit
    matrix = torch.stack([cos, -sin, sin, cos], -1).view(count, 2, 2)
    middle = bank.centre[index] + off.clamp(-0.2, 0.2) * unit[:, None]
    x = (
        torch.arange(layout.width, device=unit.device) + 0.5 - layout.width / 2
    ) / layout.px_per_unit
    y = (
        torch.arange(layout.height, device=unit.device) + 0.5 - layout.height / 2
    ) / layout.px_per_unit
    inside = torch.stack(torch.meshgrid(x, y + layout.offset_y, indexing="xy"), -1).view(1, -1, 2)
    grid = inside @ matrix.transpose(1, 2) + middle[:, None]
    inverse = torch.linalg.inv(matrix).transpose(1, 2)
    offset = unit.new_tensor([0, layout.offset_y])

    def to_patch(pixels: Tensor) -> Tensor:
        return (pixels - middle[:, None]) @ inverse - offset

    return grid.view(count, layout.height, layout.width, 2), to_patch


def add_haze(pictures: Tensor, random: Random, chance: float) -> Tensor:
    """Draw smoke or glare, which varies smoothly, in front of patches (B, 3, h, w)."""
    count, _, height, width = pictures.shape
    coarse = random.uniform(-0.5, 1, count, 1, 3, 4)
    cloud = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    density = cloud.clamp(0, 1) * random.uniform(0.3, 0.95, count, 1, 1, 1)
    colour = random.uniform(0.4, 1, count, 1, 1, 1) + 0.03 * random.normal(count, 3, 1, 1)
    return torch.lerp(pictures, colour, density * random.chance(chance, count, 1, 1, 1))


def degrade(pictures: Tensor, random: Random) -> Tensor:
    """Add occluders, blur, changes of light and colour, and noise to patches (B, 3, h, w)."""
    count, _, height, width = pictures.shape
    pictures = occlude(pictures, random, 0.12)
    pictures = add_haze(pictures, random, 0.1)
    grey = random.chance(0.15, count, 1, 1, 1)
    pictures = torch.lerp(pictures, pictures.mean(1, keepdim=True), grey)
    blurred = []
    for part in pictures.split(BLUR_GROUP):
        blur = float(random.uniform(0, 1, 1))
        if blur < 0.4:
            scale = float(random.uniform(0.3, 0.85, 1))
            small = F.interpolate(part, scale_factor=scale, mode="area")
            part = F.interpolate(small, (height, width), mode="bilinear", align_corners=False)
        elif blur < 0.55:
            side = 2 * int(random.integers(3, 1)) + 3
            window = [(side, 1), (1, side), (3, 3)][int(random.integers(3, 1))]
            half = (window[1] // 2, window[1] // 2, window[0] // 2, window[0] // 2)
            part = F.avg_pool2d(F.pad(part, half, mode="replicate"), window, 1)
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
