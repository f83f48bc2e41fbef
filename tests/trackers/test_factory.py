"""Checkpoints and options of trackers created by name."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from facetrack.errors import FacetrackError
from facetrack.trackers import factory
from facetrack.trackers.base import TrackerOptions
from facetrack.trackers.tapir import TAPIR
from facetrack.weights import REGISTRY, Weights, store


def no_detectors() -> Any:
    raise AssertionError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACETRACK_HOME", str(tmp_path / "home"))


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments of the last call of `TAPIR.from_checkpoint`."""
    arguments: dict[str, Any] = {}

    def load(path: Path, **options: Any) -> Any:
        arguments.update(options, path=path)
        return SimpleNamespace(config=SimpleNamespace(causal=True))

    monkeypatch.setattr(TAPIR, "from_checkpoint", load)
    return arguments


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Weights:
    """A cached causal checkpoint without "causal" in its file name."""
    entry = Weights("toy", "tapir", "toy.pt", "Apache-2.0", "none", options={"causal": True})
    monkeypatch.setitem(REGISTRY, "toy", entry)
    path = store.cached_path(entry)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"toy")
    return entry


def test_cached_weights_are_loaded_with_their_registered_options(
    loaded: dict[str, Any], online: Weights
) -> None:
    factory.create("tapir", TrackerOptions(weights="toy"), no_detectors)
    assert loaded["path"] == store.cached_path(online)
    assert loaded["causal"] is True


def test_user_options_override_registered_ones(loaded: dict[str, Any], online: Weights) -> None:
    factory.create("tapir", TrackerOptions(weights="toy", causal=False), no_detectors)
    assert loaded["causal"] is False


def test_only_bundled_weights_count_as_trained_for_bfloat16(
    loaded: dict[str, Any], online: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[bool] = []

    def choose(precision: str, device: Any, trained_for_it: bool) -> torch.dtype:
        received.append(trained_for_it)
        return torch.float32

    monkeypatch.setattr("facetrack.runtime.device.choose_precision", choose)
    for name in ("tapir-s", "toy"):
        factory.create("tapir", TrackerOptions(weights=name, device="cpu"), no_detectors)
    assert received == [True, False]


def test_options_of_a_path_are_left_to_the_file(loaded: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "mine.pt"
    path.write_bytes(b"mine")
    factory.create("tapir", TrackerOptions(weights=str(path)), no_detectors)
    assert (loaded["path"], loaded["causal"]) == (path, None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bootstapir", r"facetrack weights fetch bootstapir$"),
        ("none.pt", r"'none\.pt' is neither a file nor one of the weights for tapir"),
        ("star-wflw", r"are for star, not for tapir"),
    ],
)
def test_unusable_weights_raise_an_error(name: str, message: str) -> None:
    with pytest.raises(FacetrackError, match=message):
        factory.create("tapir", TrackerOptions(weights=name), no_detectors)


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf")])
def test_a_softmax_temperature_is_finite_and_above_0(temperature: float) -> None:
    with pytest.raises(FacetrackError, match="softmax temperature must be above 0"):
        TrackerOptions(softmax_temperature=temperature)
