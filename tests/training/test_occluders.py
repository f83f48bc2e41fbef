"""What crosses a face: covered where it is said to be, lit and shadowed within bounds."""

from __future__ import annotations

import pytest
import torch

from facetrack.training import occluders
from facetrack.training.render import SIZE, occlude
from facetrack.training.signals import Random
from facetrack.training.textures import SIDE

CPU = torch.device("cpu")
BATCH, FRAMES = 6, 5


def drawn(seed: int) -> occluders.Occluder:
    target, extent = torch.full((BATCH, 2), SIZE / 2), torch.full((BATCH,), 120.0)
    return occluders.draw(Random(seed, CPU), BATCH, FRAMES, target, extent, SIZE)


@pytest.mark.parametrize("seed", range(4))
def test_layers_are_within_their_bounds(seed: int) -> None:
    thing = drawn(seed)
    for layer in thing[:3]:
        assert layer.shape == (BATCH, FRAMES, 1, SIZE, SIZE)
    for layer, least, most in (
        (thing.alpha, 0, 1),
        (thing.shade, 0.2, 2.5),
        (thing.shadow, 0.3, 1),
    ):
        assert layer.min() >= least
        assert layer.max() <= most


def test_shadows_lie_near_what_throws_them() -> None:
    """By the distance to the edge of a disc."""
    axis = torch.arange(64) * 4 - 126.0
    distance = (axis[None].square() + axis[:, None].square()).sqrt() - 40
    for seed in range(8):
        near = distance.expand(40, 1, 64, 64)
        _, shadow = occluders._light(Random(seed, CPU), near, SIZE)
        shadow = shadow.view(40, 64, 64)
        assert (shadow[:, distance > 90] > 0.99).all()
        assert (shadow[:, distance < 2] < 0.9).all(1).any()  # some throw one


def test_light_comes_from_one_side() -> None:
    """A disc is lighter on one side than on the other, and alike across."""
    axis = torch.arange(64) * 4 - 126.0
    distance = (axis[None].square() + axis[:, None].square()).sqrt() - 60
    shade, _ = occluders._light(Random(1, CPU), distance.expand(60, 1, 64, 64), SIZE)
    rim = shade.view(60, 64, 64)[:, (distance < 0) & (distance > -12)]
    spread = rim.amax(1) - rim.amin(1)
    assert (spread > 0.3).any()
    assert (rim.mean(1) < 1.01).all()  # what one side gains the other loses


def test_nails_are_at_the_tips_of_a_hands_fingers() -> None:
    random = Random(0, CPU)
    ends, radii = occluders._hand(random, BATCH)
    tips = ends[:, None, : occluders.FINGERS, 1]
    palm = ends[:, None, occluders.FINGERS :, 0].expand(-1, -1, 2, -1)
    where = torch.cat([tips, palm], 2)
    for hands in (True, False):
        every = torch.full((BATCH,), hands)
        lighter = torch.stack(
            [occluders._nails(Random(s, CPU), where, ends, radii, every) for s in range(10)]
        )
        assert (lighter[..., : occluders.FINGERS].amax() > 1.2) == hands
        assert lighter[..., occluders.FINGERS :].max() < 1.01


def test_points_are_covered_where_the_paint_is_and_not_where_its_shadow_falls() -> None:
    """On a grey face with black paint: what has stayed grey or is in shadow can be seen."""
    # At the centres of pixels, where nothing lies between two of them.
    xy = torch.rand(1, 1, 68, 2, generator=torch.Generator().manual_seed(0)) * 140 + 58
    xy = (xy.floor() + 0.5).expand(BATCH, FRAMES, -1, -1)
    video = torch.full((BATCH, FRAMES, 3, SIZE, SIZE), 0.9)
    paint = torch.zeros(BATCH, 3, SIDE, SIDE)
    hidden, seen = 0, 0
    for seed in range(6):
        after, covered = occlude(Random(seed, CPU), video, xy, paint)
        cells = xy.floor().long()
        rows = torch.arange(BATCH)[:, None, None], torch.arange(FRAMES)[None, :, None]
        light = after[rows[0], rows[1], 0, cells[..., 1], cells[..., 0]]
        # Half covered and the darkest shadow: 0.9 * 0.4 * 0.5.
        assert (light[~covered] > 0.15).all()
        assert (light[covered] < 0.5).all()
        hidden, seen = hidden + int(covered.sum()), seen + int((~covered).sum())
    assert min(hidden, seen) > 200
