"""Cases: weights files that are damaged, wrong or contain code."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable

import clips
import numpy as np
from fuzz import Case, Workshop
from fuzz_images import encoded
from fuzz_tables import Trap

DETECTORS = (".pth", ".pt", ".pkl", ".safetensors")


def cases() -> list[Case]:
    return [*_anywhere(), *_detector(), *_tracker(), *_ert()]


def _loaded(kind: str, file: str) -> Callable[[Workshop], list[str]]:
    """Return the command that loads the weights `file`."""

    def make(workshop: Workshop) -> list[str]:
        image = workshop.write("a.png", encoded(".png", clips.draw_square(1, (64, 64))))
        if kind == "tapir":
            workshop.points()
            points = ["--init", "points", "--points", "points.csv"]
            return ["track", *points, "--tracker-weights", file, "--out", "out", "--", image]
        return [*command(kind, file), "--out", "out", "--", image]

    return make


def command(kind: str, file: str) -> list[str]:
    """Return the command line up to its output that loads the weights `file` of a network."""
    if kind == "pose":
        return ["pose", "--method", "network", "--pose-weights", file]
    if kind == "mtcnn":
        return ["detect", "--init", "ert", "--face-detector", f"mtcnn={file}"]
    return ["detect", "--init", kind, "--detector-weights", file, "--box", "10,10,50,50"]


def _case(
    name: str, kind: str, file: str, content: Callable[[], bytes], fast: bool = False
) -> Case:
    def make(workshop: Workshop) -> list[str]:
        workshop.write(file, content())
        return _loaded(kind, file)(workshop)

    return Case(f"weights: {name} for {kind}", make, fast, "refused", megabytes=1500)


def _anywhere() -> list[Case]:
    cases = []
    contents: dict[str, Callable[[], bytes]] = {
        "nothing": lambda: b"",
        "a web page": lambda: b"<!DOCTYPE html><html><body>Not found</body></html>",
        "zeros": lambda: bytes(5000),
        "noise": lambda: np.random.default_rng(1).bytes(5000),
        "a pickle that opens a file": lambda: pickle.dumps(Trap()),
    }
    files = {"pipnet": "w.pth", "tapir": "w.pt", "ert": "w.dat"}
    files |= dict.fromkeys(("pose", "mtcnn"), "w.safetensors")
    fast = {("a web page", "pipnet"), ("a pickle that opens a file", "pipnet")}
    fast.add(("a pickle that opens a file", "tapir"))
    for name, content in contents.items():
        for kind, file in files.items():
            cases.append(_case(name, kind, file, content, (name, kind) in fast))
    return cases


# ---------------------------------------------------------------- PyTorch files


def _saved(legacy: bool = False) -> bytes:
    import torch

    stream = io.BytesIO()
    state = {"conv.weight": torch.ones(8, 3, 3, 3), "conv.bias": torch.zeros(8)}
    torch.save(state, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def _zipped(pickled: bytes, names: tuple[str, ...] = ()) -> bytes:
    """Return an archive like PyTorch's, with the given pickle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
        for name in names:
            archive.writestr(name, b"def forward(self):\n  return open('TRAPPED', 'w')\n")
    return stream.getvalue()


