"""The benchmark's mouths: points and pixels agree, lips part and never cross, the rest stays."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.clips.open_mouths import INNER_BOTTOM, INNER_TOP, LOWER, UPPER, OpenMouth

FRAMES = 40


def _points(gap: float = 2.0) -> np.ndarray:
    xy = np.full((68, 2), (170.0, 150.0))
    xy[36], xy[45], xy[33], xy[8] = (120, 140), (220, 140), (170, 185), (170, 280)
    bend = np.array([0, 0.8, 1, 0.8, 0])
    x = np.array([140.0, 155, 170, 185, 200])
    xy[list(INNER_TOP)] = np.column_stack([x, 210 - gap / 2 * bend])
    xy[list(INNER_BOTTOM)] = np.column_stack([x, 210 + gap / 2 * bend])
    xy[49:54] = np.column_stack([np.linspace(145, 195, 5), np.full(5, 203.0)])
    xy[55:60] = np.column_stack([np.linspace(195, 145, 5), np.full(5, 222.0)])
    xy[4:13] = np.column_stack([np.linspace(110, 230, 9), 280 - np.square(np.arange(-4, 5)) * 4])
    return xy


@pytest.fixture
def mouth() -> OpenMouth:
    return OpenMouth(_points(), FRAMES, np.random.default_rng(1))


def _widest(mouth: OpenMouth) -> int:
    return int(np.argmax(mouth._drop))


def test_pixels_show_a_landmark_where_its_target_is(mouth):
    for t in range(0, FRAMES, 7):
        at = mouth.targets(t)
        # At the very edge of a lip rounding decides: a hundredth into it.
        at[list(UPPER), 1] -= 0.01
        at[list(LOWER), 1] += 0.01
        shown, _, _ = mouth.show(t, at[None])
        np.testing.assert_allclose(shown[0], _points(), atol=0.05)


def test_only_the_lips_and_the_jaw_move(mouth):
    moved = mouth.targets(_widest(mouth)) - _points()
    assert moved[66, 1] > 8
    assert moved[8, 1] > 8
    assert moved[62, 1] < -1
    still = sorted(set(range(68)) - set(LOWER) - set(UPPER))
    assert np.abs(moved[still]).max() == 0


def test_lips_never_cross(mouth):
    for t in range(FRAMES):
        at = mouth.targets(t)
        assert (at[[67, 66, 65], 1] > at[[61, 62, 63], 1]).all()


def test_the_inside_lies_between_the_lips(mouth):
    t = _widest(mouth)
    at = mouth.targets(t)
    middle = (at[62] + at[66]) / 2
    places = np.array([[middle, at[62] - (0, 3), at[66] + (0, 3), (120, middle[1])]])
    inside = mouth.show(t, places)[1][0, :, 0]
    np.testing.assert_array_equal(inside, [1, 0, 0, 0])


def test_a_mouth_in_profile_stays_as_it_is():
    xy = _points()
    xy[list(INNER_TOP), 0] = xy[list(INNER_BOTTOM), 0] = np.linspace(165, 175, 5)
    mouth = OpenMouth(xy, FRAMES, np.random.default_rng(1))
    np.testing.assert_array_equal(mouth.targets(FRAMES // 2), xy)
