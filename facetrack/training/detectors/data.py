"""Annotated faces, and the boxes in which detectors are asked for them."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.training import textures
from facetrack.training.face_folder import landmarks_of, read_face, read_table

JITTER = (0.088, 0.053, 0.084)
"""How dlib's HOG boxes scatter around `hog_box`: standard deviations of the centre, right and
down, in sides of the box, and of the logarithm of the side. Measured on 253 annotated faces of the
300-W training sets."""


EXPORTED = "faces.json"
"""File in folders of corrected faces, which `facetrack export faces` writes."""
MIN_FACES = 5
"""Faces of the least folder: four to learn from, and one that is held out."""
PSEUDO_SIDE = 256
"""Side in pixels of faces with pseudo-labels in memory: they are many, and small already."""


class Faces(NamedTuple):
    """All faces of a training on one device.

    Attributes:
        pictures: (M, 3, S, S) uint8 RGB.
        points: (M, N, 2) float32 pixels, origin at the centre of the top-left pixel.
        labelled: (M, N) float32, 1 for landmarks that are known, 0 for guesses.
    """

    pictures: Tensor
    points: Tensor
    labelled: Tensor


class HeldOut(NamedTuple):
    """Faces that no training sees, as detectors take them.

    Attributes:
        images: (h, w, 3) uint8 RGB each.
        points: (M, N, 2) float64 pixels, origin at the centre of the top-left pixel.
    """

    images: list[np.ndarray]
    points: np.ndarray


def is_small(folder: Path) -> bool:
    """Return True if a folder's faces are those of one study: few, or exported from corrections."""
    return (folder / EXPORTED).is_file() or len(_names(folder)) <= textures.FEW


def refuse_few(folder: Path) -> None:
    """Refuse a folder with too few faces to train a network on from the beginning.

    Raises:
        FacetrackError: it has too few.
    """
    names = _names(folder)
    if len(names) <= textures.FEW:
        raise FacetrackError(
            f"{folder} holds {len(names)} .jpg faces: a training from the beginning needs more "
            f"than {textures.FEW}. A trained network can be adapted to a few: "
            "--start-from star-s."
        )


def names_of(folder: Path, scheme: str) -> tuple[list[str], list[str]]:
    """Training and held-out file names of a folder of faces.

    Of small folders (`is_small`), the last fifth of each sequence is held out: the frames next to a
    frame of a video look like it, so a random choice would hold out what is known.

    Raises:
        FacetrackError: there are too few pictures, or the table of landmarks is not there.
    """
    read_table(folder, scheme)
    names = _names(folder)
    if len(names) < MIN_FACES:
        raise FacetrackError(
            f"{folder} holds {len(names)} .jpg faces: training needs at least {MIN_FACES}."
        )
    return split_sequences(names) if is_small(folder) else textures.split_names(names)


def split_sequences(names: list[str]) -> tuple[list[str], list[str]]:
    """Split names into training and held-out names: the last fifth of each sequence.

    Pictures of a sequence have names that differ in their last number alone, as
    `clip.face0.000120.jpg`. If no sequence has five pictures, all names are one.

    Args:
        names: sorted.
    """
    sequences = [list(part) for _, part in groupby(names, lambda name: name.rsplit(".", 2)[0])]
    if max(map(len, sequences)) < MIN_FACES:
        sequences = [names]
    ends = [len(part) - len(part) // 5 for part in sequences]
    known = [name for part, end in zip(sequences, ends, strict=True) for name in part[:end]]
    held_out = [name for part, end in zip(sequences, ends, strict=True) for name in part[end:]]
    return known, held_out


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.jpg"))


def load(
    folder: Path,
    scheme: str,
    device: torch.device,
    side: int = textures.SIDE,
    held_out: bool = False,
) -> Faces:
    """Load the training faces of `folder`, or the held-out faces, at `side` x `side` pixels.

    Args:
        folder: holds square face crops (.jpg) and `landmarks<scheme>.npz` with `names` and
            `points` (M, N, 2), by pixel centres.
    """
    names, known = names_of(folder, scheme)[held_out], read_table(folder, scheme)
    pictures, points = _pictures(folder, names, known, side, schemes.get(scheme).count)
    labelled = torch.ones(points.shape[:2])
    return Faces(*(value.to(device) for value in (pictures, points, labelled)))


def load_pseudo_labelled(folder: Path, scheme: str, device: torch.device) -> Faces:
    """Load all faces of a folder that `facetrack train pseudo-labels` has written.

    Raises:
        FacetrackError: the folder is not such a folder.
    """
    known = read_table(folder, scheme)
    path = folder / f"landmarks{scheme}.npz"
    with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
        labelled = data["labelled"] if "labelled" in data.files else None
    if labelled is None or labelled.shape != (len(known), schemes.get(scheme).count):
        raise FacetrackError(
            f"{path} does not say which landmarks are labelled: facetrack train pseudo-labels "
            "writes such a table."
        )
    count = schemes.get(scheme).count
    pictures, points = _pictures(folder, list(known), known, PSEUDO_SIDE, count)
    weight = torch.from_numpy(labelled.astype(np.float32))
    return Faces(*(value.to(device) for value in (pictures, points, weight)))


def _pictures(
    folder: Path, names: list[str], known: dict[str, np.ndarray], side: int, count: int
) -> tuple[Tensor, Tensor]:
    """Read square faces at `side` x `side` pixels, with their points at that size."""
    pictures = np.empty((len(names), 3, side, side), np.uint8)
    points = np.empty((len(names), count, 2), np.float32)
    for i, name in enumerate(names):
        image = read_face(folder / name)
        scale = side / len(image)
        # Linear interpolation would skip pixels of a picture that becomes less than half as wide.
        by = cv2.INTER_AREA if scale <= 0.5 else cv2.INTER_LINEAR
        pictures[i] = cv2.resize(image, (side, side), interpolation=by).transpose(2, 0, 1)
        points[i] = (landmarks_of(known, name, folder) + 0.5) * scale - 0.5
    return torch.from_numpy(pictures), torch.from_numpy(points)


def load_held_out(folder: Path, scheme: str) -> HeldOut:
    """The held-out faces of `folder` at their own sizes."""
    names, known = names_of(folder, scheme)[1], read_table(folder, scheme)
    images = [read_face(folder / name) for name in names]
    return HeldOut(images, np.array([landmarks_of(known, name, folder) for name in names], float))


def jittered(boxes: np.ndarray, seed: int = 0) -> np.ndarray:
    """Boxes (F, 4) as far off as face detectors' are: see JITTER."""
    random = np.random.default_rng(seed)
    sides = boxes[:, 2:] - boxes[:, :2]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    centre = centre + random.standard_normal(centre.shape) * JITTER[:2] * sides
    half = sides * np.exp(JITTER[2] * random.standard_normal((len(boxes), 1))) / 2
    return np.concatenate([centre - half, centre + half], 1)
