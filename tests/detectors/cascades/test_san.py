"""The style aggregated network: its generator, its two streams, its stages."""

from __future__ import annotations

import pytest
import torch
from synthetic_cascades import least

from facetrack.detectors.cascades.base import SIDE
from facetrack.detectors.cascades.maps import cells, mean_places, rare
from facetrack.detectors.cascades.san import MAP, SIGMA, Generator, SanNetwork
from facetrack.training.detectors import targets


@pytest.fixture
def network() -> SanNetwork:
    network = least("san")
    assert isinstance(network, SanNetwork)
    return network


def test_the_generator_sees_each_picture_alone() -> None:
    torch.manual_seed(0)
    generator = Generator(4)
    pictures = torch.rand(2, 3, SIDE, SIDE) * 2 - 1
    alone = generator(pictures[:1])
    assert alone.shape == pictures[:1].shape
    torch.testing.assert_close(generator(pictures)[:1], alone, atol=1e-5, rtol=0)


@torch.no_grad()
def test_both_streams_reach_the_last_stages(network: SanNetwork) -> None:
    pictures = torch.rand(2, 3, SIDE, SIDE) * 2 - 1
    drawn, before, _ = network.look(pictures)
    assert [m.shape for m in before] == [(2, 68, MAP, MAP)] * 4
    # The first stage reads each picture by itself, the later ones both.
    network.generator.draw.bias += 1.0
    brighter, after, _ = network.look(pictures)
    assert float((brighter - drawn).mean()) == pytest.approx(1, abs=1e-4)
    changed = [not torch.equal(a, b) for a, b in zip(after, before, strict=True)]
    assert changed == [False, True, True, True]


@torch.no_grad()
def test_the_same_picture_twice_has_the_same_maps_in_both_streams(network: SanNetwork) -> None:
    network.generator = torch.nn.Identity()  # type: ignore[assignment]
    _, maps, _ = network.look(torch.rand(2, 3, SIDE, SIDE) * 2 - 1)
    torch.testing.assert_close(maps[0], maps[1])


def test_places_are_read_from_maps_to_a_fraction_of_a_cell() -> None:
    places = torch.tensor([[[0.1, -0.33], [-0.52, 0.41]]])
    drawn = targets.point_maps(cells(places, MAP), MAP, SIGMA)
    # The logarithm of a Gaussian: a softmax makes the Gaussian of it again.
    found = mean_places(drawn.clamp_min(1e-30).log(), torch.zeros(()))
    assert float((found - places).abs().max()) * MAP / 2 < 0.02


def test_the_first_cell_is_a_half_cell_from_the_corner() -> None:
    assert cells(torch.tensor([-1.0, 1.0]), 14).tolist() == [-0.5, 13.5]


def test_untrained_maps_expect_as_much_as_a_gaussian_holds() -> None:
    held = targets.point_maps(torch.full((1, 1, 2), 6.5), MAP, SIGMA).mean()
    expected = torch.tensor(rare(SIGMA, MAP)).exp()
    assert float(expected) == pytest.approx(float(held), rel=0.02)
