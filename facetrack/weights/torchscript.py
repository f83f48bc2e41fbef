"""Read the tensors of a TorchScript archive without running anything in it.

`torch.jit.load` runs the archive's `__setstate__` programs, which can open and write files. This
module instead reads the archive directly: it is a zip file with a pickle of plain objects and one
uncompressed entry with the numbers of each storage. The programs are never read.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_STORAGES = {
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "ShortStorage": torch.int16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
}
_SCRIPTED = "__torch__"
_LIST_BUILDERS = {"build_intlist", "build_boollist", "build_doublelist", "build_tensorlist"}
MAX_PICKLE_BYTES = 2**26
"""Maximum size of the pickle of objects; the largest published network needs 200 kB."""


class _Module:
    """A scripted object whose attributes are unpickled into `__dict__`."""


class _StorageType:
    """Replaces torch's storage classes; holds the dtype."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


class _Unpickler(pickle.Unpickler):
    """Unpickle attributes and tensors; any other global in the pickle is an error."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        content = _read_stored(archive, f"{folder}/data.pkl", MAX_PICKLE_BYTES)
        super().__init__(io.BytesIO(content))
        self._archive, self._folder = archive, folder
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == _SCRIPTED or module.startswith(_SCRIPTED + "."):
            return _Module
        if module == "torch" and name in _STORAGES:
            return _StorageType(_STORAGES[name])
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle" and name in _LIST_BUILDERS:
            return list
        raise pickle.UnpicklingError(f"{module}.{name} is not part of a network's weights")

    def persistent_load(self, identifier: Any) -> Tensor:
        kind, storage_type, key, _, count = identifier
        if kind != "storage" or not isinstance(storage_type, _StorageType):
            raise pickle.UnpicklingError("not a storage")
        if key not in self._storages:
            size = int(count) * storage_type.dtype.itemsize
            content = _read_stored(self._archive, f"{self._folder}/data/{key}", size)
            self._storages[key] = torch.frombuffer(bytearray(content), dtype=storage_type.dtype)
        return self._storages[key]


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a TorchScript archive by their dotted attribute names, on the CPU.

    Raises:
        Exception: of many types, if the file is damaged or contains anything except modules and
            tensors.
    """
    with zipfile.ZipFile(path) as archive:
        folder = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        root = _Unpickler(archive, folder.removesuffix("/data.pkl")).load()
    return dict(_iterate_tensors(root, ""))


def _read_stored(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Return an uncompressed entry of at most `limit` bytes."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > limit:
        raise ValueError(f"{name} is compressed or too large")
    return archive.read(entry)


def _rebuild_tensor(storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    """Return a view of a storage; torch checks its bounds."""
    return torch.as_strided(storage, tuple(size), tuple(stride), offset)


def _iterate_tensors(module: _Module, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            yield prefix + name, value
        elif isinstance(value, _Module):
            yield from _iterate_tensors(value, f"{prefix}{name}.")
