"""Reading landmark networks' weights: official files as they are published, and ours.

A file is taken for what its first bytes say, whatever it is called. It may come from anyone, so
pickles are read with `weights_only=True`, and safetensors hold no code at all. A TorchScript
archive is the one exception: reading it may run the TorchScript program inside, in TorchScript's
own interpreter, which knows tensors but neither Python nor files; its forward pass is never called.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facetrack.errors import FacetrackError

State = dict[str, Tensor]

# What training programs call the network's part of a file that holds more than the network.
CONTAINERS = ("state_dict", "net", "model", "model_state_dict")
# BatchNorm's step counter has no effect in evaluation; some exports leave it out.
_COUNTER = "num_batches_tracked"


def read(path: Path) -> tuple[State, dict[str, str]]:
    """The tensors of a weights file by name, and its metadata (empty but for safetensors).

    Args:
        path: safetensors; a PyTorch state_dict (`.pth`, `.pth.tar`, `.pkl`, zipped or legacy),
            alone or inside a dictionary under one of CONTAINERS; or a TorchScript archive.

    Returns:
        Tensors on the CPU as stored, without the prefix "module." of parallel training.

    Raises:
        FacetrackError: the file is missing or none of these.
    """
    path = Path(path)
    if not path.is_file():
        raise FacetrackError(f"The weights {path} do not exist.")
    metadata: dict[str, str] = {}
    try:
        kind = _kind(path)
        if kind == "safetensors":
            content, metadata = _read_safetensors(path)
        elif kind == "torchscript":
            content = _read_torchscript(path)
        else:
            content = _read_pickled(path)
    except Exception as error:
        # Damaged files make the readers fail in any of a dozen ways.
        raise _unreadable(path) from error
    state = _state_of(content)
    if state is None:
        raise _unreadable(path)
    return state, metadata


def read_state(path: Path) -> State:
    """The tensors of a weights file by name; see `read`."""
    return read(path)[0]


def fit(network: nn.Module, state: Mapping[str, Tensor], path: Path, what: str) -> None:
    """Load `state` into `network`, name by name and shape by shape.

    Args:
        path: where the state comes from, for the message.
        what: what was expected, e.g. "a PIPNet checkpoint".

    Raises:
        FacetrackError: a tensor is missing, unknown, of another shape or not finite.
    """
    expected = network.state_dict()
    needed = {name for name in expected if not name.endswith(_COUNTER)}
    given = {name: value for name, value in state.items() if not name.endswith(_COUNTER)}
    missing, unknown = sorted(needed - given.keys()), sorted(given.keys() - needed)
    if missing or unknown:
        said = [f"lacks {_some(missing)}"] if missing else []
        said += [f"has {_some(unknown)}, which does not belong there"] if unknown else []
        raise FacetrackError(f"{path} is not {what}: it {' and '.join(said)}.")
    for name in sorted(needed):
        value, wanted = given[name], tuple(expected[name].shape)
        if tuple(value.shape) != wanted:
            raise FacetrackError(
                f"{path} is not {what}: its {name} is of shape {tuple(value.shape)}, not {wanted}."
            )
        if not value.is_floating_point() or not torch.isfinite(value).all():
            raise FacetrackError(f"{path} is not {what}: its {name} is not made of finite numbers.")
    network.load_state_dict(given, strict=False)


def _some(names: list[str]) -> str:
    """The first of several names, and how many more there are."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _unreadable(path: Path) -> FacetrackError:
    return FacetrackError(
        f"{path} is not a file of network weights: a safetensors file, a PyTorch state_dict or a "
        "TorchScript archive was expected."
    )


def _kind(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(9)
    # A safetensors file begins with eight bytes of length, then JSON.
    if start[8:9] == b"{":
        return "safetensors"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            # Only TorchScript carries programs; their folder is one below the archive's own.
            if any("/code/" in name for name in archive.namelist()):
                return "torchscript"
    return "pickled"


def _read_safetensors(path: Path) -> tuple[State, dict[str, str]]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return state, dict(file.metadata() or {})


def _read_torchscript(path: Path) -> Any:
    with warnings.catch_warnings():
        # PyTorch has announced TorchScript's end; the published files remain.
        warnings.simplefilter("ignore")
        return torch.jit.load(str(path), map_location="cpu").state_dict()


def _read_pickled(path: Path) -> Any:
    with warnings.catch_warnings():
        # Unusual pickles only warn before they fail; the error says enough.
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def _state_of(content: Any) -> State | None:
    """The state_dict that `content` is or holds, None where there is none."""
    if not isinstance(content, Mapping):
        return None
    for name in CONTAINERS:
        if isinstance(content.get(name), Mapping):
            content = content[name]
            break
    if not content or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        return None
    return {name.removeprefix("module."): value.detach() for name, value in content.items()}
