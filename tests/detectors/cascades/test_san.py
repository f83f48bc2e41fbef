"""The style aggregated network: its generator, its two streams, its stages."""

from __future__ import annotations

import cv2
import pytest
import skimage.data
import torch
from synthetic_cascades import least
from torch import Tensor

from facetrack import detectors
from facetrack.detectors import DetectorOptions
from facetrack.detectors.cascades.base import SIDE
from facetrack.detectors.cascades.maps import cells, mean_places, rare
from facetrack.detectors.cascades.san import MAP, SIGMA, Generator, San, SanNetwork
from facetrack.detectors.crops import SIZE
from facetrack.training import degrade
from facetrack.training.detectors import styles, targets


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
def test_later_stages_see_the_maps_of_those_before(network: SanNetwork) -> None:
    seen: list[Tensor] = []
    for stage in (network.second, network.third):
        stage.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    _, (one, other, second, _), _ = network.look(torch.rand(2, 3, SIDE, SIDE) * 2 - 1)
    both = 2 * network.config.width
    torch.testing.assert_close(seen[0][:, both:], torch.cat([one, other], 1))
    torch.testing.assert_close(seen[1][:, both:], second)
    torch.testing.assert_close(seen[1][:, :both], seen[0][:, :both])


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


@torch.no_grad()
def test_the_bundled_generator_hides_the_style() -> None:
    """What it draws of a face in another style is nearer to what it draws of the face itself."""
    detector = detectors.create("san", DetectorOptions("san-s", "cpu", precision="float32"))
    assert isinstance(detector, San)
    generate = detector.network.generator
    face = skimage.data.astronaut()[:200, 130:330]
    crop = cv2.resize(face, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    original = detector.prepare(crop[None])
    light = (original + 1) / 2

    def apart(one: Tensor, other: Tensor) -> float:
        """In the unit of the second picture's contrast: a pale picture gains nothing."""
        return float((one - other).abs().mean() / other.std())

    for style in (styles.light, styles.grey, styles.sketch, lambda p: 0.5 * p):
        redrawn = style(light) * 2 - 1
        given, drawn = apart(redrawn, original), apart(generate(redrawn), generate(original))
        assert drawn < 0.7 * given
    # It still shows the face: blurring it changes what is drawn.
    blurred = degrade.blur(light, 6.0) * 2 - 1
    assert apart(generate(blurred), generate(original)) > 0.2
