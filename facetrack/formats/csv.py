"""Write and read facetrack's CSV, the default format: one row per frame and face."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.formats.base import TextWriter
from facetrack.landmarks import schemes
from facetrack.tables import escape_cell, unescape_cell
from facetrack.tracks import FIXED_COLUMNS, IMAGE_COLUMN, Tracks, column_names


class CsvWriter(TextWriter):
    """Write the columns `frame,face_id,timestamp,confidence,success,x_0..,y_0..,v_0..[,image]`.

    - frame: 0-based index in the decoded video.
    - timestamp: seconds, six decimals. With three decimals, times at 24000/1001 frames/s would be
      wrong by up to half a millisecond, in addition to the container's own error. A microsecond is
      finer than the 90 kHz clock of video containers, so a time identifies a frame.
    - confidence: mean over the face's known points, three decimals.
    - success: 1 if at least a quarter of the face's points are visible, else 0.
    - x, y: pixels from the centre of the top-left pixel, three decimals; empty where unknown.
    - v: 1 if the point is visible; 0 if it is hidden, outside the frame or unknown.
    - image: file name of the row's image; only for a series of images.
    """

    def _begin(self, tracks: Tracks) -> None:
        points = tracks.xy.shape[2]
        image = [] if tracks.image_names is None else [IMAGE_COLUMN]
        self._file.write(",".join([*column_names(points), *image]) + "\n")
        # One format string for a whole row: formatting each cell takes several times as long.
        self._row = "%d,%d,%.6f,%.3f,%d" + ",%.3f" * (2 * points) + ",%d" * points

    def _append(self, tracks: Tracks) -> None:
        frames, faces, points = tracks.visible.shape
        # Adding 0 turns the -0.0 of a rounded -0.0001 into 0.0.
        xy = np.round(tracks.xy.astype(np.float64), 3) + 0.0
        cells = xy.transpose(0, 1, 3, 2).reshape(frames, faces, 2 * points).tolist()
        visible = tracks.visible.tolist()
        confidence = tracks.face_confidence.tolist()
        success = tracks.success.tolist()
        ids = tracks.face_id.tolist()
        time = (np.round(tracks.time, 6) + 0.0).tolist()
        ends = ["\n"] * frames
        if tracks.image_names is not None:
            ends = [f",{_quoted(name)}\n" for name in tracks.image_names.tolist()]
        for t, frame in enumerate(tracks.frames.tolist()):
            for f in range(faces):
                start = (frame, ids[f], time[t], confidence[t][f], success[t][f])
                row = self._row % (*start, *cells[t][f], *visible[t][f])
                self._file.write(row.replace("nan", "") + ends[t])


def _quoted(name: str) -> str:
    """Return a file name as a cell, in quotes if needed, and never as a formula.

    Bytes that are not UTF-8 are lone surrogates in Python: they are written as \\udcXX.
    """
    name = escape_cell(name)
    if any(letter in name for letter in ',"\r\n'):
        name = '"' + name.replace('"', '""') + '"'
    return name.encode("utf-8", "backslashreplace").decode()


def read_csv(path: Path, size: tuple[int, int] = (0, 0)) -> Tracks:
    """Read a file written by `CsvWriter`.

    The file has one confidence per face: known points get that of their face, unknown points 0. In
    frames without a row for a face, the face is unknown.

    Args:
        path: the file.
        size: (width, height) of the frames, which the file does not contain.

    Raises:
        FacetrackError: the file is missing or malformed.
    """
    path = Path(path)
    names, rows = _read_rows(path)
    has_images = names[-1:] == [IMAGE_COLUMN]
    num_numbers = len(names) - has_images
    points = (num_numbers - len(FIXED_COLUMNS)) // 3
    if points < 1 or names[:num_numbers] != column_names(points):
        raise FacetrackError(f"{path} is not a facetrack CSV: its first row is not the header.")
    if not rows:
        raise FacetrackError(f"{path} holds no frames.")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(names):
            raise FacetrackError(
                f"{path}: row {number} has {len(row)} cells, the header {len(names)}."
            )
    cells = np.array([row[:num_numbers] for row in rows])
    try:
        table = np.where(cells == "", "nan", cells).astype(np.float64)
    except ValueError as error:
        raise FacetrackError(f"{path} holds a cell that is not a number ({error}).") from None
    return _tracks(path, table, points, size, _images(rows) if has_images else None)


def _read_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError:
        raise FacetrackError(f"There is no file {path}; check the path.") from None
    except OSError as error:
        raise FacetrackError(f"{path} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, csv.Error):
        raise FacetrackError(f"{path} is not a CSV file.") from None
    if not rows:
        raise FacetrackError(f"{path} is empty.")
    return rows[0], rows[1:]


def _images(rows: list[list[str]]) -> list[str]:
    return [unescape_cell(row[-1]) for row in rows]


def _tracks(
    path: Path,
    table: np.ndarray,
    points: int,
    size: tuple[int, int],
    row_images: list[str] | None,
) -> Tracks:
    """Convert the (rows, columns) float64 table to tracks; empty cells are NaN.

    Args:
        row_images: name of each row's image; None without them.
    """
    first_v = len(FIXED_COLUMNS) + 2 * points
    integers = np.concatenate([table[:, [0, 1, 4]], table[:, first_v:]], axis=1)
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
    if not ((table[:, 3] >= 0) & (table[:, 3] <= 1)).all():
        raise FacetrackError(f"{path}: confidence must lie between 0 and 1.")

    positions = table[:, len(FIXED_COLUMNS) : first_v]
    if np.isinf(positions).any() or (np.abs(positions) > np.finfo(np.float32).max).any():
        raise FacetrackError(f"{path} holds a coordinate that is no position.")
    rows_xy = positions.reshape(-1, 2, points).transpose(0, 2, 1).astype(np.float32)
    known = np.isfinite(rows_xy).all(-1)
    visible = table[:, first_v:] == 1
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

    image_names = None
    if row_images is not None:
        image_names = np.empty(count, object)
        image_names[rows[0]] = row_images
        image_names = image_names.astype(str)
        if (image_names[rows[0]] != np.array(row_images)).any():
            raise FacetrackError(f"{path} gives one frame two images.")

    shape = (count, len(face_id), points)
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
    )
    tracks.xy[rows] = rows_xy
    tracks.visible[rows] = visible
    tracks.confidence[rows] = np.where(known, table[:, 3:4], 0)
    return tracks
