"""Write and read facetrack's CSV, the default format: one row per frame and face."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.files import not_found, read_json
from facetrack.formats.base import TextWriter
from facetrack.formats.npz import expands_too_far
from facetrack.formats.openface import is_openface, to_csv_columns
from facetrack.landmarks import schemes
from facetrack.measures.coordinates import (
    COORDINATES,
    DIGITS,
    PIXELS,
    column_prefix,
    convert,
    from_normalised,
    to_frontal,
)
from facetrack.measures.face_measures import points_68
from facetrack.measures.face_model import SCHEME
from facetrack.measures.lab_clock import UTC_COLUMN
from facetrack.record import is_track_record, record_beside, recorded_size
from facetrack.tables import escape_cell, unescape_cell
from facetrack.tracks import (
    CORRECTED_COLUMN,
    FIXED_COLUMNS,
    IMAGE_COLUMN,
    Tracks,
    corrected_cells,
)

BYTES_PER_POINT = 14
"""Of a point in `Tracks`: place, confidence, whether it is visible and whether it was corrected."""
BYTES_PER_LETTER = 4
"""Of a name in an array of names, which all have the room of the longest."""


class CsvWriter(TextWriter):
    """Write `frame,face_id,timestamp,confidence,success,x_0..,y_0..,v_0..` and further columns.

    - frame: 0-based index in the decoded video.
    - timestamp: seconds, six decimals. With three decimals, times at 24000/1001 frames/s would be
      wrong by up to half a millisecond, in addition to the container's own error. A microsecond is
      finer than the 90 kHz clock of video containers, so a time identifies a frame.
    - confidence: mean over the face's known points, three decimals.
    - success: 1 if at least a quarter of the face's points are visible, else 0.
    - x, y: pixels from the centre of the top-left pixel, three decimals; empty where unknown. The
      names of other coordinates begin with theirs, such as `head_x_0`.
    - v: 1 if the point is visible; 0 if it is hidden, outside the frame or unknown.
    - c: confidence of the point, three decimals, 0 where unknown; only with `point_confidence`.
    - corrected: numbers of the points that a person has placed, with spaces between them; only of
      corrected tracks.
    - utc: time on a clock of the laboratory; only with `clock`.
    - image: file name of the row's image; only for a series of images.

    Frontal coordinates are estimated from the whole video, so its tracks are kept until the end.
    """

    def _begin(self, tracks: Tracks) -> None:
        self._kept: list[Tracks] = []
        frontal = self.coordinates == "frontal"
        if frontal:
            points_68(tracks, "Frontal coordinates")
        points = schemes.get(SCHEME).count if frontal else tracks.xy.shape[2]
        names = csv_columns(points, self.coordinates, self.point_confidence)
        names += [] if tracks.corrected is None else [CORRECTED_COLUMN]
        names += [] if self.clock is None or self.clock.utc is None else [UTC_COLUMN]
        names += [] if tracks.image_names is None else [IMAGE_COLUMN]
        self._file.write(",".join(names) + "\n")
        # One format string for a whole row: formatting each cell takes several times as long.
        digits = DIGITS[self.coordinates]
        self._row = "%d,%d,%.6f,%.3f,%d" + f",%.{digits}f" * (2 * points) + ",%d" * points
        self._row += ",%.3f" * points if self.point_confidence else ""

    def _append(self, tracks: Tracks) -> None:
        if self.coordinates == "frontal":
            self._kept.append(tracks)
        else:
            xy = convert(tracks.xy, self.coordinates, tracks.size, tracks.scheme)
            self._write_rows(tracks, tracks, xy)

    def _end(self) -> None:
        if self.coordinates != "frontal":
            return
        frontal = to_frontal(Tracks.concatenate(self._kept), self.focal)
        start = 0
        for part in self._kept:
            faces = [frontal.face_id.tolist().index(int(face)) for face in part.face_id]
            rows = slice(start, start + len(part))
            start += len(part)
            chosen = replace(
                part,
                xy=frontal.xy[rows][:, faces],
                visible=frontal.visible[rows][:, faces],
                confidence=frontal.confidence[rows][:, faces],
                scheme=frontal.scheme,
            )
            self._write_rows(part, chosen, chosen.xy)

    def _write_rows(self, tracks: Tracks, chosen: Tracks, xy: np.ndarray) -> None:
        """Write frames.

        Args:
            tracks: with the confidence of the faces.
            chosen: with the points to write.
            xy: (T, F, N, 2) their coordinates.
        """
        frames, faces, points = chosen.visible.shape
        known = np.isfinite(xy).all(-1)
        # Adding 0 turns the -0.0 of a rounded -0.0001 into 0.0.
        xy = np.round(np.where(known[..., None], xy, np.nan), DIGITS[self.coordinates]) + 0.0
        cells = xy.transpose(0, 1, 3, 2).reshape(frames, faces, 2 * points)
        columns: list[np.ndarray] = [cells, chosen.visible & known]
        if self.point_confidence:
            columns.append(np.where(known, chosen.confidence, 0))
        values = np.concatenate(columns, axis=-1).tolist()
        confidence = tracks.face_confidence.tolist()
        success = tracks.success.tolist()
        ids = tracks.face_id.tolist()
        time = (np.round(tracks.time, 6) + 0.0).tolist()
        ends = [""] * frames
        if self.clock is not None and self.clock.utc is not None:
            ends = [f",{text}" for text in self.clock.utc_texts(tracks.time)]
        if tracks.image_names is not None:
            images = tracks.image_names.tolist()
            ends = [f"{end},{_quoted(name)}" for end, name in zip(ends, images, strict=True)]
        by_hand = [""] * (frames * faces)
        if tracks.corrected is not None:
            by_hand = [f",{cell}" for cell in corrected_cells(tracks.corrected)]
        for t, frame in enumerate(tracks.frames.tolist()):
            for f in range(faces):
                start = (frame, ids[f], time[t], confidence[t][f], success[t][f])
                row = self._row % (*start, *values[t][f])
                end = f"{by_hand[t * faces + f]}{ends[t]}"
                self._file.write(f"{row.replace('nan', '')}{end}\n")


def csv_columns(points: int, coordinates: str = PIXELS, confidence: bool = False) -> list[str]:
    """Return the names of the columns of `points` points, without time and image."""
    prefix = column_prefix(coordinates)
    places = [f"{prefix}{axis}_{i}" for axis in "xy" for i in range(points)]
    marks = [f"{axis}_{i}" for axis in ("vc" if confidence else "v") for i in range(points)]
    return [*FIXED_COLUMNS, *places, *marks]


def _quoted(name: str) -> str:
    """Return a file name as a cell, in quotes if needed, and never as a formula.

    Bytes that are not UTF-8 are lone surrogates in Python: they are written as \\udcXX.
    """
    name = escape_cell(name)
    if any(letter in name for letter in ',"\r\n'):
        name = '"' + name.replace('"', '""') + '"'
    return name.encode("utf-8", "backslashreplace").decode()


def read_csv(path: Path, size: tuple[int, int] = (0, 0)) -> Tracks:
    """Read a file written by `CsvWriter`, or one of OpenFace with 2-D landmarks.

    Without a confidence per point, known points get that of their face. Unknown points have 0. In
    frames without a row for a face, the face is unknown. Normalised coordinates become pixels. For
    OpenFace's files, see `facetrack.formats.openface.to_csv_columns`.

    Args:
        path: the file.
        size: (width, height) of the frames, which the file does not contain; (0, 0) for that in
            the record beside it, if there is one.

    Raises:
        FacetrackError: the file is missing or malformed, or its coordinates cannot be converted to
            pixels.
    """
    path = Path(path)
    if min(size) < 1 and is_track_record(record := read_json(record_beside(path))):
        size = recorded_size(record)
    names, rows = _read_rows(path)
    columns = _parse_header(names)
    if columns is None and is_openface(names):
        _check_rows(path, names, rows)
        names, rows = to_csv_columns(path, names, rows)
        columns = _parse_header(names)
    if columns is None:
        raise FacetrackError(f"{path} is not a facetrack CSV: its first row is not the header.")
    _check_convertible(path, columns.coordinates, size)
    _check_rows(path, names, rows)
    table = np.empty((len(rows), columns.numbers))
    try:
        for number, row in enumerate(rows):
            table[number] = [float(cell or "nan") for cell in row[: columns.numbers]]
    except ValueError as error:
        raise FacetrackError(f"{path} holds a cell that is not a number ({error}).") from None
    if columns.coordinates == "normalised":
        x = len(FIXED_COLUMNS)
        places = table[:, x : x + 2 * columns.points].reshape(-1, 2, columns.points)
        pixels = from_normalised(places.transpose(0, 2, 1), size).transpose(0, 2, 1)
        table[:, x : x + 2 * columns.points] = pixels.reshape(len(table), -1)
    by_hand = [row[columns.numbers] for row in rows] if columns.is_corrected else None
    images = _images(rows) if columns.has_images else None
    return _tracks(path, table, columns, size, images, by_hand)


class _Columns(NamedTuple):
    """What the header of a file says.

    Attributes:
        points: number of points.
        coordinates: their coordinates.
        has_confidence: True with a confidence per point.
        numbers: number of columns of numbers, which come first.
        is_corrected: True if the next column has the numbers of corrected points.
        has_images: True with names of images.
    """

    points: int
    coordinates: str
    has_confidence: bool
    numbers: int
    is_corrected: bool
    has_images: bool


def _parse_header(names: list[str]) -> _Columns | None:
    has_images = names[-1:] == [IMAGE_COLUMN]
    names = names[: len(names) - has_images]
    if names[-1:] == [UTC_COLUMN]:
        names = names[:-1]
    is_corrected = names[-1:] == [CORRECTED_COLUMN]
    names = names[: len(names) - is_corrected]
    points = sum(name.startswith("v_") for name in names)
    has_confidence = len(names) > len(FIXED_COLUMNS) + 3 * points
    for coordinates in COORDINATES:
        if points and names == csv_columns(points, coordinates, has_confidence):
            return _Columns(
                points, coordinates, has_confidence, len(names), is_corrected, has_images
            )
    return None


def _check_convertible(path: Path, coordinates: str, size: tuple[int, int]) -> None:
    """Refuse coordinates that cannot be converted to pixels.

    Raises:
        FacetrackError: they cannot.
    """
    if coordinates == "normalised" and min(size) < 1:
        raise FacetrackError(
            f"{path} has normalised coordinates, which need the size of the frames: keep its "
            ".json beside it, or track with --coordinates pixels."
        )
    if coordinates not in (PIXELS, "normalised"):
        raise FacetrackError(
            f"{path} has {coordinates} coordinates, from which pixels cannot be computed: use a "
            "table with --coordinates pixels."
        )


def _read_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError:
        raise not_found(path, "file") from None
    except OSError as error:
        raise FacetrackError(f"{path} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, csv.Error):
        raise FacetrackError(f"{path} is not a CSV file.") from None
    if not rows:
        raise FacetrackError(f"{path} is empty.")
    return rows[0], rows[1:]


def _check_rows(path: Path, names: list[str], rows: list[list[str]]) -> None:
    if not rows:
        raise FacetrackError(f"{path} holds no frames.")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(names):
            raise FacetrackError(
                f"{path}: row {number} has {len(row)} cells, the header {len(names)}."
            )


def _images(rows: list[list[str]]) -> list[str]:
    return [unescape_cell(row[-1]) for row in rows]


def _tracks(
    path: Path,
    table: np.ndarray,
    columns: _Columns,
    size: tuple[int, int],
    row_images: list[str] | None,
    row_corrections: list[str] | None,
) -> Tracks:
    """Convert the (rows, columns) float64 table to tracks; empty cells are NaN.

    Args:
        row_images: name of each row's image; None without them.
        row_corrections: numbers of each row's corrected points; None of tracks that nobody has
            corrected.
    """
    points = columns.points
    first_v = len(FIXED_COLUMNS) + 2 * points
    first_c = first_v + points
    integers = np.concatenate([table[:, [0, 1, 4]], table[:, first_v:first_c]], axis=1)
    if (
        not (np.abs(integers) < 2**53).all()
        or (integers != np.round(integers)).any()
        or table[:, 0].min() < 0
    ):
        raise FacetrackError(f"{path}: frame, face_id, success and v must be whole numbers.")
    if not np.isin(integers[:, 2:], (0, 1)).all():
        raise FacetrackError(f"{path}: success and v must be 0 or 1.")
    if not np.isfinite(table[:, 2]).all():
        raise FacetrackError(f"{path}: a row has no timestamp.")
    confidence = np.concatenate([table[:, 3:4], table[:, first_c:]], axis=1)
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise FacetrackError(f"{path}: confidence must lie between 0 and 1.")

    positions = table[:, len(FIXED_COLUMNS) : first_v]
    if np.isinf(positions).any() or (np.abs(positions) > np.finfo(np.float32).max).any():
        raise FacetrackError(f"{path} holds a coordinate that is no position.")
    rows_xy = positions.reshape(-1, 2, points).transpose(0, 2, 1).astype(np.float32)
    known = np.isfinite(rows_xy).all(-1)
    visible = table[:, first_v:first_c] == 1
    if (np.isfinite(rows_xy).any(-1) != known).any():
        raise FacetrackError(f"{path} holds a point with only one of x and y.")
    if (visible & ~known).any():
        raise FacetrackError(f"{path} holds a visible point without a position.")

    frames = table[:, 0].astype(np.int64)
    present = np.unique(frames)
    first, stride = int(present[0]), int((np.diff(present) if len(present) > 1 else [1])[0])
    if (np.diff(present) != stride).any():
        raise FacetrackError(f"{path} skips frames; every frame from first to last needs a row.")
    count = len(present)
    face_id, first_seen, face = np.unique(
        table[:, 1].astype(np.int64), return_index=True, return_inverse=True
    )
    order = np.argsort(first_seen)
    face_id, face = face_id[order], np.argsort(order)[face.reshape(-1)]
    rows = ((frames - first) // stride, face)
    if len(np.unique(rows[0] * len(face_id) + rows[1])) != len(table):
        raise FacetrackError(f"{path} holds a face twice in one frame.")
    time = np.zeros(count)
    time[rows[0]] = table[:, 2]
    if (time[rows[0]] != table[:, 2]).any():
        raise FacetrackError(f"{path} gives one frame two timestamps.")

    shape = (count, len(face_id), points)
    longest = max(map(len, row_images)) if row_images else 0
    needed = max(math.prod(shape) * BYTES_PER_POINT, count * longest * BYTES_PER_LETTER)
    if expands_too_far(needed, path.stat().st_size):
        raise FacetrackError(
            f"{path} has {count} frames, {len(face_id)} faces and names of {longest} letters: as "
            f"tracks they would fill {needed / 2**30:.1f} GiB, far more than a table of this size."
        )

    image_names = None
    if row_images is not None:
        image_names = np.empty(count, object)
        image_names[rows[0]] = row_images
        image_names = image_names.astype(str)
        if (image_names[rows[0]] != np.array(row_images)).any():
            raise FacetrackError(f"{path} gives one frame two images.")

    corrected = None
    if row_corrections is not None:
        corrected = np.zeros(shape, bool)
        for frame, column, cell in zip(*rows, row_corrections, strict=True):
            corrected[frame, column, _point_numbers(path, cell, points)] = True
    tracks = Tracks(
        xy=np.full((*shape, 2), np.nan, np.float32),
        visible=np.zeros(shape, bool),
        confidence=np.zeros(shape, np.float32),
        time=time,
        face_id=face_id,
        scheme=schemes.for_count(points).name,
        size=size,
        first_frame=first,
        stride=stride,
        image_names=image_names,
        corrected=corrected,
    )
    tracks.xy[rows] = rows_xy
    tracks.visible[rows] = visible
    own = table[:, first_c:] if columns.has_confidence else table[:, 3:4]
    tracks.confidence[rows] = np.where(known, own, 0)
    return tracks


def _point_numbers(path: Path, cell: str, points: int) -> list[int]:
    words = cell.split()
    if not all(w.isascii() and w.isdecimal() and len(w) < 6 and int(w) < points for w in words):
        raise FacetrackError(f"{path}: corrected holds numbers of points, not {cell!r}.")
    return [int(word) for word in words]
