"""Tracks, compared with tracking in the other direction."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from known_points import tracks_at

from facetrack.corrections.directions import BLOCK_ROWS, measure_disagreement
from facetrack.trackers import StepResult
from facetrack.tracks import Tracks
from facetrack.video.frame import Frame

SHAPE = np.array([(0.0, 0), (40, 0), (40, 40), (0, 40), (20, 20)])
ROWS = 60


def truth(row: int) -> np.ndarray:
    return SHAPE + (2.0 * row, 30)


def tracks_of(rows: int = ROWS, faces: int = 1) -> Tracks:
    xy = np.stack([truth(row) for row in range(rows)])
    return tracks_at(np.repeat(xy[:, None], faces, 1), "points-5", (640, 480))


class Video:
    """Frames that are their numbers."""

    def run(self, index: int, direction: int) -> Iterator[Frame]:
        assert direction == -1
        for row in range(index, -1, -1):
            yield Frame(row, row / 25, np.full((1, 1, 3), row, np.int32))


class Tracker:
    """Goes with the true points, as far off as it began."""

    def __init__(self) -> None:
        self.started: list[int] = []

    def start(self, frame: np.ndarray, points: np.ndarray) -> np.ndarray:
        self.started.append(int(frame[0, 0, 0]))
        return points - truth(int(frame[0, 0, 0]))

    def step(self, state: np.ndarray, frames: np.ndarray) -> StepResult:
        rows = frames[:, 0, 0, 0].tolist()
        xy = np.stack([truth(row) + state for row in rows]).astype(np.float32)
        seen = np.ones(xy.shape[:2], bool)
        return StepResult(xy, seen, seen.astype(np.float32))


def measure(tracks: Tracks, events=()) -> tuple[np.ndarray, list[tuple[int, int]], list[int]]:
    tracker, dones = Tracker(), []
    for done, total, found in measure_disagreement(tracks, events, Video(), tracker):
        dones.append((done, total))
        result = found
    return result, dones, tracker.started


def test_both_directions_agree_on_tracks_that_are_right() -> None:
    found, dones, started = measure(tracks_of())
    np.testing.assert_allclose(found, 0, atol=1e-6)
    assert started == [ROWS - 1]
    assert dones[-1] == (ROWS, ROWS)
    assert [done for done, _ in dones] == sorted(done for done, _ in dones)


def test_a_point_that_left_its_place_disagrees_from_there_back() -> None:
    """In sizes of the face: 8 px of 40."""
    tracks = tracks_of()
    tracks.xy[30:, 0, 4, 1] += 8
    found, _, _ = measure(tracks)
    np.testing.assert_allclose(found[:30, 0, 4], 0.2, rtol=1e-5)
    np.testing.assert_allclose(found[30:], 0, atol=1e-6)
    np.testing.assert_allclose(found[:, :, :4], 0, atol=1e-6)


def test_each_track_and_shot_is_measured_by_itself() -> None:
    tracks = tracks_of(faces=2)
    tracks.xy[20:25, 0] = np.nan
    tracks.visible[20:25, 0] = False
    tracks.xy[50, 1, 3] = np.nan  # not all of its points
    events = [{"frame": 40, "face_id": None, "reason": "cut"}]
    found, dones, started = measure(tracks, events)
    assert sorted(started) == [19, 39, 39, 49, 59, 59]
    assert np.isnan(found[20:25, 0]).all()
    assert np.isnan(found[50, 1]).all()
    assert np.isfinite(np.delete(found[:, 0], range(20, 25), 0)).all()
    assert dones[-1] == (2 * ROWS - 6, 2 * ROWS - 6)


def test_long_tracks_are_measured_in_blocks() -> None:
    found, dones, started = measure(tracks_of(2 * BLOCK_ROWS + 10))
    assert started == [BLOCK_ROWS - 1, 2 * BLOCK_ROWS - 1, 2 * BLOCK_ROWS + 9]
    assert np.isfinite(found).all()
    assert dones[-1][0] == dones[-1][1] == 2 * BLOCK_ROWS + 10
