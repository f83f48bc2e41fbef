"""`facetrack train` as a user types it: what cannot be is refused before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import few_faces
import pytest
import ring_faces
from typer.testing import CliRunner, Result

from facetrack.cli import app

TRAININGS = ("tracker", "detector", "face-detector", "expressions", "confidence", "pose")


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, words)])


@pytest.mark.parametrize("training", TRAININGS)
@pytest.mark.parametrize(
    "option", [("--minutes", "0"), ("--steps", "-1"), ("--seed", str(2**64)), ("--seed", "-1")]
)
def test_numbers_that_no_training_can_have_are_refused(training, option, tmp_path: Path) -> None:
    result = run(training, "--faces", tmp_path, "--out", tmp_path / "out", *option)
    assert result.exit_code == 2
    assert option[0] in result.output
    assert "Input should be" in result.output
    assert not (tmp_path / "out").exists()


def test_too_few_faces_are_refused(tmp_path: Path) -> None:
    faces = ring_faces.make(tmp_path)
    result = run("confidence", "--faces", faces, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "holds 6 .jpg faces" in result.output


def test_the_faces_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few_faces.allow(monkeypatch, 2, 8)
    (tmp_path / "faces").mkdir()
    faces = ring_faces.make(tmp_path / "faces", 8)
    result = run("shape", "--faces", faces, "--out", tmp_path / "no folder" / "shape.safetensors")
    assert "6 faces to learn from, 2 held out" in result.output
