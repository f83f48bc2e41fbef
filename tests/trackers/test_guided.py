"""The landmark network beside a tracker: what of its word moves the points."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facetrack.detectors.base import Landmarks
from facetrack.trackers.base import StepResult
from facetrack.trackers.expression import AGREES, PARTS
from facetrack.trackers.guided import EVERY, Guided

MOUTH, NOISE, SEEN = PARTS[-1]
FRAME = np.zeros((400, 400, 3), np.uint8)
"""Shows nothing, so that nothing speaks for the tracker."""


def _face() -> np.ndarray:
    """68 points, 60 pixels between the outer eye corners."""
    face = np.random.default_rng(3).uniform(-50, 50, (68, 2)) + 200
    face[36], face[45] = (170, 180), (230, 180)
    return face


class Still:
    """A tracker whose points do as `motion` says, and see what `visible` says."""

    name, window = "still", None

    def __init__(self) -> None:
        self.motion = lambda xy, t: xy
        self.visible = np.ones(68, bool)

    def start(self, frame, points):
        return {"points": np.asarray(points, float), "t": 0}

    def step(self, state, frames):
        xy = [self.motion(state["points"], state["t"] + k) for k in range(len(frames))]
        state["t"] += len(frames)
        seen = np.repeat(self.visible[None], len(frames), 0)
        return StepResult(np.float32(xy), seen, seen.astype(np.float32))

    def describe(self):
        return {"name": self.name}


class Network:
    """Sees what `says` gives for the next frame; the query frame's crops first."""

    name, scheme = "network", "68"

    def __init__(self) -> None:
        self.first, self.says, self.looks = _face(), lambda: _face(), 0

    def detect(self, image, boxes):
        return Landmarks(
            np.float32(np.repeat(self.first[None], len(boxes), 0)), np.ones((len(boxes), 68))
        )

    def detect_many(self, images, boxes):
        self.looks += len(images)
        return [Landmarks(np.float32(self.says())[None], np.ones((1, 68))) for _ in images]

    def describe(self):
        return {"name": self.name}


@pytest.fixture
def pair():
    return Still(), Network()


