"""BIDS datasets of motion."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from export_sources import variant

from facetrack.errors import FacetrackError
from facetrack.exports.base import Source
from facetrack.exports.bids import write

NAME = "sub-ab_task-face_tracksys-facetrack"


def table(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def place(source: Source, tmp_path: Path) -> Path:
    assert write(tmp_path, source) == []
    return tmp_path / "a b_bids" / "sub-ab" / "motion"


def test_files_are_named_as_the_standard_says(place: Path) -> None:
    assert sorted(path.name for path in place.iterdir()) == [
        *(f"{NAME}_{end}" for end in ("channels.json", "channels.tsv", "events.json")),
        *(f"{NAME}_{end}" for end in ("events.tsv", "motion.json", "motion.tsv")),
    ]
    description = json.loads((place.parents[1] / "dataset_description.json").read_text())
    assert {"Name", "BIDSVersion"} <= description.keys()


def test_channels_describe_the_columns(place: Path, source: Source) -> None:
    header, *channels = table(place / f"{NAME}_channels.tsv")
    assert header[:5] == ["name", "component", "type", "tracked_point", "units"]
    rows = table(place / f"{NAME}_motion.tsv")
    assert len(rows) == len(source.tracks)
    assert {len(row) for row in rows} == {len(channels)}
    names = [channel[0] for channel in channels]
    assert len(set(names)) == len(names)
    assert {channel[2] for channel in channels} == {"LATENCY", "POS", "ORNT", "MISC"}
    sidecar = json.loads((place / f"{NAME}_motion.json").read_text())
    assert sidecar["MotionChannelCount"] == len(channels)
    assert sidecar["POSChannelCount"] == sum(channel[2] == "POS" for channel in channels)
    assert sidecar["TrackedPointsCount"] == 2 * 69
    assert sidecar["TaskName"] == "face"
    frames = json.loads((place / f"{NAME}_channels.json").read_text())["reference_frame"]["Levels"]
    assert {channel[5] for channel in channels} <= {*frames, "n/a"}
    assert frames["camera"]["RotationOrder"] == "XYZ"


def test_values_and_true_times(place: Path, source: Source) -> None:
    names = [channel[0] for channel in table(place / f"{NAME}_channels.tsv")[1:]]
    rows = table(place / f"{NAME}_motion.tsv")
    columns = {name: [row[k] for row in rows] for k, name in enumerate(names)}
    tracks = source.tracks
    np.testing.assert_allclose(
        np.array(columns["latency"], float), tracks.time - tracks.time[0], atol=1e-6
    )
    np.testing.assert_allclose(
        np.array(columns["face_0_point_30_x"], float), tracks.xy[:, 0, 30, 0], atol=1e-3
    )
    np.testing.assert_allclose(
        np.array(columns["face_0_pose_Ry"], float),
        source.measured.faces[0].values["pose_Ry"],
        atol=1e-5,
    )
    assert columns["face_3_point_30_x"][50:60] == ["n/a"] * 10
    assert columns["face_3_point_30_visible"][49:51] == ["1", "0"]


def test_events_start_at_the_first_frame(place: Path, source: Source) -> None:
    header, *events = table(place / f"{NAME}_events.tsv")
    assert header[:3] == ["onset", "duration", "trial_type"]
    first = min(source.measured.events, key=lambda event: event.start)
    assert float(events[0][0]) == pytest.approx(first.start - source.tracks.time[0], abs=1e-6)
    described = json.loads((place / f"{NAME}_events.json").read_text())
    assert set(header[2:]) == set(described)
    assert {event[2] for event in events} <= set(described["trial_type"]["Levels"])


def test_labels(source: Source, tmp_path: Path) -> None:
    labels = {"subject": "s01", "session": "2", "task": "rest"}
    write(tmp_path, variant(source, settings=labels))
    place = tmp_path / "a b_bids/sub-s01/ses-2/motion"
    assert (place / "sub-s01_ses-2_task-rest_tracksys-facetrack_motion.tsv").is_file()
    with pytest.raises(FacetrackError, match="--subject takes letters and digits"):
        write(tmp_path / "b", variant(source, settings={"subject": "../x"}))


def test_points_without_poses(free_source: Source, tmp_path: Path) -> None:
    write(tmp_path, free_source)
    place = tmp_path / "free_bids/sub-free/motion"
    names = [row[0] for row in table(place / "sub-free_task-face_tracksys-facetrack_channels.tsv")]
    assert "face_3_point_4_y" in names
    assert not [name for name in names if "pose" in name]
    assert not list(place.glob("*_events.*"))


@pytest.mark.parametrize("program", ["bids-validator-deno", "bids-validator"])
def test_validator_accepts_it(program: str, place: Path) -> None:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    ran = subprocess.run([found, str(place.parents[1])], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
