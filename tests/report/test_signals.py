"""Head size, eyes, mouth, trembling: on shapes and motions whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from sample_comparison import face

from facetrack.landmarks import schemes
from facetrack.report import signals

RATE = 25.0


def _still(frames: int = 64) -> np.ndarray:
    return np.repeat(face((50, 40), 20)[None], frames, 0)


def _ring(scheme: str, region: str, width: float, heights: list[float]) -> np.ndarray:
    """(1, N, 2) points of a layout of which one closed line has this width and these heights."""
    layout = schemes.get(scheme)
    line = next(line for line in layout.lines if line.region == region)
    xy = np.zeros((1, layout.count, 2))
    half = len(line.indices) // 2
    xy[0, line.indices[half]] = width, 0
    for i, height in enumerate(heights, start=1):
        xy[0, line.indices[i]] = width * i / half, -height / 2
        xy[0, line.indices[-i]] = width * i / half, height / 2
    return xy


def test_eye_aspect_ratio_of_open_eyes():
    ratio = signals.eye_aspect_ratio(_still(3), schemes.get("68"))
    assert ratio == pytest.approx([0.25] * 3)


def test_a_blink_is_a_dip_of_the_eye_aspect_ratio():
    xy = _still(5)
    for lids in ((37, 41), (38, 40), (43, 47), (44, 46)):
        xy[2, lids, 1] = xy[2, 36, 1]
    assert np.argmin(signals.eye_aspect_ratio(xy, schemes.get("68"))) == 2


@pytest.mark.parametrize("scheme", ["68", "98", "29"])
def test_eyes_of_every_layout_with_lids_are_read_from_their_own_points(scheme):
    layout = schemes.get(scheme)
    pairs = len(next(x for x in layout.lines if x.region == "right_eye").indices) // 2 - 1
    xy = sum(_ring(scheme, side, 10, [3.0] * pairs) for side in ("right_eye", "left_eye"))
    assert signals.eye_aspect_ratio(xy, layout) == pytest.approx([0.3])


@pytest.mark.parametrize(("scheme", "pairs"), [("68", 3), ("98", 3), ("29", 1)])
def test_mouth_opening_of_every_layout_with_inner_lips(scheme, pairs):
    xy = _ring(scheme, "inner_lips", 10, [4.0] * pairs)
    assert signals.mouth_opening(xy, schemes.get(scheme)) == pytest.approx([0.4])


@pytest.mark.parametrize("scheme", ["19", "points-5"])
def test_layouts_without_lids_and_lips_have_no_such_curve(scheme):
    xy = np.zeros((2, schemes.get(scheme).count, 2))
    assert signals.eye_aspect_ratio(xy, schemes.get(scheme)) is None
    assert signals.mouth_opening(xy, schemes.get(scheme)) is None


def test_head_size_grows_with_the_head():
    sizes = signals.head_size(np.stack([face((50, 40), 10), face((20, 90), 20)]))
    assert sizes[1] == pytest.approx(2 * sizes[0])


def test_head_size_is_unknown_where_many_points_are():
    xy = _still(2)
    xy[1, :10] = np.nan
    assert np.isfinite(signals.head_size(xy)).tolist() == [True, False]


def test_spectrum_peaks_where_points_tremble_as_strongly_as_they_do():
    frames, hz = 128, 6.25
    time = np.arange(frames) / RATE
    xy = _still(frames)
    xy = xy + 2.0 * np.sin(2 * np.pi * hz * time)[:, None, None]
    found, amplitude = signals.spectrum(xy, np.ones(xy.shape[:2], bool), time, scale=1.0)
    assert found[np.argmax(amplitude)] == pytest.approx(hz)
    # The power of a sine of amplitude 2 is 2.
    assert (amplitude**2).sum() * (found[1] - found[0]) == pytest.approx(2.0, rel=0.01)


def test_spectrum_does_not_see_points_that_are_hidden():
    random = np.random.default_rng(0)
    xy, seen = _still(64), np.ones((64, 68), bool)
    xy[:, 0] += random.standard_normal((64, 2)) * 5
    seen[30, 0] = False
    _, amplitude = signals.spectrum(xy, seen, np.arange(64) / RATE, 1.0)
    assert amplitude.max() < 1e-6


def test_a_steady_motion_is_no_trembling():
    xy = _still(64) + np.arange(64)[:, None, None] * 3.0
    _, amplitude = signals.spectrum(xy, np.ones((64, 68), bool), np.arange(64) / RATE, 1.0)
    assert amplitude.max() < 1e-6


@pytest.mark.parametrize("frames", [1, signals.MIN_SEGMENT_FRAMES - 1])
def test_a_clip_may_be_too_short_for_a_spectrum(frames):
    xy = _still(frames)
    assert signals.spectrum(xy, np.ones((frames, 68), bool), np.arange(frames) / RATE, 1.0) is None


def test_no_spectrum_where_nothing_is_seen_or_time_stands_still():
    xy, seen = _still(), np.ones((64, 68), bool)
    assert signals.spectrum(xy, ~seen, np.arange(64) / RATE, 1.0) is None
    assert signals.spectrum(xy, seen, np.zeros(64), 1.0) is None


def test_a_view_is_calmer_than_what_it_follows():
    random = np.random.default_rng(0)
    shift = random.standard_normal((100, 1, 1)) * 4
    box = signals.boxes(_still(100) + shift)
    view = signals.view(box, np.arange(100) / RATE, 1.5)
    assert view[:, 0].std() < shift.std() / 2
    assert view[:, 2] == pytest.approx((box[:, 2] - box[:, 0]) * 1.5, rel=0.2)


def test_a_view_goes_on_where_nothing_is_known():
    xy = _still(20)
    xy[5:15] = np.nan
    assert np.isfinite(signals.view(signals.boxes(xy), np.arange(20) / RATE, 1.5)).all()


def test_no_view_of_what_is_never_known():
    assert signals.view(np.full((5, 4), np.nan), np.arange(5) / RATE, 1.5) is None


def test_a_view_of_one_frame():
    assert signals.view(signals.boxes(_still(1)), np.zeros(1), 2.0).shape == (1, 3)
