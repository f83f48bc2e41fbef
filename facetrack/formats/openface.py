"""Write and read OpenFace 2's CSV, for scripts written for its FeatureExtraction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.formats.base import TextWriter
from facetrack.measures.face_measures import POSE, has_measures, points_68
from facetrack.measures.pose import Camera, Poses
from facetrack.tracks import FIXED_COLUMNS, Tracks

Block = tuple[np.ndarray, int]
"""Columns (T, F, C), NaN where unknown, and the number of their decimals."""


class OpenFaceWriter(TextWriter):
    """Write exactly the columns of OpenFace 2's `FeatureExtraction -pose -2Dfp -3Dfp`.

    The columns are `frame, face_id, timestamp, confidence, success, pose_Tx, pose_Ty, pose_Tz,
    pose_Rx, pose_Ry, pose_Rz, x_0, .., y_0, .., X_0, .., Y_0, .., Z_0, ..`, separated by ", " in
    the header too. Frames are 1-based. The timestamp has three decimals, confidence two, all
    coordinates one, angles of the head three (radians); success is 1 or 0. x and y are OpenCV
    pixels in both programs: 0 is the centre of the top-left pixel. The position of the head and X,
    Y, Z are mm in the camera's axes; see `facetrack.measures.head.places_in_camera`. OpenFace has
    no empty cells: an unknown point or pose is written as zeros. Such a row has success 0, so a
    filter on success 1, as OpenFace recommends, removes it. Layouts without the 68 points have no
    pose: their columns are those of `-2Dfp`.

    Poses are estimated from the whole video, so its tracks are kept until the end.
    """

    def _begin(self, tracks: Tracks) -> None:
        points = tracks.xy.shape[2]
        self._has_pose = has_measures(tracks.scheme)
        self._kept: list[Tracks] = []
        names = [*FIXED_COLUMNS, *(POSE if self._has_pose else ())]
        axes = "xyXYZ" if self._has_pose else "xy"
        names += [f"{axis}_{i}" for axis in axes for i in range(points)]
        self._file.write(", ".join(names) + "\n")

    def _append(self, tracks: Tracks) -> None:
        if self._has_pose:
            self._kept.append(tracks)
        else:
            self._write_rows(tracks, [_points_block(tracks.xy)])

    def _end(self) -> None:
        if not self._has_pose:
            return
        ids = list(dict.fromkeys(int(i) for part in self._kept for i in part.face_id))
        camera, heads = _heads(Tracks.concatenate(self._kept), self.focal)
        start = 0
        for part in self._kept:
            rows = slice(start, start + len(part))
            faces = [ids.index(int(face)) for face in part.face_id]
            self._write_rows(part, _blocks(part, camera, [_rows(heads[f], rows) for f in faces]))
            start = rows.stop

    def _write_rows(self, tracks: Tracks, blocks: list[Block]) -> None:
        known = np.stack([np.isfinite(values).all(-1) for values, _ in blocks]).all(0)
        success = (tracks.success & known).tolist()
        # Adding 0 turns -0.0 into 0.0.
        cells = [np.round(np.nan_to_num(values), digits) + 0.0 for values, digits in blocks]
        rows = np.concatenate(cells, axis=-1).tolist()
        row = "%d, %d, %.3f, %.2f, %d"
        row += "".join(f", %.{digits}f" * values.shape[-1] for values, digits in blocks) + "\n"
        confidence = tracks.face_confidence.tolist()
        ids = tracks.face_id.tolist()
        time = (np.round(tracks.time, 3) + 0.0).tolist()
        for t, index in enumerate(tracks.frames.tolist()):
            for f, face in enumerate(ids):
                start = (index + 1, face, time[t], confidence[t][f], success[t][f])
                self._file.write(row % (*start, *rows[t][f]))


def _blocks(tracks: Tracks, camera: Camera, heads: Sequence[Poses]) -> list[Block]:
    """Return the columns of poses, points and 3-D points of the faces of tracks."""
    from facetrack.measures.head import places_in_camera

    places = [
        places_in_camera(tracks.xy[:, face], poses, camera, tracks.scheme)
        for face, poses in enumerate(heads)
    ]
    return [
        (np.stack([poses.translation for poses in heads], axis=1), 1),
        (np.stack([poses.angles for poses in heads], axis=1), 3),
        _points_block(tracks.xy),
        _points_block(np.stack(places, axis=1)),
    ]


def _points_block(points: np.ndarray) -> Block:
    """Return columns of points (T, F, N, 2 or 3), with all x first, then all y, then all z."""
    return np.swapaxes(points, 2, 3).reshape(*points.shape[:2], -1).astype(np.float64), 1


def _heads(tracks: Tracks, focal: float | None) -> tuple[Camera, list[Poses]]:
    """Return the camera of a video, and the poses of each face."""
    from facetrack.measures import face_model
    from facetrack.measures.head import choose_camera, track_head

    xy, seen = points_68(tracks)
    model = face_model.load()
    if min(tracks.size) < 1:
        unknown = np.full((len(xy), 12), np.nan)
        poses = Poses(unknown[:, :9].reshape(-1, 3, 3), unknown[:, 9:], unknown[:, :6], model.mean)
        return Camera(1.0, (0.0, 0.0)), [poses] * xy.shape[1]
    camera = choose_camera(xy, seen, tracks.size, focal, model)
    faces = range(xy.shape[1])
    return camera, [track_head(xy[:, face], seen[:, face], camera, model) for face in faces]


def _rows(poses: Poses, rows: slice) -> Poses:
    return replace(
        poses,
        rotation=poses.rotation[rows],
        translation=poses.translation[rows],
        spread=poses.spread[rows],
    )


def is_openface(names: Sequence[str]) -> bool:
    """Return True if the header of a table is that of OpenFace, with blanks after the commas."""
    first, *others = FIXED_COLUMNS
    return list(names[: len(FIXED_COLUMNS)]) == [first, *(f" {name}" for name in others)]


def to_csv_columns(
    path: Path, names: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of an OpenFace table in the columns of facetrack's CSV.

    Frames then count from 0, and points written as zeros are unknown. OpenFace does not say which
    points are hidden: the known ones of rows with success 1 are visible. All other columns, such as
    those of the pose, are left out.

    Args:
        path: of the file, for messages.
        names: the header, of N cells.
        rows: of N cells each.

    Raises:
        FacetrackError: the table has no 2-D landmarks, or a frame is not a number.
    """
    column = {name.strip(): index for index, name in enumerate(names)}
    points = sum(name.startswith("x_") for name in column)
    places = [f"{axis}_{i}" for axis in "xy" for i in range(points)]
    if not points or not column.keys() >= set(places):
        raise FacetrackError(f"{path} has no 2-D landmarks: write it with OpenFace's -2Dfp.")
    chosen = [column[name] for name in (*FIXED_COLUMNS, *places)]
    found = []
    for row in rows:
        cells = [row[index].strip() for index in chosen]
        try:
            is_success = float(cells[4]) == 1
            cells[0] = str(int(cells[0]) - 1)
            values = [float(cell) for cell in cells[5:]]
        except ValueError as error:
            raise FacetrackError(f"{path} holds a cell that is not a number ({error}).") from None
        known = [x != 0 or y != 0 for x, y in zip(values[:points], values[points:], strict=True)]
        xy = [cell if is_known else "" for cell, is_known in zip(cells[5:], known * 2, strict=True)]
        seen = [str(int(is_known and is_success)) for is_known in known]
        found.append([*cells[:5], *xy, *seen])
    return [*FIXED_COLUMNS, *places, *(f"v_{i}" for i in range(points))], found
