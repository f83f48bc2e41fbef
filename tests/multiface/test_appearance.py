"""Test the detection of sudden changes around a face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facetrack.multiface.appearance import AppearanceMonitor

POINTS = np.float32([[60, 40], [100, 40], [80, 60], [66, 80], [94, 80]])


def changed(monitor: AppearanceMonitor, image: np.ndarray, xy: np.ndarray) -> bool:
    """Return whether the next image shows something else at the face's place."""
    return monitor.first_change([image], xy[None]) == 0


def random_image(seed: int) -> np.ndarray:
    """Draw a smooth random image (120, 160, 3)."""
    noise = np.random.default_rng(seed).uniform(0, 255, (12, 16, 3)).astype(np.float32)
    large = cv2.resize(noise, (160, 120), interpolation=cv2.INTER_CUBIC)
    return large.clip(0, 255).astype(np.uint8)


def test_another_image_is_a_change_and_the_first_is_not() -> None:
    monitor = AppearanceMonitor()
    assert [changed(monitor, random_image(s), POINTS) for s in (0, 0, 1, 1, 0)] == [
        *(False, False, True, False, True)
    ]


@pytest.mark.parametrize("light", [0.4, 1.0, 1.6])
def test_motion_and_light_are_no_change(light: float) -> None:
    monitor, image = AppearanceMonitor(), random_image(2)
    assert not changed(monitor, image, POINTS)
    moved = cv2.warpAffine(
        image, np.float32([[1, 0.05, 7], [-0.05, 1, -4]]), (160, 120), borderMode=cv2.BORDER_REFLECT
    )
    lit = (moved * light).clip(0, 255).astype(np.uint8)
    assert not changed(monitor, lit, POINTS + [9, -7])


def test_the_rest_of_the_image_does_not_count() -> None:
    monitor, image = AppearanceMonitor(), random_image(3)
    other, face = random_image(4), random_image(5)[20:100, 40:120]
    other[20:100, 40:120] = image[20:100, 40:120] = face
    assert not changed(monitor, image, POINTS)
    assert not changed(monitor, other, POINTS)


@pytest.mark.parametrize("points", [POINTS * np.nan, POINTS + 500, POINTS - 500])
def test_unknown_and_outside_places_show_no_change(points: np.ndarray) -> None:
    monitor = AppearanceMonitor()
    for image, xy in (
        (random_image(0), POINTS),
        (random_image(1), points),
        (random_image(1), POINTS),
    ):
        assert not changed(monitor, image, xy)


def test_a_uniform_image_is_no_change() -> None:
    monitor, plain = AppearanceMonitor(), np.full((120, 160, 3), 80, np.uint8)
    assert not changed(monitor, plain, POINTS)
    assert not changed(monitor, random_image(0), POINTS)


def test_the_first_change_of_a_batch_is_returned() -> None:
    monitor = AppearanceMonitor()
    images = [random_image(seed) for seed in (0, 0, 1, 2)]
    assert monitor.first_change(images, np.repeat(POINTS[None], 4, 0)) == 2
    assert monitor.first_change(images[:1], POINTS[None]) == 0
    assert monitor.first_change([], np.zeros((0, *POINTS.shape))) is None
