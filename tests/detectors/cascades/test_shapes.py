"""Mean shapes, bases of shapes, similarity transforms, patches and warps."""

from __future__ import annotations

import math

import pytest
import torch

from facetrack.detectors.cascades.patches import around, grid, warp
from facetrack.detectors.cascades.shapes import ShapeBasis, Similarity, fit_similarity


def random_similarity(batch: int, seed: int = 0) -> Similarity:
    generator = torch.Generator().manual_seed(seed)
    angle, scale, x, y = torch.rand(4, batch, generator=generator)
    angle, scale = (angle - 0.5) * 2, 0.7 + scale * 0.6
    cos, sin = scale * angle.cos(), scale * angle.sin()
    matrix = torch.stack([cos, -sin, sin, cos], -1).view(batch, 2, 2)
    return Similarity(matrix, torch.stack([x, y], -1) * 0.2 - 0.1)


def test_a_similarity_is_found_again_and_undone():
    shapes = torch.rand(3, 9, 2, generator=torch.Generator().manual_seed(1))
    given = random_similarity(3)
    moved = given.apply(shapes)
    found = fit_similarity(shapes, moved)
    torch.testing.assert_close(found.matrix, given.matrix)
    torch.testing.assert_close(found.shift, given.shift)
    torch.testing.assert_close(found.inverse().apply(moved), shapes)
    # A rotation is clockwise on the screen, where y runs down.
    right, below = torch.tensor([[[0.0, 0], [1, 0]]]), torch.tensor([[[0.0, 0], [0, 1]]])
    turned = fit_similarity(right, below).turn(torch.tensor([[[2.0, 1]]]))
    torch.testing.assert_close(turned, torch.tensor([[[-1.0, 2]]]))


def test_a_shape_that_is_one_point_gives_no_infinity():
    found = fit_similarity(torch.zeros(1, 5, 2), torch.rand(1, 5, 2))
    assert torch.isfinite(found.matrix).all()
    assert torch.isfinite(found.inverse().apply(torch.rand(1, 5, 2))).all()


def test_gradients_pass_through_a_fit():
    shapes = torch.rand(2, 6, 2, requires_grad=True)
    fit_similarity(shapes, torch.rand(2, 6, 2)).apply(shapes).sum().backward()
    assert torch.isfinite(shapes.grad).all()


def test_the_components_give_the_training_shapes_back():
    generator = torch.Generator().manual_seed(0)
    ways = torch.randn(3, 7, 2, generator=generator)
    shapes = torch.randn(50, 3, generator=generator) @ ways.flatten(1)
    shapes = shapes.view(50, 7, 2) + torch.rand(7, 2, generator=generator)
    basis = ShapeBasis(7, 5)
    basis.fit(shapes)
    torch.testing.assert_close(basis.start(2)[1], shapes.mean(0))
    flat = basis.components.flatten(1)
    weights = torch.linalg.lstsq(flat[:3].T, (shapes - basis.mean).flatten(1).T).solution.T
    weights = torch.cat([weights, torch.zeros(50, 2)], 1)
    torch.testing.assert_close(basis.offsets(weights) + basis.mean, shapes, atol=1e-4, rtol=1e-4)
    # Weights have unit variance: a network's outputs need no scale of their own.
    torch.testing.assert_close(weights[:, :3].var(0), torch.ones(3), atol=1e-3, rtol=1e-3)
    # The mean face of three shapes has two directions at most, whatever is asked for.
    basis.fit(shapes[:3])
    assert float(basis.components[3:].abs().max()) == 0


def test_offsets_are_exact_at_any_precision_of_the_network():
    basis = ShapeBasis(4, 2)
    basis.fit(torch.rand(9, 4, 2))
    weights = torch.rand(3, 2)
    with torch.autocast("cpu", torch.bfloat16):
        low = basis.offsets(weights)
    torch.testing.assert_close(low, basis.offsets(weights))


def ramps(side: int) -> torch.Tensor:
    """A picture whose values are its places: x, then y."""
    return grid(side, torch.device("cpu")).permute(2, 0, 1)[None]


def test_patches_show_what_lies_around_their_points():
    points = torch.tensor([[[0.25, -0.5], [0.0, 0.1]]])
    patches = around(ramps(64), points, 5, 0.2)
    assert patches.shape == (1, 2, 2, 5, 5)
    torch.testing.assert_close(patches[0, :, :, 2, 2], points[0], atol=1e-5, rtol=0)
    # 5 pixels are 0.2 widths of a picture from -1 to 1: the outer centres are 0.32 apart.
    across = patches[0, 0, 0, 2, 4] - patches[0, 0, 0, 2, 0]
    assert float(across) == pytest.approx(0.32, abs=1e-5)
    assert float(patches[0, 0, 1, 4, 2] - patches[0, 0, 1, 0, 2]) == pytest.approx(0.32, abs=1e-5)


def test_patches_are_black_outside_the_picture():
    patches = around(torch.ones(1, 3, 16, 16), torch.tensor([[[3.0, 0.0], [0.0, 0.0]]]), 4, 0.25)
    assert float(patches[0, 0].abs().max()) == 0
    assert float(patches[0, 1].min()) == 1


def test_a_warp_puts_the_shape_on_the_canonical_one_and_back():
    canonical = torch.rand(2, 8, 2, generator=torch.Generator().manual_seed(3)) - 0.5
    back = random_similarity(2, 5)
    shape = back.apply(canonical)
    warped = warp(ramps(64).expand(2, -1, -1, -1), back, 96)
    # The warped picture's values say where each of its places came from.
    at_canonical = around(warped, canonical, 1, 1e-3)[..., 0, 0]
    torch.testing.assert_close(at_canonical, shape, atol=2e-3, rtol=0)
    again = warp(warped, back.inverse(), 64)
    middle = slice(24, 40)
    there = ramps(64).expand(2, -1, -1, -1)
    torch.testing.assert_close(
        again[..., middle, middle], there[..., middle, middle], atol=5e-3, rtol=0
    )


def test_a_turn_of_the_picture_is_a_turn_of_what_lies_around_the_points():
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(1, 1, 32, 32, generator=generator)
    points = torch.tensor([[[0.2, -0.3]]])
    turned = picture.rot90(1, (2, 3))  # against the clock: (x, y) becomes (y, -x)
    moved = torch.stack([points[..., 1], -points[..., 0]], -1)
    one, other = around(picture, points, 6, 0.3), around(turned, moved, 6, 0.3)
    torch.testing.assert_close(other, one.rot90(1, (3, 4)), atol=1e-5, rtol=1e-5)
    assert math.isfinite(float(one.sum()))