def _run(tracker, network, frames=24):
    guided = Guided(tracker, network)
    state = guided.start(FRAME, _face())
    return np.concatenate(
        [guided.step(state, np.repeat(FRAME[None], 8, 0)).xy for _ in range(frames // 8)]
    )


def _smiling(amount=8.0):
    face = _face()
    face[MOUTH] += (0, -amount)
    return face


def test_a_smile_is_followed(pair):
    tracker, network = pair
    network.says = _smiling
    xy = _run(tracker, network)
    assert np.abs(xy[2:] - _smiling()).max() < 0.1 * 8


def test_other_parts_stay_where_they_are(pair):
    tracker, network = pair
    network.says = _smiling
    others = np.setdiff1d(np.arange(68), MOUTH)
    np.testing.assert_allclose(_run(tracker, network)[:, others], [_face()[others]] * 24, atol=1e-4)


def test_less_than_the_networks_noise_moves_nothing(pair):
    tracker, network = pair
    network.says = lambda: _smiling(0.9 * 60 * NOISE)
    np.testing.assert_allclose(_run(tracker, network), [_face()] * 24, atol=1e-4)


def test_what_the_network_differs_by_from_the_beginning_does_not_count(pair):
    tracker, network = pair
    network.first = _smiling()
    network.says = _smiling
    np.testing.assert_allclose(_run(tracker, network), [_face()] * 24, atol=1e-4)


def test_a_hidden_part_is_not_corrected(pair):
    tracker, network = pair
    network.says = _smiling
    hidden = int(len(MOUTH) * (1 - SEEN)) + 1
    tracker.visible[MOUTH[:hidden]] = False
    np.testing.assert_allclose(_run(tracker, network), [_face()] * 24, atol=1e-4)


def test_a_part_that_is_seen_enough_is_followed(pair):
    tracker, network = pair
    network.says = _smiling
    tracker.visible[MOUTH[: int(len(MOUTH) * (1 - SEEN))]] = False
    assert np.abs(_run(tracker, network)[2:] - _smiling()).max() < 0.1 * 8


def test_a_network_that_looks_at_something_else_is_not_believed(pair):
    tracker, network = pair
    network.says = lambda: _smiling() + (1.1 * AGREES * 60, 0)
    np.testing.assert_allclose(_run(tracker, network), [_face()] * 24, atol=1e-4)


def test_a_network_that_sees_another_face_in_the_query_frame_is_not_asked_again(pair):
    tracker, network = pair
    network.first = _face() + (1.1 * AGREES * 60, 0)
    network.says = _smiling
    np.testing.assert_allclose(_run(tracker, network), [_face()] * 24, atol=1e-4)
    assert network.looks == 0


def test_without_looks_a_correction_goes(pair):
    tracker, network = pair
    answers = iter([*[_smiling()] * 4, *[np.full((68, 2), np.nan)] * 100])
    network.says = lambda: next(answers)
    xy = _run(tracker, network, 48)
    assert np.abs(xy[7] - _face()).max() > 7
    np.testing.assert_allclose(xy[-1], _face(), atol=0.01)


@settings(max_examples=20)
@given(st.floats(-3, 3), st.floats(0.5, 2))
def test_corrections_turn_and_grow_with_the_face(angle, scale):
    tracker, network = Still(), Network()
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    tracker.motion = lambda xy, t: (xy - 200) @ turn + 300
    network.says = lambda: (_smiling() - 200) @ turn + 300
    xy = _run(tracker, network)
    assert np.abs(xy[4:] - network.says()).max() < 0.1 * 8 * scale


def test_it_looks_at_every_second_frame_and_at_the_last(pair):
    tracker, network = pair
    guided = Guided(tracker, network)
    state = guided.start(FRAME, _face())
    for frames, looks in ((8, 4), (7, 4), (1, 1)):
        network.looks = 0
        guided.step(state, np.repeat(FRAME[None], frames, 0))
        assert network.looks == looks
    assert EVERY == 2


def test_a_face_that_is_not_seen_is_not_looked_at(pair):
    tracker, network = pair
    tracker.visible[:40] = False
    _run(tracker, network)
    assert network.looks == 0


@pytest.mark.parametrize("shape", [(98, 2), (2, 5, 2)])
def test_points_that_are_not_68_landmarks_are_the_trackers_own(pair, shape):
    tracker, network = pair
    guided = Guided(tracker, network)
    state = guided.start(FRAME, np.zeros(shape))
    assert not any(state.expressions)


def test_frames_without_points_stay_without(pair):
    tracker, network = pair
    tracker.motion = lambda xy, t: np.full_like(xy, np.nan)
    assert np.isnan(_run(tracker, network)).all()
    assert network.looks == 0


def test_the_trackers_remarks_are_passed_on(pair):
    tracker, network = pair
    assert Guided(tracker, network).take_remarks() == []
    tracker.take_remarks = lambda: ["less memory"]
    assert Guided(tracker, network).take_remarks() == ["less memory"]


def test_each_group_is_corrected_by_itself_with_one_look(pair):
    tracker, network = pair
    network.says = _smiling
    groups = np.stack([_face(), _face() + (1, 0)])
    tracker.visible = np.ones((2, 68), bool)
    guided = Guided(tracker, network)
    state = guided.start(FRAME, groups)
    xy = guided.step(state, np.repeat(FRAME[None], 8, 0)).xy
    assert xy.shape == (8, 2, 68, 2)
    assert network.looks == 4
    assert np.abs(xy[4:, 0] - _smiling()).max() < 0.1 * 8
    # What it was placed off by, it keeps.
    assert np.abs(xy[4:, 1] - _smiling() - (1, 0)).max() < 0.1 * 8


def _textured() -> np.ndarray:
    noise = np.random.default_rng(5).uniform(0, 255, (400, 400)).astype(np.float32)
    picture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    return np.repeat(picture.astype(np.uint8)[..., None], 3, -1)


def test_where_the_picture_is_the_query_frames_the_network_is_not_asked(pair):
    tracker, network = pair
    network.says = _smiling
    guided = Guided(tracker, network)
    state = guided.start(_textured(), _face())
    darker = np.repeat((_textured() // 2 + 20)[None], 8, 0)
    np.testing.assert_allclose(guided.step(state, darker).xy, [_face()] * 8, atol=1e-4)
    assert network.looks == 0


def test_a_part_that_looks_otherwise_follows_the_network_alone(pair):
    """The mouth is painted over; the brows, which the network has elsewhere too, are not."""
    tracker, network = pair
    face = _face()
    face[48:68] = np.random.default_rng(1).uniform((170, 320), (230, 360), (20, 2))
    network.first = face

    def moved():
        there = face.copy()
        there[17:27] -= (0, 8)
        there[48:68] -= (0, 8)
        return there

    network.says = moved
    guided = Guided(tracker, network)
    state = guided.start(_textured(), face)
    frame = _textured()
    frame[300:380, 150:250] = frame[300:380, 150:250][::-1, ::-1]
    xy = guided.step(state, np.repeat(frame[None], 8, 0)).xy
    assert network.looks == 4
    assert np.abs(xy[4:, 48:68] - moved()[48:68]).max() < 0.15 * 8
    np.testing.assert_allclose(xy[:, 17:27], [face[17:27]] * 8, atol=1e-4)


def test_a_face_partly_beside_the_frame_is_compared(pair):
    tracker, network = pair
    guided = Guided(tracker, network)
    frame = _textured()[:, 180:]
    state = guided.start(frame, _face())
    assert np.isfinite(guided.step(state, np.repeat(frame[None], 8, 0)).xy).all()
