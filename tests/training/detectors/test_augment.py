"""Augmented crops: the landmarks stay on what they mark, whatever is done to the picture."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facetrack.detectors import alignment
from facetrack.detectors.crops import LANDMARK_BOX, SIZE, CropRule, hog_box, relative_box
from facetrack.landmarks import schemes
from facetrack.training.detectors import augment
from facetrack.training.detectors.data import JITTER, Faces, jittered
from facetrack.training.signals import Random

CPU = torch.device("cpu")
SWAP = torch.tensor(schemes.get("68").swap)
SIDE = 200


def dots(points: np.ndarray, colours: np.ndarray) -> torch.Tensor:
    """(1, 3, SIDE, SIDE) black picture with a soft dot of its own colour at each point."""
    axis = np.arange(SIDE)
    picture = np.zeros((3, SIDE, SIDE), np.float32)
    for (x, y), colour in zip(points, colours, strict=True):
        dot = np.exp(-((axis - x)[None] ** 2 + (axis - y)[:, None] ** 2) / 8)
        picture += colour[:, None, None] * dot
    return torch.from_numpy(picture)[None]


def _views(pictures: torch.Tensor, points: torch.Tensor) -> augment.Views:
    hidden = torch.zeros(points.shape[:2], dtype=torch.bool)
    return augment.Views(pictures, points, hidden, (~hidden).float())


@settings(max_examples=25)
@given(
    st.floats(-30, 30), st.floats(0.75, 1.3), st.booleans(),
    st.floats(-20, 20), st.floats(-20, 20),
)  # fmt: skip
def test_landmarks_are_on_their_dots(angle, scale, mirrored, right, down):
    points = np.array([(70.0, 80.0), (130.5, 75.25), (101.0, 140.0)])
    swap = torch.tensor([1, 0, 2])
    picture = dots(points, np.eye(3))
    sign, turn, step = -1 if mirrored else 1, math.radians(angle), scale * 150 / SIZE
    cos, sin = math.cos(turn) * step, math.sin(turn) * step
    where = augment.Transform(
        torch.tensor([[[cos * sign, -sin], [sin * sign, cos]]]),
        torch.tensor([[100.0 + right, 100.0 + down]]),
        torch.tensor([mirrored]),
    )
    known = torch.from_numpy(points)[None].float()
    crops, moved, _ = augment.cut(picture, known, where, swap, torch.tensor([False]))
    for landmark in range(3):
        x, y = moved[0, landmark].tolist()
        if not (10 < x < SIZE - 10 and 10 < y < SIZE - 10):
            continue
        # In a mirrored picture the first two change their names.
        colour = int(swap[landmark]) if mirrored else landmark
        channel = crops[0, colour].double().numpy()
        found_x = (channel.sum(0) * np.arange(SIZE)).sum() / channel.sum()
        found_y = (channel.sum(1) * np.arange(SIZE)).sum() / channel.sum()
        assert abs(found_x - x) < 0.5
        assert abs(found_y - y) < 0.5


def test_an_upright_view_is_the_detectors_crop():
    """What is learned on is what is seen later: the same pixels as `CropRule.cut` takes."""
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
    rule = CropRule.around_landmarks(1.4)
    square = rule.square(np.array([60.0, 50.0, 150.0, 140.0]))
    cut = rule.cut(image, square)
    assert cut is not None
    crop, (step, origin) = cut
    side = square[2] - square[0]
    where = augment.Transform(
        torch.eye(2)[None] * side / SIZE,
        torch.tensor((square[:2] + square[2:]) / 2)[None].float(),
        torch.tensor([False]),
    )
    picture = torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float() / 255
    known = torch.tensor([[[80.0, 90.0]]])
    crops, moved, _ = augment.cut(picture, known, where, torch.tensor([0]), torch.tensor([False]))
    same = np.abs(crops[0].permute(1, 2, 0).numpy() * 255 - crop)
    # OpenCV interpolates in steps of 1 / 32 pixel.
    assert np.median(same) < 2
    assert np.percentile(same, 99) < 12
    np.testing.assert_allclose(moved[0, 0].numpy() * step + origin, (80.0, 90.0), atol=1e-3)


def test_mirrored_faces_are_renamed_as_the_scheme_says():
    points = torch.rand(1, 68, 2) * 100 + 50
    picture = torch.zeros(1, 3, SIDE, SIDE)
    middle = torch.tensor([[(SIDE - 1) / 2] * 2])
    scale = torch.tensor(SIDE / SIZE)

    def seen(sign: float) -> torch.Tensor:
        matrix = torch.diag(torch.stack([sign * scale, scale]))[None]
        where = augment.Transform(matrix, middle, torch.tensor([sign < 0]))
        return augment.cut(picture, points, where, SWAP, torch.tensor([True]))[1][0]

    expected = schemes.get("68").mirror(seen(1.0).numpy(), SIZE)
    np.testing.assert_allclose(seen(-1.0).numpy(), expected, atol=1e-3)


def test_drawn_transforms_stay_in_their_ranges():
    ranges = augment.Augmentation()
    squares = torch.tensor([[100.0, 90.0, 256.0, 0.5]]).expand(4000, 4)
    matrix, centre, mirrored = augment.draw(squares, Random(0, CPU), ranges)
    scale = matrix.det().abs().sqrt()
    angle = (torch.atan2(-matrix[:, 0, 1], matrix[:, 1, 1]) - 0.5).rad2deg()
    off = (centre - squares[:, :2]) / 256
    assert (scale >= 0.75 - 1e-4).all()
    assert (scale <= 1.3 + 1e-4).all()
    assert angle.abs().max() <= 30.01
    assert angle.abs().max() > 29
    assert off.abs().max() <= 0.2001
    # Wider than the boxes of a real detector, in both directions.
    assert (off.std(0) > torch.tensor(JITTER[:2])).all()
    assert scale.log().std() > JITTER[2]
    assert 0.45 < mirrored.float().mean() < 0.55
    assert torch.equal(matrix.det() < 0, mirrored)


def test_samples_follow_from_the_seed_alone():
    pictures = torch.randint(0, 255, (3, 3, 64, 64), dtype=torch.uint8)
    faces = Faces(pictures, torch.rand(3, 68, 2) * 60, torch.ones(3, 68))
    squares = torch.tensor([[32.0, 32.0, 60.0, 0.0]]).expand(3, 4)
    source = augment.Source(faces, alignment.align, squares, SWAP, None)
    ranges = augment.Augmentation()
    one, two, other = (
        augment.sample_spoilt(source, 6, Random(seed, CPU), ranges) for seed in (3, 3, 4)
    )
    assert torch.equal(one.pictures, two.pictures)
    assert torch.equal(one.points, two.points)
    assert not torch.equal(one.points, other.points)
    assert one.pictures.shape == (6, 3, SIZE, SIZE)
    assert one.pictures.min() >= 0
    assert one.pictures.max() <= 1


def test_sets_of_faces_have_their_shares_and_carry_what_is_labelled():
    def source(colour: int, labelled: float) -> augment.Source:
        pictures = torch.full((2, 3, 64, 64), colour, dtype=torch.uint8)
        known = torch.full((2, 68), labelled)
        known[:, 0] = 0.5  # a mirrored face has it at point 16
        faces = Faces(pictures, torch.rand(2, 68, 2) * 60, known)
        squares = torch.tensor([[32.0, 32.0, 60.0, 0.0]]).expand(2, 4)
        return augment.Source(faces, alignment.align, squares, SWAP, None)

    ranges = augment.Augmentation(spoilt=0, lids=0, lips=0, ended=0)
    parts = [
        augment.Part(source(40, 1.0), 0.75, ranges),
        augment.Part(source(200, 0.0), 0.25, ranges),
    ]
    views = augment.sample_from(parts, 120, Random(0, CPU))
    bright = views.pictures.amax((1, 2, 3)) > 0.5
    assert 15 < bright.sum() < 48
    assert (views.labelled[bright].sum(1) == 0.5).all()
    assert (views.labelled[~bright].sum(1) == 67.5).all()
    mirrored = views.labelled[:, 16] == 0.5
    assert 40 < mirrored.sum() < 80
    assert (views.labelled[~mirrored, 0] == 0.5).all()


def test_only_a_share_of_the_pictures_is_spoilt():
    pictures = torch.full((1, 3, 64, 64), 100, dtype=torch.uint8)
    faces = Faces(pictures, torch.rand(1, 68, 2) * 60, torch.ones(1, 68))
    source = augment.Source(
        faces, alignment.align, torch.tensor([[32.0, 32.0, 20.0, 0.0]]), SWAP, None
    )
    ranges = augment.Augmentation(spoilt=0.4, lids=0, lips=0, ended=0)
    views = augment.sample_spoilt(source, 80, Random(1, CPU), ranges)
    untouched = ((views.pictures - 100 / 255).abs() < 1e-4).all(-1).all(-1).all(-1)
    assert 0.5 < untouched.float().mean() < 0.72


@pytest.mark.parametrize("side", [SIZE, 64])
def test_ending_pictures_keep_at_least_a_third_of_the_landmarks(side):
    drawn = torch.Generator().manual_seed(0)
    pictures = torch.rand(200, 3, side, side, generator=drawn) * 0.5 + 0.5
    points = 60 + torch.rand(200, 68, 2, generator=drawn) * 120
    ended = augment.end_pictures(pictures, points, 0.5, Random(3, CPU))
    changed = (ended != pictures).flatten(1).any(1)
    assert 70 < changed.sum() < 130
    place = ((points + 0.5) * side / SIZE).long()
    shown = ended[torch.arange(200)[:, None], 0, place[..., 1], place[..., 0]] > 0
    share = shown[changed].float().mean(1)
    assert share.min() > 0.3
    # Anything from a third of the face to nearly all of it.
    assert share.quantile(0.1) < 0.5
    assert share.max() > 0.95
    # What is left of the picture is as it was, apart from the edge.
    kept = ended[changed] == pictures[changed]
    black = ended[changed] == 0
    assert (kept | black).float().mean() > 0.97
    # Every row and column crosses the border of the picture once at most.
    for axis in (-1, -2):
        assert black.any(1).int().diff(dim=axis).abs().sum(axis).max() <= 1


# ---------------------------------------------------------------- fiducial focus


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_squares_are_black_and_centred_on_the_landmarks(size):
    points = torch.tensor([[[40.0, 60.0], [200.0, 100.0], [-30.0, 10.0]]])
    views = _views(torch.ones(1, 3, SIZE, SIZE), points)
    painted = augment.paint_squares(views, size, torch.tensor([True]))
    black = (painted[0, 0] == 0).nonzero().float()
    assert len(black) == 2 * size * size
    near = black[black[:, 1] < 100]
    centre = near.mean(0)
    assert (centre - torch.tensor([60.0, 40.0])).abs().max() <= 0.5
    assert (near.amax(0) - near.amin(0) == size - 1).all()


def test_squares_spare_the_other_pictures():
    views = _views(torch.ones(2, 3, SIZE, SIZE), torch.full((2, 1, 2), 50.0))
    painted = augment.paint_squares(views, 5, torch.tensor([False, True]))
    assert (painted[0] == 1).all()
    assert (painted[1] == 0).any()


def test_squares_shrink_by_a_pixel_at_a_time_and_go():
    sizes = [augment.fifa_size(p / 100, 0.5) for p in range(100)]
    assert sizes[0] == 5
    assert sizes[49] == 1
    assert sizes[50:] == [0] * 50
    assert all(0 <= a - b <= 1 for a, b in itertools.pairwise(sizes))
    assert [sizes.count(n) for n in (5, 4, 3, 2, 1)] == [10] * 5
    assert augment.fifa_size(0.0, 0.0) == 0


# ---------------------------------------------------------------- boxes


def test_the_face_box_is_the_inverse_of_where_landmarks_lie_in_it():
    box = np.array([30.0, 40.0, 130.0, 140.0])
    x0, y0, x1, y1 = relative_box(box, LANDMARK_BOX)
    random = np.random.default_rng(1)
    points = random.uniform((x0, y0), (x1, y1), (68, 2))
    points[:2] = (x0, y0), (x1, y1)
    np.testing.assert_allclose(hog_box(points), box, atol=1e-6)


def test_jittered_boxes_scatter_as_the_detectors_do():
    boxes = np.tile([0.0, 0.0, 100.0, 100.0], (20000, 1))
    off = jittered(boxes)
    centre = (off[:, :2] + off[:, 2:]) / 2 - 50
    np.testing.assert_allclose(centre.std(0) / 100, JITTER[:2], rtol=0.03)
    np.testing.assert_allclose(np.log((off[:, 2] - off[:, 0]) / 100).std(), JITTER[2], rtol=0.03)
