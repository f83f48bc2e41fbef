"""The window that follows the face: cropping, coordinates and motion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facetrack.trackers.tapir.config import RESOLUTION
from facetrack.trackers.tapir.face_window import (
    FACE_SHARE,
    MAX_HOLD_FRAMES,
    Window,
    WindowFollower,
    round_to_blocks,
)

side = st.integers(32, 900)
corner = st.integers(-700, 700)


@given(corner, corner, side, st.floats(-4, 4), st.floats(-100, 700), st.floats(-100, 700))
def test_crop_coordinates_are_invertible(left, top, size, angle, x, y):
    window = Window(left, top, size, angle)
    there = window.to_crop(np.array([[x, y]]), 256)
    np.testing.assert_allclose(window.to_frame(there, 256), [[x, y]], atol=1e-9)


@pytest.mark.parametrize("angle", [0.0, 0.4, -2.0])
@pytest.mark.parametrize("size", [64, 256, 500])
def test_coordinates_agree_with_the_crop(size, angle):
    frame = np.zeros((480, 640, 3), np.uint8)
    frame[200:204, 300:304] = 255  # centre at raster (302, 202)
    window = Window(302 - size // 2 + 9, 202 - size // 2 - 6, size, angle)
    crop = window.crop(frame, 256)[..., 0].astype(float)
    rows, columns = np.mgrid[:256, :256] + 0.5
    centroid = [(columns * crop).sum() / crop.sum(), (rows * crop).sum() / crop.sum()]
    expected = window.to_crop(np.array([[302.0, 202.0]]), 256)[0]
    np.testing.assert_allclose(centroid, expected, atol=0.6 * 256 / size)


@given(corner, corner, side)
def test_any_window_gives_a_full_crop(left, top, size):
    frame = np.full((90, 120, 3), 7, np.uint8)
    for angle in (0.0, 0.7):
        crop = Window(left, top, size, angle).crop(frame, 32)
        assert crop.shape == (32, 32, 3)
        assert (crop == 7).all()  # the border repeats


@given(st.floats(32, 5000))
@example(1791.5)
def test_windows_are_of_whole_blocks(expected):
    side = round_to_blocks(expected)
    block = max(1, side // RESOLUTION)
    assert side % block == 0
    assert abs(side - expected) <= block / 2 + 1e-9


@pytest.mark.parametrize("side", [256, 400, 700, 1024, 1535])
def test_a_large_window_is_scaled_down_without_a_shift(side):
    width, height = 1700, 1600
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    frame = np.zeros((height, width, 3), np.uint8)
    frame[..., 0] = x * (255 / width)
    frame[..., 1] = (y * (255 / height))[:, None]
    window = Window(40, 30, round_to_blocks(side))
    crop = window.crop(frame, RESOLUTION).astype(float)
    middles = np.mgrid[:RESOLUTION, :RESOLUTION].transpose(1, 2, 0)[..., ::-1] + 0.5
    expected = window.to_frame(middles, RESOLUTION) * (255 / np.array([width, height])) - 0.5
    # Conversion to uint8 truncates: half a level less on average.
    assert np.abs((crop[..., :2] - expected).mean((0, 1))).max() < 0.15
    assert np.abs(crop[..., :2] - expected).max() < 1.5


def _face(centre=(200.0, 150.0), scale=1.0):
    random = np.random.default_rng(0)
    return np.array(centre) + scale * random.uniform(-40, 40, (68, 2))


def test_the_points_span_their_share_of_the_window():
    face = _face()
    window = Window.around(face)
    assert np.ptp(face, 0).max() / window.side == pytest.approx(FACE_SHARE, rel=0.02)


def test_the_window_arrives_at_the_face():
    follower = WindowFollower(_face())
    for _ in range(40):
        follower.update(_face((400.0, 300.0), 1.5), np.ones(68))
    expected = Window.around(_face((400.0, 300.0), 1.5))
    assert abs(follower.window.side - expected.side) < 0.03 * expected.side
    assert abs(follower.window.left - expected.left) < 0.03 * expected.side


def test_the_window_does_not_jump_for_a_few_stray_points():
    face = _face()
    follower = WindowFollower(face)
    before = follower.window
    stray = face.copy()
    stray[:10] += 500
    follower.update(stray, np.ones(68))
    assert abs(follower.window.left - before.left) < 0.1 * before.side
    assert follower.window.side == pytest.approx(before.side, rel=0.05)
    assert follower.window.angle == 0


def _rolled(degrees):
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (_face() - [200, 150]) @ turn + [200, 150]


def test_a_turned_window_shows_a_rolled_face_upright():
    follower = WindowFollower(_face())
    upright = follower.window.to_crop(_face(), 256)
    for degrees in range(0, 91, 3):
        follower.update(_rolled(degrees), np.ones(68))
        shown = follower.window.to_crop(_rolled(degrees), 256) - 128
        turned = np.degrees(np.angle(((upright - 128) @ [1, -1j] * (shown @ [1, 1j])).sum()))
        assert abs(turned) < 22
    for _ in range(12):
        follower.update(_rolled(90), np.ones(68))
    assert np.degrees(follower.window.angle) == pytest.approx(90, abs=12)


def test_the_window_stays_upright_while_the_face_tilts_a_little_and_turns_back():
    follower = WindowFollower(_face())
    for degrees in [*range(6), *range(6, -6, -1)]:
        follower.update(_rolled(degrees), np.ones(68))
        assert follower.window.angle == 0
    for degrees in [40] * 9 + [0] * 9:
        follower.update(_rolled(degrees), np.ones(68))
    assert follower.window.angle == 0


def test_the_window_waits_while_the_face_is_hidden():
    follower = WindowFollower(_face())
    before = follower.window
    follower.update(_face((500.0, 400.0)), np.full(68, 0.1))
    assert follower.window == before


def _windows(speed, frames=24):
    """The follower's window for each frame of a face that moves by `speed` pixels a frame."""
    follower, windows = WindowFollower(_face()), []
    for i in range(frames):
        windows.append(follower.window)
        follower.update(_face((200.0 + speed * i, 150.0)), np.ones(68))
    return windows


def _runs(windows):
    starts = [i for i in range(1, len(windows)) if windows[i] != windows[i - 1]]
    return np.diff(starts)


def test_the_window_of_a_slow_face_stays_for_the_whole_hold():
    assert set(_runs(_windows(0.6))) == {MAX_HOLD_FRAMES}


@pytest.mark.parametrize("fast", range(6))
def test_the_window_of_a_slow_face_changes_at_multiples_of_the_hold(fast):
    """A chunk of that many frames then needs one step, not two."""
    follower, changes = WindowFollower(_face()), []
    for i in range(48):
        if follower.hold == MAX_HOLD_FRAMES:
            changes.append(i)
        x = 200 + 9.0 * min(i, fast) + 0.6 * max(0, i - fast)
        follower.update(_face((x, 150.0)), np.ones(68))
    assert changes
    assert not np.any(np.array(changes) % MAX_HOLD_FRAMES)


def test_a_fast_face_is_followed_frame_by_frame():
    windows = _windows(9.0)
    assert set(_runs(windows)) == {1}
    # It trails by little more than a frame's motion.
    assert abs(windows[-1].left + windows[-1].side / 2 - (200 + 9 * 23)) < 20
