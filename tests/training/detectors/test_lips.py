"""Mouths that move in photographs: the landmarks stay on what they mark."""

from __future__ import annotations

import pytest
import torch

from facetrack.training.detectors import lips
from facetrack.training.signals import Random

CPU = torch.device("cpu")
SIDE = 256
INNER = {61: 67, 62: 66, 63: 65}


def landmarks() -> torch.Tensor:
    """(1, 68, 2) a frontal face with a shut mouth of 60 pixels, corners at (98, 180)."""
    points = torch.zeros(1, 68, 2)
    points[0, :, 0] = torch.linspace(60, 196, 68)
    points[0, :, 1] = 120.0
    points[0, 8] = torch.tensor([128.0, 235.0])
    points[0, 36], points[0, 45] = torch.tensor([78.0, 110.0]), torch.tensor([178.0, 110.0])
    for first, count, height in ((48, 7, -9.0), (55, 5, 10.0), (60, 5, 0.0), (65, 3, 0.0)):
        for k in range(count):
            share = {48: k / 6, 55: 1 - (k + 1) / 6, 60: k / 4, 65: 1 - (k + 1) / 4}[first]
            bow = 4 * share * (1 - share)
            inset = 0 if first < 60 else 4
            x = 98 + inset + share * (60 - 2 * inset)
            points[0, first + k] = torch.tensor([x, 180 + height * bow])
    return points


def dots(points: torch.Tensor, index: int) -> torch.Tensor:
    """(1, 3, SIDE, SIDE) grey with one soft bright dot."""
    axis = torch.arange(SIDE, dtype=torch.float)
    x, y = points[0, index]
    dot = torch.exp(-((axis - x)[None] ** 2 + (axis - y)[:, None] ** 2) / 6)
    return (0.3 + 0.7 * dot).expand(1, 3, -1, -1).contiguous()


def brightest(picture: torch.Tensor) -> torch.Tensor:
    """(2,) x and y of the centre of what is brighter than the ground."""
    light = (picture[0, 0] - 0.4).clamp_min(0)
    axis = torch.arange(SIDE, dtype=torch.float)
    return torch.stack([(light.sum(0) * axis).sum(), (light.sum(1) * axis).sum()]) / light.sum()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("index", [48, 51, 54, 57, 33, 8])
def test_landmarks_go_with_the_picture(monkeypatch, seed, index):
    monkeypatch.setattr(lips, "JAW_CHANCE", float(seed % 2) * 2)
    points = landmarks()
    pictures, moved = lips.move(dots(points, index), points, Random(seed, CPU), 1.0)
    if brightest_is_hidden(pictures):
        pytest.skip("the jaw is out of the picture")
    assert (brightest(pictures) - moved[0, index]).abs().max() < 1.6


def brightest_is_hidden(picture: torch.Tensor) -> bool:
    return bool(picture.max() < 0.6)


def test_reshaped_lips_lead_there_and_back():
    points = landmarks().expand(200, -1, -1)
    shape = lips.draw(Random(0, CPU), points)
    there = shape.carry(points)
    assert (shape.source(there) - points).abs().max() < 0.05
    moved = (there - points).norm(dim=-1)
    assert moved[:, 48:].amax(1).gt(1).float().mean() > 0.5
    assert moved[:, 36:48].max() < 0.5


def test_stretched_pressed_and_raised():
    """Each number of the shape does what it says."""
    points = landmarks()
    plain = lips.draw(Random(0, CPU), points)._replace(
        stretch=torch.zeros(1), press=torch.zeros(1), corners=torch.zeros(1, 2)
    )
    assert torch.allclose(plain.carry(points), points, atol=1e-4)
    puckered = plain._replace(stretch=torch.tensor([0.3])).carry(points)[0]
    assert puckered[54, 0] - puckered[48, 0] < 0.9 * 60
    pressed = plain._replace(press=torch.tensor([0.5])).carry(points)[0]
    assert pressed[57, 1] - pressed[51, 1] < 0.8 * 19
    raised = plain._replace(corners=torch.tensor([[0.0, -0.15]])).carry(points)[0]
    assert raised[54, 1] < points[0, 54, 1] - 2
    assert abs(raised[48, 1] - points[0, 48, 1]) < 0.2


def test_mouths_open(monkeypatch):
    """Lips part by what the labels say: between them is the inside, not the photograph."""
    monkeypatch.setattr(lips, "JAW_CHANCE", 2.0)
    points = landmarks()
    picture = torch.full((1, 3, SIDE, SIDE), 0.9)
    opened = 0
    for seed in range(20):
        pictures, moved = lips.move(picture, points, Random(seed, CPU), 1.0)
        gap = moved[0, 66] - moved[0, 62]
        if gap.norm() < 6:
            continue
        opened += 1
        x, y = ((moved[0, 66] + moved[0, 62]) / 2).round().long().tolist()
        assert not torch.allclose(pictures[0, :, y, x], picture[0, :, y, x], atol=0.02)
    assert opened > 3


def test_other_faces_and_parts_stay():
    points = landmarks().expand(40, -1, -1)
    picture = torch.rand(1, 3, SIDE, SIDE).expand(40, -1, -1, -1)
    pictures, moved = lips.move(picture, points, Random(0, CPU), 0.25)
    changed = (moved != points).any(2).any(1)
    assert 4 < changed.sum() < 17
    assert torch.equal(pictures[~changed], picture[~changed])
    assert torch.equal(lips.move(picture, points, Random(0, CPU), 0.0)[0], picture)
    # The eyes are above all that moves.
    assert (pictures[..., :115, :] - picture[..., :115, :]).abs().max() < 0.1


def test_profiles_keep_their_lips():
    points = landmarks()
    points[0, 36, 0], points[0, 45, 0] = -100.0, 400.0
    shape = lips.draw(Random(0, CPU), points.expand(50, -1, -1))
    assert (shape.stretch == 0).all()
    assert (shape.press == 0).all()
    assert (shape.corners == 0).all()


def test_the_inside_has_the_light_of_the_face():
    paint = torch.rand(1, 3, 8, 8)
    grey = torch.full((1, 3, 8, 8), 0.1)
    made = lips._match_light(grey, paint)
    assert torch.allclose(made[:, 0], made[:, 1])
    assert made.mean() < 0.5 * paint.mean()
