"""Test cut detection on drawn scenes, pans, flashes and noise."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from facetrack.video.cuts import CutDetector
from facetrack.video.reader import VideoReader

HEIGHT, WIDTH = 120, 160
Frames = list[np.ndarray]


def scene(seed: int, width: int = WIDTH) -> np.ndarray:
    """Return an image (HEIGHT, width, 3) of patches of all sizes, determined by the seed."""
    random = np.random.default_rng(seed)
    total = np.zeros((HEIGHT, width, 3), np.float32)
    for cell in (48, 24, 12):
        coarse = random.normal(size=(HEIGHT // cell + 2, width // cell + 2, 3)).astype(np.float32)
        total += cv2.resize(coarse, (width, HEIGHT), interpolation=cv2.INTER_CUBIC) * cell
    return np.clip(128 + total, 5, 235).astype(np.uint8)


def still(seed: int, count: int) -> Frames:
    random = np.random.default_rng(seed)
    picture = scene(seed).astype(np.float32)
    return [(picture + random.normal(0, 4, picture.shape)).clip(0, 255).astype(np.uint8)] * count


def detect_cuts(frames: Frames) -> list[int]:
    detector = CutDetector()
    return [i for i, frame in enumerate(frames) if detector.is_cut(frame)]


def test_cut_is_at_the_first_frame_of_the_shot():
    assert detect_cuts([*still(1, 7), *still(2, 5), *still(3, 4)]) == [7, 12]


def test_reversed_the_cut_is_at_the_last_frame_of_the_previous_shot():
    frames = [*still(1, 7), *still(2, 5)]
    assert detect_cuts(frames[::-1]) == [5]


def test_first_frame_is_no_cut():
    assert detect_cuts(still(1, 1)) == []


def test_shot_of_one_frame_and_the_return_from_it_are_reported():
    assert detect_cuts([*still(1, 5), *still(2, 1), *still(1, 5)]) == [5, 6]


def test_fast_pan_is_no_cut():
    wide = scene(1, 12 * WIDTH)
    step = WIDTH // 5
    assert detect_cuts([wide[:, x : x + WIDTH] for x in range(0, 8 * WIDTH, step)]) == []


def test_cut_between_pans_is_detected():
    wide = scene(1, 4 * WIDTH), scene(2, 4 * WIDTH)
    assert detect_cuts([w[:, x : x + WIDTH] for w in wide for x in range(0, WIDTH, 20)]) == [8]


def test_crossing_object_is_no_cut():
    frames = [
        cv2.ellipse(f.copy(), (x, 70), (30, 40), 20, 0, 360, (200, 150, 120), -1)
        for x, f in zip(range(-30, 190, 16), still(1, 14), strict=True)
    ]
    assert detect_cuts(frames) == []


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    "gain", [1.7, np.linspace(0.9, 3, WIDTH)[None, :, None]], ids=["even", "from one side"]
)
def test_flash_is_no_cut(gain: np.ndarray, count: int):
    frames = still(1, 12)
    lit = (frames[0] * gain + 20).clip(0, 255).astype(np.uint8)
    assert detect_cuts([*frames[:6], *[lit] * count, *frames[6:]]) == []


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("count", [1, 2])
def test_blank_frames_are_skipped(level: int, count: int):
    blank = [np.full((HEIGHT, WIDTH, 3), level, np.uint8)] * count
    assert detect_cuts([*still(1, 6), *blank, *still(1, 6)]) == []
    assert detect_cuts([*still(1, 6), *blank, *still(2, 6)]) == [6 + count]


def test_third_blank_frame_is_a_shot():
    blank = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 9
    assert detect_cuts([*still(1, 6), *blank]) == [8]


def test_blank_video_has_no_cut():
    assert detect_cuts([np.full((HEIGHT, WIDTH, 3), 9, np.uint8)] * 8) == []


def test_shot_after_a_long_blank_is_reported():
    blank = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 9
    assert detect_cuts([*still(1, 6), *blank, *still(2, 4)]) == [8, 15]


def test_low_light_and_noise_are_no_cut():
    random = np.random.default_rng(0)
    dark = scene(1) * 0.1
    noisy = [
        (dark + random.normal(0, 3, dark.shape)).clip(0, 255).astype(np.uint8) for _ in range(12)
    ]
    assert detect_cuts(noisy) == []


def test_cut_in_low_light_is_detected():
    assert detect_cuts([(f * 0.15).astype(np.uint8) for f in [*still(1, 6), *still(2, 6)]]) == [6]


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (48, 64)])
def test_any_size_and_memory_layout(size: tuple[int, int]):
    frames = [cv2.resize(f, size[::-1])[::-1, ::-1] for f in still(1, 3)]
    assert detect_cuts(frames) == []


def test_real_cut_through_a_black_frame(shared_data: Path):
    path = shared_data / "videos" / "pyfeat_face_noface.mov"
    with VideoReader(path, first=60, last=85) as reader:
        frames = [frame.image for frame in reader]
    assert [60 + i for i in detect_cuts(frames)] == [73]
