"""Pictures of frames: the right ones, in a bounded number of bytes."""

from __future__ import annotations

import base64
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest

from facetrack.errors import FacetrackError
from facetrack.report import pictures

PLENTY = 10_000_000


def _decoded(taken: pictures.Pictures, folder: Path) -> list[np.ndarray]:
    path = folder / "taken.mp4"
    path.write_bytes(base64.b64decode(taken.mp4))
    frames, _ = clips.read_frames(path)
    assert frames[0].image.shape[1::-1] == taken.size
    assert len(frames) == taken.count
    np.testing.assert_allclose(
        [frame.time for frame in frames], np.arange(taken.count) / pictures.RATE, atol=1e-6
    )
    return [frame.image for frame in frames]


def _positions(taken, folder):
    found = [clips.square_position(image) for image in _decoded(taken, folder)]
    return np.array(found)


def _expected(frames) -> np.ndarray:
    return np.array([clips.expected_position(frame) for frame in frames])


@pytest.mark.parametrize(
    ("first", "count", "stride"), [(0, 30, 1), (20, 10, 1), (0, 30, 7), (20, 10, 7)]
)
def test_each_picture_is_that_of_its_frame(clip, tmp_path, first, count, stride):
    taken = pictures.take(clip, first, count, clips.SIZE, PLENTY, stride)
    assert (taken.stride, taken.size, taken.pixel_aspect) == (stride, clips.SIZE, 1.0)
    expected = _expected(range(first, first + count, stride))
    assert np.abs(_positions(taken, tmp_path) - expected).max() <= 1


def test_large_frames_are_made_smaller(tmp_path):
    clip = clips.write_clip(tmp_path / "large.mp4", 3, size=(1200, 300))
    taken = pictures.take(clip, 0, 3, (1200, 300), PLENTY)
    assert taken.size == (960, 240)
    assert _decoded(taken, tmp_path)[0].shape == (240, 960, 3)


@pytest.mark.parametrize("budget", [200_000, 60_000, 12_000, 5_000])
def test_the_bound_holds_for_pictures_that_are_hard_to_compress(tmp_path, budget):
    """They are made coarser first, then frames are left out evenly."""
    random = np.random.default_rng(0)
    folder = tmp_path / "noise"
    folder.mkdir()
    for i in range(12):
        noise = random.integers(0, 255, (300, 960, 3), np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), cv2.GaussianBlur(noise, (5, 5), 0))
    taken = pictures.take(folder, 0, 12, (960, 300), budget)
    assert len(taken.mp4) <= budget
    assert taken.count == len(range(0, 12, taken.stride))
    assert len(_decoded(taken, tmp_path)) == taken.count


def test_frames_are_left_out_only_where_the_smallest_pictures_do_not_fit(clip, tmp_path):
    taken = pictures.take(clip, 0, 30, clips.SIZE, 3_000)
    assert taken.stride > 1
    assert len(taken.mp4) <= 3_000
    expected = _expected(range(0, 30, taken.stride))
    assert np.abs(_positions(taken, tmp_path) - expected).max() <= 2


def test_colours_are_those_of_the_frame(tmp_path):
    folder = tmp_path / "colours"
    folder.mkdir()
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, :48] = 40, 60, 200
    image[:, 48:] = 30, 180, 50
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.png"), image)
    found = _decoded(pictures.take(folder, 0, 3, (96, 64), PLENTY), tmp_path)[1]
    np.testing.assert_allclose(found[32, 20], [200, 60, 40], atol=6)
    np.testing.assert_allclose(found[32, 70], [50, 180, 30], atol=6)


def test_odd_sizes_become_even():
    assert pictures.scaled_size((101, 75), 960) == (100, 76)
    assert pictures.scaled_size((1920, 1080), 240) == (240, 136)
    assert pictures.scaled_size((5000, 3), 960) == (960, 2)


def test_another_size_is_refused(clip):
    with pytest.raises(FacetrackError, match="96x64"):
        pictures.take(clip, 0, 30, (64, 96), PLENTY)


def test_another_number_of_frames_is_refused(clip):
    with pytest.raises(FacetrackError, match="30 frames"):
        pictures.take(clip, 0, 31, clips.SIZE, PLENTY)
