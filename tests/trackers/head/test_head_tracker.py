"""The head places the hidden points of a tracker, of each group and face by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from facetrack.measures import face_model, rotations
from facetrack.trackers.base import PointTracker, StepResult
from facetrack.trackers.head.tracker import HeadTracker

FRAME = np.zeros((480, 640, 3), np.uint8)
HIDDEN = np.isin(np.arange(68), [*range(8), 17, 18, 36, 41])


def face(yaw: float) -> np.ndarray:
    turn = rotations.from_angles(np.radians([0, yaw, 0]))
    return np.asarray(1.5 * (face_model.load().mean @ turn.T)[:, :2] + (320, 240))


class Stuck(PointTracker):
    """Turns by 4 degrees a frame, and leaves the far side, which it calls hidden, where it was."""

    name = "stuck"

    def start(self, frame: np.ndarray, points: np.ndarray) -> Any:
        return {"first": points, "frame": 0}

    def step(self, state: Any, frames: np.ndarray) -> StepResult:
        first = state["first"]
        xy = []
        for _ in frames:
            state["frame"] += 1
            now = np.broadcast_to(face(4 * state["frame"]), first.shape)
            xy.append(np.where(HIDDEN[:, None], first, now))
        places = np.array(xy, np.float32)
        confidence = np.broadcast_to(np.where(HIDDEN, 0.1, 0.9), places.shape[:-1])
        return StepResult(places, confidence > 0.5, confidence.astype(np.float32))

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}


def test_hidden_points_follow_and_the_rest_is_untouched() -> None:
    frames = np.repeat(FRAME[None], 10, 0)
    inner, tracker = Stuck(), HeadTracker(Stuck())
    raw = inner.step(inner.start(FRAME, face(0)), frames)
    placed = tracker.step(tracker.start(FRAME, face(0)), frames)
    np.testing.assert_array_equal(placed.confidence, raw.confidence)
    np.testing.assert_array_equal(placed.visible, raw.visible)
    np.testing.assert_allclose(placed.xy[:, ~HIDDEN], raw.xy[:, ~HIDDEN], atol=1e-3)
    truth = face(40)
    was, now = (np.linalg.norm(r.xy[-1] - truth, axis=-1)[HIDDEN].mean() for r in (raw, placed))
    assert now < 0.4 * was


def test_groups_and_faces_are_placed_one_by_one() -> None:
    frames = np.repeat(FRAME[None], 6, 0)
    tracker = HeadTracker(Stuck())
    single = tracker.step(tracker.start(FRAME, face(0)), frames).xy
    both = tracker.step(tracker.start(FRAME, np.stack([face(0), face(0)])), frames).xy
    np.testing.assert_array_equal(both, np.stack([single, single], 1))
    states = [tracker.start(FRAME, face(0)) for _ in range(2)]
    for result in tracker.step_many(states, frames):
        np.testing.assert_array_equal(result.xy, single)


def test_other_layouts_and_unknown_points_are_left_alone() -> None:
    frames = np.repeat(FRAME[None], 2, 0)
    tracker = HeadTracker(Stuck())
    assert tracker.start(FRAME, np.zeros((5, 2))).heads == []
    unknown = face(0)
    unknown[3] = np.nan
    state = tracker.start(FRAME, unknown)
    assert state.heads == []
    assert np.isnan(tracker.step(state, frames).xy[:, 3]).all()


def test_the_record_names_the_head() -> None:
    described = HeadTracker(Stuck()).describe()
    assert described["name"] == "stuck"
    assert described["head"]["weights"] == "shape3d-s"
    assert described["head"]["noncommercial"]
