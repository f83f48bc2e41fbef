"""Cases: damaged and wrong tables of landmarks and records of runs."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from fuzz import Case, Workshop

from facetrack.formats.csv import CsvWriter
from facetrack.formats.npz import NpzWriter
from facetrack.tracks import Tracks


class Trap:
    """Creates a file in the case's folder when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, ("TRAPPED", "w")


def cases() -> list[Case]:
    return [*_reports(), *_evaluations()]


# ---------------------------------------------------------------- tables


def run_files(workshop: Workshop, frames: int = 5, **record: Any) -> None:
    """Write `run.csv`, `run.npz` and `run.json` as `facetrack track` does."""
    xy = np.arange(frames * 8, dtype=np.float32).reshape(frames, 1, 4, 2) % 40 + 5
    tracks = Tracks(
        xy=xy,
        visible=np.ones(xy.shape[:3], bool),
        confidence=np.ones(xy.shape[:3], np.float32),
        time=np.arange(frames) / 25,
        face_id=np.zeros(1, np.int64),
        scheme="points4",
        size=(96, 64),
    )
    for writer, suffix in ((CsvWriter, "csv"), (NpzWriter, "npz")):
        with writer(workshop.folder / f"run.{suffix}") as out:
            out.write(tracks)
    content = {
        "versions": {"facetrack": "0"},
        "input": {"path": "gone.mp4", "width": 96, "height": 64, "frames": frames, "sha256": "0"},
        "options": {},
        "tracker": {"name": "lk"},
        **record,
    }
    workshop.write("run.json", json.dumps(content))


