"""Read the faces that no training has seen."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from facetrack.errors import FacetrackError

HELD_OUT = Path(__file__).with_name("heldout_faces.txt")


class Face(NamedTuple):
    """A picture of a face.

    Attributes:
        image: (h, w, 3) uint8 RGB.
        points: (68, 2) float pixels, origin at the centre of the top-left pixel.
    """

    image: np.ndarray
    points: np.ndarray


class Faces:
    """The faces of a folder of pictures with `landmarks68.npz` that no training has seen.

    Args:
        folder: holds the pictures and the table (`names`, `points` (M, 68, 2)).
        every: take all of them, for folders other than the training one.

    Raises:
        FacetrackError: no table, or none of the held-out faces is there.
    """

    def __init__(self, folder: Path, every: bool = False) -> None:
        table = folder / "landmarks68.npz"
        if not table.is_file():
            raise FacetrackError(f"{folder} holds no landmarks68.npz; name a folder of faces.")
        with np.load(table, allow_pickle=False) as data:
            known = dict(zip(data["names"].tolist(), data["points"], strict=True))
        wanted = set(known) if every else set(HELD_OUT.read_text().split())
        self.names = sorted(wanted & set(known))
        if len(self.names) < 3:
            raise FacetrackError(
                f"{folder} holds none of the faces of {HELD_OUT.name}; use --every-face for "
                "pictures that no training has seen."
            )
        self._folder, self._points = folder, known

    def __getitem__(self, index: int) -> Face:
        """Return face `index`, modulo the number of faces."""
        name = self.names[index % len(self.names)]
        image = cv2.imread(str(self._folder / name))
        if image is None:
            raise FacetrackError(f"{self._folder / name} cannot be read as a picture.")
        return Face(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), self._points[name].astype(np.float64))
