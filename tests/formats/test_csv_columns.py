"""Optional columns of facetrack's CSV: other coordinates, confidence per point, absolute times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import rendered_heads as heads
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facetrack.comparison.ground_truth import read_truth
from facetrack.errors import FacetrackError
from facetrack.evaluation.scores import read_faces
from facetrack.formats.csv import CsvWriter, read_csv
from facetrack.measures.coordinates import convert, to_frontal
from facetrack.measures.face_model import load
from facetrack.measures.lab_clock import LabClock
from facetrack.record import write_record
from facetrack.tracks import Tracks

Make = Callable[..., Tracks]
CLOCK = LabClock(datetime(2026, 3, 31, 23, 59, 59, 990_000), 0.0)
FEW = Tracks(
    xy=np.array([[[[9.5, 19.5], [np.nan, 5]]], [[[0, 0], [639.5, 479.5]]]], np.float32),
    visible=np.array([[[True, True]], [[False, True]]]),
    confidence=np.array([[[0.5, 0.25]], [[1, 0.5]]], np.float32),
    time=np.array([0.0, 0.04]),
    face_id=np.array([7]),
    scheme="points-2",
    size=(640, 480),
    image_names=np.array(["a.png", "b.png"]),
)


def write(path: Path, *parts: Tracks, **options: object) -> str:
    with CsvWriter(path) as writer:
        for name, value in options.items():
            setattr(writer, name, value)
        for part in parts:
            writer.write(part)
    return path.read_text()


def test_text(tmp_path: Path) -> None:
    text = write(tmp_path / "a.csv", FEW, point_confidence=True, clock=CLOCK)
    assert text == (
        "frame,face_id,timestamp,confidence,success,x_0,x_1,y_0,y_1,v_0,v_1,c_0,c_1,utc,image\n"
        "0,7,0.000000,0.500,1,9.500,,19.500,,1,0,0.500,0.000,2026-03-31T23:59:59.990000Z,a.png\n"
        "1,7,0.040000,0.750,1,0.000,639.500,0.000,479.500,0,1,1.000,0.500,"
        "2026-04-01T00:00:00.030000Z,b.png\n"
    )
    text = write(tmp_path / "a.csv", replace(FEW, image_names=None), coordinates="normalised")
    assert text.splitlines() == [
        "frame,face_id,timestamp,confidence,success,normalised_x_0,normalised_x_1,normalised_y_0,"
        "normalised_y_1,v_0,v_1",
        "0,7,0.000000,0.500,1,0.0156250,,0.0416667,,1,0",
        "1,7,0.040000,0.750,1,0.0007812,1.0000000,0.0010417,1.0000000,0,1",
    ]


@given(
    frames=st.integers(1, 6),
    faces=st.integers(1, 3),
    points=st.integers(1, 70),
    seed=st.integers(0, 2**32 - 1),
    cut=st.floats(0, 1),
    coordinates=st.sampled_from(["pixels", "normalised"]),
    clock=st.sampled_from([None, CLOCK]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_round_trip(
    tmp_path: Path,
    make_tracks: Make,
    cut_tracks: Make,
    frames: int,
    faces: int,
    points: int,
    seed: int,
    cut: float,
    coordinates: str,
    clock: LabClock | None,
) -> None:
    """Every reader gets each point's own confidence, and pixels, whatever the columns."""
    tracks = make_tracks(frames, faces, points, seed)
    middle = round(cut * frames)
    parts = [cut_tracks(tracks, 0, middle), cut_tracks(tracks, middle, frames)]
    path = tmp_path / "a.csv"
    write(path, *parts, coordinates=coordinates, clock=clock, point_confidence=True)
    loaded = read_csv(path, size=tracks.size)
    np.testing.assert_allclose(loaded.xy, tracks.xy, atol=0.00075)
    np.testing.assert_array_equal(loaded.visible, tracks.visible)
    known = np.isfinite(tracks.xy).all(-1)
    np.testing.assert_allclose(
        loaded.confidence, np.where(known, tracks.confidence, 0), atol=0.00051
    )
    np.testing.assert_allclose(loaded.time, tracks.time, atol=6e-7)


