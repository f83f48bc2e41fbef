"""What `report`, `evaluate --curve`, `bench --json` and `measure --table` may replace."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import clips
import numpy as np
import pytest
from sample_comparison import FRAMES, save, tracks
from typer.testing import CliRunner, Result

from facetrack.api import single_file
from facetrack.cli import app, bench
from facetrack.errors import FacetrackError

NAMES = {
    "report": "page.html",
    "evaluate": "curve.png",
    "bench": "speed.json",
    "measure": "table.csv",
}
OPTIONS = {"report": "--out", "evaluate": "--curve", "bench": "--json", "measure": "--table"}
COMMANDS = {
    "report": ["report", "in/clip.csv"],
    "evaluate": ["evaluate", "in/clip.csv", "in/truth.npz"],
    "bench": ["bench", "in/clip.mp4", "--trackers", "lk"],
    "measure": ["measure", "in/clip.csv", "--out", "measured"],
}
INPUTS = {
    "report": ["in/clip.csv", "in/clip.json", "in/clip.mp4"],
    "evaluate": ["in/truth.npz", "in/clip.csv"],
    "bench": ["in/clip.mp4"],
    "measure": ["in/clip.csv", "in/clip.json"],
}
INPUTS_OF = [(command, name) for command, names in INPUTS.items() for name in names]


@pytest.fixture(autouse=True)
def _inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs, ground truth and a video in `in`, below the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    video = clips.write_clip(tmp_path / "in/clip.mp4", FRAMES)
    save(tmp_path / "in", "clip", video, tracks())
    names = np.array([f"clip_{frame:06d}.png" for frame in range(FRAMES)])
    np.savez("in/truth.npz", names=names, points=tracks().xy[:, 0] + np.float32(1))
    monkeypatch.setattr(bench, "_runs", lambda *_: [])


def run(command: str, path: object, *more: str) -> Result:
    words = [*COMMANDS[command], OPTIONS[command], str(path), *more]
    return CliRunner().invoke(app, words)


def refused(result: Result, reason: str) -> None:
    assert result.exit_code == 2, result.output
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith("facetrack: ")
    assert reason in sentence


def files() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_file_of_an_earlier_command_is_replaced(command: str) -> None:
    pytest.importorskip("matplotlib")
    path = Path("new/folder") / NAMES[command]
    assert run(command, path).exit_code == 0
    first = path.read_bytes()
    with open(path, "ab") as file:
        file.write(b" ")
    result = run(command, path)
    assert result.exit_code == 0, result.output
    assert len(path.read_bytes()) == pytest.approx(len(first), rel=0.01)
    assert os.listdir(path.parent) == [path.name]


def test_a_curve_in_svg_is_recognised_too() -> None:
    pytest.importorskip("matplotlib")
    for _ in range(2):
        assert run("evaluate", "curve.svg").exit_code == 0


def test_a_table_with_groups_is_recognised() -> None:
    Path("groups.csv").write_text('video,"odd\ncolumn",b\nclip,1,2\n')
    for _ in range(2):
        result = run("measure", "table.csv", "--groups", "groups.csv")
        assert result.exit_code == 0, result.output
    assert Path("table.csv").read_text().startswith('video,table,"odd\ncolumn",b,face_id,')


@pytest.mark.parametrize(
    "content", [b"mine", b"", b"[" * 100_000, b"video,table,subject\n", b"\x89PNG\r\n\x1a\n"]
)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_of_the_user_s_is_kept(command: str, content: bytes) -> None:
    pytest.importorskip("matplotlib")
    path = Path(NAMES[command])
    path.write_bytes(content)
    before = files()
    refused(run(command, path), f"{path} exists, and nothing in it")
    assert files() == before
    assert run(command, path, "--overwrite").exit_code == 0
    assert path.read_bytes() != content


@pytest.mark.parametrize("link", [None, os.symlink, os.link], ids=["itself", "symlink", "link"])
@pytest.mark.parametrize(("command", "name"), INPUTS_OF)
def test_an_input_is_never_replaced(
    command: str, name: str, link: Callable[[str, str], None] | None
) -> None:
    path = NAMES[command]
    if link is None:
        path = name
    else:
        link(name, path)
    before = files()
    for more in ([], ["--overwrite"]):
        refused(run(command, path, *more), "is an input itself")
        assert files() == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_file_is_never_replaced(command: str) -> None:
    Path("folder").mkdir()
    os.mkfifo("pipe")
    Path("link").symlink_to("nowhere")
    for path, reason in {
        "folder": "folder is a folder",
        ".": "is a folder: name a file",
        "": "it is empty",
        "pipe": "pipe is no regular file",
    }.items():
        for more in ([], ["--overwrite"]):
            refused(run(command, path, *more), reason)
    refused(run(command, "link"), "link exists")
    assert sorted(os.listdir()) == ["folder", "in", "link", "pipe"]


@pytest.mark.parametrize("command", ["report", "evaluate", "bench"])
def test_after_an_error_nothing_is_there(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")

    def fail(*_: object) -> None:
        raise FacetrackError("The disk is full.")

    monkeypatch.setattr(single_file, "publish", fail)
    refused(run(command, Path("new/folder") / NAMES[command]), "The disk is full")
    assert os.listdir() == ["in"]


def test_what_appears_during_the_work_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*_: object) -> list[object]:
        Path("speed.json").write_text("mine")
        return []

    monkeypatch.setattr(bench, "_runs", work)
    refused(run("bench", "speed.json"), "speed.json exists")
    assert Path("speed.json").read_text() == "mine"


def test_a_table_does_not_take_the_name_of_measures() -> None:
    refused(run("measure", "measured/clip.events.csv"), "is the name of a run's measures")
    assert os.listdir() == ["in"]


def test_a_folder_of_a_comparison_is_an_input_with_its_tables() -> None:
    from sample_comparison import comparison_of

    from facetrack.comparison import storage

    Path("compared").mkdir()
    storage.write(comparison_of(Path("in/clip.mp4")), Path("compared"))
    names = ["summary.json", "summary.csv", "clip.ert-tapir.csv"]
    assert set(names) < set(os.listdir("compared"))
    before = files()
    for name in names:
        words = ["report", "compared", "--out", f"compared/{name}", "--overwrite"]
        refused(CliRunner().invoke(app, words), "is an input itself")
    assert files() == before


def test_a_tracked_video_names_its_run() -> None:
    content = json.loads(Path("in/clip.json").read_text())
    content["input"]["absolute_path"] = os.path.abspath("in/clip.mp4")
    Path("in/clip.json").write_text(json.dumps(content))
    for command in ("report", "measure"):
        result = CliRunner().invoke(app, [command, "in/clip.mp4"])
        assert result.exit_code == 0, result.output
    assert {"in/clip.report.html", "in/clip.measures.csv"} < files().keys()
