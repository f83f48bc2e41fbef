"""`facetrack track --measures`: the files take part in the run's all-or-nothing replacement."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rendered_heads as heads

from facetrack.api.outputs import Outputs, options_record
from facetrack.api.run_files import RunFiles
from facetrack.errors import FacetrackError
from facetrack.measures.face_model import load
from facetrack.pipeline.assembly import Chunk
from facetrack.pipeline.options import Options
from facetrack.trackers.base import TrackerOptions
from facetrack.tracks import Tracks
from facetrack.video.reader import probe

ASTRONAUT = Path(__file__).parents[2] / "examples/astronaut.mp4"


def parts() -> list[Tracks]:
    """A head in two chunks."""
    xy = heads.project(load().mean, heads.turns(40, 20))
    tracks = heads.tracks_of(xy)
    return [
        Tracks(
            xy=tracks.xy[rows],
            visible=tracks.visible[rows],
            confidence=tracks.confidence[rows],
            time=tracks.time[rows],
            face_id=tracks.face_id,
            scheme="68",
            size=tracks.size,
            first_frame=rows.start,
        )
        for rows in (slice(0, 15), slice(15, 40))
    ]


def run(outputs: Outputs, chunks: list[Tracks]) -> dict[str, Any]:
    record: dict[str, Any] = {
        "versions": {},
        "tracker": {},
        "options": options_record(Options(), outputs),
        "input": {"path": str(ASTRONAUT), "absolute_path": str(ASTRONAUT)},
        "seconds": {},
        "warnings": [],
    }
    with RunFiles(ASTRONAUT, probe(ASTRONAUT), outputs, show_ids=False) as files:
        for tracks in chunks:
            files.write(Chunk([], tracks))
        files.close()
        files.finish(record)
    return record


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_files_and_summary_of_a_run(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path, overlay=False, measures=True, focal=700.0)
    record = run(outputs, parts())
    expected = ["csv", "events.csv", "json", "measures.csv"]
    assert names(tmp_path) == [f"astronaut.{suffix}" for suffix in expected]
    assert len((tmp_path / "astronaut.measures.csv").read_text().splitlines()) == 41
    assert record["measures"]["focal"] == 700
    assert record["measures"]["faces"][0]["measures"]["pose_Rx"]["valid"] == 1
    assert (record["options"]["measures"], record["options"]["focal"]) == (True, 700.0)
    run(outputs, parts())  # its own files are replaced


def test_options_are_absent_by_default() -> None:
    """Results of versions without measures count as complete."""
    assert not {"measures", "focal"} & options_record(Options(), Outputs(Path())).keys()


def test_foreign_measures_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "astronaut.events.csv").write_text("mine\n")
    outputs = Outputs(tmp_path, overlay=False, measures=True)
    with pytest.raises(FacetrackError, match=r"astronaut\.events\.csv"):
        run(outputs, parts())
    assert names(tmp_path) == ["astronaut.events.csv"]


def test_layout_without_measures_is_refused_at_the_first_frames(tmp_path: Path) -> None:
    tracks = Tracks(
        xy=np.zeros((3, 1, 5, 2), np.float32),
        visible=np.ones((3, 1, 5), bool),
        confidence=np.ones((3, 1, 5), np.float32),
        time=np.arange(3.0),
        face_id=np.zeros(1, np.int64),
        scheme="points-5",
        size=(640, 480),
    )
    outputs = Outputs(tmp_path / "out", overlay=False, measures=True)
    with (
        RunFiles(ASTRONAUT, probe(ASTRONAUT), outputs, show_ids=False) as files,
        pytest.raises(FacetrackError, match="68 points"),
    ):
        files.write(Chunk([], tracks))
    assert names(tmp_path / "out") == []


def test_files_of_an_earlier_run_that_stay_are_named(tmp_path: Path) -> None:
    everything = Outputs(tmp_path, ("csv", "pts", "npz"), overlay=False, measures=True)
    assert run(everything, parts())["warnings"] == []
    assert run(everything, parts())["warnings"] == []  # all of them are replaced
    table = Outputs(tmp_path, overlay=False)
    for _ in range(2):  # until somebody removes them
        (warning,) = run(table, parts())["warnings"]
        assert warning == (
            "astronaut_pts, astronaut.npz, astronaut.measures.csv, astronaut.events.csv are of an "
            "earlier run, and do not show these points: remove what is outdated."
        )
    stays = {"astronaut_pts", "astronaut.npz", "astronaut.measures.csv", "astronaut.events.csv"}
    assert stays < set(names(tmp_path))


def test_measures_of_pixels_that_are_not_square_are_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = replace(probe(ASTRONAUT), pixel_aspect=Fraction(64, 45))
    monkeypatch.setattr(f"{__name__}.probe", lambda video: info)
    (warning,) = run(Outputs(tmp_path, overlay=False, measures=True), parts())["warnings"]
    assert "not square" in warning
    assert run(Outputs(tmp_path / "b", overlay=False), parts())["warnings"] == []


def test_files_of_the_user_are_not_taken_for_those_of_an_earlier_run(tmp_path: Path) -> None:
    (tmp_path / "astronaut.events.csv").write_text("mine\n")
    (tmp_path / "astronaut_pts").mkdir()
    (tmp_path / "astronaut_pts" / "notes.txt").write_text("mine\n")
    assert run(Outputs(tmp_path, overlay=False), parts())["warnings"] == []


@pytest.mark.parametrize(
    ("options", "misses"),
    [
        (Options(), False),
        (Options(tracker="per-frame"), False),
        (Options(tracker="lk"), True),
        (Options(expressions=False), True),
        (Options(redetect="never"), True),
        (Options(tracker_options=TrackerOptions(steady=False)), True),
    ],
)
def test_measures_of_points_that_no_network_corrects_miss_blinks(
    options: Options, misses: bool
) -> None:
    assert options.misses_blinks == misses
