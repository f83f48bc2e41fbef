"""Test DeepLabCut's CSV."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facetrack.formats.dlc import DlcWriter
from facetrack.tracks import Tracks

Make = Callable[..., Tracks]


def _write(path: Path, tracks: Tracks) -> list[list[str]]:
    with DlcWriter(path) as writer:
        writer.write(tracks)
    return [line.split(",") for line in path.read_text().splitlines()]


def test_one_face(tmp_path: Path, make_tracks: Make) -> None:
    tracks = make_tracks(2, 1, 2, first_frame=9)
    tracks.xy[0] = [[[1.5, 2.25], [np.nan, np.nan]]]
    tracks.confidence[0] = [[0.75, 0.5]]
    rows = _write(tmp_path / "a.csv", tracks)
    assert rows[:4] == [
        ["scorer"] + ["facetrack"] * 6,
        ["bodyparts"] + ["point_0"] * 3 + ["point_1"] * 3,
        ["coords", "x", "y", "likelihood", "x", "y", "likelihood"],
        ["9", "1.500", "2.250", "0.750", "", "", "0.000"],
    ]
    assert rows[4][0] == "10"


def test_several_faces_are_individuals(tmp_path: Path, make_tracks: Make) -> None:
    rows = _write(tmp_path / "a.csv", make_tracks(1, 2, 1))
    assert [row[0] for row in rows] == ["scorer", "individuals", "bodyparts", "coords", "0"]
    assert rows[1][1:] == ["face_0"] * 3 + ["face_3"] * 3
    assert rows[2][1:] == ["point_0"] * 6


@pytest.mark.parametrize("faces", [1, 2])
def test_pandas_reads_it(tmp_path: Path, make_tracks: Make, faces: int) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    tracks = make_tracks(5, faces, 3, first_frame=2)
    _write(tmp_path / "a.csv", tracks)
    levels = 3 if faces == 1 else 4
    table = pandas.read_csv(tmp_path / "a.csv", header=list(range(levels)), index_col=0)
    assert table.index.tolist() == [2, 3, 4, 5, 6]
    assert table.columns.names[0] == "scorer"
    values = table.to_numpy().reshape(5, faces, 3, 3)
    np.testing.assert_allclose(values[..., :2], tracks.xy, atol=0.00075)
    face = ("facetrack", "face_3") if faces == 2 else ("facetrack",)
    likelihood = table[(*face, "point_2", "likelihood")].to_numpy()
    known = np.isfinite(tracks.xy[:, -1, 2, 0])
    expected = np.where(known, tracks.confidence[:, -1, 2], 0)
    np.testing.assert_allclose(likelihood, expected, atol=0.00051)
