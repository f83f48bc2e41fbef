"""Read `.npy` files of JAX parameters, which hold a pickle, without running code in it."""

from __future__ import annotations

import importlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

MAX_EXPANSION = 4
"""Maximum bytes of arrays per byte of a file."""
MAX_ARRAYS = 10_000
"""Maximum number of arrays; the largest published checkpoint has a few hundred."""


class _ArraysOnly(pickle.Unpickler):
    """Unpickles NumPy arrays in built-in containers, and refuses everything else."""

    ALLOWED = frozenset(
        (module, name)
        for package in ("numpy.core", "numpy._core")
        for module, name in (
            (f"{package}.multiarray", "_reconstruct"),
            (f"{package}.multiarray", "scalar"),
            (f"{package}.numeric", "_frombuffer"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
        )
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no array needs.")
        if module == "numpy":
            return getattr(np, name)
        # NumPy 2 moved numpy.core: files of both versions must load under both.
        from numpy.lib import NumpyVersion

        core = "numpy._core" if NumpyVersion(np.__version__) >= "2.0.0" else "numpy.core"
        part = module.rsplit(".", 1)[1]
        return getattr(importlib.import_module(f"{core}.{part}"), name)

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside the file.")


def read_params(path: Path) -> Mapping[str, Mapping[str, np.ndarray]]:
    """Read the `params` of a JAX checkpoint, which `np.save` wrote as a pickled dictionary.

    Raises:
        Exception: of many types, if the file is damaged or holds anything else.
    """
    with open(path, "rb") as file:
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(file)
        if shape != () or not dtype.hasobject:
            raise ValueError("a JAX checkpoint is one pickled dictionary.")
        content = _ArraysOnly(io.BytesIO(file.read())).load()
    if isinstance(content, np.ndarray):
        content = content.item()
    params = content["params"] if isinstance(content, Mapping) else None
    if not isinstance(params, Mapping):
        raise ValueError("it holds no params.")
    _check_arrays(params, MAX_EXPANSION * path.stat().st_size)
    return params


def _check_arrays(params: Mapping[Any, Any], max_bytes: int) -> None:
    """Check that there are arrays in two levels of dictionaries, and that they are not oversized.

    A pickle can refer to one object many times, so their number is limited too.
    """
    count = total = 0
    for module in params.values():
        if not isinstance(module, Mapping):
            raise ValueError("its params are not dictionaries of arrays.")
        for value in module.values():
            if not isinstance(value, np.ndarray) or value.dtype.hasobject:
                raise ValueError("it holds something that is not an array.")
            count, total = count + 1, total + value.nbytes
            if count > MAX_ARRAYS or total > max_bytes:
                raise ValueError("its arrays are far larger than the file.")
