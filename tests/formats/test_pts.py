"""Test the folder of 300-W files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facetrack.errors import FacetrackError
from facetrack.formats.pts import PtsWriter
from facetrack.landmarks.point_files import read_points
from facetrack.tracks import Tracks

Make = Callable[..., Tracks]


def _complete(tracks: Tracks) -> Tracks:
    tracks.xy[:] = np.nan_to_num(tracks.xy, nan=7.0)
    tracks.visible[:] = True
    return tracks


def _write(folder: Path, tracks: Tracks) -> list[str]:
    with PtsWriter(folder) as writer:
        writer.write(tracks)
    return sorted(p.name for p in folder.iterdir())


def test_one_file_per_frame(tmp_path: Path, make_tracks: Make) -> None:
    tracks = _complete(make_tracks(3, 1, 5, first_frame=10))
    names = _write(tmp_path / "my.clip_pts", tracks)
    assert names == [f"my.clip_{t:06d}.pts" for t in (10, 11, 12)]


def test_positions_are_read_back(tmp_path: Path, make_tracks: Make) -> None:
    tracks = _complete(make_tracks(1, 1, 5))
    _write(tmp_path / "clip_pts", tracks)
    loaded = read_points(tmp_path / "clip_pts" / "clip_000000.pts")
    np.testing.assert_allclose(loaded, tracks.xy[0, 0], atol=0.0011)


def test_several_faces(tmp_path: Path, make_tracks: Make) -> None:
    names = _write(tmp_path / "a_pts", _complete(make_tracks(1, 2, 5)))
    assert names == ["a_000000_face0.pts", "a_000000_face3.pts"]


def test_frame_without_the_face_is_omitted(tmp_path: Path, make_tracks: Make) -> None:
    tracks = _complete(make_tracks(3, 1, 5))
    tracks.visible[1] = False
    assert _write(tmp_path / "a_pts", tracks) == ["a_000000.pts", "a_000002.pts"]


def test_frame_with_an_unknown_point_is_omitted(tmp_path: Path, make_tracks: Make) -> None:
    tracks = _complete(make_tracks(3, 1, 5))
    tracks.xy[0, 0, 4, 1] = np.nan
    assert _write(tmp_path / "a_pts", tracks) == ["a_000001.pts", "a_000002.pts"]


def test_earlier_folder_is_replaced(tmp_path: Path, make_tracks: Make) -> None:
    _write(tmp_path / "a_pts", _complete(make_tracks(5, 1, 5)))
    names = _write(tmp_path / "a_pts", _complete(make_tracks(2, 1, 5)))
    assert names == ["a_000000.pts", "a_000001.pts"]
    assert [p.name for p in tmp_path.iterdir()] == ["a_pts"]


def test_folder_with_other_files_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a_pts").mkdir()
    (tmp_path / "a_pts" / "thesis.doc").touch()
    with (
        pytest.raises(FacetrackError, match=r"holds 'thesis.doc'"),
        PtsWriter(tmp_path / "a_pts"),
    ):
        pass
    assert [p.name for p in tmp_path.rglob("*")] == ["a_pts", "thesis.doc"]


def test_file_where_the_folder_belongs(tmp_path: Path) -> None:
    (tmp_path / "a_pts").touch()
    with pytest.raises(FacetrackError, match="is a file"), PtsWriter(tmp_path / "a_pts"):
        pass
