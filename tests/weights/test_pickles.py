"""Files of PyTorch: read as data alone, and refused where a few bytes would fill the memory."""

from __future__ import annotations

import io
import pickle
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch

from facetrack.weights import pickles

GIGABYTES = b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R."
"""A pickle of 2 GB of zeros, in 33 bytes."""


def saved(legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save({"w": torch.arange(3.0)}, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def zipped(content: bytes) -> bytes:
    """A file of `torch.save` with other content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved())) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, content if name.endswith("data.pkl") else old.read(name))
    return buffer.getvalue()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("as_file", [False, True])
def test_what_torch_saves_is_read(legacy: bool, as_file: bool, tmp_path: Path) -> None:
    content = saved(legacy)
    (tmp_path / "w.pt").write_bytes(content)
    read = pickles.load(tmp_path / "w.pt" if as_file else content)
    assert read["w"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("content", [GIGABYTES, saved(legacy=True) + GIGABYTES, zipped(GIGABYTES)])
@pytest.mark.parametrize("as_file", [False, True])
def test_buffers_of_any_size_are_refused(content: bytes, as_file: bool, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(pickle.UnpicklingError, match="buffers of any size"):
        pickles.load(tmp_path / "w.pt" if as_file else content)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1e8


@pytest.mark.parametrize("as_file", [False, True])
def test_nothing_is_no_file(as_file: bool, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"")
    with pytest.raises(EOFError):
        pickles.load(tmp_path / "w.pt" if as_file else b"")
