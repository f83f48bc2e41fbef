"""Rendered clips: seeded, exact, honest about what is hidden."""

from __future__ import annotations

import pytest
import torch

from facetrack.training.render import SIZE, render
from facetrack.training.signals import Random
from facetrack.training.textures import MASK, SIDE, Textures, split_names

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def textures():
    """Noise pictures with landmarks in a plausible arrangement."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 255, (3, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    angle = torch.linspace(0, 6.28, 68)
    ring = torch.stack([angle.cos(), angle.sin()], -1) * 80 + SIDE / 2
    landmarks = ring[None].repeat(3, 1, 1)
    landmarks[:, 36], landmarks[:, 45] = torch.tensor([130.0, 150]), torch.tensor([220.0, 150])
    masks = torch.zeros(3, 1, MASK, MASK, dtype=torch.uint8)
    masks[..., 20:70, 20:70] = 255
    return Textures(pictures, landmarks, masks, pictures)


def _clip(textures, seed=1, **changes):
    options = {"batch": 2, "frames": 4, "points": 20, **changes}
    return render(textures, Random(seed, CPU), **options)


def test_shapes_and_types(textures):
    clip = _clip(textures)
    assert clip.video.shape == (2, 4, 3, SIZE, SIZE)
    assert clip.xy.shape == (2, 20, 4, 2)
    assert clip.visible.shape == clip.valid.shape == (2, 20, 4)
    assert clip.visible.dtype == clip.valid.dtype == torch.bool


def test_pictures_are_eight_bit(textures):
    video = _clip(textures).video * 255
    assert video.min() >= 0
    assert video.max() <= 255
    torch.testing.assert_close(video, video.round(), atol=1e-3, rtol=0)


def test_the_same_seed_gives_the_same_clip(textures):
    first, second = _clip(textures, 7), _clip(textures, 7)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first.video, _clip(textures, 8).video)


def test_seen_points_are_in_the_picture(textures):
    for seed in range(6):
        clip = _clip(textures, seed)
        seen = clip.xy[clip.visible]
        assert ((seen >= 0) & (seen <= SIZE)).all()


def test_points_hidden_at_first_are_not_trained_on(textures):
    for seed in range(6):
        clip = _clip(textures, seed)
        assert not clip.valid[~clip.visible[:, :, 0]].any()


def test_something_is_hidden_at_full_effort_and_nothing_at_none(textures):
    hidden = [(~_clip(textures, s, frames=8).visible).float().mean() for s in range(6)]
    assert max(hidden) > 0.05
    easy = [_clip(textures, s, effort=0.0) for s in range(6)]
    covered = [(~c.visible & c.valid).float().mean() for c in easy]
    assert max(covered) < 0.3


def test_after_a_gap_the_face_is_elsewhere_and_the_clip_goes_on_smoothly(textures):
    moved = []
    for seed in range(30):
        random = Random(seed, CPU)
        clip = render(textures, random, batch=1, frames=6, points=20)
        if random.gap > 20:
            steps = (clip.xy[:, :, 1:] - clip.xy[:, :, :-1]).norm(dim=-1).median(1).values[0]
            moved.append(float(steps[0] / steps[1:].max().clamp_min(0.1)))
    assert len(moved) >= 5
    assert max(moved) > 5
    assert sorted(moved)[len(moved) // 2] > 1


def test_every_name_is_on_one_side_of_the_split():
    names = [f"face_{i}.jpg" for i in range(500)]
    train, held_out = split_names(names)
    assert len(held_out) == pytest.approx(51, abs=10)
    assert sorted(train + held_out) == sorted(names)
    assert split_names(names[::-1])[1] == held_out[::-1]


def test_a_face_stays_on_its_side_when_others_are_added():
    names = [f"face_{i}.jpg" for i in range(500)]
    for few, many in zip(split_names(names[:215]), split_names(names), strict=True):
        assert set(few) == set(many) & set(names[:215])
