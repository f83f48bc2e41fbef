"""`facetrack bench` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from facetrack.api.compare import example_clip
from facetrack.cli.bench import bench
from facetrack.cli.entry import friendly


def _run(*arguments: str):
    app = typer.Typer()
    app.command()(friendly(bench))
    return CliRunner().invoke(app, list(arguments))


def test_runs_are_timed_stage_by_stage(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    result = _run("--trackers", "lk", "--overlay", "--json", str(out))
    assert result.exit_code == 0, result.output
    assert "frames per second overall" in result.stdout
    figures = json.loads(out.read_text())
    assert figures["video"] == str(example_clip())
    assert [(run["tracker"], run["overlay"]) for run in figures["runs"]] == [
        ("lk", False),
        ("lk", True),
    ]
    for run in figures["runs"]:
        stages = sum(run["milliseconds"].values()) * run["frames"] / 1000
        assert stages + run["load"] + run["first"] == pytest.approx(run["total"])
        assert {"decode", "track", "look for cuts", "write", "other"} <= run["milliseconds"].keys()
    assert figures["networks"] == []
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--precision", "float3"], "no precision 'float3'"),
        (["--trackers", "nobody"], "no tracker 'nobody'"),
        (["nowhere.mp4", "--trackers", "lk"], "nowhere.mp4"),
        (["--device", "gpu9"], "no device 'gpu9'"),
        (["--json", "/dev/null/bench.json"], "/dev/null"),
    ],
)
def test_bad_input_is_said_in_a_sentence(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    out = tmp_path / "bench.json"
    result = _run("--json", str(out), *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not out.exists()


def test_a_checkpoint_of_something_else_is_said_before_any_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facetrack.bench.run_speed", None)
    other = tmp_path / "other.pt"
    other.write_bytes(b"nothing")
    result = _run("--trackers", "lk", "--compare-checkpoint", str(other))
    assert result.exit_code == 2
    assert "other.pt" in result.stderr
