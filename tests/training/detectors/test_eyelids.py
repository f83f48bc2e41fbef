"""Lids that move: labels stay on the drawn edge, and nothing else in the picture changes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from facetrack.detectors import alignment
from facetrack.training.detectors import augment, eyelids
from facetrack.training.detectors.data import Faces
from facetrack.training.detectors.eyelids import EYES, NUM_APPEARANCE, Lids
from facetrack.training.signals import Random

CPU = torch.device("cpu")
SIDE = 256
WIDTH = 60.0
CENTRES = ((75.0, 120.0), (180.0, 120.0))
SKIN, WHITE, LASH = 0.7, 0.95, 0.1
PLAIN = 0.5
"""A look in which no chance of lashes, make-up or other skin comes true."""


def landmarks(opening: float = 0.3) -> torch.Tensor:
    """(1, 68, 2) a face whose eyes are parabolas `opening` of their width high."""
    points = torch.rand(1, 68, 2, generator=torch.Generator().manual_seed(0)) * 40 + 180
    for (x, y), eye in zip(CENTRES, EYES, strict=True):
        left = x - WIDTH / 2
        points[0, eye.corners[0]] = torch.tensor([left, y])
        points[0, eye.corners[1]] = torch.tensor([left + WIDTH, y])
        for part, sign in ((eye.upper, -1), (eye.lower, 1)):
            for index, share in zip(part, (1 / 3, 2 / 3), strict=True):
                height = sign * opening / 2 * WIDTH * 4 * share * (1 - share)
                points[0, index] = torch.tensor([left + share * WIDTH, y + height])
        for index, share in zip(eye.brow, np.linspace(0, 1, 5), strict=True):
            points[0, index] = torch.tensor([left + share * WIDTH, y - 0.8 * WIDTH])
    return points


def photograph(points: torch.Tensor, opening: float = 0.3) -> torch.Tensor:
    """(1, 3, SIDE, SIDE) skin with white eyes and a dark line just above each upper edge."""
    del points
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(float)
    picture = np.full((SIDE, SIDE), SKIN)
    for x, y in CENTRES:
        share = (columns - x) / WIDTH + 0.5
        bow = opening / 2 * WIDTH * 4 * np.clip(share * (1 - share), 0, None)
        inside = (share > 0) & (share < 1)
        picture[inside & (np.abs(rows - y) < bow)] = WHITE
        picture[inside & (rows > y - bow - 2) & (rows <= y - bow)] = LASH
    return torch.from_numpy(picture).float().expand(1, 3, -1, -1).contiguous()


def lids(left: float, right: float, rise: float = 0.1) -> Lids:
    """Lids of one face without any chance of lashes."""
    return Lids(
        torch.tensor([[left, right]]),
        torch.full((1, 2), rise),
        torch.full((1, NUM_APPEARANCE), 0.999),
    )


def turned(
    picture: torch.Tensor, points: torch.Tensor, degrees: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The face turned about the middle of the picture."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    middle = torch.tensor([[(SIDE - 1) / 2] * 2])
    matrix = torch.tensor([[[cos, -sin], [sin, cos]]])
    where = augment.Transform(matrix, middle, torch.tensor([False]))
    return augment.cut(picture, points, where, torch.arange(68), torch.tensor([True]))[:2]


@pytest.mark.parametrize("degrees", [0, 25, -40, 170])
@pytest.mark.parametrize("closing", [0.3, 0.7, 1.0])
def test_labels_are_on_the_drawn_edge(degrees, closing):
    """The dark line above the upper edge goes down with it, and the label with both."""
    points = landmarks()
    face = turned(photograph(points), points, degrees)
    pictures, moved = eyelids.move(*face, lids(closing, closing))
    down = torch.tensor([math.sin(math.radians(degrees)), math.cos(math.radians(degrees))])
    for eye in EYES:
        for index in eye.upper:
            # From 4 pixels above the label to 4 below: where is the dark line's lower end?
            steps = torch.linspace(-8, 8, 129)
            places = moved[0, index] + steps[:, None] * down
            grid = ((places + 0.5) * 2 / SIDE - 1).view(1, 1, -1, 2)
            seen = torch.nn.functional.grid_sample(pictures, grid, align_corners=False)[0, 0, 0]
            middle = (SKIN + LASH) / 2
            dark = steps[seen < middle]
            assert len(dark), "the line along the lashes is gone"
            assert -3.5 < dark.min() < -0.5
            assert abs(float(dark.max())) < 1.3


def test_the_upper_lid_goes_as_far_as_it_is_told():
    points = landmarks(opening=0.3)
    _, moved = eyelids.move(photograph(points), points, lids(0.5, 1.0, rise=0.1))
    for eye, closing in zip(EYES, (0.5, 1.0), strict=True):
        for upper, lower in zip(eye.upper, eye.lower, strict=True):
            before = points[0, lower] - points[0, upper]
            after = moved[0, lower] - moved[0, upper]
            rise = float((points[0, lower] - moved[0, lower])[1] / before[1])
            assert rise == pytest.approx(0.1 * closing, abs=1e-4)
            assert float(after[1] / before[1]) == pytest.approx(
                (1 - closing) * (1 - 0.1 * closing), abs=1e-4
            )
            assert abs(float(after[0])) < 1e-3


def test_a_shut_eye_shows_no_white():
    points = landmarks()
    pictures, _ = eyelids.move(photograph(points), points, lids(1.0, 1.0))
    for x, y in CENTRES:
        about = pictures[0, 0, int(y) - 20 : int(y) + 20, int(x) - 20 : int(x) + 20]
        assert (about > (SKIN + WHITE) / 2).float().mean() < 0.01


def test_a_widened_eye_shows_more_white():
    points = landmarks()
    picture = photograph(points)
    pictures, moved = eyelids.move(picture, points, lids(-0.2, 0.0))
    x, y = (int(v) for v in CENTRES[0])
    column = pictures[0, 0, y - 30 : y + 30, x] > (SKIN + WHITE) / 2
    before = picture[0, 0, y - 30 : y + 30, x] > (SKIN + WHITE) / 2
    assert column.sum() == pytest.approx(1.2 * float(before.sum()), abs=1.5)
    assert (moved[0, list(EYES[0].upper), 1] < points[0, list(EYES[0].upper), 1]).all()
    assert torch.equal(moved[0, list(EYES[0].lower)], points[0, list(EYES[0].lower)])


def test_without_closing_nothing_changes():
    points = landmarks()
    picture = photograph(points)
    pictures, moved = eyelids.move(picture, points, lids(0.0, 0.0))
    assert torch.equal(pictures, picture)
    assert torch.equal(moved, points)


def test_the_closing_begins_at_the_photograph():
    """A lid that hardly moves hardly changes the picture."""
    points = landmarks()
    random = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    picture = torch.nn.functional.avg_pool2d(random, 9, 1, 4)
    pictures, moved = eyelids.move(picture, points, lids(1e-4, -1e-4))
    assert (pictures - picture).abs().max() < 0.01
    assert (moved - points).abs().max() < 0.01


def test_a_wink_leaves_the_other_eye():
    points = landmarks()
    picture = torch.rand(1, 3, SIDE, SIDE)
    pictures, moved = eyelids.move(picture, points, lids(0.0, 1.0))
    middle = int((CENTRES[0][0] + CENTRES[1][0]) / 2)
    assert torch.equal(pictures[..., :middle], picture[..., :middle])
    assert torch.equal(moved[0, 36:42], points[0, 36:42])
    assert not torch.equal(moved[0, 42:48], points[0, 42:48])


def test_nothing_beside_the_eyes_changes():
    points = landmarks()
    picture = torch.rand(1, 3, SIDE, SIDE)
    drawn = eyelids.draw(Random(3, CPU), 1, 1.0)._replace(closing=torch.ones(1, 2))
    pictures, moved = eyelids.move(picture, points, drawn)
    changed = (pictures != picture).any(1)[0]
    rows, columns = np.mgrid[:SIDE, :SIDE]
    allowed = np.zeros((SIDE, SIDE), bool)
    for x, y in CENTRES:
        above_brow = rows > y - 0.8 * WIDTH
        allowed |= (abs(columns - x) <= WIDTH / 2) & above_brow & (rows < y + 0.7 * WIDTH)
    assert changed.any()
    assert not changed[torch.from_numpy(~allowed)].any()
    lid_points = [i for eye in EYES for i in (*eye.upper, *eye.lower)]
    others = [i for i in range(68) if i not in lid_points]
    assert torch.equal(moved[0, others], points[0, others])


@pytest.mark.parametrize("opening", [0.02, 0.9, -0.2])
def test_eyes_that_cannot_be_believed_stay(opening):
    points = landmarks(opening)
    picture = torch.rand(1, 3, SIDE, SIDE)
    pictures, moved = eyelids.move(picture, points, lids(1.0, 1.0))
    assert torch.equal(pictures, picture)
    assert torch.equal(moved, points)


@pytest.mark.parametrize("shift", [-100.0, 130.0, 1e4])
def test_eyes_across_the_border_and_outside(shift):
    """The part inside the picture is drawn, and the landmarks move all the same."""
    points = landmarks() + torch.tensor([shift, 0.0])
    picture = torch.rand(1, 3, SIDE, SIDE)
    pictures, moved = eyelids.move(picture, points, lids(1.0, 1.0))
    assert torch.isfinite(pictures).all()
    assert pictures.shape == picture.shape
    assert not torch.equal(moved, points)
    assert torch.equal(pictures, picture) == (shift == 1e4)


def test_every_kind_of_lids_is_drawn():
    drawn = eyelids.draw(Random(0, CPU), 4000, chance=0.35)
    left, right = drawn.closing.unbind(1)
    moves = (drawn.closing != 0).any(1)
    assert 0.3 < moves.float().mean() < 0.4
    for share, least in (
        ((left == 1) & (right == 1), 0.1),
        ((left > 0.1) & (left < 0.9), 0.05),
        ((left - right).abs() > 0.5, 0.03),
        (left < 0, 0.02),
    ):
        assert share.float().mean() > least
    assert drawn.closing.max() <= 1
    assert drawn.closing.min() >= -0.25


def test_all_appearance_numbers_are_used():
    """A number that nothing reads, or one that is missing, would shift the others."""
    values = torch.rand(1, NUM_APPEARANCE)
    eyelids._Appearance(values, torch.ones(1))
    with pytest.raises(StopIteration):
        eyelids._Appearance(values[:, :-1], torch.ones(1))


def test_a_third_of_the_crops_have_lids_that_moved():
    points = landmarks()
    faces = Faces((photograph(points) * 255).byte(), points, torch.ones(1, 68))
    squares = torch.tensor([[127.5, 127.5, 256.0, 0.0]])
    source = augment.Source(faces, alignment.align, squares, torch.arange(68), None)
    exact = augment.Augmentation(0, (1, 1), 0, mirror=0, lips=0)
    views = augment.sample_spoilt(source, 60, Random(0, CPU), exact)
    moved = (views.points - points).abs().amax((1, 2)) > 0.5
    assert 10 < moved.sum() < 35
    exact_without = dataclasses.replace(exact, lids=0)
    still = augment.sample_spoilt(source, 60, Random(0, CPU), exact_without)
    assert (still.points - points).abs().max() < 1e-2
