"""Test the arrays in an .npz file."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facetrack.errors import FacetrackError
from facetrack.formats.npz import NpzWriter, read_npz
from facetrack.tracks import Tracks

Make = Callable[..., Tracks]


def _write(path: Path, *parts: Tracks) -> Path:
    with NpzWriter(path) as writer:
        for part in parts:
            writer.write(part)
    return path


@given(
    frames=st.integers(1, 6),
    faces=st.integers(1, 3),
    points=st.integers(1, 9),
    first=st.integers(0, 10_000),
    seed=st.integers(0, 2**32 - 1),
    cut=st.floats(0, 1),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_round_trip_is_exact(
    tmp_path: Path,
    make_tracks: Make,
    cut_tracks: Make,
    frames: int,
    faces: int,
    points: int,
    first: int,
    seed: int,
    cut: float,
) -> None:
    tracks = make_tracks(frames, faces, points, seed, first)
    middle = round(cut * frames)
    parts = cut_tracks(tracks, 0, middle), cut_tracks(tracks, middle, frames)
    loaded = read_npz(_write(tmp_path / "a.npz", *parts))
    for name in ("xy", "visible", "confidence", "time", "face_id"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(tracks, name), err_msg=name)
        assert getattr(loaded, name).dtype == getattr(tracks, name).dtype
    assert (loaded.scheme, loaded.size, loaded.first_frame) == (tracks.scheme, (640, 480), first)


def test_numpy_reads_it_and_finds_the_origin(tmp_path: Path, make_tracks: Make) -> None:
    path = _write(tmp_path / "a.npz", make_tracks(2, 1, 3))
    with np.load(path, allow_pickle=False) as archive:
        assert str(archive["coordinate_origin"]) == "centre of the top-left pixel"
        assert archive["size"].tolist() == [640, 480]


def test_memory_does_not_grow_with_the_video(tmp_path: Path, make_tracks: Make) -> None:
    peaks = []
    for chunks in (2, 40):
        tracemalloc.start()
        with NpzWriter(tmp_path / f"{chunks}.npz") as writer:
            for i in range(chunks):
                writer.write(make_tracks(100, 1, 68, first_frame=100 * i))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 38 chunks of points alone are 3 MB more; Python's own bookkeeping varies by some 0.1 MB.
    assert peaks[1] - peaks[0] < 250_000


def _resave(path: Path, **changes: object) -> Path:
    with np.load(path) as archive:
        arrays = dict(archive)
    for name, value in changes.items():
        if value is None:
            del arrays[name]
        else:
            arrays[name] = np.asarray(value)
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"xy": None},
        {"xy": np.zeros((2, 1, 3, 2))},
        {"time": np.zeros(5)},
        {"size": [1, 2, 3]},
        {"size": "wide"},
        {"first_frame": [1, 2]},
        {"scheme": np.array([{"a": 1}], dtype=object)},
    ],
    ids=["missing", "float64", "length", "size", "size text", "first_frame", "pickle"],
)
def test_malformed_file(tmp_path: Path, make_tracks: Make, changes: dict[str, object]) -> None:
    path = _resave(_write(tmp_path / "a.npz", make_tracks(2, 1, 3)), **changes)
    with pytest.raises(FacetrackError, match="not a facetrack") as caught:
        read_npz(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"frame,x\n", b"PK\x03\x04 and no more"])
def test_not_an_npz(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(FacetrackError, match="not a"):
        read_npz(tmp_path / "a.npz")


def test_single_array_is_not_an_npz(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(FacetrackError, match="not a"):
        read_npz(tmp_path / "a.npy")


def test_truncated_file(tmp_path: Path, make_tracks: Make) -> None:
    path = _write(tmp_path / "a.npz", make_tracks(9, 1, 3))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FacetrackError, match="not a"):
        read_npz(path)


@pytest.mark.parametrize("field", [6, 8, 10])
def test_a_flipped_bit_is_one_sentence(tmp_path: Path, make_tracks: Make, field: int) -> None:
    """In the archive's list of files: the version that it needs, its flags, how it is packed."""
    path = _write(tmp_path / "a.npz", make_tracks(2, 1, 3))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + field] ^= 0x81
    path.write_bytes(data)
    with pytest.raises(FacetrackError, match=r"a\.npz is not a facetrack \.npz file"):
        read_npz(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match="There is no file"):
        read_npz(tmp_path / "a.npz")
