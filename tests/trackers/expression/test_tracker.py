"""The landmark network beside a tracker: what of its word moves the points."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facetrack.detectors.base import Landmarks
from facetrack.trackers.base import PointTracker, StepResult
from facetrack.trackers.expression.corrector import AGREES, EVERY, OPENINGS, PARTS, STEADY
from facetrack.trackers.expression.tracker import ExpressionTracker, _box

MOUTH, NOISE, SEEN = PARTS[-1]
FRAME = np.zeros((400, 400, 3), np.uint8)
"""Shows nothing, so that nothing speaks for the tracker."""


def _face() -> np.ndarray:
    """68 points, 60 pixels between the outer eye corners."""
    face = np.random.default_rng(3).uniform(-50, 50, (68, 2)) + 200
    face[36], face[45] = (170, 180), (230, 180)
    return face


class Still(PointTracker):
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
    guided = ExpressionTracker(tracker, network)
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
    answers = iter([*[_smiling()] * 2, *[np.full((68, 2), np.nan)] * 100])
    network.says = lambda: next(answers)
    xy = _run(tracker, network, 64)
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


def test_it_looks_at_every_fourth_frame_and_at_the_last(pair):
    tracker, network = pair
    guided = ExpressionTracker(tracker, network)
    state = guided.start(FRAME, _face())
    for frames, looks in ((8, 2), (7, 2), (1, 1)):
        network.looks = 0
        guided.step(state, np.repeat(FRAME[None], frames, 0))
        assert network.looks == looks
    assert EVERY == 4


STEP = 8


def _asked(pair, seeds):
    """Which frames the network is shown in the last of some steps, of pictures that are like no
    other but those with the same seed."""
    tracker, network = pair
    guided = ExpressionTracker(tracker, network)
    state = guided.start(FRAME, _face())
    shown = []

    def look(images, boxes):
        shown.append([int(image[0, 0, 0]) for image in images])
        return Network.detect_many(network, images, boxes)

    network.detect_many = look
    for start in range(0, len(seeds), STEP):
        frames = [
            np.random.default_rng(seed).integers(0, 255, FRAME.shape, dtype=np.uint8)
            for seed in seeds[start : start + STEP]
        ]
        for k, frame in enumerate(frames):
            frame[0, 0, 0] = k  # far from the face
        guided.step(state, np.stack(frames))
    return sorted(shown[-1])


@pytest.mark.parametrize(
    ("seeds", "asked"),
    [
        ([1] * 16, [3, 7]),
        ([1] * 13 + [2] + [1] * 2, [3, 5, 7]),
        ([1] * 15 + [2], [3, 5, 7]),
        ([1] * 11 + [2] + [1] * 4, [1, 3, 5, 7]),
        ([1] * 7 + [2] + [1] * 8, [1, 3, 7]),
        ([1] * 12 + [2] + [1, 2, 1], [3, 7]),
    ],
    ids=["still", "then", "after", "before", "in the last step", "at other times"],
)
def test_where_lids_or_lips_have_moved_frames_between_are_looked_at(pair, seeds, asked):
    assert _asked(pair, seeds) == asked


@pytest.mark.parametrize(("hidden", "asked"), [(6, [3, 5, 7]), (7, [3, 7])])
def test_what_passes_before_a_face_is_no_reason_to_look_more_often(pair, hidden, asked):
    pair[0].visible[:hidden] = False
    assert _asked(pair, [1] * 5 + [2] + [1] * 2) == asked


def test_a_face_that_is_not_seen_is_not_looked_at(pair):
    tracker, network = pair
    tracker.visible[:40] = False
    _run(tracker, network)
    assert network.looks == 0


@pytest.mark.parametrize("shape", [(98, 2), (2, 5, 2)])
def test_points_that_are_not_68_landmarks_are_the_trackers_own(pair, shape):
    tracker, network = pair
    guided = ExpressionTracker(tracker, network)
    state = guided.start(FRAME, np.zeros(shape))
    assert not any(state.expressions)


def test_frames_without_points_stay_without(pair):
    tracker, network = pair
    tracker.motion = lambda xy, t: np.full_like(xy, np.nan)
    assert np.isnan(_run(tracker, network)).all()
    assert network.looks == 0


def test_the_trackers_warnings_are_passed_on(pair):
    tracker, network = pair
    assert ExpressionTracker(tracker, network).take_warnings() == []
    tracker.take_warnings = lambda: ["less memory"]
    assert ExpressionTracker(tracker, network).take_warnings() == ["less memory"]


def test_each_group_is_corrected_by_itself_with_one_look(pair):
    tracker, network = pair
    network.says = _smiling
    groups = np.stack([_face(), _face() + (1, 0)])
    tracker.visible = np.ones((2, 68), bool)
    guided = ExpressionTracker(tracker, network)
    state = guided.start(FRAME, groups)
    xy = guided.step(state, np.repeat(FRAME[None], 8, 0)).xy
    assert xy.shape == (8, 2, 68, 2)
    assert network.looks == 2
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
    guided = ExpressionTracker(tracker, network)
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
    guided = ExpressionTracker(tracker, network)
    state = guided.start(_textured(), face)
    frame = _textured()
    frame[300:380, 150:250] = frame[300:380, 150:250][::-1, ::-1]
    xy = guided.step(state, np.repeat(frame[None], 8, 0)).xy
    assert network.looks == 2
    assert np.abs(xy[4:, 48:68] - moved()[48:68]).max() < 0.15 * 8
    np.testing.assert_allclose(xy[:, 17:27], [face[17:27]] * 8, atol=1e-4)


# ---------------------------------------------------------------------------- lids and lips

WIDE = 12.0
"""Pixels between the lids, of 60 between the outer eye corners."""
LIDS = [37, 38, 40, 41, 43, 44, 46, 47]


def _eyed(shut: float = 0.0, tilt: float = 0.0) -> np.ndarray:
    """A face whose lids are where lids are, by so many pixels less open; it may be tilted."""
    face = _face()
    for first, x in ((36, 170.0), (42, 210.0)):
        face[first], face[first + 3] = (x, 180), (x + 20, 180)
        for upper, lower, along in ((first + 1, first + 5, 6), (first + 2, first + 4, 14)):
            face[upper] = (x + along, 180 - (WIDE - shut) / 2)
            face[lower] = (x + along, 180 + (WIDE - shut) / 2)
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    return (face - 200) @ turn + 200


def _guided_by(tracker, network, says, start=None, frame=FRAME, before=FRAME):
    start = _eyed() if start is None else start
    network.first, network.says = start, lambda: says
    guided = ExpressionTracker(tracker, network)
    state = guided.start(before, start)
    return np.concatenate([guided.step(state, np.repeat(frame[None], 8, 0)).xy for _ in range(2)])


@pytest.mark.parametrize("tilt", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("hidden", [False, True])
def test_eyes_that_shut_are_followed_also_where_their_points_are_hidden(pair, hidden, tilt):
    tracker, network = pair
    tracker.visible[36:48] = not hidden
    xy = _guided_by(tracker, network, _eyed(9.0, tilt), _eyed(0.0, tilt))
    assert np.abs(xy[4:, 36:48] - _eyed(9.0, tilt)[36:48]).max() < 0.1 * 9 / 2


def _steady_noise(face: np.ndarray, much: float) -> np.ndarray:
    """The points that keep their places elsewhere, each by so many pixels."""
    face = face.copy()
    angles = np.random.default_rng(8).uniform(0, 6.28, len(STEADY))
    face[STEADY] += much * np.stack([np.cos(angles), np.sin(angles)], -1)
    return face


def _opening(xy: np.ndarray) -> np.ndarray:
    return xy[..., [40, 41, 46, 47], 1].mean(-1) - xy[..., [37, 38, 43, 44], 1].mean(-1)


def test_how_far_an_eye_is_open_is_believed_of_a_network_that_is_noisy(pair):
    """Whose places are not: moved sideways by as much the lids stay nearly where they are."""
    tracker, network = pair
    shut = _guided_by(tracker, network, _steady_noise(_eyed(3.0), 1.6))
    np.testing.assert_allclose(_opening(shut[4:]), WIDE - 3.0, atol=0.6)
    aside = _eyed()
    aside[LIDS] += (1.5, 0)
    moved = _guided_by(Still(), Network(), _steady_noise(aside, 1.6))
    assert np.abs(moved[4:, LIDS] - _eyed()[LIDS]).max() < 0.6 * 1.5


def test_an_opening_within_the_networks_noise_moves_nothing(pair):
    tracker, network = pair
    says = _eyed(0.9 * 60 * OPENINGS[0][-1])
    np.testing.assert_allclose(_guided_by(tracker, network, says), [_eyed()] * 16, atol=1e-3)


def test_a_little_change_of_the_picture_is_enough_for_an_opening(pair):
    """For a sideways move it is hardly any: the tracker is right about places."""
    tracker, network = pair
    before = _textured()
    other = np.random.default_rng(6).normal(0, 18, before.shape[:2])[..., None]
    frame = np.clip(before + other, 0, 255).astype(np.uint8)
    shut = _guided_by(tracker, network, _eyed(6.0), frame=frame, before=before)
    assert _opening(shut[-1]) < WIDE - 0.8 * 6
    aside = _eyed()
    aside[LIDS] += (6, 0)
    moved = _guided_by(Still(), Network(), aside, frame=frame, before=before)
    assert np.abs(moved[-1] - _eyed()).max() < 0.25 * 6


def test_what_would_hardly_be_believed_is_not_asked_for(pair):
    tracker, network = pair
    before = _textured()
    other = np.random.default_rng(6).normal(0, 1, before.shape[:2])[..., None]
    asked = []
    for much in (10, 18):
        network.looks = 0
        frame = np.clip(before + much * other, 0, 255).astype(np.uint8)
        _guided_by(tracker, network, _eyed(6.0), frame=frame, before=before)
        asked.append(network.looks)
    assert asked == [0, 4]


def test_eyes_that_open_again_are_open(pair):
    tracker, network = pair
    network.first = _eyed()
    answers = iter([_eyed(9.0)] * 2 + [_eyed()] * 2)
    network.says = lambda: next(answers)
    guided = ExpressionTracker(tracker, network)
    state = guided.start(FRAME, _eyed())
    frames = np.repeat(FRAME[None], 8, 0)
    assert (_opening(guided.step(state, frames).xy) < WIDE - 8).any()
    np.testing.assert_allclose(_opening(guided.step(state, frames).xy[4:]), WIDE, atol=0.2)


def test_a_lid_moves_as_its_corners_do_not(pair):
    """What is believed sooner is how far it is from them, not where it is."""
    tracker, network = pair
    shut = _eyed(3.0)
    shut[36:48] += (0, 1)
    nose = _steady_noise(_face(), 3.5)[27:36]
    shut[27:36] = nose
    xy = _guided_by(tracker, network, shut)
    middle = xy[4:, LIDS, 1].mean(-1)
    np.testing.assert_allclose(_opening(xy[4:]), WIDE - 3, atol=0.5)
    np.testing.assert_allclose(middle, 180, atol=0.3)


def test_a_part_is_believed_of_a_network_that_is_somewhat_noisy(pair):
    tracker, network = pair
    raised = _eyed()
    raised[17:22] -= (0, 4)
    xy = _guided_by(tracker, network, _steady_noise(raised, 1.6))
    assert (_eyed()[17:22, 1] - xy[4:, 17:22, 1]).min() > 0.8 * 4


def test_lips_whose_picture_is_the_query_frames_do_not_part(pair):
    tracker, network = pair
    start = _eyed()
    start[48:68] = np.random.default_rng(1).uniform((170, 320), (230, 360), (20, 2))
    parted = start.copy()
    parted[list(OPENINGS[-1][2])] += (0, 4)
    before = _textured()
    frame = before.copy()
    frame[100:260] = frame[100:260][::-1]
    xy = _guided_by(tracker, network, parted, start, frame, before)
    assert network.looks
    np.testing.assert_allclose(xy[:, 48:68], [start[48:68]] * 16, atol=1e-3)


def test_lips_that_part_are_followed(pair):
    tracker, network = pair
    _, upper, lower, corners, _ = OPENINGS[-1]
    closed = _eyed()
    closed[corners, :] = (180, 240), (220, 240)
    parted = closed.copy()
    parted[list(lower)] += (0, 4)
    parted[list(upper)] -= (0, 1)
    xy = _guided_by(tracker, network, _steady_noise(parted, 2.4), closed)
    change = xy[-1] - closed
    np.testing.assert_allclose(change[list(lower), 1].mean(), 4, atol=0.6)
    np.testing.assert_allclose(change[list(upper), 1].mean(), -1, atol=0.4)


def test_a_face_partly_beside_the_frame_is_compared(pair):
    tracker, network = pair
    guided = ExpressionTracker(tracker, network)
    frame = _textured()[:, 180:]
    state = guided.start(frame, _face())
    assert np.isfinite(guided.step(state, np.repeat(frame[None], 8, 0)).xy).all()


def test_faces_that_are_stepped_together_are_corrected_as_each_alone(pair):
    tracker, network = pair
    guided = ExpressionTracker(tracker, network)
    smile = _face()
    smile[48:68, 1] -= 6.0
    network.says = lambda: smile
    frames = np.repeat(FRAME[None], 8, 0)
    alone = guided.start(FRAME, _face())
    network.first = smile  # of the second, the network has known the smile from the start
    states = [guided.start(FRAME, _face()) for _ in range(2)]
    network.first = _face()
    states[0] = guided.start(FRAME, _face())
    for _ in range(3):
        expected = guided.step(alone, frames).xy
        first, second = (result.xy for result in guided.step_many(states, frames))
    np.testing.assert_array_equal(first, expected)
    assert np.abs(first - _face()).max() > 3
    np.testing.assert_array_equal(second, np.repeat(np.float32(_face())[None], 8, 0))


def test_each_of_several_faces_has_its_own_answer(pair):
    tracker, network = pair
    guided = ExpressionTracker(tracker, network)
    places = [np.array([0.0, 0.0]), np.array([60.0, 40.0])]
    states = []
    for place in places:
        network.first = _face() + place
        states.append(guided.start(FRAME, _face() + place))

    def look(images, boxes):
        middles = [box[0].reshape(2, 2).mean(0) for box in boxes]
        return [
            Landmarks(np.float32(_smiling() + middle - first)[None], np.ones((1, 68)))
            for middle in middles
        ]

    first = _box(_face()).reshape(2, 2).mean(0)
    network.detect_many = look
    for _ in range(3):
        found = guided.step_many(states, np.repeat(FRAME[None], 8, 0))
    for place, result in zip(places, found, strict=True):
        assert np.abs(result.xy - _smiling() - place).max() < 1


def test_the_network_looks_at_all_faces_at_once(pair):
    tracker, network = pair
    guided = ExpressionTracker(tracker, network)
    states = [guided.start(FRAME, _face()) for _ in range(3)]
    calls = []
    look = network.detect_many
    network.detect_many = lambda images, boxes: calls.append(len(images)) or look(images, boxes)
    guided.step_many(states, np.repeat(FRAME[None], 8, 0))
    assert calls == [3 * 8 // EVERY]


def test_points_of_other_layouts_go_beside_those_of_faces(pair):
    tracker, network = pair
    guided = ExpressionTracker(tracker, network)
    states = [guided.start(FRAME, _face()), guided.start(FRAME, _face()[:5])]
    tracker.visible = np.ones(5, bool)
    few = guided.step(states[1], FRAME[None])
    assert few.xy.shape == (1, 5, 2)
