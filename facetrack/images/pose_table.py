"""Write the head poses of pictures and videos: a table of all inputs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from facetrack.measures.face_measures import POSE
from facetrack.measures.files import DIGITS_OF_POSE
from facetrack.tables import TableWriter

if TYPE_CHECKING:
    from facetrack.images.poses import HeadPoses

TABLE, RECORD = "pose.csv", "pose.json"
POSE_COLUMNS = ("input", "frame", "face_id", "timestamp", *POSE, "pose_valid")
"""The columns of `facetrack measure`, after the input."""


def write_poses(table: TableWriter, name: str, poses: HeadPoses) -> None:
    """Write a row for each face and frame of an input.

    - A frame without a face has one row without `face_id`.
    - A picture has no `frame` and no `timestamp`.
    - A pose that is not known is six empty cells, and its `pose_valid` is 0.

    Args:
        table: of POSE_COLUMNS.
        name: of the input.
        poses: its poses.
    """
    numbers = np.concatenate([poses.translation, poses.angles], axis=1)
    for row, values in enumerate(numbers.tolist()):
        known = all(map(math.isfinite, values))
        cells = [
            f"{round(value, digits) + 0.0:.{digits}f}" if known else ""
            for value, digits in zip(values, DIGITS_OF_POSE, strict=True)
        ]
        face, time = int(poses.face_id[row]), float(poses.time[row])
        is_video = math.isfinite(time)
        table.writerow(
            [
                name,
                str(int(poses.frame[row])) if is_video else "",
                str(face) if face >= 0 else "",
                f"{round(time, 6) + 0.0:.6f}" if is_video else "",
                *cells,
                str(int(known)),
            ]
        )


def write_unreadable(table: TableWriter, name: str) -> None:
    """Write the row of an input that cannot be read: its name only."""
    table.writerow([name, *[""] * (len(POSE_COLUMNS) - 2), "0"])
