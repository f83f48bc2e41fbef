"""Mouths that open: points and pixels agree, the lips part, nothing else moves."""

from __future__ import annotations

import pytest
import torch

from facetrack.training.mouth import LOWER, UPPER, Mouth, mouths, to_grid, to_texture
from facetrack.training.signals import Random
from facetrack.training.textures import SIDE

CPU = torch.device("cpu")
FRAMES = 8


def _landmarks(gap: float) -> torch.Tensor:
    """A face upright, its inner lips `gap` pixels apart: (1, 68, 2)."""
    xy = torch.full((1, 68, 2), 150.0)
    xy[0, 36], xy[0, 45] = torch.tensor([120.0, 140]), torch.tensor([220.0, 140])
    bend = torch.tensor([0, 0.8, 1, 0.8, 0])
    x = torch.tensor([140.0, 155, 170, 185, 200])
    xy[0, list(UPPER)] = torch.stack([x, 210 - gap / 2 * bend], -1)
    xy[0, list(LOWER)] = torch.stack([x, 210 + gap / 2 * bend], -1)
    xy[0, 8] = torch.tensor([170.0, 280])
    xy[0, 57] = torch.tensor([170.0, 225])
    return xy


def _mouth(gap: float = 2.0, seed: int = 1) -> Mouth:
    mouth = mouths(Random(seed, CPU), _landmarks(gap), FRAMES, torch.ones(1), chance=1.0)
    assert mouth is not None
    return mouth


def _opened(by: float, gap: float = 2.0) -> Mouth:
    return _mouth(gap)._replace(opening=torch.full((1, FRAMES), by))


def _pixels() -> torch.Tensor:
    axis = torch.arange(SIDE) + 0.5
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    return grid.expand(1, FRAMES, -1, -1, -1)


@pytest.mark.parametrize("by", [-8.0, 0.0, 12.0, 40.0])
def test_the_map_of_pixels_takes_a_carried_point_back_to_where_it_came_from(by):
    mouth = _opened(by, gap=12)
    points = torch.rand(1, 60, 2, generator=torch.Generator().manual_seed(3)) * 200 + 90
    carried, known = mouth.carry(points, landmarks=False)
    a, v = mouth.where(points)
    # A step inside the lips' edge, where the two maps meet, rounding would decide.
    clear = known & ((v - mouth.edges(a)[1]).abs() > 0.5) & ((v - mouth.edges(a)[0]).abs() > 0.5)
    outside = clear & ~((v > mouth.edges(a)[0]) & (v < mouth.edges(a)[1]))
    shown = mouth.open(carried[:, :, None])[0][:, :, 0]
    assert outside.sum() > 20
    torch.testing.assert_close(shown[0, 0][outside[0]], points[0][outside[0]], atol=2e-2, rtol=0)


def test_an_open_mouth_that_does_not_move_is_left_as_it_is():
    """Otherwise networks would never see real teeth."""
    pairs = torch.cat([_landmarks(30.0), _landmarks(30.0)])
    mouth = mouths(Random(1, CPU), pairs, FRAMES, torch.tensor([1.0, 0.0]), chance=1.0)
    assert mouth is not None
    pixels = _pixels().expand(2, -1, -1, -1, -1)
    shown, inside, _ = mouth.open(pixels)
    assert torch.equal(shown[1], pixels[1])
    assert float(inside[1].max()) == 0


@pytest.mark.parametrize("by", [-10.0, 25.0])
def test_teeth_stay_where_they_are_when_the_jaw_moves(by):
    mouth = _opened(by, gap=30)._replace(keeps=torch.ones(1))
    at = torch.tensor([[170.0, 199.0]]).expand(1, FRAMES, 1, 1, 2)  # below the upper lip's edge
    shown, inside, _ = mouth.open(at)
    assert torch.equal(shown, at)
    assert float(inside.max()) == 0
    # The room between the old and the new lower lip is painted.
    below = torch.tensor([[170.0, 235.0]]).expand(1, FRAMES, 1, 1, 2)
    assert float(mouth.open(below)[1].max()) == (1 if by > 0 else 0)


def test_a_mouth_that_shuts_shows_its_lip_and_not_its_teeth():
    mouth = _opened(-20.0, gap=30)._replace(keeps=torch.ones(1))
    # Between the lower lip's new edge (205) and its old one (225).
    at = torch.tensor([[170.0, 212.0]]).expand(1, FRAMES, 1, 1, 2)
    shown, inside, _ = mouth.open(at)
    assert float(inside.max()) == 0
    assert shown[..., 1].min() > 225


def test_the_lower_lip_and_the_chin_go_down_and_the_rest_stays():
    mouth, landmarks = _opened(30), _landmarks(2)
    carried, known = mouth.carry(landmarks, landmarks=True)
    moved = (carried[0, 0] - landmarks[0])[:, 1]
    assert known.all()
    assert moved[66] == pytest.approx(30, abs=0.5)
    assert 20 < moved[8] <= 30.5
    assert moved[[60, 64]].abs().max() < 0.5
    assert moved[[*range(17, 48), 61, 62, 63]].abs().max() == 0


def test_what_is_between_the_lips_is_inside_and_nothing_else():
    inside = _opened(40).open(_pixels())[1][0, 0, 0]
    assert inside[230, 170] == 1  # between 209 and 251
    assert inside[[200, 260], 170].max() == 0
    assert inside[205:260, [100, 130, 210, 240]].max() == 0


def test_lips_never_pass_each_other():
    for seed in range(12):
        mouth = _mouth(gap=14, seed=seed)
        carried, _ = mouth.carry(_landmarks(14), landmarks=True)
        gap = carried[0, :, [67, 66, 65], 1] - carried[0, :, [61, 62, 63], 1]
        assert gap.min() > 0


def test_some_open_mouths_shut_and_shut_ones_only_open():
    least = [float(_mouth(14, seed).opening.min()) for seed in range(12)]
    assert min(least) < -2
    assert min(float(_mouth(0, seed).opening.min()) for seed in range(12)) >= 0


def test_what_a_shown_mouth_looks_like_is_a_colour():
    paint = _opened(40).open(_pixels())[2]
    assert paint.shape == (1, FRAMES, 3, SIDE, SIDE)
    assert paint.min() >= 0
    assert paint.max() <= 1.3  # `photograph` limits it as it does all light


def test_faces_in_profile_keep_their_mouths():
    xy = _landmarks(2)
    xy[0, list(UPPER), 0] = xy[0, list(LOWER), 0] = torch.linspace(165, 175, 5)
    mouth = mouths(Random(1, CPU), xy, FRAMES, torch.ones(1), chance=1.0)
    assert mouth is None or mouth.opening.abs().max() == 0


def test_no_motion_is_asked_for_and_none_drawn():
    assert mouths(Random(1, CPU), _landmarks(2), FRAMES, torch.zeros(1), chance=1.0) is None


def test_grids_and_texture_pixels_are_the_same_places():
    grid = torch.rand(1, 2, 5, 5, 2) * 2 - 1
    torch.testing.assert_close(to_grid(to_texture(grid)), grid, atol=1e-6, rtol=0)
