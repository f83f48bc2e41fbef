"""Pictures of frames: the right ones, in a bounded number of bytes."""

from __future__ import annotations

import base64

import clips
import cv2
import numpy as np
import pytest

from facetrack.errors import FacetrackError
from facetrack.report import pictures


def _decoded(taken: pictures.Pictures) -> list[np.ndarray]:
    raw = (np.frombuffer(base64.b64decode(text), np.uint8) for text in taken.jpeg)
    return [cv2.imdecode(data, cv2.IMREAD_COLOR) for data in raw]


def test_every_frame_has_its_picture(clip):
    taken = pictures.take(clip, 0, 30, clips.SIZE)
    assert (taken.stride, taken.size, taken.pixel_aspect) == (1, clips.SIZE, 1.0)
    assert [clips.square_position(image) for image in _decoded(taken)] == clips.expected_positions(
        30
    )


def test_pictures_begin_at_the_first_tracked_frame(clip):
    taken = pictures.take(clip, 20, 10, clips.SIZE)
    assert [clips.square_position(image) for image in _decoded(taken)] == clips.expected_positions(
        30
    )[20:]


def test_the_stride_asked_for_is_kept(clip):
    taken = pictures.take(clip, 0, 30, clips.SIZE, stride=7)
    assert [clips.square_position(image) for image in _decoded(taken)] == clips.expected_positions(
        30
    )[::7]


def test_the_stride_counts_from_the_first_tracked_frame(clip):
    taken = pictures.take(clip, 20, 10, clips.SIZE, stride=7)
    assert [clips.square_position(image) for image in _decoded(taken)] == clips.expected_positions(
        30
    )[20::7]


def test_large_frames_are_made_smaller(tmp_path):
    clip = clips.write_clip(tmp_path / "large.mp4", 3, size=(1200, 300))
    taken = pictures.take(clip, 0, 3, (1200, 300))
    assert taken.size == (960, 240)
    assert _decoded(taken)[0].shape == (240, 960, 3)


def test_what_does_not_fit_is_left_out_evenly(clip):
    whole = sum(map(len, pictures.take(clip, 0, 30, clips.SIZE).jpeg))
    taken = pictures.take(clip, 0, 30, clips.SIZE, budget=whole // 5)
    assert taken.stride > 1
    assert sum(map(len, taken.jpeg)) <= whole // 5
    assert len(taken.jpeg) == len(range(0, 30, taken.stride))
    assert [clips.square_position(i) for i in _decoded(taken)] == clips.expected_positions(30)[
        :: taken.stride
    ]


def test_the_bound_holds_where_the_probes_were_simpler(clip, monkeypatch):
    monkeypatch.setattr(pictures, "_plan", lambda *_: (960, 80, 1))
    whole = sum(map(len, pictures.take(clip, 0, 30, clips.SIZE).jpeg))
    taken = pictures.take(clip, 0, 30, clips.SIZE, budget=whole // 3)
    assert sum(map(len, taken.jpeg)) <= whole // 3
    assert taken.stride == 4
    assert [clips.square_position(i) for i in _decoded(taken)] == clips.expected_positions(30)[::4]


def test_a_coarser_picture_is_taken_before_frames_are_left_out(tmp_path):
    random = np.random.default_rng(0)
    folder = tmp_path / "noise"
    folder.mkdir()
    for i in range(4):
        noise = random.integers(0, 255, (300, 960, 3), np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), cv2.GaussianBlur(noise, (5, 5), 0))
    whole = sum(map(len, pictures.take(folder, 0, 4, (960, 300)).jpeg))
    taken = pictures.take(folder, 0, 4, (960, 300), budget=whole // 2)
    assert (taken.stride, len(taken.jpeg)) == (1, 4)
    assert max(taken.size) < 960


def test_another_size_is_refused(clip):
    with pytest.raises(FacetrackError, match="96x64"):
        pictures.take(clip, 0, 30, (64, 96))


def test_another_number_of_frames_is_refused(clip):
    with pytest.raises(FacetrackError, match="30 frames"):
        pictures.take(clip, 0, 31, clips.SIZE)
