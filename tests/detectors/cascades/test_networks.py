"""Each network that regresses shapes: what it answers, what it learns from, what it refuses."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from synthetic_cascades import NETWORKS, config, least, written

from facetrack import detectors
from facetrack.cli import choices
from facetrack.detectors import DetectorOptions
from facetrack.detectors.cascades.base import SIDE, ShapeConfig, score
from facetrack.detectors.cascades.cfan import AutoEncoder, gradients
from facetrack.detectors.cascades.dan import nearness
from facetrack.detectors.cascades.dcnn import FirstLevel, LocalConvolution, five_points
from facetrack.detectors.scores import EXACT
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes

ARCHS = sorted(NETWORKS)


@pytest.mark.parametrize("arch", ARCHS)
def test_shapes_after_every_stage_and_a_spread(arch):
    network = least(arch)
    with torch.no_grad():
        answer = network(torch.rand(3, 3, SIDE, SIDE) * 2 - 1)
    count = config(arch).points
    assert answer.shapes.shape[1:] == (3, count, 2)
    stages = {"mdm": 4, "dan": 2, "cascade": 3, "cfan": 4, "dcnn": 3, "fifa": 1, "san": 4}
    assert len(answer.shapes) == stages[arch]
    assert answer.spread.shape == (3, count)
    if arch in ("fifa", "san"):  # their maps start anywhere
        return
    # Untrained, a network stays near the mean shape.
    away = (answer.shapes[-1] - network.basis.mean).norm(dim=-1)
    assert float(away.mean()) < 0.2


@pytest.mark.parametrize("arch", ARCHS)
def test_every_stage_learns_and_the_spread_does_not_shape_features(arch):
    network = least(arch).train()
    pictures = torch.rand(4, 3, SIDE, SIDE) * 2 - 1
    answer = network(pictures)
    truth = answer.shapes[-1].detach() + 0.1
    (answer.shapes - truth).square().sum().backward()
    for name, value in network.named_parameters():
        if name.startswith("uncertainty") or not value.requires_grad:
            assert value.grad is None, name
        else:
            assert value.grad is not None, name
            assert torch.isfinite(value.grad).all(), name
    moved = [n for n, v in network.named_parameters() if v.grad is not None and v.grad.any()]
    # Dead units aside, each stage hears of its error.
    assert len(moved) > 0.8 * len(list(network.parameters()))
    network.zero_grad()
    network(pictures).spread.sum().backward()
    heard = [n for n, v in network.named_parameters() if v.grad is not None and v.grad.any()]
    assert all(name.startswith("uncertainty") for name in heard)


@pytest.mark.parametrize("arch", ARCHS)
def test_half_precision_keeps_places_exact(arch):
    network = least(arch)
    pictures = torch.rand(2, 3, SIDE, SIDE) * 2 - 1
    with torch.no_grad():
        full = network(pictures).shapes[-1]
        with torch.autocast("cpu", torch.bfloat16):
            half = network(pictures).shapes[-1]
    assert half.dtype == torch.float32
    assert float((full - half).abs().max()) < 0.02


@pytest.mark.parametrize("arch", ARCHS)
def test_points_move_with_the_box_and_the_picture(arch, tmp_path):
    """A face and its box, moved by whole pixels, have their landmarks moved as far."""
    options = DetectorOptions(str(written(arch, tmp_path)), "cpu", precision="float32")
    detector = detectors.create(arch, options)
    random = np.random.default_rng(0)
    face = random.integers(0, 255, (150, 150, 3)).astype(np.uint8)
    image = np.zeros((400, 400, 3), np.uint8)
    image[100:250, 100:250] = face
    moved = np.zeros_like(image)
    moved[117:267, 92:242] = face
    box = np.array([125.0, 120.0, 225.0, 220.0])
    shift = np.array([-8.0, 17.0])
    first = detector.detect(image, box[None])
    second = detector.detect(moved, (box + np.tile(shift, 2))[None])
    np.testing.assert_allclose(second.xy, first.xy + shift, atol=0.02)
    np.testing.assert_allclose(second.score, first.score, atol=1e-3)
    assert ((first.score >= 0) & (first.score <= 1)).all()
    assert detector.describe()["looks"] == 1
    assert first.xy.shape == (1, config(arch).points, 2)
    assert detector.scheme == ("5" if arch == "dcnn" else "68")


@pytest.mark.parametrize("arch", ARCHS)
def test_wrong_files_are_refused_in_one_sentence(arch, tmp_path):
    def refused(match, **changes):
        path = written(arch, tmp_path, **changes)
        with pytest.raises(FacetrackError, match=match) as error:
            detectors.create(arch, DetectorOptions(weights=str(path)))
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)

    refused("metadata do not say so", arch="star")
    refused("other keys", config="{}")
    wide = config(arch)._replace(components=16)._asdict()
    refused("has shape", config=json.dumps(wide))
    refused("out of range", config=json.dumps({**wide, "points": 10**9}))
    refused("multiple of 8", config=json.dumps({**wide, "width": 12}))
    refused("aligned crops", aligned="1.25")
    refused("damaged", crop="[0, 0, -1]")


def test_the_command_line_knows_them():
    assert set(ARCHS) <= set(choices.LANDMARK_DETECTORS)


def test_a_configuration_survives_its_file():
    given = ShapeConfig(68, 40, 32)
    assert ShapeConfig.read(json.dumps(given._asdict())) == given
    truth = '{"points": true, "components": 4, "width": 8}'
    for text in ("[]", '{"points": 68}', truth, "nonsense"):
        with pytest.raises(ValueError, match=r"."):
            ShapeConfig.read(text)


def test_a_score_is_the_probability_that_a_point_is_exact():
    random = np.random.default_rng(0)
    spread, unit = 0.03, 1.4
    places = torch.tensor([[[-0.7, 0.0], [0.7, 0.0], [0.1, 0.4]]])
    stated = score(places, torch.full((1, 3), math.log(spread)), (0, 1))
    # Distances whose density is r exp(-r / b) / b^2 are sums of two exponential ones.
    distance = random.exponential(spread, (2, 200_000)).sum(0)
    np.testing.assert_allclose(stated, (distance < EXACT * unit).mean(), atol=0.005)
    worse = score(places, torch.full((1, 3), math.log(3 * spread)), (0, 1))
    assert float(worse.max()) < float(stated.min())


def test_the_heat_map_of_a_shape_is_one_at_its_landmarks():
    side = 56
    place = (torch.tensor([20.0, 33.0]) + 0.5) * 2 / side - 1
    drawn = nearness(place.view(1, 1, 2), side)[0, 0]
    assert float(drawn[33, 20]) == pytest.approx(1, abs=1e-4)
    # Five cells away are ten pixels of the crop.
    assert float(drawn[33, 25]) == pytest.approx(1 / 11, abs=1e-4)


def test_histograms_know_the_direction_of_an_edge():
    picture = torch.zeros(1, 3, SIDE, SIDE)
    picture[..., SIDE // 2 :] = 1
    middle = torch.zeros(1, 1, 2)
    across = gradients(picture, middle, 24).view(-1, 8).sum(0)
    down = gradients(picture.transpose(2, 3), middle, 24).view(-1, 8).sum(0)
    assert int(across.argmax()) == 0  # brighter to the right
    assert int(down.argmax()) == 2  # brighter below
    dark = gradients(0.5 * picture, middle, 24).view(-1, 8).sum(0)
    torch.testing.assert_close(dark, across, atol=0.1, rtol=0.1)


def test_auto_encoders_learn_to_reproduce():
    torch.manual_seed(0)
    network = AutoEncoder((40, 16, 8), 3)
    inputs = torch.randn(200, 4) @ torch.randn(4, 40)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    errors = []
    for _ in range(200):
        optimiser.zero_grad()
        error = network.reproduction(inputs)
        error.backward()
        optimiser.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.7 * errors[0]
    # What is learned greedily leaves the last layer alone.
    assert network.last.weight.grad is None


def test_weights_are_shared_only_within_regions():
    torch.manual_seed(0)
    layer = LocalConvolution(2, 3, 3, 2)
    x = torch.rand(1, 2, 11, 9)
    out = layer(x)
    assert out.shape == (1, 3, 9, 7)
    for kernel in layer.kernels[1:]:
        kernel.load_state_dict(layer.kernels[0].state_dict())
    torch.testing.assert_close(layer(x), layer.kernels[0](x))
    assert not torch.allclose(out, layer(x))


def test_the_first_level_takes_faces_and_their_halves():
    for height, points in ((39, 5), (31, 3)):
        numbers, features = FirstLevel(height, points)(torch.rand(2, 1, height, 39))
        assert numbers.shape == (2, 2 * points)
        assert features.shape == (2, 120)


def test_five_points_are_those_of_the_layout_and_mirror_as_it_says():
    points = torch.rand(3, 68, 2)
    five = five_points(points)
    torch.testing.assert_close(five[:, 0], points[:, 36:42].mean(1))
    torch.testing.assert_close(five[:, 2], points[:, 30])
    whole, few = schemes.get("68"), schemes.get("5")
    mirrored = five_points(torch.from_numpy(whole.mirror(points.numpy(), 1.0)))
    np.testing.assert_allclose(mirrored, few.mirror(five.numpy(), 1.0), atol=1e-6)
