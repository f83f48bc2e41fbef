"""`facetrack track --report`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from facetrack import report
from facetrack.api.outputs import Outputs
from facetrack.api.track import track_to_files
from facetrack.batch.plan import Task
from facetrack.batch.records import complete
from facetrack.formats.csv import read_csv
from facetrack.pipeline.options import Options
from facetrack.tracks import Tracks


def test_report_is_written_and_in_the_record(
    dots: Path, own_points: Options, tmp_path: Path
) -> None:
    outputs = Outputs(tmp_path, overlay=False, report=True)
    paths = track_to_files(dots, own_points, outputs).paths
    assert paths["report"] == tmp_path / "dots.report.html"
    assert "<html" in paths["report"].read_text(encoding="utf-8")[:500]
    record = json.loads(paths["sidecar"].read_text())
    assert record["options"]["report"] is True
    assert record["seconds"]["report"] > 0
    assert complete(Task(dots, outputs), own_points) is not None
    paths["report"].unlink()
    assert complete(Task(dots, outputs), own_points) is None


def test_report_gets_the_tracks_and_what_it_lacks_is_said(
    dots: Path, own_points: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def note(video: Path, tracks: Tracks, record: dict, path: Path) -> list[str]:
        given.append((video, tracks, record, path))
        path.write_text("the page")
        return ["a picture is missing."]

    monkeypatch.setattr(report, "report_of_track", note)
    outputs = Outputs(tmp_path, overlay=False, report=True)
    made = track_to_files(dots, own_points, outputs)
    ((video, tracks, sidecar, path),) = given
    assert (video, path.name) == (dots, "dots.report.html")
    assert sidecar["input"]["frames"] == len(tracks) == 12
    written = read_csv(tmp_path / "dots.csv")
    assert abs(tracks.xy - written.xy).max() < 1e-3
    assert made.warnings == ["a picture is missing."]
    assert json.loads((tmp_path / "dots.json").read_text())["warnings"] == made.warnings


def test_no_report_unless_asked_for(dots: Path, own_points: Options, tmp_path: Path) -> None:
    paths = track_to_files(dots, own_points, replace(Outputs(tmp_path), overlay=False)).paths
    assert "report" not in paths
