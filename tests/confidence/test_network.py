"""The network looks at each landmark's place, whatever the batch."""

from __future__ import annotations

import torch

from facetrack.confidence.network import CROP_SIZE, NUM_POINTS, ConfidenceNetwork


def _inputs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    crops = torch.rand(count, 3, CROP_SIZE, CROP_SIZE, generator=generator)
    return crops, torch.rand(count, NUM_POINTS, 2, generator=generator) * CROP_SIZE


def test_faces_do_not_influence_each_other() -> None:
    network = ConfidenceNetwork().eval()
    crops, points = _inputs(3)
    with torch.inference_mode():
        together = network(crops, points)
        alone = torch.cat([network(crops[i : i + 1], points[i : i + 1]) for i in range(3)])
    assert together.shape == (3, NUM_POINTS, 2)
    assert torch.allclose(together, alone, atol=1e-4)


def test_the_brightness_of_the_light_does_not_matter() -> None:
    network = ConfidenceNetwork().eval()
    crops, points = _inputs(2)
    with torch.inference_mode():
        plain, dark = network(crops, points), network(crops * 0.5 + 0.1, points)
    assert torch.allclose(plain, dark, atol=0.15)


def test_a_landmark_is_judged_by_the_picture_at_its_place() -> None:
    network = ConfidenceNetwork().eval()
    crops, points = _inputs(1)
    elsewhere = points.clone()
    elsewhere[0, 7] = torch.tensor([3.0, 100.0])
    with torch.inference_mode():
        change = (network(crops, points) - network(crops, elsewhere)).abs()[0].sum(-1)
    assert int(change.argmax()) == 7


def test_landmarks_outside_the_crop_are_judged_too() -> None:
    network = ConfidenceNetwork().eval()
    crops, points = _inputs(1)
    points[0, 0] = -1e4
    with torch.inference_mode():
        assert torch.isfinite(network(crops, points)).all()