def _reports() -> list[Case]:
    def table(
        name: str,
        change: Callable[[bytes], bytes],
        expected: str | None = "refused",
        fast: bool = False,
    ) -> Case:
        def make(workshop: Workshop) -> list[str]:
            run_files(workshop)
            path = workshop.folder / "run.csv"
            path.write_bytes(change(path.read_bytes()))
            return ["report", "--out", "out.html", "run.csv"]

        return Case(f"report: {name}", make, fast, expected)

    def cell(row: int, column: int, value: str) -> Callable[[bytes], bytes]:
        def change(data: bytes) -> bytes:
            rows = [line.split(",") for line in data.decode().splitlines()]
            rows[row][column] = value
            return "".join(",".join(cells) + "\n" for cells in rows).encode()

        return change

    def record(name: str, text: str | None = None, fast: bool = False, **changes: Any) -> Case:
        def make(workshop: Workshop) -> list[str]:
            run_files(workshop, **changes)
            if text is not None:
                workshop.write("run.json", text)
            return ["report", "--out", "out.html", "run.csv"]

        return Case(f"record: {name}", make, fast)

    def archive(
        name: str, content: Callable[[], bytes], fast: bool = False, **settings: Any
    ) -> Case:
        def make(workshop: Workshop) -> list[str]:
            run_files(workshop)
            workshop.write("run.npz", content())
            return ["report", "--out", "out.html", "run.npz"]

        settings.setdefault("expected", "refused")
        return Case(f"npz: {name}", make, fast, **settings)

    well = {"path": "gone.mp4", "width": 96, "height": 64, "frames": 5}
    return [
        table("whole", lambda data: data, "done"),
        table("cut", lambda data: data[:-20], fast=True),
        table("BOM and CRLF", lambda d: b"\xef\xbb\xbf" + d.replace(b"\n", b"\r\n"), "done"),
        table("binary", lambda data: bytes(range(256)), fast=True),
        table("a quote that never ends", lambda data: data + b'"' + b"9" * 300_000),
        table("empty", lambda data: b""),
        table("header alone", lambda data: data.splitlines(keepends=True)[0]),
        table("frame 1e15", cell(2, 0, "1000000000000000"), fast=True),
        table("frame -1", cell(1, 0, "-1")),
        table("frame nan", cell(1, 0, "nan")),
        table("the same frame twice", cell(2, 0, "0")),
        table("face 1e18", cell(1, 1, "1000000000000000000")),
        table("time nan", cell(1, 2, "nan")),
        table("time 1e300", cell(2, 2, "1e300"), None, True),
        table("time that goes back", cell(2, 2, "-5"), None),
        table("place 1e38", cell(1, 6, "1e38"), None),
        table("place inf", cell(1, 6, "inf")),
        table("visible without a place", cell(1, 6, "")),
        table("digits of another script", cell(1, 6, "٢٠"), None),
        record("not JSON", "{"),
        record("nothing", ""),
        record("a list", "[]"),
        record("deep", "[" * 100_000),
        record("number of a million digits", '{"input": ' + "9" * 1_000_000 + "}"),
        record("size of text", input={**well, "width": "96"}),
        record("size of 0", input={**well, "width": 0, "height": 0}),
        record("size of -1e9", input={**well, "width": -(10**9)}),
        record("size of 1e300", input={**well, "width": 10**300}),
        record("path of NUL", fast=True, input={**well, "path": "a\0b"}),
        record("path that is a number", input={**well, "path": 5}),
        record("path that is a device", input={**well, "path": "/dev/zero"}),
        record("seconds of text", fast=True, seconds={"track": "soon"}),
        record("seconds that are a list", seconds=[1, 2]),
        record("warnings that are a number", warnings=5),
        record("options of options that are text", options={"detector_options": "x"}),
        record("query that is text", query="x"),
        record("script in a name", tracker={"name": "</script><script>alert(1)"}),
        archive("pickle that opens a file", _npz_trap, True),
        archive("object arrays", _npz_objects),
        archive("shape of 1e15", lambda: _npz_shape((10**15, 1, 4, 2)), True),
        archive("shape of 2**62 faces", lambda: _npz_shape((1, 2**62, 4, 2))),
        archive("shape that does not fit", lambda: _npz_shape((5, 1, 9, 2))),
        archive("negative shape", lambda: _npz_shape((-5, 1, 4, 2))),
        archive("bomb of 1 GB", _npz_bomb),
        archive("cut", lambda: _npz()[:-300]),
        archive("head cut off", lambda: _npz()[300:]),
        archive("no zip", lambda: b"PK\x03\x04" + bytes(500)),
        archive("an array alone", _npy),
        archive("a bare pickle", lambda: pickle.dumps(Trap())),
        archive("scheme that is none", lambda: _npz(scheme=np.array("nose")), expected=None),
        archive("size of text", lambda: _npz(size=np.array(["a", "b"]))),
        archive("size of -1", lambda: _npz(size=np.array([-1, -1])), expected=None),
        archive("size of nan", lambda: _npz(size=np.array([np.nan, 1]))),
        archive("first frame 2**62", lambda: _npz(first_frame=np.array(2**62)), expected=None),
        archive("first frame of many", lambda: _npz(first_frame=np.arange(5))),
        archive("face ids of text", lambda: _npz(face_id=np.array(["a"]))),
        archive("times of nan", lambda: _npz(time=np.full(5, np.nan)), expected=None),
        archive(
            "infinite places",
            lambda: _npz(xy=np.full((5, 1, 4, 2), np.inf, np.float32)),
            expected=None,
        ),
        archive("no faces", lambda: _npz_of(5, 0, 4), expected=None),
        archive("no frames", lambda: _npz_of(0, 1, 4), expected=None),
        archive("no points", lambda: _npz_of(5, 1, 0), expected=None),
    ]


def _arrays(frames: int = 5, faces: int = 1, points: int = 4) -> dict[str, np.ndarray]:
    shape = (frames, faces, points)
    return {
        "xy": np.ones((*shape, 2), np.float32),
        "visible": np.ones(shape, bool),
        "confidence": np.ones(shape, np.float32),
        "time": np.arange(frames) / 25,
        "face_id": np.arange(faces),
        "scheme": np.array(f"points{points}"),
        "size": np.array([96, 64]),
        "first_frame": np.array(0),
    }