def _safetensors(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def _tensor(shape: list[int], start: int, end: int) -> bytes:
    entry = {"w": {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}}
    return json.dumps(entry).encode()


def _huge_storage() -> bytes:
    """Return a legacy file whose storage claims 2**50 numbers."""
    data = _saved(legacy=True)
    # The count of the last storage precedes its numbers, in eight bytes.
    position = data.rindex(struct.pack("<q", 8))
    return data[:position] + struct.pack("<q", 2**50) + data[position + 8 :]


def _deep() -> bytes:
    return b"\x80\x02" + b"(" * 200_000 + b"l" * 200_000 + b"."


def _long_bytes() -> bytes:
    return b"\x80\x04\x8e" + struct.pack("<Q", 10**15) + b"abc"


def _detector() -> list[Case]:
    invalid_files: dict[str, tuple[str, Callable[[], bytes]]] = {
        "a zip cut": ("w.pth", lambda: _saved()[:-200]),
        "a zip without its head": ("w.pth", lambda: _saved()[50:]),
        "a legacy file cut": ("w.pkl", lambda: _saved(legacy=True)[:-100]),
        "a legacy file of 2**50 numbers": ("w.pkl", _huge_storage),
        "another network": ("w.pth", _saved),
        "a zipped pickle that opens a file": ("w.pth", lambda: _zipped(pickle.dumps(Trap(), 2))),
        "a program": (
            "w.pt",
            lambda: _zipped(pickle.dumps(Trap(), 2), ("archive/code/__torch__.py",)),
        ),
        "a deep pickle": ("w.pkl", _deep),
        "bytes without end": ("w.pkl", _long_bytes),
        "a safetensors head of 1e15 bytes": (
            "w.safetensors",
            lambda: _safetensors(b"{}", length=10**15),
        ),
        "a safetensors tensor of 1e15 numbers": (
            "w.safetensors",
            lambda: _safetensors(_tensor([10**15], 0, 4 * 10**15), bytes(64)),
        ),
        "safetensors cut": (
            "w.safetensors",
            lambda: _safetensors(_tensor([64], 0, 256), bytes(64)),
        ),
        "safetensors whose parts overlap": (
            "w.safetensors",
            lambda: _safetensors(_tensor([64], 100, 20), bytes(256)),
        ),
        "safetensors of nothing": ("w.safetensors", lambda: _safetensors(b"{}")),
        "safetensors that is no JSON": ("w.safetensors", lambda: _safetensors(b"{" * 50)),
    }
    fast = {"a safetensors head of 1e15 bytes", "a zipped pickle that opens a file"}
    cases = [
        _case(name, "pipnet", file, content, name in fast)
        for name, (file, content) in invalid_files.items()
    ]
    cases += [
        _case(name, kind, *invalid_files[name])
        for name in ("another network", "a safetensors head of 1e15 bytes")
        for kind in ("fan", "star", "heatmap1d")
    ]

    def folder(workshop: Workshop) -> list[str]:
        (workshop.folder / "w.pth").mkdir()
        return _loaded("pipnet", "w.pth")(workshop)

    def missing(workshop: Workshop) -> list[str]:
        return _loaded("pipnet", "no.pth")(workshop)

    return [
        *cases,
        Case("weights: a folder", folder, True, "refused"),
        Case("weights: missing", missing, expected="refused"),
    ]


def _tracker() -> list[Case]:
    def npy(content: bytes, shape: str = "()", kind: str = "'|O'") -> bytes:
        head = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}".encode()
        head += b" " * (-(len(head) + 11) % 64) + b"\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + content

    array = pickle.dumps({"params": {"tapir/x": {"w": np.ones((3, 3))}}}, 2)
    invalid_files: dict[str, tuple[str, Callable[[], bytes]]] = {
        "npy that opens a file": ("w.npy", lambda: npy(pickle.dumps(Trap(), 2))),
        "npy cut": ("w.npy", lambda: npy(array[:-40])),
        "npy of other parameters": ("w.npy", lambda: npy(array)),
        "npy of 1e15 numbers": ("w.npy", lambda: npy(b"", f"({10**15},)", "'<f8'")),
        "npy whose head runs code": ("w.npy", lambda: npy(b"", "__import__('os').abort()")),
        "npy of numbers": ("w.npy", lambda: npy(bytes(80), "(10,)", "'<f8'")),
        "npy with bytes without end": ("w.npy", lambda: npy(_long_bytes())),
        "npy, deep": ("w.npy", lambda: npy(_deep())),
        "npy, version 9": ("w.npy", lambda: npy(array).replace(b"\x01\x00", b"\x09\x00", 1)),
        "safetensors of 1e15 bytes": ("w.safetensors", lambda: _safetensors(b"{}", length=10**15)),
        "a wrong config": ("w.safetensors", _wrong_config),
        "a zip cut": ("w.pt", lambda: _saved()[:-200]),
        "another network": ("w.pt", _saved),
    }
    fast = {"npy that opens a file", "a wrong config"}
    return [
        _case(name, "tapir", file, content, name in fast)
        for name, (file, content) in invalid_files.items()
    ]


def _wrong_config() -> bytes:
    config = json.dumps({"pyramid_level": 10**9, "mixer_width": 10**9, "mixer_blocks": 10**9})
    entry = {
        "__metadata__": {"config": config},
        "w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
    }
    return _safetensors(json.dumps(entry).encode(), bytes(4))


# ---------------------------------------------------------------- dlib files


def _ert() -> list[Case]:
    def number(value: int) -> bytes:
        """Encode an integer as dlib does: a byte with sign and length, then the digits."""
        size = max(1, (value.bit_length() + 7) // 8)
        return bytes([size]) + value.to_bytes(size, "little")

    version = number(1)
    return [
        _case(
            "a shape of 1e15 points", "ert", "w.dat", lambda: version + number(10**15) + number(1)
        ),
        _case(
            "1e15 trees",
            "ert",
            "w.dat",
            lambda: version + number(2) + number(1) + bytes(40) + number(10**15),
        ),
        _case("a version of the future", "ert", "w.dat", lambda: number(99)),
        _case("a length of nine bytes", "ert", "w.dat", lambda: b"\x01\x01\x09" + bytes(50), True),
    ]
