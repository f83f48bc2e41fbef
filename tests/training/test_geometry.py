"""What is drawn is where the ground truth says."""

from __future__ import annotations

import pytest
import torch

from facetrack.training.geometry import (
    LATTICE,
    deform,
    expression_basis,
    pixel_grid,
    sample,
    similarity,
)
from facetrack.training.signals import Random
from facetrack.training.textures import SIDE

SIZE = 256
CPU = torch.device("cpu")


def _layer(frames=3):
    random = Random(5, CPU)
    landmarks = SIDE / 2 + 60 * torch.randn(1, 68, 2, generator=random.generator)
    landmarks[:, 36], landmarks[:, 45] = torch.tensor([130.0, 150]), torch.tensor([220.0, 150])
    flat = similarity(
        torch.full((1, 2), SIDE / 2),
        torch.full((1, frames, 2), SIZE / 2) + torch.arange(frames)[None, :, None] * 7.3,
        torch.full((1, frames), 0.7),
        torch.linspace(-0.3, 0.4, frames)[None],
    )
    basis = expression_basis(landmarks, random)
    waves = 0.7 * random.smooth(frames, 1, basis.shape[1])
    return deform(flat, basis, waves, SIZE)


def test_similarity_puts_its_centre_where_it_is_told():
    layer = similarity(
        torch.tensor([[100.0, 50.0]]),
        torch.tensor([[[30.0, 60.0]]]),
        torch.tensor([[2.0]]),
        torch.tensor([[0.5]]),
    )
    at_centre = layer.affine(torch.tensor([[[[30.0, 60.0]]]]))
    torch.testing.assert_close(at_centre, torch.tensor([[[[100.0, 50.0]]]]))
    # magnified twice: a picture step of two pixels is a texture step of one
    beside = layer.affine(torch.tensor([[[[32.0, 60.0]]]]))
    torch.testing.assert_close((beside - at_centre).norm(), torch.tensor(1.0))


def test_inverse_undoes_the_map():
    layer = _layer()
    points = SIDE / 2 + 50 * torch.randn(1, 40, 2)
    xy, exact = layer.invert(points, SIZE)
    inside = exact & ((xy > 3) & (xy < SIZE - 3)).all(-1)
    assert inside.float().mean() > 0.8
    grid = (xy / SIZE * 2 - 1).flatten(0, 1)[:, :, None]
    moved = torch.nn.functional.grid_sample(
        layer.residual.flatten(0, 1), grid, padding_mode="border", align_corners=False
    )
    back = layer.affine(xy) + moved[..., 0].transpose(1, 2).view_as(xy)
    assert (back - points[:, None])[inside].norm(dim=-1).max() < 0.2


@pytest.mark.parametrize(("rigid", "tolerance"), [(True, 0.02), (False, 0.2)])
def test_a_mark_on_the_texture_is_drawn_at_its_ground_truth(rigid, tolerance):
    layer = _layer()
    if rigid:
        layer = layer._replace(residual=None)
    mark = torch.tensor([[[170.0, 200.0]]])
    axis = torch.arange(SIDE) + 0.5
    # Small, as a deformation bends what is large and moves its centroid.
    spot = torch.exp(-((axis - 170) ** 2) / 8)[None] * torch.exp(-((axis - 200) ** 2) / 8)[:, None]
    drawn = sample(spot[None, None], pixel_grid(layer, SIZE), "zeros")[0, :, 0]
    xy, exact = layer.invert(mark, SIZE)
    assert exact.all()
    pixel = torch.arange(SIZE) + 0.5
    total = drawn.sum((1, 2))
    centroid = torch.stack(
        [(drawn.sum(1) * pixel).sum(1) / total, (drawn.sum(2) * pixel).sum(1) / total], -1
    )
    assert (centroid - xy[0, :, 0]).norm(dim=-1).max() < tolerance


def test_far_from_the_face_nothing_deforms():
    assert _layer().residual.shape[-1] == LATTICE
    random = Random(1, CPU)
    landmarks = SIDE / 2 + 10 * torch.randn(1, 68, 2, generator=random.generator)
    layer = similarity(
        torch.full((1, 2), SIDE / 2),
        torch.full((1, 1, 2), SIZE / 2),
        torch.full((1, 1), 0.1),
        torch.zeros(1, 1),
    )
    basis = expression_basis(landmarks, random)
    layer = deform(layer, basis, torch.ones(1, basis.shape[1], 1), SIZE)
    assert layer.residual[..., 0, 0].abs().max() == 0
