"""Load the images that training clips are rendered from, onto the training device."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from facetrack.errors import FacetrackError
from facetrack.training.face_folder import landmarks_of, read_face, read_table

if TYPE_CHECKING:
    from facetrack.training.detectors.profiling import Profiles

SIDE = 352
"""Side in pixels to which all images are resized."""
MASK = 88
"""Side of the head masks in pixels."""
FEW = 201
"""Number of faces up to which a folder is small: no training begins with so few."""
HELD_OUT = 0.102
"""Share of the faces that are held out of all trainings."""

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket", "brick", "grass", "gravel", "camera")
"""Freely licensed images in scikit-image."""


class Textures(NamedTuple):
    """Faces and backgrounds on one device.

    Attributes:
        faces: (M, 3, SIDE, SIDE) uint8 RGB.
        landmarks: (M, 68, 2) float32 pixels, origin at the CORNER of the top-left pixel.
        masks: (M, 1, MASK, MASK) uint8, 255 on the head.
        photographs: (P, 3, SIDE, SIDE) uint8 RGB.
        profiles: relief of the faces (`head_turns.with_relief`), so that heads turn out of plane.
    """

    faces: Tensor
    landmarks: Tensor
    masks: Tensor
    photographs: Tensor
    profiles: Profiles | None = None


def split_names(names: list[str]) -> tuple[list[str], list[str]]:
    """Split file names into training and held-out names, by a rule on the names alone.

    A name is held out if its CRC-32 is among the smallest HELD_OUT of all values, so a face stays
    on its side when others are added. `benchmarks/common/heldout_faces.txt` lists the 201 held-out
    names of the 2,012 faces that the networks of facetrack have learned from.
    """
    sides: tuple[list[str], list[str]] = ([], [])
    for name in names:
        sides[zlib.crc32(name.encode()) < HELD_OUT * 2**32].append(name)
    return sides


def head_outline(points: np.ndarray) -> np.ndarray:
    """Estimate the outline (K, 2) of a head, including the forehead, from 68 points (68, 2)."""
    jaw, brows = points[:17], points[17:27]
    up = brows.mean(0) - points[57]  # from the lower lip to the brows
    forehead = brows + 0.75 * up * np.linspace(0.7, 1.0, 5)[[0, 2, 4, 4, 3, 3, 4, 4, 2, 0], None]
    wide = jaw.mean(0) + (jaw - jaw.mean(0)) * 1.06
    hull = cv2.convexHull(np.concatenate([wide, forehead]).astype(np.float32))
    return hull[:, 0]


def load_faces(folder: Path, names: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Load the faces of a folder with `landmarks68.npz`.

    Returns:
        Images, landmarks and masks as in `Textures`.

    Raises:
        FacetrackError: the folder has no landmarks, or a face cannot be read or is not square.
    """
    known = read_table(folder, "68")
    faces = np.empty((len(names), 3, SIDE, SIDE), np.uint8)
    landmarks = np.empty((len(names), 68, 2), np.float32)
    masks = np.zeros((len(names), 1, MASK, MASK), np.uint8)
    for i, name in enumerate(names):
        image = read_face(folder / name)
        scale = SIDE / len(image)
        image = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        faces[i] = image.transpose(2, 0, 1)
        landmarks[i] = (landmarks_of(known, name, folder) + 0.5) * scale
        outline = head_outline(landmarks[i]) * (MASK / SIDE) - 0.5
        cv2.fillPoly(masks[i, 0], [np.round(outline * 16).astype(np.int32)], 255, shift=4)
        masks[i, 0] = cv2.GaussianBlur(masks[i, 0], (0, 0), 1.0)
    return faces, landmarks, masks


def load_photographs() -> np.ndarray:
    """Load overlapping square crops of scikit-image's photographs, (P, 3, SIDE, SIDE) uint8."""
    try:
        import skimage.data
    except ImportError as error:
        raise FacetrackError(
            "Training needs scikit-image's photographs: pip install 'facetrack[train]'."
        ) from error
    crops = []
    for name in PHOTOGRAPHS:
        image = getattr(skimage.data, name)()
        if image.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
        image = image[..., :3]
        side = min(image.shape[:2])
        for fraction in (1.0, 0.6):
            size = int(side * fraction)
            for y in sorted({0, image.shape[0] - size}):
                for x in sorted({0, image.shape[1] - size}):
                    crop = image[y : y + size, x : x + size]
                    crop = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
                    crops.append(crop.transpose(2, 0, 1))
    return np.stack(crops)


def load_textures(folder: Path, device: torch.device, held_out: bool = False) -> Textures:
    """Load all textures of the renderer, with the training faces or the held-out faces.

    Raises:
        FacetrackError: the folder has too few faces, or they cannot be read.
    """
    names = sorted(p.name for p in folder.glob("*.jpg"))
    if len(names) <= FEW:
        raise FacetrackError(f"{folder} contains {len(names)} .jpg faces: training needs more.")
    faces, landmarks, masks = load_faces(folder, split_names(names)[held_out])
    arrays = (faces, landmarks, masks, load_photographs())
    pictures, points, outlines, photographs = (
        torch.from_numpy(array).to(device) for array in arrays
    )
    return Textures(pictures, points, outlines, photographs)
