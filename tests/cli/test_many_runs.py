"""A signal while `measure` or `export` works on several runs."""

from __future__ import annotations

import csv
import json
import os
import pkgutil
import signal
from pathlib import Path

import clips
import pytest
from sample_comparison import FRAMES, save, tracks
from typer.testing import CliRunner, Result

from facetrack.cli import app

WORK = {
    "measure": "facetrack.api.measure.measure_to_files",
    "export webvtt": "facetrack.api.export.export_to_files",
}
FILES = {
    "measure": ["{}.events.csv", "{}.measures.csv", "{}.measures.json"],
    "export webvtt": ["{}.exports.json", "{}.vtt"],
}
DONE = {"measure": "measured", "export webvtt": "exported"}


@pytest.fixture(autouse=True)
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three runs in `in`."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    video = clips.write_clip(tmp_path / "clip.mp4", FRAMES)
    for name in "abc":
        save(tmp_path / "in", name, video, tracks())


@pytest.fixture(params=WORK)
def command(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def signal_at(
    command: str, number: int, monkeypatch: pytest.MonkeyPatch, at_end: bool = False
) -> None:
    """Let a signal arrive when the work on the run of this number, from 0, begins or has ended."""
    work = pkgutil.resolve_name(WORK[command])
    count = 0

    def work_on(*arguments: object) -> object:
        nonlocal count
        count += 1
        if count == number + 1 and not at_end:
            signal.raise_signal(signal.SIGINT)
        result = work(*arguments)
        if count == number + 1 and at_end:
            signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(WORK[command], work_on)


def run(command: str, *words: str) -> Result:
    return CliRunner().invoke(app, [*command.split(), *words, "--out", "new/out"])


def files_of(command: str, names: str) -> list[str]:
    return sorted(pattern.format(name) for name in names for pattern in FILES[command])


@pytest.mark.parametrize("at_end", [False, True])
def test_the_run_is_completed_and_no_further_one_is_begun(
    command: str, at_end: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal_at(command, 1, monkeypatch, at_end)
    table = ["--table", "table.csv"] if command == "measure" else []
    result = run(command, "in", *table)
    assert result.exit_code == 130
    assert result.stderr == (
        f"facetrack: interrupted; 2 of 3 runs are {DONE[command]}, and their files are whole.\n"
    )
    assert "b." in result.stdout  # what was done is said
    assert sorted(os.listdir("new/out")) == files_of(command, "ab")
    assert not Path("table.csv").exists()


def test_after_the_last_run_there_is_nothing_to_stop(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal_at(command, 2, monkeypatch)
    table = ["--table", "table.csv"] if command == "measure" else []
    assert run(command, "in", *table).exit_code == 0
    assert sorted(os.listdir("new/out")) == files_of(command, "abc")
    assert Path("table.csv").exists() == (command == "measure")


def test_a_single_run_is_interrupted_at_once(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    signal_at(command, 0, monkeypatch)
    result = run(command, "in/a.csv")
    assert result.exit_code == 130
    assert result.stderr == "facetrack: interrupted; no unfinished file was left behind.\n"
    assert not Path("new").exists()


def test_a_run_that_fails_does_not_keep_others_from_being_done(command: str) -> None:
    Path("in/a.csv").write_text("no table\n")
    table = ["--table", "table.csv"] if command == "measure" else []
    result = run(command, "in", "--json", *table)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "facetrack: in/a.csv is not a facetrack CSV: its first row is not the header.",
        f"facetrack: 1 of 3 runs could not be {DONE[command]}: in/a.csv.",
    ]
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["error", "done", "done"]
    assert sorted(os.listdir("new/out")) == files_of(command, "bc")
    if command == "measure":
        with open("table.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["table"], row["face_id"]) for row in rows] == [
            ("in/a.csv", ""),
            ("in/b.csv", "0"),
            ("in/c.csv", "0"),
        ]


def test_without_any_result_there_is_no_table() -> None:
    for name in "abc":
        Path(f"in/{name}.csv").write_text("no table\n")
    result = run("measure", "in", "--table", "table.csv")
    assert result.exit_code == 2
    assert "3 of 3 runs could not be measured" in result.stderr
    assert not Path("table.csv").exists()
    assert not Path("new").exists()
