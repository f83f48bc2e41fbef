"""Test facetrack's CSV."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facetrack.errors import FacetrackError
from facetrack.formats.base import Writer
from facetrack.formats.csv import CsvWriter, csv_columns, read_csv
from facetrack.tracks import Tracks

Make = Callable[..., Tracks]

SMALL = Tracks(
    xy=np.array([[[[1.23456, -0.0001], [np.nan, 5]]], [[[0, 0], [639.5, 479.9996]]]], np.float32),
    visible=np.array([[[True, True]], [[False, True]]]),
    confidence=np.array([[[0.5, 0.25]], [[1, 0.5]]], np.float32),
    time=np.array([0.0, 1001 / 24000]),
    face_id=np.array([7]),
    scheme="points-2",
    size=(640, 480),
    first_frame=3,
)


def write(writer: Writer, *parts: Tracks) -> str:
    with writer:
        for part in parts:
            writer.write(part)
    return writer.path.read_bytes().decode()


def test_text(tmp_path: Path) -> None:
    assert write(CsvWriter(tmp_path / "a.csv"), SMALL) == (
        "frame,face_id,timestamp,confidence,success,x_0,x_1,y_0,y_1,v_0,v_1\n"
        "3,7,0.000000,0.500,1,1.235,,0.000,,1,0\n"
        "4,7,0.041708,0.750,1,0.000,639.500,0.000,480.000,0,1\n"
    )


def test_one_row_for_every_frame_and_face(tmp_path: Path, make_tracks: Make) -> None:
    lines = write(CsvWriter(tmp_path / "a.csv"), make_tracks(5, 3, 2)).splitlines()
    keys = [tuple(map(int, line.split(",")[:2])) for line in lines[1:]]
    assert keys == [(t, f) for t in range(5) for f in (0, 3, 6)]


def test_lost_face_keeps_its_row(tmp_path: Path, make_tracks: Make) -> None:
    lost = make_tracks(1, 1, 2)
    lost.xy[:] = np.nan
    lost.visible[:] = False
    row = write(CsvWriter(tmp_path / "a.csv"), lost).splitlines()[1]
    assert row.split(",")[3:] == ["0.000", "0", "", "", "", "", "0", "0"]


@given(
    frames=st.integers(1, 8),
    faces=st.integers(1, 3),
    points=st.integers(1, 70),
    first=st.integers(0, 10_000),
    seed=st.integers(0, 2**32 - 1),
    cut=st.floats(0, 1),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_round_trip(
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
    parts = [cut_tracks(tracks, 0, middle), cut_tracks(tracks, middle, frames)]
    writer = CsvWriter(tmp_path / "a.csv")
    write(writer, *parts)
    loaded = read_csv(writer.path, size=(640, 480))
    np.testing.assert_allclose(loaded.xy, tracks.xy, atol=0.00075)
    np.testing.assert_array_equal(loaded.visible, tracks.visible)
    np.testing.assert_allclose(loaded.time, tracks.time, atol=6e-7)
    np.testing.assert_array_equal(loaded.face_id, tracks.face_id)
    np.testing.assert_allclose(loaded.face_confidence, tracks.face_confidence, atol=0.00051)
    np.testing.assert_array_equal(loaded.success, tracks.success)
    assert (loaded.first_frame, loaded.size) == (first, (640, 480))


def test_default_scheme_and_size(tmp_path: Path, make_tracks: Make) -> None:
    writer = CsvWriter(tmp_path / "a.csv")
    write(writer, make_tracks(1, 1, 68))
    loaded = read_csv(writer.path)
    assert (loaded.scheme, loaded.size) == ("68", (0, 0))


def test_faces_keep_the_order_of_the_rows(tmp_path: Path, make_tracks: Make) -> None:
    tracks = make_tracks(2, 3, 1)
    tracks.face_id[:] = 5, 9, 2
    writer = CsvWriter(tmp_path / "a.csv")
    write(writer, tracks)
    loaded = read_csv(writer.path)
    assert loaded.face_id.tolist() == [5, 9, 2]
    np.testing.assert_allclose(loaded.xy, tracks.xy, atol=0.00075)


def test_unknown_point_has_no_confidence(tmp_path: Path) -> None:
    writer = CsvWriter(tmp_path / "a.csv")
    write(writer, SMALL)
    assert read_csv(writer.path).confidence[0, 0].tolist() == [0.5, 0]


def test_late_face_is_unknown_before(tmp_path: Path, make_tracks: Make, cut_tracks: Make) -> None:
    both = make_tracks(2, 2, 3)
    alone = Tracks(
        both.xy[:1, :1],
        both.visible[:1, :1],
        both.confidence[:1, :1],
        both.time[:1],
        both.face_id[:1],
        both.scheme,
        both.size,
    )
    writer = CsvWriter(tmp_path / "a.csv")
    write(writer, alone, cut_tracks(both, 1, 2))
    loaded = read_csv(writer.path)
    assert loaded.xy.shape == (2, 2, 3, 2)
    assert np.isnan(loaded.xy[0, 1]).all()
    assert not loaded.visible[0, 1].any()


HEAD = "frame,face_id,timestamp,confidence,success,x_0,y_0,v_0\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (HEAD, "holds no frames"),
        ("frame,x_0\n0,1\n", "not the header"),
        (HEAD.replace("v_0", "v_1") + "0,0,0,1,1,5,5,1\n", "not the header"),
        (HEAD + "0,0,0,1,1,5,5\n", "row 2 has 7 cells, the header 8"),
        (HEAD + "0,0,0,1,1,five,5,1\n", "not a number"),
        (HEAD + "0,0,0,1,1,5,,0\n", "only one of x and y"),
        (HEAD + "0,0,0,1,1,,,1\n", "visible point without a position"),
        (HEAD + "0,0,0,1,1,inf,5,1\n", "no position"),
        (HEAD + "0,0,0,1,1,1e39,5,1\n", "no position"),
        (HEAD + "0,0,,1,1,5,5,1\n", "no timestamp"),
        (HEAD + "0,0,0,1.5,1,5,5,1\n", "between 0 and 1"),
        (HEAD + "0,0,0,,1,5,5,1\n", "between 0 and 1"),
        (HEAD + "0,0,0,1,1,5,5,0.5\n", "whole numbers"),
        (HEAD + "-1,0,0,1,1,5,5,1\n", "whole numbers"),
        (HEAD + ",0,0,1,1,5,5,1\n", "whole numbers"),
        (HEAD + "0,1e300,0,1,1,5,5,1\n", "whole numbers"),
        (HEAD + "0,0,0,1,1,5,5,2\n", "0 or 1"),
        (HEAD + "0,0,0,1,1,5,5,1\n2,0,1,1,1,5,5,1\n3,0,2,1,1,5,5,1\n", "skips frames"),
        (
            HEAD + "0,0,0,1,1,5,5,1\n1,0,1,1,1,5,5,1\n99999999999,0,2,1,1,5,5,1\n",
            "skips frames",
        ),
        (HEAD + "0,0,0,1,1,5,5,1\n0,0,0,1,1,5,5,1\n", "twice in one frame"),
        (HEAD + "0,0,0,1,1,5,5,1\n0,1,2,1,1,5,5,1\n", "two timestamps"),
    ],
)
def test_malformed_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(FacetrackError, match=message) as caught:
        read_csv(path)
    assert "\n" not in str(caught.value)


def test_a_small_table_does_not_fill_the_memory(tmp_path: Path) -> None:
    """Not by many faces that are in one frame each, nor by a single long cell."""
    header = ",".join(csv_columns(1))
    path = tmp_path / "a.csv"
    rows = [f"{i},{i},{i},1,1,5,5,1" for i in range(5000)]
    path.write_text("\n".join([header, *rows]))
    with pytest.raises(FacetrackError, match=r"5000 faces .* far more than a table"):
        read_csv(path)
    rows = [f"{i},0,{i},1,1,5,5,1,{i}.png" for i in range(1000)]
    rows[-1] = rows[-1].replace("999.png", "x" * 100_000)
    path.write_text("\n".join([f"{header},image", *rows]))
    with pytest.raises(FacetrackError, match="names of 100000 letters"):
        read_csv(path)
    rows = [f"{i},0,{i},1,1,5,5,1" for i in range(1000)]
    rows[-1] = rows[-1].replace("5,5", f"5{' ' * 100_000},5")
    path.write_text("\n".join([header, *rows]))
    tracemalloc.start()
    try:
        assert len(read_csv(path)) == 1000
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


def test_binary_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff")
    with pytest.raises(FacetrackError, match="not a CSV"):
        read_csv(path)


@pytest.mark.parametrize(("name", "message"), [("none.csv", "There is no file"), (".", "read")])
def test_unreadable_file(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(FacetrackError, match=message):
        read_csv(tmp_path / name)
