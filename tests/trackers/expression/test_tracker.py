"""The expression tracker queries its networks and applies their corrections."""

from __future__ import annotations

import numpy as np
import pytest

from facetrack.trackers.base import PointTracker, StepResult
from facetrack.trackers.expression.corrector import (
    MAX_QUERY_DISTANCE,
    QUERY_VIEWS,
    ExpressionCorrector,
    PartLandmarks,
)
from facetrack.trackers.expression.face_parts import FACE_PARTS, QueryFace, frame_to_patch
from facetrack.trackers.expression.part_filter import FilterState
from facetrack.trackers.expression.tracker import ExpressionTracker

FRAME = np.zeros((400, 400, 3), np.uint8)
LIPS = FACE_PARTS[2].points
OTHERS = np.setdiff1d(np.arange(68), np.concatenate([part.points for part in FACE_PARTS]))


def _face() -> np.ndarray:
    """Return 68 points with 60 px between the outer eye corners."""
    face = np.random.default_rng(3).uniform(-20, 20, (68, 2)) + 200
    for corner, place in ((36, (170, 180)), (39, (190, 180)), (42, (210, 180)), (45, (230, 180))):
        face[corner] = place
    face[48], face[54] = (180, 240), (220, 240)
    return face


class Still(PointTracker):
    """A tracker whose points move by `motion(xy, t)`."""

    name, window, sure = "still", None, np.float32(1)

    def __init__(self) -> None:
        self.motion = lambda xy, t: xy

    def start(self, frame, points):
        return {"points": np.asarray(points, float), "t": 0}

    def step(self, state, frames):
        xy = np.array([self.motion(state["points"], state["t"] + k) for k in range(len(frames))])
        state["t"] += len(frames)
        sure = np.full(xy.shape[:-1], self.sure, np.float32)
        return StepResult(np.float32(xy), sure > 0.5, sure)

    def describe(self):
        return {"name": self.name}


class Following:
    """A filter that always returns the detected positions and a constant visibility logit."""

    logit = 2.0

    def initial_state(self, observation):
        return FilterState(
            observation.tracked[..., 0],
            observation.tracked,
            observation.tracked,
            observation.detected,
        )

    def __call__(self, reference, observation, state):
        return observation.detected, observation.spread * 0 + self.logit, state


class Network:
    """Detects the points `first` in the query frame, and `later` in all other frames."""

    def __init__(self) -> None:
        self.first, self.later, self.calls = _face(), _face(), 0
        self.filters = {"eye": Following(), "mouth": Following()}
        self.placed = _face()

    def detect(self, patches):
        detections = []
        query = QueryFace(self.placed)
        for i, _ in enumerate(patches):
            if self.calls < len(QUERY_VIEWS):
                pose = ExpressionCorrector.query_poses(self.placed)[self.calls % len(QUERY_VIEWS)]
                points = self.first
            else:
                pose, points = query.estimate_pose(query.points), self.later
            self.calls += 1
            xy = points @ np.array([1, 1j])
            detections.append(
                [
                    PartLandmarks(
                        frame_to_patch(p, pose, xy[part.points]),
                        np.full(part.layout.num_points, 0.01),
                    )
                    for p, part in enumerate(FACE_PARTS)
                ]
            )
            assert len(patches[i]) == len(FACE_PARTS)
        return detections

    def describe(self):
        return {"name": "network"}


def _run(tracker, network, frames=8, points=None):
    with_network = ExpressionTracker(tracker, network)
    state = with_network.start(FRAME, _face() if points is None else points)
    return with_network.step(state, np.repeat(FRAME[None], frames, 0))


def _smiling(amount=8.0):
    face = _face()
    face[LIPS] -= (0, amount)
    return face


def test_detected_parts_are_followed_and_other_points_stay():
    network = Network()
    network.later = _smiling()
    result = _run(Still(), network)
    np.testing.assert_allclose(result.xy, [_smiling()] * 8, atol=1e-3)
    np.testing.assert_allclose(result.xy[:, OTHERS], [_face()[OTHERS]] * 8, atol=1e-5)
    assert network.calls == len(QUERY_VIEWS) + 8  # every frame


