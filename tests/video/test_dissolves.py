"""Test the detection of dissolves and fades."""

from __future__ import annotations

import numpy as np
import pytest

from facetrack.video.cuts import CutDetector

HEIGHT, WIDTH = 120, 160


def scene(seed: int, width: int = WIDTH) -> np.ndarray:
    """Return a picture (HEIGHT, width, 3) of blocks of 10 pixels, determined by the seed."""
    random = np.random.default_rng(seed)
    blocks = random.integers(30, 225, (HEIGHT // 10, width // 10, 3)).astype(np.float32)
    return np.kron(blocks, np.ones((10, 10, 1), np.float32))


def mix(length: int, first: np.ndarray, second: np.ndarray, calm: int = 40) -> list[np.ndarray]:
    """Return frames of a dissolve of `length` frames, with noise, between `calm` frames each."""
    random = np.random.default_rng(1)
    share = np.clip((np.arange(length + 2 * calm) - calm + 1) / (length + 1), 0, 1)
    return [
        np.clip((1 - s) * first + s * second + random.normal(0, 3, first.shape), 0, 255).astype(
            np.uint8
        )
        for s in share
    ]


def found(frames: list[np.ndarray]) -> list[int]:
    detector = CutDetector()
    return [i for i, frame in enumerate(frames) if detector.is_cut(frame)]


@pytest.mark.parametrize("length", [8, 15, 25, 50])
def test_a_dissolve_is_found_in_its_middle_and_at_its_end(length: int) -> None:
    middle, end = found(mix(length, scene(1), scene(2)))
    assert 40 + 0.35 * length <= middle <= 40 + 0.9 * length
    assert 40 + length - 4 <= end <= 40 + length + 20


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_a_dissolve_of_few_frames_is_found(length: int) -> None:
    # The blocks of both have edges at the same places, so that no single step is a cut.
    first, second = (128 + 0.4 * (scene(seed) - 128) for seed in (1, 2))
    cuts = found(mix(length, first, second, 12))
    assert cuts
    assert all(12 <= cut <= 12 + length + 5 for cut in cuts)


@pytest.mark.parametrize("length", [8, 25])
def test_a_dissolve_is_found_backwards(length: int) -> None:
    middle, _ = found(mix(length, scene(1), scene(2))[::-1])
    assert 40 + 0.35 * length <= middle <= 40 + 0.9 * length


def test_fades_to_and_from_black_are_found() -> None:
    black = np.zeros_like(scene(1))
    frames = [*mix(12, scene(1), black, 30), *mix(12, black, scene(2), 30)]
    cuts = found(frames)
    assert any(36 <= cut <= 50 for cut in cuts)
    assert any(102 <= cut <= 122 for cut in cuts)


@pytest.mark.parametrize("dark", [1, 8])
def test_a_slow_fade_through_black_is_found_twice(dark: int) -> None:
    black = np.zeros_like(scene(1))
    frames = mix(45, scene(1), black, 15)[:-15] + [black.astype(np.uint8)] * dark
    assert len(found(frames + mix(45, black, scene(2), 15)[15:])) == 2


@pytest.mark.parametrize("step", [1, 3, 8, 20])
def test_a_pan_is_no_dissolve(step: int) -> None:
    wide = scene(1, WIDTH + 60 * step).astype(np.uint8)
    assert found([wide[:, x : x + WIDTH] for x in range(0, 60 * step, step)]) == []


def test_moving_objects_are_no_dissolve() -> None:
    ground, thing = scene(1), scene(2)
    frames = []
    for x in range(-80, WIDTH, 4):
        frame, left = ground.copy(), max(x, 0)
        frame[20:, left : x + 80] = thing[20:, left - x : 80][:, : WIDTH - left]
        frames.append(frame.astype(np.uint8))
    assert found(frames) == []


@pytest.mark.parametrize("gain", [0.3, 0.6])
def test_a_light_that_goes_down_is_no_dissolve(gain: float) -> None:
    picture = scene(1)
    share = np.clip(np.linspace(-1, 2, 80), 0, 1)
    assert found([(picture * (1 - s + s * gain)).astype(np.uint8) for s in share]) == []


def test_a_cut_is_found_once() -> None:
    frames = mix(0, scene(1), scene(2), 40)
    assert found(frames) == [40]
