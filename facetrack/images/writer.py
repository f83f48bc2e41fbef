"""Write the landmarks of still images: a table, and `.pts` and overlay files per image."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from facetrack.errors import FacetrackError
from facetrack.files import atomic_path
from facetrack.images.pipeline import ImageFaces
from facetrack.landmarks import schemes
from facetrack.landmarks.point_files import write_pts
from facetrack.tables import TableWriter
from facetrack.video.image_names import IMAGE_OVERLAY_SUFFIX
from facetrack.viz.overlay import draw_landmarks

TABLE, RECORD = "landmarks.csv", "landmarks.json"
FORMATS = ("csv", "pts")
_NUMBERED = re.compile(r"(.+)\.\d+")


def header(points: int) -> list[str]:
    """Return the column names for `points` landmarks."""
    return ["image", "face_id", "confidence", *(f"{a}_{i}" for a in "xy" for i in range(points))]


class ImageWriter:
    """Writes the faces of one image after another. Use as a context manager.

    - `landmarks.csv` appears on a clean exit. It has one row per face: `face_id` from 0, largest
      face first, confidence and pixels with three decimals, empty where unknown. An image without
      a face, or that cannot be read, has one row with its name only.
    - `<stem>.pts`, if `pts`: the format of 300-W, pixels from 1. Several faces of an image go to
      `<stem>.<face_id>.pts`. A face with an unknown point gets no file, because the format cannot
      omit points.
    - `<stem>.overlay.png`, if `overlay`.
    """

    def __init__(self, folder: Path, points: int, pts: bool, overlay: bool) -> None:
        """
        Args:
            folder: output folder; must exist.
            points: number of landmarks of the layout.
            pts, overlay: also write these files.
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
        """Write the files and rows of one image.

        Args:
            image: (H, W, 3) uint8 RGB.
            found: its faces; their source is a path.

        Returns:
            Sentences about faces that could not be written.

        Raises:
            FacetrackError: a file cannot be written.
        """
        path = Path(str(found.source))
        for row in _cells(str(path), found):
            self._rows.writerow(row)
        if self._overlay:
            _write_overlay(self._folder / f"{path.stem}{IMAGE_OVERLAY_SUFFIX}", image, found)
        return self._write_pts(path, found) if self._pts else []

    def write_unreadable(self, path: Path) -> None:
        """Write the row of an image that cannot be read: its name only."""
        self._rows.writerow([str(path), *[""] * (len(header(self._points)) - 1)])

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
    """Check that all images have different output files, and that no output is an input.

    Raises:
        FacetrackError: two images have the same output file, or an output is an input.
    """
    if not pts and not overlay:
        return
    stems: dict[str, Path] = {}
    for image in images:
        # Some file systems ignore case.
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
            target = folder / f"{image.stem}{IMAGE_OVERLAY_SUFFIX}"
            if target.resolve() in given:
                raise FacetrackError(f"{target} is an input itself: choose another --out folder.")


@contextmanager
def _table(final: Path) -> Iterator[TableWriter]:
    with (
        atomic_path(final) as temporary,
        # Bytes of a file name that are not UTF-8 are lone surrogates in Python: write \udcXX.
        open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield TableWriter(file)


def _cells(name: str, found: ImageFaces) -> Iterator[list[str]]:
    """Yield the rows of one image."""
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
    encoded, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise FacetrackError(f"{path} cannot be written: OpenCV cannot encode the picture.")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
