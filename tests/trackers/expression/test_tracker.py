"""The networks beside a tracker: how they are asked, and what becomes of their word."""

from __future__ import annotations

import numpy as np
import pytest

from facetrack.trackers.base import PointTracker, StepResult
from facetrack.trackers.expression.corrector import AGREES, LOOKS, Expressions, Look
from facetrack.trackers.expression.face_parts import PARTS, Rest, into
from facetrack.trackers.expression.part_filter import Memory
from facetrack.trackers.expression.tracker import ExpressionTracker

FRAME = np.zeros((400, 400, 3), np.uint8)
LIPS = PARTS[2].points
OTHERS = np.setdiff1d(np.arange(68), np.concatenate([part.points for part in PARTS]))


def _face() -> np.ndarray:
    """68 points, 60 pixels between the outer eye corners."""
    face = np.random.default_rng(3).uniform(-20, 20, (68, 2)) + 200
    for corner, place in ((36, (170, 180)), (39, (190, 180)), (42, (210, 180)), (45, (230, 180))):
        face[corner] = place
    face[48], face[54] = (180, 240), (220, 240)
    return face


class Still(PointTracker):
    """A tracker whose points do as `motion` says."""

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
    """A filter that always takes what is seen, and is as sure as `logit` says."""

    logit = 2.0

    def begin(self, seen):
        return Memory(seen.tracked[..., 0], seen.tracked, seen.tracked, seen.looked)

    def __call__(self, known, seen, memory):
        return seen.looked, seen.spread * 0 + self.logit, memory


class Network:
    """Sees the points of `first` in the patches of the query frame, and then those of `says`."""

    def __init__(self) -> None:
        self.first, self.says, self.looks = _face(), _face(), 0
        self.filters = {"eye": Following(), "mouth": Following()}
        self.placed = _face()

    def look(self, patches):
        made = []
        rest = Rest(self.placed)
        for i, _ in enumerate(patches):
            if self.looks < len(LOOKS):
                pose = Expressions.poses(self.placed)[self.looks % len(LOOKS)]
                points = self.first
            else:
                pose, points = rest.pose(rest.points), self.says
            self.looks += 1
            xy = points @ np.array([1, 1j])
            made.append(
                [
                    Look(into(p, pose, xy[part.points]), np.full(part.kind.points, 0.01))
                    for p, part in enumerate(PARTS)
                ]
            )
            assert len(patches[i]) == len(PARTS)
        return made

    def describe(self):
        return {"name": "network"}


def _run(tracker, network, frames=8, points=None):
    guided = ExpressionTracker(tracker, network)
    state = guided.start(FRAME, _face() if points is None else points)
    return guided.step(state, np.repeat(FRAME[None], frames, 0))


def _smiling(amount=8.0):
    face = _face()
    face[LIPS] -= (0, amount)
    return face


def test_what_is_seen_is_followed_and_nothing_else_moves():
    network = Network()
    network.says = _smiling()
    result = _run(Still(), network)
    np.testing.assert_allclose(result.xy, [_smiling()] * 8, atol=1e-3)
    np.testing.assert_allclose(result.xy[:, OTHERS], [_face()[OTHERS]] * 8, atol=1e-5)
    assert network.looks == len(LOOKS) + 8  # every frame


def test_what_the_network_differs_by_from_the_beginning_does_not_count():
    network = Network()
    network.first = network.says = _face() + (1.5, 0)
    np.testing.assert_allclose(_run(Still(), network).xy, [_face()] * 8, atol=1e-3)


def test_a_part_that_the_network_sees_elsewhere_in_the_query_frame_is_the_trackers():
    network = Network()
    network.first = _face()
    network.first[LIPS] += (1.2 * AGREES * 60, 0)
    network.says = _smiling()
    network.says[PARTS[0].points] += (0, 2)
    xy = _run(Still(), network).xy
    np.testing.assert_allclose(xy[:, LIPS], [_face()[LIPS]] * 8, atol=1e-5)
    np.testing.assert_allclose(
        xy[:, PARTS[0].points], [_face()[PARTS[0].points] + (0, 2)] * 8, atol=1e-3
    )


def test_a_face_of_which_no_part_is_seen_is_not_looked_at_again():
    network = Network()
    network.first = _face() + (1.2 * AGREES * 60, 0)
    np.testing.assert_allclose(_run(Still(), network).xy, [_face()] * 8, atol=1e-5)
    assert network.looks == len(LOOKS)


@pytest.mark.parametrize("logit", [2.0, -2.0])
def test_the_filter_says_what_of_the_parts_is_seen(logit):
    network = Network()
    for filtering in network.filters.values():
        filtering.logit = logit
    result = _run(Still(), network)
    np.testing.assert_allclose(result.confidence[:, LIPS], 1 / (1 + np.exp(-logit)), atol=1e-5)
    assert (result.visible[:, LIPS] == (logit > 0)).all()
    assert result.visible[:, OTHERS].all()


def test_no_part_of_a_face_that_is_lost_is_seen():
    tracker = Still()
    tracker.sure = np.float32(0.1)
    result = _run(tracker, Network())
    assert not result.visible.any()
    np.testing.assert_allclose(result.confidence, 0.1, atol=1e-6)


def test_a_part_that_the_tracker_does_not_recognise_is_seen_with_the_face():
    tracker = Still()
    tracker.sure = np.where(np.isin(np.arange(68), LIPS), 0.1, 1).astype(np.float32)
    assert _run(tracker, Network()).visible.all()


def test_what_leaves_the_frame_is_not_seen():
    network = Network()
    network.says = _face()
    network.says[LIPS] += (0, 400)
    assert not _run(Still(), network).visible[:, LIPS].any()


@pytest.mark.parametrize("shape", [(98, 2), (2, 5, 2)])
def test_points_that_are_not_68_landmarks_are_the_trackers_own(shape):
    network = Network()
    guided = ExpressionTracker(Still(), network)
    state = guided.start(FRAME, np.zeros(shape))
    assert state.expressions == []
    assert guided.step(state, FRAME[None]).xy.shape == (1, *shape)
    assert network.looks == 0


def test_frames_without_points_stay_without_and_are_not_looked_at():
    tracker, network = Still(), Network()
    tracker.motion = lambda xy, t: np.full_like(xy, np.nan) if t % 2 else xy
    network.says = _smiling()
    result = _run(tracker, network)
    assert np.isnan(result.xy[1::2]).all()
    np.testing.assert_allclose(result.xy[::2], [_smiling()] * 4, atol=1e-3)
    assert network.looks == len(LOOKS) + 4


def test_the_trackers_remarks_are_passed_on():
    tracker, network = Still(), Network()
    assert ExpressionTracker(tracker, network).take_warnings() == []
    tracker.take_warnings = lambda: ["less memory"]
    assert ExpressionTracker(tracker, network).take_warnings() == ["less memory"]


def test_faces_that_are_stepped_together_come_out_as_alone():
    network = Network()
    guided = ExpressionTracker(Still(), network)
    network.says = _smiling()
    states = []
    for _ in range(2):
        network.looks = 0
        states.append(guided.start(FRAME, _face()))
    frames = np.repeat(FRAME[None], 4, 0)
    one, other = guided.step_many(states, frames)
    np.testing.assert_allclose(one.xy, [_smiling()] * 4, atol=1e-3)
    np.testing.assert_array_equal(one.xy, other.xy)
