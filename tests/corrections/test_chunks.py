"""Corrected tracks, in chunks for the writers."""

from __future__ import annotations

import numpy as np
import pytest
from known_points import tracks_at

from facetrack.corrections.chunks import CHUNK_ROWS, corrected_chunks
from facetrack.pipeline.chunking import CHUNK_FRAMES
from facetrack.tracks import Tracks
from facetrack.video.frame import Frame

ROWS = 150


def tracks_of(*present: range) -> Tracks:
    """Tracks of a face per argument, in these rows."""
    xy = np.full((ROWS, len(present), 3, 2), np.nan, np.float32)
    for face, rows in enumerate(present):
        xy[rows, face] = face + 0.5
    known = np.isfinite(xy).all(-1)
    return tracks_at(
        xy,
        "points-3",
        (64, 48),
        face_id=7 + np.arange(len(present)),
        first_frame=100,
        stride=2,
        corrected=known & (np.arange(ROWS) % 10 == 0)[:, None, None],
    )


def parts(tracks: Tracks, **options: object) -> list[tuple[int, int, list[int]]]:
    """First frame, number of rows and faces of each chunk."""
    chunks = [chunk.tracks for chunk in corrected_chunks(tracks, **options)]
    return [(part.first_frame, len(part), part.face_id.tolist()) for part in chunks]


def test_each_chunk_has_the_faces_of_its_frames() -> None:
    found = parts(tracks_of(range(100), range(20, 50)))
    assert found == [
        (100, 20, [7]),
        (140, 30, [7, 8]),
        (200, 50, [7]),
        (300, 50, [7]),  # nobody: the face that was shown last, without points
    ]


def test_rows_without_a_face_before_the_first_one() -> None:
    found = parts(tracks_of(range(10, ROWS), range(0)))
    assert found[0] == (100, 10, [7])
    assert parts(tracks_of(range(0), range(10)))[1] == (120, 64, [8]), "who was shown last"


def test_chunks_are_short() -> None:
    assert [count for _, count, _ in parts(tracks_of(range(ROWS)))] == [64, 64, 22]
    assert CHUNK_ROWS == 64


@pytest.mark.parametrize("start", [0, 30, 149, 150])
def test_together_they_are_the_tracks(start: int) -> None:
    tracks = tracks_of(range(100), range(20, 50))
    seen = []
    for chunk in corrected_chunks(tracks, start=start):
        part = chunk.tracks
        for k, frame in enumerate(part.frames.tolist()):
            row = (frame - 100) // 2
            seen.append(row)
            assert part.time[k] == tracks.time[row]
            for column, face in enumerate(part.face_id.tolist()):
                for name in ("xy", "visible", "confidence", "corrected"):
                    value = getattr(tracks, name)[row, face - 7]
                    np.testing.assert_array_equal(getattr(part, name)[k, column], value)
    assert seen == list(range(start, ROWS))


def test_with_an_overlay_each_chunk_has_its_frames() -> None:
    tracks = tracks_of(range(100), range(20, 50))
    frames = (Frame(int(index), 0.0, np.zeros((2, 2, 3), np.uint8)) for index in tracks.frames)
    chunks = list(corrected_chunks(tracks, frames))
    assert all(len(chunk.frames) == len(chunk.tracks) <= CHUNK_FRAMES for chunk in chunks)
    numbers = [frame.index for chunk in chunks for frame in chunk.frames]
    assert numbers == tracks.frames.tolist()
