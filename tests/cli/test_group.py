"""What people type first: a file alone, short options, a mistyped command, `info`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.cli.group import looks_like_input
from facetrack.version import __version__


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_a_file_alone_is_tracked(dots: Path, tmp_path: Path) -> None:
    points = tmp_path / "points.csv"
    points.write_text("20,20\n")
    options = ["--init", "points", "--points", str(points), "--tracker", "lk"]
    code, output = run(str(dots), "-o", str(tmp_path / "out"), *options, "--no-overlay")
    assert code == 0, output
    assert (tmp_path / "out" / "dots.csv").is_file()


def test_a_missing_file_is_reported_as_a_file(tmp_path: Path) -> None:
    code, output = run(str(tmp_path / "clip.mp4"))
    assert code == 2
    assert "clip.mp4" in output
    assert "no command" not in output


@pytest.mark.parametrize("word", ["trakc", "compar", "video"])
def test_a_mistyped_command_stays_an_error(word: str) -> None:
    code, output = run(word)
    assert code == 2
    assert f"There is no command '{word}'" in output


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("clip.mp4", True),
        ("folder/clip", True),
        ("*.mp4", True),
        ("--version", False),
        ("0", True),
        ("-", True),
        ("https://example.com/clip", True),
        ("trakc", False),
    ],
)
def test_what_looks_like_an_input(argument: str, expected: bool) -> None:
    assert looks_like_input(argument) is expected


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(option: str) -> None:
    assert run(option) == (0, __version__ + "\n")


@pytest.mark.parametrize("command", [[], ["track"], ["compare"], ["weights", "list"]])
def test_short_help(command: list[str]) -> None:
    code, output = run(*command, "-h")
    assert code == 0
    assert "--help" in output


def test_info_is_complete() -> None:
    code, output = run("info", "--json")
    assert code == 0
    found = json.loads(output)
    assert found["versions"]["facetrack"] == __version__
    assert "star" in found["choices"]["landmark detectors"]
    assert "star-s" in found["weights"]
    plain = run("info")[1]
    for section, entries in found.items():
        assert section in plain
        assert all(name in plain for name in entries)
