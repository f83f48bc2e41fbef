"""Options of `facetrack track`, `measure` and `detect` that add columns, as a user types them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import clips
import numpy as np
import pytest
import rendered_heads as heads
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.formats.csv import CsvWriter, read_csv
from facetrack.measures.face_model import load
from facetrack.measures.lab_clock import parse_utc

START = "2026-03-31T14:05:00.25Z"


def invoke(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.output


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The table of a run of a head that blinks, tracked from the third second of a broadcast."""
    time = np.arange(60) / 30
    shut = heads.blink(time, 0.8, 0.1, 0.2)
    xy = heads.project(heads.with_lids(load().mean, {"r": shut, "l": shut}), heads.turns(60, 10))
    tracks = heads.tracks_of(xy)
    tracks.time[:] += 103
    with CsvWriter(tmp_path / "a.csv") as writer:
        writer.write(tracks)
    write_record(tmp_path / "a.json")
    return tmp_path / "a.csv"


def write_record(path: Path, **more: object) -> None:
    entry = {"path": "a.mp4", "width": 640, "height": 480, "start_time": 100.0}
    content = {"versions": {}, "input": entry, "options": {}, "tracker": {"name": "lk"}}
    path.write_text(json.dumps({**content, **more}))


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_measures_and_events_have_absolute_times(run: Path) -> None:
    """START is at the start of the file's clock, which is at 100 seconds."""
    assert invoke("measure", run, "--utc", START, "--audio-offset", "99.5")[0] == 0
    row = rows_of(run.with_name("a.measures.csv"))[0]
    assert (row["timestamp"], row["utc"]) == ("103.000000", "2026-03-31T14:05:03.250000Z")
    event = rows_of(run.with_name("a.events.csv"))[0]
    for name in ("start", "peak", "end"):
        seconds = float(event[name])
        since = (parse_utc(event[f"{name}_utc"]) - parse_utc(START)).total_seconds()
        assert since == pytest.approx(seconds - 100, abs=2e-6)
        assert float(event[f"{name}_audio"]) == pytest.approx(seconds - 99.5, abs=2e-6)
    record = json.loads(run.with_name("a.measures.json").read_text())
    assert record["clock"] == {
        "utc_at_start": "2026-03-31T14:05:00.250000Z",
        "start": 100.0,
        "audio_start": 99.5,
    }


def test_without_the_options_there_are_no_such_columns(run: Path) -> None:
    assert invoke("measure", run)[0] == 0
    assert "utc" not in rows_of(run.with_name("a.measures.csv"))[0]
    assert not [n for n in rows_of(run.with_name("a.events.csv"))[0] if "_audio" in n]


def test_clocks_of_the_run_are_those_of_its_measures(run: Path) -> None:
    clock = {"utc_at_start": "2020-01-01T00:00:00.000000Z", "start": 100.0, "audio_start": 101.0}
    write_record(run.with_suffix(".json"), clock=clock)
    assert invoke("measure", run)[0] == 0
    event = rows_of(run.with_name("a.events.csv"))[0]
    assert event["start_utc"].startswith("2020-01-01T00:00:0")
    assert float(event["start_audio"]) == pytest.approx(float(event["start"]) - 101, abs=2e-6)


def test_start_of_the_sound_is_read_from_the_video(run: Path) -> None:
    video = run.with_name("a.mkv")
    clips.run_ffmpeg(
        *("-f", "lavfi", "-i", "testsrc=d=2:r=25:s=64x48", "-itsoffset", "0.25"),
        *("-f", "lavfi", "-i", "sine=d=1", "-map", "0", "-map", "1"),
        *("-c:v", "libx264", "-c:a", "pcm_s16le", str(video)),
    )
    entry = {"path": str(video), "width": 640, "height": 480, "start_time": 0.0}
    write_record(run.with_suffix(".json"), input=entry)
    assert invoke("measure", run, "--audio-offset", "auto")[0] == 0
    event = rows_of(run.with_name("a.events.csv"))[0]
    assert float(event["start_audio"]) == pytest.approx(float(event["start"]) - 0.25, abs=1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--utc", "yesterday"], "ISO 8601"),
        (["--utc", "now"], "live sources"),
        (["--audio-offset", "soon"], "seconds or auto"),
        (["--audio-offset", "auto"], "--audio-offset in seconds"),
    ],
)
def test_bad_clocks_are_one_sentence(run: Path, words: list[str], message: str) -> None:
    code, output = invoke("measure", run, *words)
    assert (code, message in output) == (2, True), output
    assert not run.with_name("a.measures.csv").exists()


@pytest.mark.parametrize("coordinates", ["normalised", "head"])
def test_measures_of_other_coordinates(run: Path, coordinates: str) -> None:
    """The normalised ones are converted, the others refused."""
    with CsvWriter(run) as writer:
        writer.coordinates = coordinates
        tracks = read_csv(run, (640, 480))
        writer.write(tracks)
    code, output = invoke("measure", run)
    if coordinates == "normalised":
        assert code == 0
        assert len(rows_of(run.with_name("a.measures.csv"))) == 60
    else:
        assert (code, "has head coordinates" in output) == (2, True)
        assert invoke("report", run)[0] == 2


def test_detect_writes_confidences_and_coordinates(face: Path, tmp_path: Path) -> None:
    words = ("detect", face, "--init", "ert", "--face-detector", "hog", "--quiet")
    assert invoke(*words, "--out", tmp_path / "plain", "--point-confidence")[0] == 0
    plain = rows_of(tmp_path / "plain/landmarks.csv")[0]
    mean = np.mean([float(plain[f"c_{i}"]) for i in range(68)])
    assert mean == pytest.approx(float(plain["confidence"]), abs=1e-3)
    for name in ("head", "frontal"):
        folder = tmp_path / name
        assert invoke(*words, "--out", folder, "--coordinates", name)[0] == 0
        row = rows_of(folder / "landmarks.csv")[0]
        record = json.loads((folder / "landmarks.json").read_text())
        assert record["csv_coordinates"]["name"] == name
        xy = np.array([[float(row[f"{name}_{a}_{i}"] or "nan") for a in "xy"] for i in range(68)])
        if name == "head":
            np.testing.assert_allclose(xy[[36, 45]], [[-0.5, 0], [0.5, 0]], atol=1e-4)
        if name == "frontal":
            assert np.linalg.norm(xy[36] - xy[45]) == pytest.approx(1, abs=0.02)
        code, output = invoke(
            "evaluate", folder / "landmarks.csv", tmp_path / "plain/landmarks.csv"
        )
        assert (code, f"has {name} coordinates" in output) == (2, True)
    code, output = invoke(*words, "--out", tmp_path / "no", "--coordinates", "polar")
    assert (code, "no coordinates 'polar'" in output) == (2, True)


def test_options_of_track_that_do_not_fit_are_one_sentence(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        clips.write_clip(tmp_path / name, 3)
    one, both = [tmp_path / "a.mp4"], [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for words, message in (
        ([*both, "--utc", START], "start of one video"),
        ([*one, "--coordinates", "head", "--format", "npz"], "--coordinates head is for --format"),
        ([*one, "--point-confidence", "--format", "npz"], "--point-confidence is for --format"),
        ([*one, "--audio-offset", "auto"], "for the events of --measures"),
        ([*one, "--audio-offset", "auto", "--measures"], "has no sound"),
        ([*one, "--coordinates", "polar"], "no coordinates 'polar'"),
    ):
        code, output = invoke("track", *words)
        assert (code, message in output) == (2, True), output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]
