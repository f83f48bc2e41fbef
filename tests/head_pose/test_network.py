"""The network's answer depends on one picture alone, and not on its light."""

from __future__ import annotations

import torch

from facetrack.head_pose.network import NUMBERS, SIDE, FacePoseNet


def _pictures(count: int) -> torch.Tensor:
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))


@torch.inference_mode()
def test_faces_do_not_influence_each_other() -> None:
    network, pictures = FacePoseNet().eval(), _pictures(3)
    together = network(pictures)
    alone = torch.cat([network(picture[None]) for picture in pictures])
    assert together.shape == (3, NUMBERS)
    assert torch.allclose(together, alone, atol=1e-4)


@torch.inference_mode()
def test_the_brightness_of_the_light_does_not_matter() -> None:
    network, pictures = FacePoseNet().eval(), _pictures(2)
    assert torch.allclose(network(pictures), network(pictures * 0.5 + 0.1), atol=0.05)


@torch.inference_mode()
def test_numbers_are_standardised() -> None:
    network, pictures = FacePoseNet().eval(), _pictures(2)
    network.mean.copy_(torch.arange(6.0))
    network.deviation.copy_(torch.arange(1.0, 7.0))
    assert torch.allclose(
        network.standardise(network.numbers(pictures)), network(pictures), atol=1e-5
    )
