"""What `--json` prints follows its schema in docs/json-lines.schema.json."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import clips
import program
import pytest
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.pipeline.options import Options

SCHEMA = json.loads((program.ROOT / "docs/json-lines.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def lines_of(own_points: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs a command and returns its JSON lines, which it has checked."""
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(SCHEMA)
    monkeypatch.chdir(tmp_path)
    quick = ["--init", "points", "--points", str(own_points.points), "--tracker", "lk"]

    def run(command: str, *arguments: object) -> list[dict[str, Any]]:
        options = [*quick, "--no-overlay"] if command == "track" else []
        words = [command, *options, *map(str, arguments), "--json"]
        result = CliRunner().invoke(app, words)
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        assert lines, result.output
        for line in lines:
            validator.validate(line)
        return lines

    return run


def events(lines: list[dict[str, Any]]) -> list[str]:
    return [line["event"] for line in lines]


def test_the_schema_is_one() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_event_has_one_entry() -> None:
    named: list[str] = []
    for entry in SCHEMA["oneOf"]:
        event = entry["properties"]["event"]
        named += event.get("enum", [event.get("const")])
    assert sorted(named) == sorted(SCHEMA["properties"]["event"]["enum"])


@pytest.mark.parametrize(
    "line",
    [
        {"event": "nonsense"},
        {"video": "a.mp4"},
        {"event": "progress", "video": "a.mp4", "frames": -1, "total": None},
        {"event": "start", "video": "a.mp4", "tracker": {"licence": 5}},
        {"event": "done", "video": "a.mp4"},
        {"event": "error", "video": "a.mp4", "message": ""},
        {"event": "loading"},
    ],
)
def test_the_schema_refuses_what_is_wrong(line: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(line)


def test_one_video(lines_of: Any, dots: Path) -> None:
    lines = lines_of("track", dots, "--out", "out")
    assert events(lines)[:2] == ["loading", "start"]
    assert events(lines)[-1] == "done"


def test_frames_before_the_query_frame(
    lines_of: Any, dots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facetrack.cli.reporter.INTERVAL", 0.0)
    lines = lines_of("track", dots, "--query-frame", 6, "--out", "out")
    assert {"backwards", "progress"} <= set(events(lines))


def test_errors(lines_of: Any, dots: Path) -> None:
    assert events(lines_of("track", "none.mp4")) == ["error"]
    assert events(lines_of("track", dots, "--format", "nonsense")) == ["error"]
    assert events(lines_of("detect", "none.png"))[-1] == "error"


def test_several_videos(lines_of: Any, dots: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(dots, name)
    Path("bad.mp4").write_text("no video")
    first = lines_of("track", "a.mp4", "b.mp4", "bad.mp4", "--out", "out")
    assert events(first)[-1] == "batch"
    assert "error" in events(first)
    assert "skipped" in events(lines_of("track", "a.mp4", "b.mp4", "--out", "out"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_live_source(lines_of: Any, dots: Path) -> None:
    os.mkfifo("pipe")
    data = clips.run_ffmpeg("-i", str(dots), "-c", "copy", "-f", "matroska", "-")
    thread = threading.Thread(target=lambda: Path("pipe").write_bytes(data), daemon=True)
    thread.start()
    lines = lines_of("track", "pipe", "--name", "run", "--out", "out")
    assert events(lines) == ["loading", "start", *["frame"] * 12, "done"]
    thread.join(10)


def test_measures_of_a_run(lines_of: Any, make_tracks: Any) -> None:
    from dataclasses import replace

    tracks = replace(make_tracks(5, 1, 68), scheme="68")
    tracks.save("a.npz")
    assert events(lines_of("measure", "a.npz")) == ["done"]


def test_images(lines_of: Any) -> None:
    import cv2

    frame = cv2.VideoCapture(str(program.ROOT / "examples/astronaut.mp4")).read()[1]
    cv2.imwrite("a.png", frame)
    Path("bad.png").write_text("no image")
    found = lines_of(
        "detect", "a.png", "bad.png", "--init", "ert", "--face-detector", "hog", "--out", "out"
    )
    assert events(found)[-1] == "done"
    assert list(found[-1]["failed"]) == ["bad.png"]
    poses = lines_of(
        "pose", "a.png", "--method", "network", "--face-detector", "hog", "--out", "out"
    )
    assert events(poses)[:2] == ["loading", "start"]
    assert events(poses)[-1] == "done"
    assert (poses[-1]["frames"], poses[-1]["faces"]) == (1, 1)