def _npz(**other: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **{**_arrays(), **other})
    return stream.getvalue()


def _npz_of(*shape: int) -> bytes:
    return _npz(**_arrays(*shape))


def _npz_trap() -> bytes:
    trap = np.empty(1, object)
    trap[0] = Trap()
    return _npz(scheme=trap)


def _npz_objects() -> bytes:
    return _npz(xy=np.ones((5, 1, 4, 2)).astype(object))


def _member(name: str, raw: bytes) -> bytes:
    """Return an archive in which the member `name` has these bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for other, array in _arrays().items():
            plain = io.BytesIO()
            np.save(plain, array)
            archive.writestr(f"{other}.npy", raw if other == name else plain.getvalue())
    return stream.getvalue()


def _head(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


def _npz_shape(shape: tuple[int, ...]) -> bytes:
    return _member("xy", _head(shape) + bytes(160))


def _npz_bomb() -> bytes:
    return _member("xy", _head((2**25, 1, 4, 2)) + bytes(2**30))


def _npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.ones((5, 1, 4, 2), np.float32))
    return stream.getvalue()


def _evaluations() -> list[Case]:
    def against(
        name: str, truth: str, content: Callable[[], bytes], fast: bool = False, **settings: Any
    ) -> Case:
        def make(workshop: Workshop) -> list[str]:
            run_files(workshop)
            return ["evaluate", "run.csv", workshop.write(truth, content())]

        settings.setdefault("expected", "refused")
        return Case(f"evaluate: {name}", make, fast, **settings)

    def named(**other: np.ndarray) -> bytes:
        stream = io.BytesIO()
        names = np.array([f"run_{i:06d}.jpg" for i in range(5)])
        np.savez(stream, **{"names": names, "points": np.ones((5, 4, 2)), **other})
        return stream.getvalue()

    def folder(workshop: Workshop) -> list[str]:
        run_files(workshop)
        workshop.write("truth/run_000000.pts", "version: 1\nn_points: 9\n{\n1 1\n}\n")
        return ["evaluate", "run.csv", "truth"]

    def trap() -> bytes:
        value = np.empty(5, object)
        value[:] = Trap()
        return named(names=value)

    table = b"image,face_id,confidence,x_0,y_0\n"
    return [
        against("a pickle that opens a file", "t.npz", trap),
        against("names that do not fit", "t.npz", lambda: named(names=np.array(["a"]))),
        against("twins", "t.npz", lambda: named(names=np.array(["a/x", "b/x", "c", "d", "e"]))),
        against("numbers for names", "t.npz", lambda: named(names=np.arange(5))),
        against("text for points", "t.npz", lambda: named(points=np.array(["a"]))),
        against(
            "points all nan",
            "t.npz",
            lambda: named(points=np.full((5, 4, 2), np.nan)),
            expected=None,
        ),
        against(
            "points of inf",
            "t.npz",
            lambda: named(points=np.full((5, 4, 2), np.inf)),
            expected=None,
        ),
        against("another number of points", "t.npz", lambda: named(points=np.ones((5, 68, 2)))),
        against("no points", "t.npz", lambda: named(points=np.ones((5, 0, 2))), expected=None),
        against("truth all in one place", "t.npz", named, expected=None),
        against("one name for all, 0-dimensional", "t.npz", lambda: named(names=np.array("a"))),
        against("bomb of 1 GB", "t.npz", _npz_bomb),
        against("a table without rows", "t.csv", lambda: table),
        against("a table of text", "t.csv", lambda: table + b"run_000000,0,1,a,b\n"),
        against("binary", "t.csv", lambda: bytes(range(256)), True),
        against("a quote that never ends", "t.csv", lambda: table + b'"' + b"9" * 300_000),
        against("an unknown kind", "t.mat", lambda: b"MATLAB"),
        Case("evaluate: a wrong folder", folder, expected="refused"),
    ]
