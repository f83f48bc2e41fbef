"""Test reading weights from every published file format, and the refusal of other files."""

from __future__ import annotations

import io
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from facetrack.errors import FacetrackError
from facetrack.weights import state_dict


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(self.conv(x))


@pytest.fixture
def network() -> Small:
    torch.manual_seed(0)
    return Small().eval()


def _star(state: dict[str, Any], path: Path, **options: Any) -> None:
    """Save `state` as STAR's training program does."""
    weights = [nn.Parameter(v) for v in state.values() if v.is_floating_point()]
    optimizer = torch.optim.Adam(weights, 1e-3)
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [200, 350])
    content = {
        "net": state,
        "optimizer": optimizer.state_dict(),
        "scheduler": schedule.state_dict(),
        "epoch": 3,
    }
    torch.save(content, path, **options)


LEGACY = {"_use_new_zipfile_serialization": False}
WRITERS: dict[str, Callable[[dict[str, Any], Path], None]] = {
    "weights.safetensors": lambda s, p: save_file(s, p),
    "epoch59.pth": lambda s, p: torch.save(s, p),
    "legacy.pth": lambda s, p: torch.save(s, p, **LEGACY),
    "fan.pth.tar": lambda s, p: torch.save({"state_dict": s, "epoch": 1}, p),
    "parallel.pth": lambda s, p: torch.save(
        OrderedDict((f"module.{k}", v) for k, v in s.items()), p
    ),
    "star.pkl": _star,
    "star-legacy.pkl": lambda s, p: _star(s, p, **LEGACY),
    "no suffix": lambda s, p: torch.save({"model": s}, p),
}


@pytest.mark.parametrize("name", WRITERS)
def test_published_containers_are_read(name: str, network: Small, tmp_path: Path) -> None:
    state = network.state_dict()
    WRITERS[name](state, tmp_path / name)
    loaded = state_dict.read_state_dict(tmp_path / name)
    assert loaded.keys() == state.keys()
    for key, value in state.items():
        torch.testing.assert_close(loaded[key], value)


@pytest.mark.parametrize("make", ["script", "trace"])
def test_torchscript_archives_are_read(make: str, network: Small, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        scripted = (
            torch.jit.script(network)
            if make == "script"
            else torch.jit.trace(network, torch.zeros(1, 3, 8, 8))
        )
        scripted.save(str(tmp_path / "fan.zip"))
    other = Small()
    state_dict.load_state_dict(
        other, state_dict.read_state_dict(tmp_path / "fan.zip"), tmp_path, "a Small"
    )
    torch.testing.assert_close(other.conv.weight, network.conv.weight)
    torch.testing.assert_close(other.bn.running_var, network.bn.running_var)


def test_metadata_of_safetensors_is_returned(network: Small, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save_file(network.state_dict(), path, {"arch": "pipnet", "meanface": "0.5 0.5"})
    assert state_dict.read_weights(path)[1] == {"arch": "pipnet", "meanface": "0.5 0.5"}


class Touch:
    """Unpickling an instance creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


@pytest.mark.parametrize("wrap", ["torch", "legacy", "pickle"])
def test_code_in_a_pickle_is_not_run(wrap: str, tmp_path: Path) -> None:
    touched, path = tmp_path / "touched", tmp_path / "evil.pth"
    content = {"net": {"w": torch.zeros(1)}, "more": Touch(touched)}
    if wrap == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, **(LEGACY if wrap == "legacy" else {}))
    with pytest.raises(FacetrackError, match="is not a file of network weights"):
        state_dict.read_weights(path)
    assert not touched.exists()


def _zipped() -> bytes:
    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(1000)}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!DOCTYPE html><html>Quota exceeded</html>",
        _zipped()[:900],
        b"\x10\x00\x00\x00\x00\x00\x00\x00{" + b"x" * 15,
        pickle.dumps([1, 2]),
    ],
    ids=["empty", "page", "truncated", "bad header", "list"],
)
def test_invalid_files_are_refused_in_one_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(FacetrackError, match=r"x\.pth is not a file of network weights: .*\.$"):
        state_dict.read_weights(path)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.zeros(1)], {3: torch.zeros(1)}])
def test_files_without_named_tensors_are_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(FacetrackError, match="is not a file of network weights"):
        state_dict.read_weights(tmp_path / "x.pth")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match=r"none\.pth do not exist"):
        state_dict.read_weights(tmp_path / "none.pth")


def test_a_network_is_compared_with_the_tensors_before_it_takes_memory(network: Small) -> None:
    state, built = network.state_dict(), []

    def create() -> Small:
        built.append(Small())
        return built[-1]

    loaded = state_dict.build(create, state, Path("x"), "a small network")
    assert loaded is built[1]
    assert [made.conv.weight.is_meta for made in built] == [True, False]
    torch.testing.assert_close(loaded.state_dict(), state)
    built.clear()
    with pytest.raises(FacetrackError, match="x is not a small network: it lacks"):
        state_dict.build(create, {"conv.bias": state["conv.bias"]}, Path("x"), "a small network")
    assert [made.conv.weight.is_meta for made in built] == [True]


def test_sizes_that_no_network_has_are_said() -> None:
    with pytest.raises(FacetrackError, match="no network has the sizes"):
        state_dict.build(lambda: nn.Conv2d(3, 4, -1), {}, Path("x"), "a small network")


def test_half_precision_and_missing_counters_are_accepted(network: Small) -> None:
    state = {k: v.half() for k, v in network.state_dict().items() if "num_batches" not in k}
    other = Small()
    state_dict.load_state_dict(other, state, Path("f"), "a Small")
    assert other.conv.weight.dtype == torch.float32
    torch.testing.assert_close(other.conv.weight, network.conv.weight, atol=1e-3, rtol=0)


def _without(state: dict[str, Any]) -> None:
    del state["conv.weight"], state["conv.bias"]


def _with(state: dict[str, Any]) -> None:
    state["fc.weight"] = torch.zeros(1)


def _narrow(state: dict[str, Any]) -> None:
    state["conv.weight"] = state["conv.weight"][:2]


def _not_numbers(state: dict[str, Any]) -> None:
    state["bn.weight"] = torch.full((4,), torch.nan)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without, r"it lacks conv\.bias and 1 more\.$"),
        (_with, r"it has fc\.weight, which does not belong there\.$"),
        (_narrow, r"its conv\.weight has shape \(2, 3, 3, 3\), not \(4, 3, 3, 3\)\.$"),
        (_not_numbers, r"its bn\.weight has values that are not finite numbers\.$"),
    ],
)
def test_mismatched_tensors_are_named(
    change: Callable[[dict[str, Any]], None], message: str, network: Small
) -> None:
    state = dict(network.state_dict())
    change(state)
    with pytest.raises(FacetrackError, match="^f is not a Small: " + message):
        state_dict.load_state_dict(Small(), state, Path("f"), "a Small")
