"""Test that file names in tables are no formulas for spreadsheet programs."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import still_images
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.evaluation.scores import read_faces

NAMES = ["=1+1", "+1+1", "-1+1", "@SUM(1)"]


def first_cells(table: Path) -> list[str]:
    with open(table, encoding="utf-8", newline="") as file:
        return [row[0] for row in csv.reader(file)][1:]


def test_videos_in_the_table_of_a_batch(
    tmp_path: Path, dots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        Path(f"{name}.mp4").write_bytes(dots.read_bytes()[:100])
    words = ["track", "--init", "points", "--points", "p.csv", "--tracker", "lk", "--out", "out"]
    Path("p.csv").write_text("5,5\n")
    CliRunner().invoke(app, [*words, "--", *(f"{name}.mp4" for name in NAMES)])
    assert sorted(first_cells(Path("out/batch.csv"))) == sorted(f"'{name}.mp4" for name in NAMES)
    with open("out/batch.csv", encoding="utf-8", newline="") as file:
        messages = [row["message"] for row in csv.DictReader(file)]
    assert all(message[0] == "'" for message in messages)


def test_images_in_the_table_of_landmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images = [still_images.save(Path(f"{name}.png")).name for name in NAMES]
    still_images.stand_in(monkeypatch)
    result = still_images.run("--init", "ert", "--out", "out", "--", *images)
    assert result.exit_code == 0, result.output
    table = Path("out/landmarks.csv")
    assert first_cells(table) == [f"'{name}" for name in images]
    assert sorted(read_faces(table)) == sorted(NAMES)
