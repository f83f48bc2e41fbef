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
from facetrack.measures.coordinates import (
    COORDINATES,
    DIGITS,
    PIXELS,
    column_prefix,
    convert,
    to_frontal,
)
from facetrack.measures.face_model import SCHEME
from facetrack.tables import TableWriter
from facetrack.tracks import Tracks
from facetrack.video.image_names import IMAGE_OVERLAY_SUFFIX
from facetrack.viz.overlay import draw_landmarks

TABLE, RECORD = "landmarks.csv", "landmarks.json"
FORMATS = ("csv", "pts")
_NUMBERED = re.compile(r"(.+)\.\d+")


def header(points: int, coordinates: str = PIXELS, confidence: bool = False) -> list[str]:
    """Return the column names for `points` landmarks."""
    prefix = column_prefix(coordinates)
    names = ["image", "face_id", "confidence"]
    names += [f"{prefix}{axis}_{i}" for axis in "xy" for i in range(points)]
    return names + [f"c_{i}" for i in range(points) if confidence]


def parse_header(names: list[str]) -> tuple[int, str, bool] | None:
    """Return the number of points, their coordinates, and whether each has a confidence.

    None if the names are not those of `header`.
    """
    for confidence in (False, True):
        points = (len(names) - 3) // (3 if confidence else 2)
        for coordinates in COORDINATES:
            if points > 0 and names == header(points, coordinates, confidence):
                return points, coordinates, confidence
    return None


class ImageWriter:
    """Writes the faces of one image after another. Use as a context manager.

    - `landmarks.csv` appears on a clean exit. It has one row per face: `face_id` from 0, largest
      face first, confidence and pixels with three decimals, empty where unknown, or other
      coordinates, whose columns have other names (`facetrack.measures.coordinates`). With
      `confidence` also the confidence of each point, 0 where unknown. An image without a face, or
      that cannot be read, has one row with its name only.
    - `<stem>.pts`, if `pts`: the format of 300-W, pixels from 1. Several faces of an image go to
      `<stem>.<face_id>.pts`. A face with an unknown point gets no file, because the format cannot
      omit points.
    - `<stem>.overlay.png`, if `overlay`.
    """

    def __init__(
        self,
        folder: Path,
        points: int,
        pts: bool,
        overlay: bool,
        coordinates: str = PIXELS,
        confidence: bool = False,
    ) -> None:
        """
        Args:
            folder: output folder; must exist.
            points: number of landmarks of the layout.
            pts, overlay: also write these files.
            coordinates: of the points in the table.
            confidence: write the confidence of each point into the table.
        """
        self._folder = Path(folder)
        self._coordinates, self._confidence = coordinates, confidence
        if coordinates == "frontal":
            points = schemes.get(SCHEME).count
        self._header = header(points, coordinates, confidence)
        self._pts, self._overlay = pts, overlay

    def __enter__(self) -> ImageWriter:
        self._table = open_table(self._folder / TABLE)
        self._rows = self._table.__enter__()
        self._rows.writerow(self._header)
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
        for row in self._cells(str(path), found):
            self._rows.writerow(row)
        if self._overlay:
            _write_overlay(self._folder / f"{path.stem}{IMAGE_OVERLAY_SUFFIX}", image, found)
        return self._write_pts(path, found) if self._pts else []

    def write_unreadable(self, path: Path) -> None:
        """Write the row of an image that cannot be read: its name only."""
        self._rows.writerow([str(path), *[""] * (len(self._header) - 1)])

    def _cells(self, name: str, found: ImageFaces) -> Iterator[list[str]]:
        """Yield the rows of one image."""
        if not len(found.xy):
            yield [name, *[""] * (len(self._header) - 1)]
            return
        digits = DIGITS[self._coordinates]
        places, scores = self._placed(found)
        # Adding 0 turns the -0.0 of a rounded -0.0001 into 0.0.
        places = np.round(places, digits) + 0.0
        known = np.asarray(np.isfinite(places).all(-1))
        for face, confidence in enumerate(found.confidence):
            numbers = places[face].T.ravel().tolist()
            cells = ["" if np.isnan(v) else f"{v:.{digits}f}" for v in numbers]
            if self._confidence:
                own = np.where(known[face], scores[face], 0).tolist()
                cells += [f"{value:.3f}" for value in own]
            yield [name, str(face), f"{confidence:.3f}", *cells]

    def _placed(self, found: ImageFaces) -> tuple[np.ndarray, np.ndarray]:
        """Return the points (F, N, 2) in the table's coordinates, and their scores (F, N)."""
        if self._coordinates != "frontal":
            xy = convert(found.xy, self._coordinates, found.size, found.scheme)
            return xy, found.score
        known = np.isfinite(found.xy).all(-1)[None]
        time, ids = np.zeros(1), np.arange(len(found.xy))
        frame = Tracks(
            found.xy[None], known, found.score[None], time, ids, found.scheme, found.size
        )
        frontal = to_frontal(frame)
        return frontal.xy[0], frontal.confidence[0]

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
def open_table(final: Path) -> Iterator[TableWriter]:
    """Yield a writer of a table whose cells hold file names; it appears on a clean exit.

    Raises:
        FacetrackError: the file cannot be written.
    """
    with (
        atomic_path(final) as temporary,
        # Bytes of a file name that are not UTF-8 are lone surrogates in Python: write \udcXX.
        open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield TableWriter(file)


def _write_overlay(path: Path, image: np.ndarray, found: ImageFaces) -> None:
    seen = np.isfinite(found.xy).all(-1)
    scheme = schemes.get(found.scheme)
    picture = draw_landmarks(image, found.xy, seen, found.score, scheme)
    encoded, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise FacetrackError(f"{path} cannot be written: OpenCV cannot encode the picture.")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
