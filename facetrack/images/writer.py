"""Files of still images: one table for all, and for each image a `.pts` file and an overlay."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from facetrack.errors import FacetrackError
from facetrack.files import atomic_path
from facetrack.images.pipeline import OVERLAY_SUFFIX, ImageFaces
from facetrack.landmarks import schemes
from facetrack.landmarks.point_files import write_pts
from facetrack.viz.overlay import draw_landmarks

TABLE, SIDECAR = "landmarks.csv", "landmarks.json"
FORMATS = ("csv", "pts")
_NUMBERED = re.compile(r"(.+)\.\d+")


def header(points: int) -> list[str]:
    """The column names for `points` points."""
    return ["image", "face_id", "confidence", *(f"{a}_{i}" for a in "xy" for i in range(points))]


class ImageWriter:
    """Writes what is found in one image after another; use as a context manager.

    - `landmarks.csv`, in place on a clean exit: one row a face, `face_id` from 0, largest first;
      confidence and pixels with three decimals, empty where unknown. An image without a face has
      one row, empty but for its name.
    - `<stem>.pts` with `pts`: 300-W's format, pixels from 1. Several faces of an image go to
      `<stem>.<face_id>.pts`. A face with an unknown point has no file, as the format cannot leave
      points out.
    - `<stem>.overlay.png` with `overlay`.
    """

    def __init__(self, folder: Path, points: int, pts: bool, overlay: bool) -> None:
        """
        Args:
            folder: where; it must exist.
            points: N of the layout.
        """
        self._folder, self._points = Path(folder), points
        self._pts, self._overlay = pts, overlay

    def __enter__(self) -> ImageWriter:
        self._table = _table(self._folder / TABLE)
        self._rows = self._table.__enter__()
        self._rows.writerow(header(self._points))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return self._table.__exit__(kind, error, trace)

    def write(self, image: np.ndarray, found: ImageFaces) -> list[str]:
        """Write the files and rows of one `image`, (H, W, 3) uint8 RGB.

        Returns:
            Sentences about what could not be written.

        Raises:
            FacetrackError: the disk refuses.
        """
        path = Path(str(found.source))
        for row in _cells(str(path), found):
            self._rows.writerow(row)
        if self._overlay:
            _write_overlay(self._folder / f"{path.stem}{OVERLAY_SUFFIX}", image, found)
        return self._write_pts(path, found) if self._pts else []

    def _write_pts(self, image: Path, found: ImageFaces) -> list[str]:
        lost = []
        many = len(found.xy) > 1
        for face, xy in enumerate(found.xy):
            name = f"{image.stem}.{face}.pts" if many else f"{image.stem}.pts"
            if np.isfinite(xy).all():
                write_pts(self._folder / name, xy)
            else:
                lost.append(f"{name} is left out: a point of that face of {image} is unknown.")
        return lost


def check_names(
    images: Sequence[Path], folder: Path, pts: bool, overlay: bool, every_face: bool
) -> None:
    """Make sure that no two images want the same file, and that none is written over.

    Raises:
        FacetrackError: there are such images.
    """
    if not pts and not overlay:
        return
    stems: dict[str, Path] = {}
    for image in images:
        # Some file systems take A for a.
        other = stems.setdefault(image.stem.lower(), image)
        if other is not image:
            raise FacetrackError(
                f"{other} and {image} would write the same files, as their names differ by folder "
                "or extension alone: give them one after the other, each with its own --out."
            )
    for stem, image in stems.items():
        numbered = _NUMBERED.fullmatch(stem)
        if pts and every_face and numbered and numbered[1] in stems:
            raise FacetrackError(
                f"{image} would write the file of a face of {stems[numbered[1]]}: give them one "
                "after the other, each with its own --out."
            )
    if overlay:
        given = {image.resolve() for image in images}
        for image in images:
            target = folder / f"{image.stem}{OVERLAY_SUFFIX}"
            if target.resolve() in given:
                raise FacetrackError(f"{target} is an input itself: choose another --out folder.")


@contextmanager
def _table(final: Path) -> Iterator[Any]:
    with (
        atomic_path(final) as temporary,
        # A file name that is not UTF-8 reaches Python as lone surrogates; as \udcXX they survive.
        open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield csv.writer(file, lineterminator="\n")


def _cells(name: str, found: ImageFaces) -> Iterator[list[str]]:
    """The rows of one image."""
    if not len(found.xy):
        yield [name, *[""] * (len(header(found.xy.shape[1])) - 1)]
    # Adding 0 turns the -0.0 of a rounded -0.0001 into 0.0.
    places = np.round(found.xy.astype(np.float64), 3) + 0.0
    for face, (xy, confidence) in enumerate(zip(places, found.confidence, strict=True)):
        numbers = ["" if np.isnan(v) else f"{v:.3f}" for v in xy.T.ravel().tolist()]
        yield [name, str(face), f"{confidence:.3f}", *numbers]


def _write_overlay(path: Path, image: np.ndarray, found: ImageFaces) -> None:
    seen = np.isfinite(found.xy).all(-1)
    scheme = schemes.get(found.scheme)
    picture = draw_landmarks(image, found.xy, seen, found.score, scheme)
    made, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not made:
        raise FacetrackError(f"{path} cannot be written: OpenCV cannot encode the picture.")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
