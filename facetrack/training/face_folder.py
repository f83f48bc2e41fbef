"""Read the folders of annotated faces that trainings learn from."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from facetrack.errors import FacetrackError
from facetrack.formats.npz import refuse_zip_bombs
from facetrack.landmarks import schemes


def read_table(folder: Path, scheme: str) -> dict[str, np.ndarray]:
    """Read the landmarks (N, 2) of a folder's faces by file name, from `landmarks<scheme>.npz`.

    Raises:
        FacetrackError: there is no such table, or it is damaged.
    """
    table = folder / f"landmarks{scheme}.npz"
    if not table.is_file():
        raise FacetrackError(
            f"{folder} holds no {table.name}: --faces needs a folder of face crops with it."
        )
    names, points = read_labels(table, schemes.get(scheme).count)
    return dict(zip(names, points, strict=True))


def read_labels(table: Path, count: int) -> tuple[list[str], np.ndarray]:
    """Read `names` and `points` (M, count, 2) of a `.npz`.

    Raises:
        FacetrackError: the file does not hold them.
    """
    try:
        with table.open("rb") as file, np.load(file, allow_pickle=False) as data:
            refuse_zip_bombs(data)
            names, points = data["names"].tolist(), np.asarray(data["points"], float)
        if points.shape != (len(names), count, 2):
            raise ValueError(f"points are {points.shape}")
    except Exception as error:
        # numpy raises many types of errors at damaged archives.
        raise FacetrackError(
            f"{table} does not hold names and points (M, {count}, 2) as it should."
        ) from error
    return names, points


def landmarks_of(known: dict[str, np.ndarray], name: str, folder: Path) -> np.ndarray:
    """Return the landmarks (N, 2) of a face.

    Raises:
        FacetrackError: the table has none, or not all.
    """
    if name not in known or not np.isfinite(known[name]).all():
        raise FacetrackError(f"{folder / name} has no landmarks in the folder's table.")
    return known[name]


def read_face(path: Path) -> np.ndarray:
    """Read a picture (S, S, 3) uint8 RGB of a face.

    Raises:
        FacetrackError: it cannot be read, or is not square.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FacetrackError(f"{path} cannot be read as a picture.")
    height, width = image.shape[:2]
    if height != width:
        raise FacetrackError(
            f"{path} has {width} x {height} pixels: trainings need square crops of faces."
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
