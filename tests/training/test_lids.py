"""Eyes that shut in photographs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facetrack.training.lids import EYES, MAX_GAZE, draw_blinks, draw_gaze, draw_lids
from facetrack.training.signals import Random

CPU = torch.device("cpu")
BATCH = 4


def _faces(height: float = 12.0, tilt: float = 0.0) -> torch.Tensor:
    """(BATCH, 68, 2) whose eyes are 40 wide and so high."""
    face = torch.zeros(BATCH, 68, 2)
    for (corners, upper, lower), x in zip(EYES, (100.0, 200.0), strict=True):
        for index, off in zip(corners, (0, 40), strict=True):
            face[:, index] = torch.tensor([x + off, 150.0])
        for index, off in zip((*upper, *lower), (12, 28, 12, 28), strict=True):
            side = -0.6 if index in upper else 0.4
            face[:, index] = torch.tensor([x + off, 150 + side * height])
    cos, sin = np.cos(tilt), np.sin(tilt)
    return (face - 170) @ torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float32) + 170


def _shut(closing: float, face: torch.Tensor) -> tuple:
    return draw_lids(Random(1, CPU), face, torch.full((BATCH, 2, 1), closing))


def _carried(closing: float, face: torch.Tensor) -> torch.Tensor:
    points = face[:, None]
    for eye, lid in enumerate(_shut(closing, face)):
        points = lid.carry(points, eye)
    return points[:, 0]


def _openings(points: torch.Tensor) -> torch.Tensor:
    pairs = [(u, low) for _, upper, lower in EYES for u, low in zip(upper, lower, strict=True)]
    return torch.stack([(points[:, a] - points[:, b]).norm(dim=-1) for a, b in pairs], 1)


@pytest.mark.parametrize("tilt", [0.0, 0.5, 3.0])
def test_lids_meet_when_an_eye_is_shut(tilt):
    face = _faces(tilt=tilt)
    torch.testing.assert_close(_carried(0.0, face), face)
    assert _openings(_carried(1.0, face)).max() < 0.05
    halfway = _openings(_carried(0.5, face)) / _openings(face)
    assert ((halfway > 0.4) & (halfway < 0.6)).all()


def test_nothing_but_the_lids_moves():
    face = _faces()
    lid_points = [i for _, upper, lower in EYES for i in (*upper, *lower)]
    others = [i for i in range(68) if i not in lid_points]
    assert torch.equal(_carried(1.0, face)[:, others], face[:, others])


@pytest.mark.parametrize("closing", [0.3, 0.7, 1.0])
@pytest.mark.parametrize("tilt", [0.0, 1.0])
def test_the_picture_shows_the_lids_edge_where_its_landmarks_are(closing, tilt):
    face = _faces(tilt=tilt)
    now = _carried(closing, face)
    for eye, lid in enumerate(_shut(closing, face)):
        upper = list(EYES[eye][1])
        above = now[:, upper] - 0.05 * lid.down[:, None]  # still on the lid
        shown, _ = lid.close(above[:, None, None])
        away = shown[:, 0, 0] + 0.05 * lid.down[:, None] - face[:, upper]
        assert away.norm(dim=-1).max() < 0.1


def test_the_eyeball_stays_where_it_is_seen():
    face = _faces()
    lid, _ = _shut(0.4, face)
    low = face[:, list(EYES[0][2])].mean(1) - 0.25 * 12 * lid.down
    shown, shade = lid.close(low[:, None, None, None])
    torch.testing.assert_close(shown[:, 0, 0, 0], low)
    assert (shade > 0.5).all()


def test_far_from_the_eyes_nothing_changes():
    face = _faces()
    axis = torch.linspace(0, 340, 30)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).expand(BATCH, 1, -1, -1, -1)
    lid, _ = _shut(1.0, face)
    shown, shade = lid.close(grid)
    far = (grid - lid.origin[:, None, None, None]).norm(dim=-1) > 45
    assert torch.equal(shown[far], grid[far])
    torch.testing.assert_close(shade[far], torch.ones_like(shade[far]))


@pytest.mark.parametrize("height", [1.0, 40.0])
def test_eyes_that_a_photograph_hardly_shows_stay_as_they_are(height):
    face = _faces(height)
    assert torch.equal(_carried(1.0, face), face)


def test_blinks_shut_and_open_and_some_are_of_one_eye():
    amount = draw_blinks(Random(3, CPU), 200, 60, torch.full((200,), 30.0))
    assert amount.shape == (200, 2, 60)
    assert amount.min() >= 0
    assert amount.max() < 1.1
    wholly = (amount > 0.85).any(2)
    assert wholly.any(1).float().mean() > 0.5
    assert (wholly[:, 0] != wholly[:, 1]).any()
    assert (amount[:, :, -1] < 0.1).float().mean() > 0.3


@pytest.mark.parametrize("tilt", [0.0, 1.0])
def test_an_eye_that_looks_aside_moves_between_its_lids(tilt):
    face = _faces(tilt=tilt)
    gaze = torch.tensor([1.0, 0.0]).expand(BATCH, 2)[..., None]
    open_eyes = torch.zeros(BATCH, 2, 1)
    lid, _ = draw_lids(Random(1, CPU), face, open_eyes, gaze)
    middle = lid.origin
    shown, shade = lid.close(middle[:, None, None, None])
    # What was left of the middle is seen there now.
    moved = ((shown[:, 0, 0, 0] - middle) * lid.along).sum(-1) / lid.half
    torch.testing.assert_close(moved, torch.full_like(moved, -MAX_GAZE[0]), atol=0.02, rtol=0)
    assert torch.equal(shade, torch.ones_like(shade))
    on_edges = face[:, [i for part in EYES[0] for i in part]]
    for away in (-0.3, 0.3):  # of a pixel
        points = on_edges + away * lid.down[:, None]
        seen, _ = lid.close(points[:, None, None])
        assert (seen[:, 0, 0] - points).norm(dim=-1).max() < 2
    assert torch.equal(lid.carry(face[:, None], 0), face[:, None])


def test_an_eye_that_looks_aside_is_not_folded():
    face = _faces()
    places = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).T[None].expand(BATCH, -1, -1)
    lid, _ = draw_lids(Random(1, CPU), face, torch.zeros(BATCH, 2, 2), places)
    along = torch.linspace(-0.99, 0.99, 50)[:, None] * lid.half[:, None, None] * lid.along[:, None]
    row = (lid.origin[:, None] + along)[:, None, None].expand(-1, 2, 1, -1, -1)
    shown, _ = lid.close(row)
    order = (shown * lid.along[:, None, None, None]).sum(-1)
    assert (order.diff(dim=-1) > 0).all()


def test_gazes_rest_and_jump():
    gaze = draw_gaze(Random(3, CPU), 200, 60, torch.full((200,), 30.0))
    assert gaze.shape == (200, 2, 60)
    assert gaze.abs().max() <= 1
    steps = gaze.diff(dim=2).abs().amax(1)
    assert (steps < 1e-3).float().mean() > 0.8
    assert 0.3 < (steps.amax(1) > 0.1).float().mean() < 0.7
    assert (gaze.abs().amax((1, 2)) == 0).any()
