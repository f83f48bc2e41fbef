"""Read files of PyTorch that may be untrusted: no code in them runs, and none fills the memory."""

from __future__ import annotations

import io
import mmap
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

_BUFFER = b"bytearray"


def load(source: Path | bytes, device: torch.device | str = "cpu") -> Any:
    """Return what `torch.save` has written.

    Args:
        source: the file's path, or its content.
        device: where the tensors go.

    Raises:
        Exception: of many kinds, if the content is damaged or contains anything but data.
    """
    if _names_buffers(source):
        raise pickle.UnpicklingError("it makes buffers of any size from a number")
    file = source if isinstance(source, Path) else io.BytesIO(source)
    return torch.load(file, map_location=device, weights_only=True)


def _names_buffers(source: Path | bytes) -> bool:
    """Return True if the pickles in a file name `bytearray`.

    `weights_only` allows it, so a few bytes could fill the memory. No file of weights contains it.
    """
    file = source if isinstance(source, Path) else io.BytesIO(source)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if name.endswith(".pkl")]
            return any(_BUFFER in archive.read(name) for name in names)
    if isinstance(source, bytes):
        return _BUFFER in source
    if not source.stat().st_size:
        return False
    with (
        source.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        return content.find(_BUFFER) >= 0
