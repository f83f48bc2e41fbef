"""Read the weights of networks, from published files and from facetrack's own.

The first bytes of a file determine its format, whatever its name. The file may be untrusted, so no
code in it is run: pickles are read with `weights_only=True`, safetensors files hold no code, and
only the tensors of TorchScript archives are read. The size of the file limits that of the tensors.
"""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from facetrack.errors import FacetrackError
from facetrack.weights import pickles
from facetrack.weights.torchscript import read_torchscript

StateDict = dict[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)

# Keys under which training programs store the network beside other content.
CONTAINERS = ("state_dict", "net", "model", "model_state_dict")
MAX_EXPANSION = 4
"""Maximum bytes of tensors per byte of a file. Files are uncompressed; tensors may share data."""
# BatchNorm's step counter has no effect in evaluation; some exports omit it.
_COUNTER = "num_batches_tracked"


def read_weights(path: Path) -> tuple[StateDict, dict[str, str]]:
    """Return the tensors of a weights file by name, and its metadata (of safetensors files only).

    Args:
        path: safetensors; a PyTorch state_dict (`.pth`, `.pth.tar`, `.pkl`, zipped or legacy),
            alone or in a dictionary under one of CONTAINERS; or a TorchScript archive.

    Returns:
        Tensors on the CPU in their stored type, without the prefix "module." of parallel training;
        and the metadata.

    Raises:
        FacetrackError: the file is missing or has none of these formats.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise FacetrackError(f"The weights {path} do not exist.")
    metadata: dict[str, str] = {}
    try:
        file_format = _format(path)
        if file_format == "safetensors":
            content, metadata = _read_safetensors(path)
        elif file_format == "torchscript":
            content = read_torchscript(path)
        else:
            content = _read_pickled(path)
    except Exception as error:
        # Damaged files raise many different exceptions.
        raise _unreadable(path) from error
    state = _extract_state_dict(content)
    if state is not None and _is_oversized(state, path):
        state = None
    if state is None:
        raise _unreadable(path)
    return state, metadata


def read_state_dict(path: Path) -> StateDict:
    """Return the tensors of a weights file by name; see `read_weights`."""
    return read_weights(path)[0]


def build(
    create: Callable[[], Network], state: Mapping[str, Tensor], path: Path, description: str
) -> Network:
    """Build a network whose size a file states, and load the file's tensors into it.

    It is built without memory first, and compared with the tensors: a small file may describe a
    network that fills the memory.

    Args:
        create: makes the network.
        state, path, description: as for `load_state_dict`.

    Raises:
        FacetrackError: there is no such network, or the tensors are not its own.
    """
    try:
        with torch.device("meta"):
            sketch = create()
    except FacetrackError:
        raise
    except Exception as error:
        # Layers of impossible sizes raise many types.
        raise FacetrackError(
            f"{path} is not {description}: no network has the sizes that it states."
        ) from error
    _check(sketch, state, path, description)
    network = create()
    load_state_dict(network, state, path, description)
    return network


def load_state_dict(
    network: nn.Module, state: Mapping[str, Tensor], path: Path, description: str
) -> None:
    """Load `state` into `network`, name by name and shape by shape.

    Args:
        network: changed in place.
        state: tensors by parameter name.
        path: source of the tensors, for the error message.
        description: expected content of the file, e.g. "a PIPNet checkpoint".

    Raises:
        FacetrackError: a tensor is missing, unknown, not finite or of the wrong shape.
    """
    given = _check(network, state, path, description)
    for name in sorted(given):
        value = given[name]
        if not value.is_floating_point() or not torch.isfinite(value).all():
            raise FacetrackError(
                f"{path} is not {description}: its {name} has values that are not finite numbers."
            )
    network.load_state_dict(given, strict=False)


def _check(
    network: nn.Module, state: Mapping[str, Tensor], path: Path, description: str
) -> StateDict:
    """Return the tensors that a network needs, if `state` has just these in its shapes."""
    expected = network.state_dict()
    needed = {name for name in expected if not name.endswith(_COUNTER)}
    given = {name: value for name, value in state.items() if not name.endswith(_COUNTER)}
    missing, unknown = sorted(needed - given.keys()), sorted(given.keys() - needed)
    if missing or unknown:
        problems = [f"lacks {_summary(missing)}"] if missing else []
        problems += [f"has {_summary(unknown)}, which does not belong there"] if unknown else []
        raise FacetrackError(f"{path} is not {description}: it {' and '.join(problems)}.")
    for name in sorted(needed):
        value, shape = given[name], tuple(expected[name].shape)
        if tuple(value.shape) != shape:
            raise FacetrackError(
                f"{path} is not {description}: "
                f"its {name} has shape {tuple(value.shape)}, not {shape}."
            )
    return given


def _is_oversized(state: StateDict, path: Path) -> bool:
    """Return True if the tensors are far larger than the file, e.g. views of a few numbers."""
    total_bytes = sum(value.numel() * value.element_size() for value in state.values())
    return total_bytes > MAX_EXPANSION * path.stat().st_size


def _summary(names: list[str]) -> str:
    """Return the first name and the number of further names."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _unreadable(path: Path) -> FacetrackError:
    return FacetrackError(
        f"{path} is not a file of network weights: a safetensors file, a PyTorch state_dict or a "
        "TorchScript archive was expected."
    )


def _format(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(9)
    # A safetensors file begins with eight bytes of length, then JSON.
    if start[8:9] == b"{":
        return "safetensors"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > MAX_EXPANSION * path.stat().st_size:
                raise ValueError("the archive expands to far more than its size")
            # Only TorchScript archives have a folder `code`, below the archive's top folder.
            if any("/code/" in name for name in archive.namelist()):
                return "torchscript"
    return "pickled"


def _read_safetensors(path: Path) -> tuple[StateDict, dict[str, str]]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return state, dict(file.metadata() or {})


def _read_pickled(path: Path) -> Any:
    with warnings.catch_warnings():
        # Warnings about unusual pickles precede an error that is clear enough.
        warnings.simplefilter("ignore")
        return pickles.load(path)


def _extract_state_dict(content: Any) -> StateDict | None:
    """Return the state_dict in `content`, at the top or under CONTAINERS; None if there is none."""
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
