"""Assemble the rows of a clip into chunks of tracks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from facetrack.multiface.clip import Row
from facetrack.trackers import StepResult
from facetrack.tracks import Tracks
from facetrack.video.frame import Frame


@dataclass(frozen=True)
class Chunk:
    """Consecutive frames and their tracks, one row per frame.

    Attributes:
        frames: the frames; may be empty if `replayed`.
        tracks: their landmarks.
        replayed: True for a chunk that an interrupted run has already written.
    """

    frames: list[Frame]
    tracks: Tracks
    replayed: bool = False


@dataclass(frozen=True)
class ChunkAssembler:
    """Turns frames and rows into chunks.

    Attributes:
        num_points: N, landmarks per face.
        scheme: name of the landmark layout.
        size: (width, height) of the frames in pixels.
        stride: distance of consecutive frames.
    """

    num_points: int
    scheme: str
    size: tuple[int, int]
    stride: int

    def chunks(self, frames: list[Frame], rows: list[Row], absent_id: int) -> Iterator[Chunk]:
        """Yield a chunk for each run of frames that show the same faces.

        Args:
            rows: the faces of each frame.
            absent_id: see `chunk`.
        """
        begin = 0
        for end in range(1, len(rows) + 1):
            if end == len(rows) or rows[end].keys() != rows[begin].keys():
                yield self.chunk(frames[begin:end], rows[begin:end], absent_id)
                begin = end

    def chunk(self, frames: list[Frame], rows: list[Row], absent_id: int) -> Chunk:
        """Return the chunk of frames that show the same faces.

        Args:
            rows: the faces of each frame.
            absent_id: face_id of the empty row that a frame without a face gets, because each
                frame has a row.
        """
        ids = sorted(rows[0]) or [absent_id]
        unknown = (
            np.full((self.num_points, 2), np.nan, np.float32),
            np.zeros(self.num_points, bool),
            np.zeros(self.num_points, np.float32),
        )
        xy, visible, confidence = (
            np.array([[row.get(i, unknown)[kind] for i in ids] for row in rows])
            for kind in range(3)
        )
        result = StepResult(xy, visible, confidence)
        return Chunk(
            frames, assemble_tracks(frames, result, ids, self.scheme, self.size, self.stride)
        )


def assemble_tracks(
    frames: list[Frame],
    result: StepResult,
    face_ids: list[int],
    scheme: str,
    size: tuple[int, int],
    stride: int,
) -> Tracks:
    """Return the tracks of consecutive frames; those of frames that cannot be read are unknown.

    Args:
        frames: K frames.
        result: arrays (K, F, N, ...) for F faces of N landmarks.
        face_ids: (F,) their ids.
        scheme: name of the landmark layout.
        size: (width, height) of the frames in pixels.
        stride: distance of consecutive frames.
    """
    unread = np.array([frame.problem is not None for frame in frames])
    if unread.any():
        xy, visible, confidence = (values.copy() for values in result)
        xy[unread], visible[unread], confidence[unread] = np.nan, False, 0
        result = StepResult(xy, visible, confidence)
    names = [frame.name for frame in frames if frame.name is not None]
    return Tracks(
        **result._asdict(),
        time=np.array([f.time for f in frames]),
        face_id=np.array(face_ids, np.int64),
        scheme=scheme,
        size=size,
        first_frame=frames[0].index,
        stride=stride,
        image_names=np.array(names) if len(names) == len(frames) else None,
    )
