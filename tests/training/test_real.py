"""Self-training: cuts of real videos, and what a student is told of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facetrack.errors import FacetrackError
from facetrack.trackers.tapir import TAPIR_S
from facetrack.trackers.tapir.compact import CompactTapirNetwork
from facetrack.trackers.tapir.types import Estimate
from facetrack.training import real
from facetrack.training.render import SIZE
from facetrack.training.signals import Random
from facetrack.training.textures import SIDE

CPU = torch.device("cpu")
FRAMES = 6
EXAMPLE = Path(__file__).parents[2] / "examples"
SHIFT = 1.5  # pixels a frame by which `_clip` moves


def _clip() -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth picture that moves to the right by SHIFT a frame, and landmarks on it."""
    random = np.random.default_rng(0)
    picture = cv2.resize(random.integers(0, 255, (30, 30, 3)).astype(np.uint8), (SIDE, SIDE))
    frames = []
    for t in range(FRAMES):
        matrix = np.array([[1, 0, SHIFT * t], [0, 1, 0]], float)
        frames.append(cv2.warpAffine(picture, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT))
    video = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)[None].float() / 255
    angle = torch.linspace(0, 6.28, 68)
    ring = torch.stack([angle.cos(), angle.sin()], -1) * 60 + SIDE / 2
    return video, ring[None]


def _knows(monkeypatch, off: float = 0.0, seen: float = 5.0) -> None:
    """Let the teacher know the truth; on its way back it is `off` pixels off."""

    def follow(network, video, start):
        way = -1 if follow.calls % 2 else 1
        follow.calls += 1
        time = torch.arange(video.shape[1])[:, None] * torch.tensor([SHIFT * way, 0.0])
        xy = start[:, :, None] + time
        logits = torch.full(xy.shape[:3], -seen)
        return Estimate(xy + (off if way < 0 else 0.0), logits, logits)

    follow.calls = 0
    monkeypatch.setattr(real, "track", follow)


def _taught(seed: int = 1):
    network = CompactTapirNetwork(replace(TAPIR_S, mixer_blocks=1))
    return real.taught(network, *_clip(), Random(seed, CPU), 30)


def test_what_is_taught_lies_on_the_same_thing_in_the_student_s_picture(monkeypatch):
    """The student's picture is moved, and covered by nothing here: along a true track, its colours
    change as little as those of the clip do."""
    _knows(monkeypatch)
    monkeypatch.setattr(real, "photograph", lambda video, xy, random: video)
    monkeypatch.setattr(
        real, "occlude", lambda random, video, xy, texture: (video, torch.zeros(xy.shape[:3]) > 0)
    )
    clip = _taught()
    colours = []
    for t in range(FRAMES):
        grid = (clip.xy[:, :, t] / SIZE * 2 - 1)[:, :, None]
        colours.append(
            torch.nn.functional.grid_sample(clip.video[:, t], grid, align_corners=False)[0, ..., 0]
        )
    track = torch.stack(colours)  # (T, 3, N)
    visible = clip.visible[0].all(-1)
    assert visible.sum() > 20
    assert (track - track[:1])[..., visible].abs().mean() < 0.01
    assert (track[..., visible].roll(1, -1) - track[..., visible]).abs().mean() > 0.1


def test_points_that_are_not_found_again_on_the_way_back_are_not_taught(monkeypatch):
    _knows(monkeypatch, off=real.MAX_CYCLE_ERROR)
    assert not _taught().valid.any()
    _knows(monkeypatch, off=real.MAX_CYCLE_ERROR / 4)
    assert _taught().valid.float().mean() > 0.7


def test_points_of_which_the_teacher_is_unsure_are_not_taught(monkeypatch):
    _knows(monkeypatch, seen=0.0)
    assert not _taught().valid.any()


def test_what_is_covered_is_taught_as_hidden(monkeypatch):
    _knows(monkeypatch)
    monkeypatch.setattr(
        real,
        "occlude",
        lambda random, video, xy, texture: (
            video,
            (torch.arange(xy.shape[1]) > 2)[None, :, None].expand(xy.shape[:3]),
        ),
    )
    clips = [_taught(seed) for seed in range(6)]
    covered = [c for c in clips if not c.visible[:, :, 3:].any()]
    assert 0 < len(covered) < len(clips)
    assert all(c.valid[:, :, 3:].any() for c in covered)


def test_windows_are_cut_about_the_face_and_landmarks_follow():
    start = np.array([[100.0, 120], [300, 320], [200, 240]])
    image = np.zeros((480, 640, 3), np.uint8)
    cv2.circle(image, (200, 240), 9, (255, 255, 255), -1)
    window, xy = real._cut([image] * 3, start, start)
    assert window.shape == (3, SIDE, SIDE, 3)
    scale = real.FACE_SHARE * SIZE / 200
    np.testing.assert_allclose(np.ptp(xy, axis=0), 200 * scale)
    lit = np.argwhere(window[0, :, :, 0] > 127)[:, ::-1].mean(0) + 0.5
    np.testing.assert_allclose(lit, xy[2] + 0.5 * scale, atol=0.3)


def test_shapes_that_jump_or_grow_are_two_faces():
    shape = np.array([[0.0, 0], [100, 100]])
    assert real._is_same_face(shape, shape + 30)
    assert not real._is_same_face(shape, shape + 150)
    assert not real._is_same_face(shape, shape * 2)


def test_videos_with_a_face_are_cut_and_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(real, "is_held_out", lambda path: False)
    monkeypatch.setattr(real, "MAX_CLIPS_PER_VIDEO", 2)
    real.gather(EXAMPLE, tmp_path)
    clips = real.load(tmp_path)
    assert [np.load(path).shape for path in clips.windows] == [(real.FRAMES, SIDE, SIDE, 3)] * 2
    assert clips.landmarks.shape == (2, 68, 2)
    assert abs(clips.landmarks.mean() - SIDE / 2) < 30
    video, landmarks = real.draw(clips, Random(1, CPU), 2, 5)
    assert video.shape == (2, 5, 3, SIDE, SIDE)
    assert landmarks.shape == (2, 68, 2)


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_faces_is_one_sentence(tmp_path, there):
    folder = tmp_path / "videos"
    if there:
        folder.mkdir()
    with pytest.raises(FacetrackError, match=r"shows a face|is not a folder"):
        real.gather(folder, tmp_path)


def test_one_video_in_five_or_so_is_kept_out_by_its_name():
    out = sum(real.is_held_out(Path(f"clip{i}.mp4")) for i in range(500))
    assert 60 < out < 140
    assert real.is_held_out(Path("a/x.mp4")) == real.is_held_out(Path("b/x.mp4"))
