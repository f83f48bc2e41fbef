"""Every network and the whole pipeline on a device other than the CPU (`second_device`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from second_device import DEVICE, IS_SUPPORTED, NAME, Event, SecondDevice
from synthetic_tapir import PANNING, noise_video, synthetic_state

from facetrack import detectors
from facetrack.confidence.estimator import ConfidenceEstimator
from facetrack.detectors import DetectorOptions
from facetrack.detectors.crops import hog_box
from facetrack.detectors.neural import NeuralDetector
from facetrack.pipeline.options import Options
from facetrack.pipeline.runner import Pipeline
from facetrack.runtime.transfers import constant, download, upload
from facetrack.trackers.base import TrackerOptions
from facetrack.trackers.expression.corrector import ExpressionNetwork
from facetrack.trackers.expression.face_parts import FACE_PARTS
from facetrack.trackers.tapir import TAPIR, TAPIR_S
from facetrack.trackers.tapir.compact import build_network
from facetrack.trackers.tapir.tracker import TapirTracker
from facetrack.weights import resolve

pytestmark = pytest.mark.skipif(not IS_SUPPORTED, reason="this PyTorch registers no devices")

CLIP = Path(__file__).parents[2] / "examples" / "astronaut.mp4"
QUERIES = np.array([[40.0, 60.0], [100.5, 30.25], [200.0, 220.0], [10.0, 128.0]])
PUBLISHED = replace(PANNING, mixer_blocks=2, iterations=1)
CAUSAL = replace(PUBLISHED, causal=True, pyramid_level=1)


@pytest.fixture
def device() -> Iterator[SecondDevice]:
    with SecondDevice() as mode:
        yield mode


def _counts(events: list[Event]) -> Counter[str]:
    return Counter(event.kind for event in events)


# ---------------------------------------------------------------- the device shows faults


def test_tensors_of_both_devices_do_not_mix(device: SecondDevice) -> None:
    there, here = torch.ones(3, device=DEVICE), torch.ones(3)
    with pytest.raises(RuntimeError, match="same device"):
        there + here
    with pytest.raises(RuntimeError):
        there.numpy()
    assert there.device.type == NAME
    assert (there + 1).cpu().tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("use", "kind"),
    [
        (lambda x: x.sum().item(), "download"),
        (lambda x: bool(x[0] > 0), "download"),
        (lambda x: x.tolist(), "download"),
        (lambda x: x.cpu(), "download"),
        (lambda x: x.new_tensor([1.0, 2.0]), "upload"),
        (lambda x: torch.tensor([1.0], device=x.device), "upload"),
        (lambda x: x[torch.tensor([0, 1])], "upload"),
        (lambda x: torch.ones(3).to(x.device), "upload"),
        (lambda x: x.nonzero(), "wait"),
        (lambda x: x[x > 0], "wait"),
    ],
)
def test_what_makes_the_two_wait_is_seen(device: SecondDevice, use, kind: str) -> None:
    x = torch.arange(4.0).to(DEVICE)
    device.clear()
    use(x)
    assert device.count(kind) == 1


def test_what_stays_on_the_device_is_not(device: SecondDevice) -> None:
    x = torch.arange(4.0).to(DEVICE)
    device.clear()
    y = torch.where(x > 1, x * 2, torch.zeros_like(x)).softmax(0)
    assert y.device.type == NAME
    assert not device.events


# ---------------------------------------------------------------- transfers


def test_arrays_go_both_ways_in_one_transfer(device: SecondDevice) -> None:
    arrays = [np.arange(6, dtype=np.uint8).reshape(2, 3), np.full((4,), 7, np.uint8)]
    tensors = upload(arrays, DEVICE)
    assert _counts(device.events) == {"upload": 1}
    device.clear()
    back = download(*tensors)
    assert _counts(device.events) == {"download": 1}
    for array, returned in zip(arrays, back, strict=True):
        np.testing.assert_array_equal(returned, array)


def test_constants_are_sent_once(device: SecondDevice) -> None:
    like = torch.ones(1, device=DEVICE)
    device.clear()
    values = [constant((1.25, -17.5), like) for _ in range(3)]
    assert len(device.events) <= 1
    assert values[0].cpu().tolist() == [1.25, -17.5]


# ---------------------------------------------------------------- networks


@pytest.mark.parametrize("name", ["star", "fan", "heatmap1d", "pipnet"])
def test_landmark_networks_agree_with_the_cpu(name: str) -> None:
    image, box = _picture(), hog_box(_landmarks())[None]
    here = detectors.create(name, DetectorOptions(device="cpu", precision="float32"))
    expected = here.detect(image, box)
    with SecondDevice() as device:
        options = DetectorOptions(device=NAME, precision="float32")
        there = detectors.create(name, options)
        found = there.detect(image, box)
        device.clear()
        again = there.detect(image, box)
    assert isinstance(there, NeuralDetector)
    looks = there.num_views + (there.aligned is not None)
    assert _counts(device.events) == {"upload": looks, "download": looks}
    np.testing.assert_allclose(found.xy, expected.xy, atol=0.02)
    # A score is read at its map's highest cell: of two cells that are almost alike, either may win.
    difference = np.abs(found.score - expected.score)
    assert np.median(difference) < 1e-3
    assert difference.max() < 0.02
    np.testing.assert_array_equal(again.xy, found.xy)


def test_confidences_agree_with_the_cpu() -> None:
    image, xy = _picture(), _landmarks()[None]
    expected = ConfidenceEstimator(device="cpu").estimate(image, xy)
    with SecondDevice() as device:
        estimator = ConfidenceEstimator(device=NAME)
        device.clear()
        found = estimator.estimate(image, xy)
    assert device.count("wait") == 0
    assert device.count("download") == 1
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_expressions_agree_with_the_cpu() -> None:
    random = np.random.default_rng(0)
    patches = [
        [
            random.integers(0, 256, (part.layout.height, part.layout.width, 3)).astype(np.uint8)
            for part in FACE_PARTS
        ]
    ]
    expected = ExpressionNetwork(device="cpu", precision="float32").detect(patches)
    with SecondDevice() as device:
        network = ExpressionNetwork(device=NAME, precision="float32")
        device.clear()
        found = network.detect(patches)
    assert _counts(device.events) == {"upload": 1, "download": 1}
    for there, here in zip(found[0], expected[0], strict=True):
        np.testing.assert_allclose(there.positions, here.positions, atol=1e-4)
        np.testing.assert_allclose(there.spread, here.spread, atol=1e-4)


@cache
def _network(kind: str) -> tuple[torch.nn.Module, TAPIR]:
    """Return a fresh network of a kind, and a predictor on the CPU with the same weights."""
    configs = {"published, causal": CAUSAL, "published": PUBLISHED}
    if kind == "bundled":
        path = resolve("tapir", "tapir-s").path
        return TAPIR.from_checkpoint(path).network, TAPIR.from_checkpoint(path)
    both = []
    for _ in range(2):
        torch.manual_seed(0)
        config = configs.get(kind) or replace(TAPIR_S, occlusion_patch=32)
        network = build_network(config).eval()
        if not config.motion_inputs:
            network.load_state_dict(synthetic_state(config))
        both.append(network)
    return both[0], TAPIR(both[1])


@pytest.mark.parametrize("kind", ["bundled", "occlusion head", "published, causal"])
def test_streams_agree_with_the_cpu_in_one_transfer_each_way(kind: str) -> None:
    network, here = _network(kind)
    video = noise_video(5, 256, 256)
    state = here.start(video[0], QUERIES)
    expected = [here.step(state, video[a:b]) for a, b in ((1, 3), (3, 5))]
    with SecondDevice(keep=True) as device:
        there = TAPIR(_copy(network), NAME)
        state = there.start(video[0], QUERIES)
        found, operations = [], []
        there.step(state.copy(), video[1:3])  # sends the constants
        for a, b in ((1, 3), (3, 5)):
            with device.recorded() as (events, done):
                found.append(there.step(state, video[a:b]))
            assert _counts(events) == {"upload": 1, "download": 1}, events
            operations.append(done)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.tracks, other.tracks, atol=0.02)
        np.testing.assert_allclose(one.visibility, other.visibility, atol=2e-3)
    # The first chunk begins without earlier logits: from the second on, all are alike.
    with device, device.recorded() as (_, third):
        there.step(state, video[1:3])
    assert third == operations[1]


def _copy(network: torch.nn.Module) -> torch.nn.Module:
    """Copy a network that a predictor on the CPU does not use."""
    copy = build_network(network.config).eval()
    copy.load_state_dict(network.state_dict())
    return copy


def test_whole_clips_agree_with_the_cpu() -> None:
    network, here = _network("published")
    video = noise_video(3, 128, 128)
    queries = np.concatenate([np.zeros((4, 1)), QUERIES / 2], 1)
    expected = here.track(video, queries)
    with SecondDevice() as device:
        found = TAPIR(_copy(network), NAME).track(video, queries)
    assert device.count("wait") == 0
    np.testing.assert_allclose(found.tracks, expected.tracks, atol=0.02)


def test_bfloat16_on_the_device() -> None:
    network, _ = _network("bundled")
    video = noise_video(4, 256, 256)
    tracks = {}
    with SecondDevice(keep=True) as device:
        for dtype in (torch.float32, torch.bfloat16):
            predictor = TAPIR(_copy(network), NAME, dtype)
            state = predictor.start(video[0], QUERIES)
            with device.recorded() as (_, operations):
                tracks[dtype] = predictor.step(state, video[1:]).tracks
            assert device.count("wait") == 0
            assert any("bfloat16" in o for o in operations) == (dtype == torch.bfloat16)
    difference = np.abs(tracks[torch.float32] - tracks[torch.bfloat16])
    assert 0 < np.median(difference) < 1


# ---------------------------------------------------------------- the whole pipeline


def _picture() -> np.ndarray:
    image: np.ndarray = _chunks("cpu", "tapir")[0].frames[0].image
    return image


def _landmarks() -> np.ndarray:
    landmarks: np.ndarray = _chunks("cpu", "tapir")[0].tracks.xy[0, 0]
    return landmarks


def _options(device: str, tracker: str) -> Options:
    return Options(
        init="heatmap1d",
        tracker=tracker,
        detector_options=DetectorOptions(device=device, precision="float32"),
        tracker_options=TrackerOptions(device=device, precision="float32"),
        end=0.55 if tracker == "tapir" else 0.25,
    )


@pytest.fixture(autouse=True)
def _whole_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seek points in whole windows on the CPU too: it alone leaves parts of them out."""
    monkeypatch.setattr(TapirTracker, "_region", lambda *_: None)


@cache
def _chunks(device: str, tracker: str) -> list:
    return list(Pipeline(CLIP, _options(device, tracker)).run())


@pytest.mark.parametrize("tracker", ["tapir", "heatmap1d", "per-frame"])
def test_the_pipeline_agrees_with_the_cpu(tracker: str) -> None:
    expected = _chunks("cpu", tracker)
    chunks, waits, transfers = [], [], []
    with SecondDevice() as device:
        run = Pipeline(CLIP, _options(NAME, tracker)).run()
        chunks.append(next(run))
        device.clear()
        for chunk in run:
            chunks.append(chunk)
            waits += [event for event in device.events if event.kind == "wait"]
            transfers.append(_counts(device.events))
            device.clear()
    assert not waits
    xy, reference = (np.concatenate([c.tracks.xy for c in some]) for some in (chunks, expected))
    np.testing.assert_allclose(xy, reference, atol=0.05)
    if tracker == "tapir":
        # The tracker and the expressions, each once per chunk; some chunks end in a search.
        assert {"upload": 2, "download": 2} in transfers
