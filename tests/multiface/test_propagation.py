"""What propagation writes into a clip does not depend on direction, or on the clips' length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facetrack.measures import face_model
from facetrack.multiface.association import find_duplicates
from facetrack.multiface.clip import Clip
from facetrack.multiface.face_track import FaceTrack
from facetrack.multiface.propagation import Propagator
from facetrack.trackers import StepResult
from facetrack.video.frame import Frame

FACE = face_model.load().mean[:, :2] * 0.5 + 100
IMAGE = np.zeros((200, 300, 3), np.uint8)
MOUTH = np.arange(68) >= 48


class StillTracker:
    """Points stay where they started, and all are seen."""

    window = None

    def start(self, image: np.ndarray, points: np.ndarray) -> np.ndarray:
        return np.array(points, np.float32)

    def step(self, state: np.ndarray, images: np.ndarray) -> StepResult:
        xy = np.repeat(state[None], len(images), 0)
        seen = np.ones(xy.shape[:2], bool)
        return StepResult(xy, seen, np.full(xy.shape[:2], 0.9, np.float32))


def frames(count: int) -> list[Frame]:
    return [Frame(i, i / 25, IMAGE) for i in range(count)]


def test_covered_points_and_doubts_hold_backwards_too() -> None:
    clip = Clip.of(frames(8), 0, 8)
    visible = np.where(MOUTH, 0.1, 1).astype(np.float32)  # a hand over the mouth
    face = FaceTrack(0, None)
    Propagator(StillTracker(), True, 1).restart(face, FACE, clip, 4, 0, visible, trust=0.3)
    for row in clip.rows:
        xy, seen, confidence = row[0]
        assert (seen == ~MOUTH).all()
        assert confidence[~MOUTH] == pytest.approx(0.27)
        assert (confidence[MOUTH] <= 0.1).all()
        np.testing.assert_allclose(xy, FACE, atol=1e-3)


class StickingTracker:
    """Face 0 is hidden in frames 5 to 9, and is then on the points of the face that hid it."""

    window = None

    def start(self, image: np.ndarray, points: np.ndarray) -> list[Any]:
        return [np.array(points, np.float32), 0]

    def step_many(self, states: list[list[Any]], images: np.ndarray) -> list[StepResult]:
        results = []
        for face, state in enumerate(states):
            index = state[1] + np.arange(len(images))
            state[1] += len(images)
            xy = np.repeat(state[0][None], len(images), 0)
            seen = np.ones(xy.shape[:2], bool)
            if face == 0:
                seen[(index >= 5) & (index < 10), 10:] = False
                xy[index >= 5] = states[1][0]
            results.append(StepResult(xy, seen, seen.astype(np.float32)))
        return results


@pytest.mark.parametrize("length", [1, 3, 8])
def test_the_face_that_was_hidden_is_given_up(length: int) -> None:
    propagator = Propagator(StickingTracker(), True, 2)
    faces = [propagator.start(face, IMAGE, FACE + [60 * face, 0]) for face in (0, 1)]
    video = frames(16)
    for first in range(0, 16, length):
        new = video[first : first + length]
        propagator.propagate(faces, Clip.of(new, 0, len(new)))
    assert [face.face_id for face, _ in find_duplicates(faces, {0})] == [0]
    assert faces[0].least_seen == pytest.approx(10 / 68 + 6 / 25 / 4)
