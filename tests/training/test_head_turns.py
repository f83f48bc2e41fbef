"""Heads of rendered clips turn out of plane, with exact ground truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from facetrack.measures import face_model, rotations
from facetrack.training import head_turns
from facetrack.training.detectors.profiling import Profiles, turn_surfaces
from facetrack.training.head_turns import HeadTurns, draw_turns, with_relief
from facetrack.training.render import render
from facetrack.training.signals import Random
from facetrack.training.textures import MASK, SIDE, Textures

CPU = torch.device("cpu")


def _landmarks(yaw: float = 0.0) -> np.ndarray:
    """Return the mean face (68, 2) in the middle of a texture."""
    turn = rotations.from_angles(np.radians([0, yaw, 0]))
    return np.asarray(1.4 * (face_model.load().mean @ turn.T)[:, :2] + SIDE / 2)


@pytest.fixture(scope="module")
def profiles() -> Profiles:
    return Profiles(np.stack([_landmarks(), _landmarks(40)]), CPU)


def _turned(profiles: Profiles, degrees: list[float]) -> HeadTurns:
    """Return the first face turned by these angles, one frame each."""
    yaw = torch.tensor([[math.radians(angle) for angle in degrees]])
    rows = yaw.flatten().nonzero()[:, 0]
    surface = profiles.depths.surface[:1]
    source, seen, _, _ = turn_surfaces(surface.expand(len(rows), -1, -1), yaw.flatten()[rows])
    return HeadTurns(profiles.frames[:1], surface, yaw, rows, source, seen)


def test_what_is_seen_at_a_point_is_that_point(profiles: Profiles) -> None:
    angles = [0.0, 25.0, 50.0, -65.0]
    turns = _turned(profiles, angles)
    points = torch.from_numpy(_landmarks()).float()[None, None].expand(1, len(angles), -1, -1)
    placed, hidden = turns.place(points)
    back = turns.carry(placed[:, :, None])[:, :, 0]
    off = (back - points).norm(dim=-1)
    torch.testing.assert_close(placed[:, 0], points[:, 0])
    assert off[~hidden].quantile(0.9) < 3
    assert off[~hidden].median() < 1
    # What the head covers is not seen at its place.
    assert off[hidden].median() > 5


def test_the_far_side_is_hidden_and_the_near_side_is_not(profiles: Profiles) -> None:
    points = torch.from_numpy(_landmarks()).float()[None, None].expand(1, 3, -1, -1)
    _, hidden = _turned(profiles, [0.0, 60.0, -60.0]).place(points)
    front, left, right = hidden[0]
    assert not front.any()
    # A positive yaw turns the face to the left of the image.
    assert left[:6].float().mean() > 0.8
    assert not left[11:16].any()
    assert right[11:17].float().mean() > 0.8
    assert not right[1:6].any()


def test_faces_turned_in_their_photograph_stay_and_turns_have_a_limit(
    profiles: Profiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_turns, "TURNING", 1.0)
    turns = draw_turns(Random(3, CPU), profiles, torch.tensor([0, 1] * 8), 12, 1.0)
    assert turns is not None
    assert (turns.yaw[1::2] == 0).all()
    largest = turns.yaw[::2].abs().amax(1)
    assert (largest > math.radians(10)).float().mean() > 0.6
    assert largest.max() <= head_turns.MAX_YAW + 0.05
    monkeypatch.setattr(head_turns, "TURNING", 0.0)
    assert draw_turns(Random(3, CPU), profiles, torch.tensor([0, 0]), 12, 1.0) is None


def test_points_of_a_rendered_clip_keep_their_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each place of the texture has a colour of its own, which its point in the clip shows."""
    ramp = torch.linspace(20, 235, SIDE)
    colours = torch.stack([ramp.expand(SIDE, SIDE), ramp[:, None].expand(SIDE, SIDE)])
    face = torch.cat([colours, torch.full((1, SIDE, SIDE), 90.0)]).byte()[None]
    landmarks = torch.from_numpy(_landmarks()).float()[None]
    masks = torch.full((1, 1, MASK, MASK), 255, dtype=torch.uint8)
    textures = with_relief(Textures(face, landmarks, masks, face))
    monkeypatch.setattr(head_turns, "TURNING", 1.0)
    monkeypatch.setattr("facetrack.training.render.photograph", lambda video, xy, random: video)
    monkeypatch.setattr("facetrack.training.render.mouths", lambda *_: None)
    checked = 0
    for seed in range(6):
        clip = render(textures, Random(seed, CPU), 1, 8, None, calm=True)
        grid = (clip.xy[0].transpose(0, 1) / 128 - 1)[:, :, None]
        shown = torch.nn.functional.grid_sample(clip.video[0], grid, align_corners=False)
        shown = shown[:, :2, :, 0].permute(0, 2, 1) * 255  # (T, 68, 2)
        own = 20 + (landmarks[0] - 0.5) / (SIDE - 1) * 215
        seen = clip.visible[0].T & ((clip.xy[0] > 2) & (clip.xy[0] < 254)).all(-1).T
        off = (shown - own).norm(dim=-1)[seen]
        checked += len(off)
        assert off.median() < 1.5
        assert off.quantile(0.95) < 12
    assert checked > 500