@pytest.mark.parametrize("coordinates", ["head", "frontal"])
def test_values_are_those_of_the_coordinates(tmp_path: Path, coordinates: str) -> None:
    """The frontal ones need all frames, which come in several chunks and with new faces."""
    xy = heads.project(load().mean, heads.turns(40, 20))
    whole = heads.tracks_of(xy)
    parts = [
        replace(
            whole,
            **{name: getattr(whole, name)[rows] for name in ("xy", "visible", "confidence")},
            time=whole.time[rows],
            first_frame=rows.start,
        )
        for rows in (slice(0, 15), slice(15, 40))
    ]
    parts[1] = parts[1].with_faces([0, 4])
    text = write(tmp_path / "a.csv", *parts, coordinates=coordinates)
    lines = text.splitlines()
    assert len(lines) == 1 + 15 + 2 * 25
    assert lines[0].split(",")[5] == f"{coordinates}_x_0"
    rows = [line.split(",") for line in lines[1:]]
    own = np.array([row[5 : 5 + 136] for row in rows if row[1] == "0"]).astype(float)
    expected = convert(whole.xy, coordinates, whole.size, "68")
    if coordinates == "frontal":
        expected = to_frontal(whole).xy
    np.testing.assert_allclose(own.reshape(40, 2, 68).transpose(0, 2, 1), expected[:, 0], atol=1e-5)
    assert set(rows[16][5 : 5 + 136]) == {""}


@pytest.mark.parametrize("coordinates", ["head", "frontal"])
def test_readers_of_pixels_refuse_the_others(tmp_path: Path, coordinates: str) -> None:
    path = tmp_path / "a.csv"
    tracks = heads.tracks_of(heads.project(load().mean, heads.turns(10, 20)))
    write(path, tracks, coordinates=coordinates)
    for read in (lambda p: read_csv(p, (640, 480)), read_faces, read_truth):
        with pytest.raises(FacetrackError, match=f"has {coordinates} coordinates") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_normalised_needs_the_size(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write(path, FEW, coordinates="normalised")
    with pytest.raises(FacetrackError, match=r"normalised coordinates, which need the size"):
        read_csv(path)
    pixels = [FEW.xy[0] * [[[1], [np.nan]]], FEW.xy[1]]
    np.testing.assert_allclose(read_csv(path, FEW.size).xy, pixels, atol=1e-3)


def test_the_size_is_that_of_the_record(tmp_path: Path) -> None:
    write(tmp_path / "a.b.csv", FEW, coordinates="normalised")
    entry = {"width": 640, "height": 480}
    record = {"versions": {}, "input": entry, "options": {}, "tracker": {}}
    write_record(tmp_path / "a.b.json", record)
    loaded = Tracks.load(tmp_path / "a.b.csv")
    assert loaded.size == FEW.size
    np.testing.assert_allclose(loaded.xy[1], FEW.xy[1], atol=1e-3)
    np.testing.assert_allclose(read_faces(tmp_path / "a.b.csv")["a.b_000001"], FEW.xy[1], atol=1e-3)
    assert read_csv(tmp_path / "a.b.csv", size=(10, 10)).size == (10, 10)


@pytest.mark.parametrize("coordinates", ["head", "frontal"])
def test_layouts_without_eyes_are_refused(tmp_path: Path, coordinates: str) -> None:
    with pytest.raises(FacetrackError, match=r"eye corners|68 points"):
        write(tmp_path / "a.csv", FEW, coordinates=coordinates)
    assert not list(tmp_path.iterdir())


HEAD = "frame,face_id,timestamp,confidence,success,x_0,y_0,v_0,c_0\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "0,0,0,1,1,5,5,1,1.5\n", "between 0 and 1"),
        (HEAD + "0,0,0,1,1,5,5,1,\n", "between 0 and 1"),
        (HEAD.replace("c_0", "c_1") + "0,0,0,1,1,5,5,1,1\n", "not the header"),
        (HEAD.replace("x_0", "head_x_0") + "0,0,0,1,1,5,5,1,1\n", "not the header"),
    ],
)
def test_malformed_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(FacetrackError, match=message):
        read_csv(tmp_path / "a.csv")