def test_a_constant_offset_of_the_network_is_ignored():
    network = Network()
    network.first = network.later = _face() + (1.5, 0)
    np.testing.assert_allclose(_run(Still(), network).xy, [_face()] * 8, atol=1e-3)


def test_a_part_detected_elsewhere_in_the_query_frame_is_not_corrected():
    network = Network()
    network.first = _face()
    network.first[LIPS] += (1.2 * MAX_QUERY_DISTANCE * 60, 0)
    network.later = _smiling()
    network.later[FACE_PARTS[0].points] += (0, 2)
    xy = _run(Still(), network).xy
    np.testing.assert_allclose(xy[:, LIPS], [_face()[LIPS]] * 8, atol=1e-5)
    np.testing.assert_allclose(
        xy[:, FACE_PARTS[0].points], [_face()[FACE_PARTS[0].points] + (0, 2)] * 8, atol=1e-3
    )


def test_a_face_without_confirmed_parts_is_not_queried_again():
    network = Network()
    network.first = _face() + (1.2 * MAX_QUERY_DISTANCE * 60, 0)
    np.testing.assert_allclose(_run(Still(), network).xy, [_face()] * 8, atol=1e-5)
    assert network.calls == len(QUERY_VIEWS)


@pytest.mark.parametrize("logit", [2.0, -2.0])
def test_the_filters_logits_decide_visibility(logit):
    network = Network()
    for filtering in network.filters.values():
        filtering.logit = logit
    result = _run(Still(), network)
    np.testing.assert_allclose(result.confidence[:, LIPS], 1 / (1 + np.exp(-logit)), atol=1e-5)
    assert (result.visible[:, LIPS] == (logit > 0)).all()
    assert result.visible[:, OTHERS].all()


def test_no_part_of_a_lost_face_is_visible():
    tracker = Still()
    tracker.sure = np.float32(0.1)
    result = _run(tracker, Network())
    assert not result.visible.any()
    np.testing.assert_allclose(result.confidence, 0.1, atol=1e-6)


def test_a_part_that_the_tracker_does_not_recognise_is_visible_with_its_face():
    tracker = Still()
    tracker.sure = np.where(np.isin(np.arange(68), LIPS), 0.1, 1).astype(np.float32)
    assert _run(tracker, Network()).visible.all()


def test_points_outside_the_frame_are_not_visible():
    network = Network()
    network.later = _face()
    network.later[LIPS] += (0, 400)
    assert not _run(Still(), network).visible[:, LIPS].any()


@pytest.mark.parametrize("shape", [(98, 2), (2, 5, 2)])
def test_points_that_are_not_68_landmarks_are_not_corrected(shape):
    network = Network()
    with_network = ExpressionTracker(Still(), network)
    state = with_network.start(FRAME, np.zeros(shape))
    assert state.correctors == []
    assert with_network.step(state, FRAME[None]).xy.shape == (1, *shape)
    assert network.calls == 0


def test_frames_without_points_are_not_queried():
    tracker, network = Still(), Network()
    tracker.motion = lambda xy, t: np.full_like(xy, np.nan) if t % 2 else xy
    network.later = _smiling()
    result = _run(tracker, network)
    assert np.isnan(result.xy[1::2]).all()
    np.testing.assert_allclose(result.xy[::2], [_smiling()] * 4, atol=1e-3)
    assert network.calls == len(QUERY_VIEWS) + 4


def test_the_trackers_warnings_are_passed_on():
    tracker, network = Still(), Network()
    assert ExpressionTracker(tracker, network).take_warnings() == []
    tracker.take_warnings = lambda: ["less memory"]
    assert ExpressionTracker(tracker, network).take_warnings() == ["less memory"]


def test_faces_stepped_together_give_the_same_as_alone():
    network = Network()
    with_network = ExpressionTracker(Still(), network)
    network.later = _smiling()
    states = []
    for _ in range(2):
        network.calls = 0
        states.append(with_network.start(FRAME, _face()))
    frames = np.repeat(FRAME[None], 4, 0)
    first, second = with_network.step_many(states, frames)
    np.testing.assert_allclose(first.xy, [_smiling()] * 4, atol=1e-3)
    np.testing.assert_array_equal(first.xy, second.xy)
