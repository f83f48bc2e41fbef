"""Faces that lie on their side are looked for now and then, however the frames come."""

from __future__ import annotations

import numpy as np
import pytest

from facetrack.multiface.clip import Clip
from facetrack.multiface.detection import TURNED_SEARCH_STRIDE, detect_in_clip
from facetrack.video.frame import Frame

IMAGE = np.zeros((8, 8, 3), np.uint8)


class Landmarker:
    """Finds nothing, and notes the frames in which it looks at all rolls."""

    def __init__(self) -> None:
        self.turned = 0

    def find(self, image: np.ndarray, *, expected: list, any_roll: bool) -> list:
        self.turned += any_roll
        return []


@pytest.mark.parametrize("step", [1, 5, 8, -5])
@pytest.mark.parametrize("start", [1000, 1003])
def test_all_rolls_are_tried_once_in_so_many_frames(start: int, step: int) -> None:
    landmarker, searched = Landmarker(), None
    frames = range(start, start + np.sign(step) * 4 * TURNED_SEARCH_STRIDE, step)
    for index in frames:
        clip = Clip.of([Frame(index, index / 25, IMAGE)], 0, 1)
        detect_in_clip(landmarker, clip, [], searched)  # type: ignore[arg-type]
        searched = index
    assert landmarker.turned in (3, 4, 5)
