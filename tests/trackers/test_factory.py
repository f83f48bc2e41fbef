"""Which checkpoint the TAPIR tracker loads, and as what."""

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
    """What a checkpoint would have been loaded with."""
    given: dict[str, Any] = {}

    def load(path: Path, **options: Any) -> Any:
        given.update(options, path=path)
        return SimpleNamespace(config=SimpleNamespace(causal=True))

    monkeypatch.setattr(TAPIR, "from_checkpoint", load)
    return given


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Weights:
    """A causal checkpoint in the cache whose file name does not say that it is."""
    entry = Weights("toy", "tapir", "toy.pt", "Apache-2.0", "none", options={"causal": True})
    monkeypatch.setitem(REGISTRY, "toy", entry)
    path = store.cached_path(entry)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"toy")
    return entry


def test_a_cached_name_is_loaded_as_what_it_is(loaded: dict[str, Any], online: Weights) -> None:
    factory.create("tapir", TrackerOptions(weights="toy"), no_detectors)
    assert loaded["path"] == store.cached_path(online)
    assert loaded["causal"] is True


def test_the_user_has_the_last_word(loaded: dict[str, Any], online: Weights) -> None:
    factory.create("tapir", TrackerOptions(weights="toy", causal=False), no_detectors)
    assert loaded["causal"] is False


def test_only_bundled_weights_count_as_trained_for_bfloat16(
    loaded: dict[str, Any], online: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def choose(precision: str, device: Any, trained_for_it: bool) -> torch.dtype:
        asked.append(trained_for_it)
        return torch.float32

    monkeypatch.setattr("facetrack.runtime.device.choose_precision", choose)
    for name in ("tapir-s", "toy"):
        factory.create("tapir", TrackerOptions(weights=name, device="cpu"), no_detectors)
    assert asked == [True, False]


def test_a_path_is_loaded_by_what_the_file_says(loaded: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "mine.pt"
    path.write_bytes(b"mine")
    factory.create("tapir", TrackerOptions(weights=str(path)), no_detectors)
    assert (loaded["path"], loaded["causal"]) == (path, None)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bootstapir", r"facetrack weights fetch bootstapir$"),
        ("none.pt", r"'none\.pt' is neither a file nor one of the weights for tapir"),
        ("star-wflw", r"are for star, not for tapir"),
    ],
)
def test_what_cannot_be_loaded_is_said(name: str, said: str) -> None:
    with pytest.raises(FacetrackError, match=said):
        factory.create("tapir", TrackerOptions(weights=name), no_detectors)
