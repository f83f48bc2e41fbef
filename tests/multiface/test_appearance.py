"""What is at a face's monitor, from one frame to the next."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facetrack.multiface.appearance import AppearanceMonitor

POINTS = np.float32([[60, 40], [100, 40], [80, 60], [66, 80], [94, 80]])


def changed(monitor: AppearanceMonitor, image: np.ndarray, xy: np.ndarray) -> bool:
    """Whether the next image shows something else."""
    return monitor.first_change([image], xy[None]) == 0


def picture(seed: int) -> np.ndarray:
    """(120, 160, 3) smooth and random."""
    noise = np.random.default_rng(seed).uniform(0, 255, (12, 16, 3)).astype(np.float32)
    large = cv2.resize(noise, (160, 120), interpolation=cv2.INTER_CUBIC)
    return large.clip(0, 255).astype(np.uint8)


def test_another_picture_is_a_jump_and_the_first_is_none() -> None:
    monitor = AppearanceMonitor()
    assert [changed(monitor, picture(s), POINTS) for s in (0, 0, 1, 1, 0)] == [
        *(False, False, True, False, True)
    ]


@pytest.mark.parametrize("light", [0.4, 1.0, 1.6])
def test_motion_and_light_are_none(light: float) -> None:
    monitor, image = AppearanceMonitor(), picture(2)
    assert not changed(monitor, image, POINTS)
    moved = cv2.warpAffine(
        image, np.float32([[1, 0.05, 7], [-0.05, 1, -4]]), (160, 120), borderMode=cv2.BORDER_REFLECT
    )
    lit = (moved * light).clip(0, 255).astype(np.uint8)
    assert not changed(monitor, lit, POINTS + [9, -7])


def test_the_rest_of_the_picture_does_not_count() -> None:
    monitor, image = AppearanceMonitor(), picture(3)
    other, face = picture(4), picture(5)[20:100, 40:120]
    other[20:100, 40:120] = image[20:100, 40:120] = face
    assert not changed(monitor, image, POINTS)
    assert not changed(monitor, other, POINTS)


@pytest.mark.parametrize("points", [POINTS * np.nan, POINTS + 500, POINTS - 500])
def test_nothing_is_known_of_unknown_places(points: np.ndarray) -> None:
    monitor = AppearanceMonitor()
    for image, xy in ((picture(0), POINTS), (picture(1), points), (picture(1), POINTS)):
        assert not changed(monitor, image, xy)


def test_a_plain_picture_is_no_jump() -> None:
    monitor, plain = AppearanceMonitor(), np.full((120, 160, 3), 80, np.uint8)
    assert not changed(monitor, plain, POINTS)
    assert not changed(monitor, picture(0), POINTS)
