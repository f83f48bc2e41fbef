"""Cut corrected tracks into chunks for the writers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from facetrack.pipeline.assembly import Chunk
from facetrack.pipeline.chunking import CHUNK_FRAMES
from facetrack.tracks import Tracks
from facetrack.video.frame import Frame

CHUNK_ROWS = 64
"""Rows of a chunk without frames."""


def corrected_chunks(
    tracks: Tracks, frames: Iterator[Frame] | None = None, start: int = 0
) -> Iterator[Chunk]:
    """Yield the chunks of corrected tracks; each has the faces that its frames show.

    Args:
        tracks: of the whole run.
        frames: its frames in order, from row `start` on, for an overlay; None without one.
        start: the first row to yield.
    """
    rows = CHUNK_ROWS if frames is None else CHUNK_FRAMES
    present = np.isfinite(tracks.xy).all(-1).any(-1)
    shown = 0
    while start < len(tracks):
        stop = start + 1
        while stop < min(len(tracks), start + rows) and (present[stop] == present[start]).all():
            stop += 1
        columns = np.flatnonzero(present[start]).tolist() or [shown]
        shown = columns[-1]
        part = _rows(tracks, start, stop).with_faces([int(tracks.face_id[c]) for c in columns])
        images = [] if frames is None else [next(frames) for _ in range(start, stop)]
        yield Chunk(images, part)
        start = stop


def _rows(tracks: Tracks, start: int, stop: int) -> Tracks:
    part = slice(start, stop)
    return replace(
        tracks,
        xy=tracks.xy[part],
        visible=tracks.visible[part],
        confidence=tracks.confidence[part],
        time=tracks.time[part],
        first_frame=int(tracks.frames[start]),
        image_names=None if tracks.image_names is None else tracks.image_names[part],
        corrected=None if tracks.corrected is None else tracks.corrected[part],
    )
