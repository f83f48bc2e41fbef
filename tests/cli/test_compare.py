"""`facetrack compare` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from comparison_fakes import Fakes, SquareFaces, write_clip
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.cli.choices import LANDMARK_DETECTORS
from facetrack.cli.compare import compare
from facetrack.cli.entry import friendly
from facetrack.defaults import INIT
from facetrack.report import focal_of, of_runs

OPTIONS = ["--face-detector", "hog", "--cycle-frames", "5", "--no-report"]


@pytest.fixture
def fakes(tmp_path, monkeypatch) -> Fakes:
    """A clip whose face is a square, and detectors and trackers that know it."""
    made = Fakes(write_clip(tmp_path / "dots.mp4"), SquareFaces("hog"))
    monkeypatch.setattr("facetrack.comparison.initialisers.create", made.detector)
    monkeypatch.setattr("facetrack.comparison.tracker_groups.create", made.tracker)
    monkeypatch.setattr("facetrack.face_detectors.create", lambda name: made.faces)
    monkeypatch.chdir(tmp_path)
    return made


def _run(*arguments: str):
    app = typer.Typer()
    app.command()(friendly(compare))
    return CliRunner().invoke(app, [*arguments, *OPTIONS])


def test_table_names_the_methods_best_first_and_says_what_figures_mean(fakes: Fakes) -> None:
    fakes.errors = {"ert": 0.0, "fan": 0.0, "star": 0.8}
    result = _run("dots.mp4", "--inits", "star,ert,fan", "--trackers", "lk", "--no-video")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    rows = [line.split("  ")[0].strip() for line in lines if " + " in line]
    assert rows == ["ert + lk", "fan + lk", "star + lk"]
    assert any("Ordered by expected error" in line for line in lines)
    assert any("a weak hint, not a measurement" in line for line in lines)
    assert any(line.startswith("  jitter: Mean second difference") for line in lines)
    assert (Path("dots.compare") / "summary.json").is_file()


def test_without_a_video_the_example_clip_is_said(fakes: Fakes, monkeypatch) -> None:
    monkeypatch.setattr("facetrack.api.compare.example_clip", lambda: fakes.clip)
    result = _run("--out", "here", "--no-video")
    assert result.exit_code == 0, result.output
    assert f"No video was given: comparing on the example clip, {fakes.clip}." in result.stderr
    assert (Path("here") / f"dots.{INIT}-tapir.csv").is_file()


def test_json_lines(fakes: Fakes) -> None:
    result = _run("dots.mp4", "--inits", "ert,fan", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["event"] for line in lines[:2]] == ["loading", "start"]
    assert lines[-1]["event"] == "done"
    assert sorted(lines[-1]["ranking"]) == ["ert + tapir", "fan + tapir"]
    assert Path(lines[-1]["files"]["overlay"]).is_file()


def test_all_compares_every_detector_that_has_weights(fakes: Fakes) -> None:
    fakes.errors = dict.fromkeys(("ert", "fan", "star"), 0.0)
    others = set(LANDMARK_DETECTORS) - set(fakes.errors)
    fakes.errors |= dict.fromkeys(others, "There are no weights.")
    result = _run("dots.mp4", "--inits", "all", "--trackers", "lk", "--no-video")
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in Path("dots.compare").glob("*.csv")) == [
        "dots.ert-lk.csv", "dots.fan-lk.csv", "dots.star-lk.csv", "summary.csv",
    ]  # fmt: skip
    assert "mdm is left out: There are no weights." in result.stderr
    # One name among others, it is none.
    assert _run("dots.mp4", "--inits", "all,ert").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.mp4"], "does not exist"),
        (["dots.mp4", "--inits", "ert,nonsense"], "There is no landmark detector 'nonsense'"),
        (["dots.mp4", "--trackers", ""], "--trackers names none"),
        (["dots.mp4", "--ground-truth", "none"], "There is no none"),
        (["dots.mp4", "--coordinates", "polar"], "There are no coordinates 'polar'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(fakes: Fakes, arguments, message) -> None:
    result = _run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not Path("dots.compare").exists() or not list(Path("dots.compare").iterdir())


def test_measures_of_each_method_are_written_and_named(fakes: Fakes) -> None:
    result = _run(
        *("dots.mp4", "--inits", "ert,fan", "--trackers", "lk", "--no-video"),
        *("--measures", "--focal", "120", "--point-confidence"),
    )
    assert result.exit_code == 0, result.output
    folder = Path("dots.compare")
    summary = json.loads((folder / "summary.json").read_text())
    for method in ("ert-lk", "fan-lk"):
        table = (folder / f"dots.{method}.measures.csv").read_text().splitlines()
        landmarks = (folder / f"dots.{method}.csv").read_text().splitlines()
        assert table[0].startswith("frame,face_id,timestamp,pose_Tx,")
        assert len(table) == len(landmarks)
        assert landmarks[0].endswith(",c_66,c_67")
        assert (folder / f"dots.{method}.events.csv").read_text().startswith("face_id,event,")
        record = json.loads((folder / f"dots.{method}.measures.json").read_text())
        assert record["measures"]["focal"] == 120
        files = [result["files"] for result in summary["results"]]
        (own,) = (each for each in files if each["csv"] == f"dots.{method}.csv")
        assert own["measures"] == f"dots.{method}.measures.csv"
        assert own["events"] == f"dots.{method}.events.csv"
    # The saved methods are measured and shown with the same focal length later.
    assert CliRunner().invoke(app, ["measure", str(folder)]).exit_code == 0
    record = json.loads((folder / "dots.fan-lk.measures.json").read_text())
    assert record["measures"]["focal"] == 120
    assert focal_of(of_runs([folder])) == 120
    # They take part in the replacement: a second run replaces its own files, and no others.
    again = ("dots.mp4", "--inits", "ert", "--trackers", "lk", "--no-video", "--measures")
    assert _run(*again).exit_code == 0
    (folder / "dots.ert-lk.events.csv").write_text("mine\n")
    (folder / "summary.json").unlink()
    refused = _run(*again)
    assert (refused.exit_code, "dots.ert-lk.events.csv" in refused.stderr) == (2, True)
    assert (folder / "dots.ert-lk.events.csv").read_text() == "mine\n"


def test_coordinates_are_those_of_the_tables(fakes: Fakes) -> None:
    words = ("dots.mp4", "--inits", "ert", "--trackers", "lk", "--no-video", "--no-report")
    result = _run(*words, "--measures", "--coordinates", "head")
    assert result.exit_code == 0, result.output
    folder = Path("dots.compare")
    header = (folder / "dots.ert-lk.csv").read_text().splitlines()[0].split(",")
    assert header[5:7] == ["head_x_0", "head_x_1"]
    assert (folder / "dots.ert-lk.measures.csv").exists(), "measured in pixels"
    for command in ("report", "measure"):
        refused = CliRunner().invoke(app, [command, str(folder)])
        assert (refused.exit_code, "has head coordinates" in refused.stderr) == (2, True), command


def test_methods_without_measures_are_said(fakes: Fakes, monkeypatch) -> None:
    monkeypatch.setattr("facetrack.api.compare.has_measures", lambda scheme: False)
    result = _run("dots.mp4", "--inits", "ert", "--trackers", "lk", "--no-video", "--measures")
    assert result.exit_code == 0, result.output
    assert "The layout of ert + lk has no measures." in result.stderr
    assert not list(Path("dots.compare").glob("*.measures.csv"))
