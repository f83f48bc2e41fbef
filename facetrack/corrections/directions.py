"""Compare tracks with tracking in the other direction (cycle consistency).

A tracker that follows a point is where it began after going there and back. Where it loses the
point, the two directions part.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from facetrack.corrections.frames import FrameStore
from facetrack.corrections.resolve import segment_of, split_rows
from facetrack.corrections.runs import STEP_FRAMES
from facetrack.landmarks.geometry import face_size
from facetrack.trackers import PointTracker
from facetrack.tracks import Tracks

BLOCK_ROWS = 250
"""Rows that are tracked backwards from one start: ten seconds, in which a good tracker hardly
drifts."""


def measure_disagreement(
    tracks: Tracks, events: Iterable[Mapping[str, Any]], frames: FrameStore, tracker: PointTracker
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Track backwards, and yield what is known of the disagreement so far.

    Args:
        tracks: the tracks.
        events: of the run's record.
        frames: reads the video.
        tracker: carries the points.

    Yields:
        Rows done, rows in all, and (T, F, N) float32 distances in sizes of the face, NaN where they
        are not known. The array is the same every time, and grows.
    """
    known = np.isfinite(tracks.xy).all((-1, -2))
    splits = split_rows(tracks, events)
    result = np.full(tracks.visible.shape, np.nan, np.float32)
    blocks = [
        (column, first, last)
        for column, face in enumerate(tracks.face_id.tolist())
        for first, last in _blocks(known[:, column], splits[face])
    ]
    total = sum(last - first + 1 for _, first, last in blocks)
    done = 0
    for column, first, last in blocks:
        size = face_size(tracks.xy[last, column])
        source = frames.run(int(tracks.frames[last]), -1)
        row, state = last, None
        while row >= first:
            batch = list(itertools.islice(source, min(STEP_FRAMES, row - first + 1)))
            if not batch:
                break
            if state is None:
                state = tracker.start(batch[0].image, tracks.xy[last, column])
            back = tracker.step(state, np.stack([frame.image for frame in batch])).xy
            rows = np.arange(row, row - len(batch), -1)
            distance = np.linalg.norm(back - tracks.xy[rows, column], axis=-1)
            result[rows, column] = distance / size
            row -= len(batch)
            done += len(batch)
            yield done, total, result


def _blocks(known: np.ndarray, splits: set[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last rows of blocks that have a face."""
    row = 0
    while row < len(known):
        first, last = segment_of(known, splits, row)
        if known[row]:
            for start in range(first, last + 1, BLOCK_ROWS):
                yield start, min(start + BLOCK_ROWS - 1, last)
        row = last + 1
