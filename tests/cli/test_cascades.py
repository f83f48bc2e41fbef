"""Networks that regress shapes from the command line: detect, track, compare, train."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import dotted_faces
import few_faces
import numpy as np
import pytest
from synthetic_cascades import NETWORKS, config, written
from typer.testing import CliRunner, Result

from facetrack.cli import app
from facetrack.formats.csv import read_csv
from facetrack.weights import resolve
from facetrack.weights.store import ResolvedWeights

ARCHS = sorted(NETWORKS)
BOX = "60,60,200,200"


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("arch", ARCHS)
def test_detect(arch: str, face_picture: Path, tmp_path: Path) -> None:
    file, out = written(arch, tmp_path), tmp_path / "out"
    words = ("--init", arch, "--detector-weights", file, "--box", BOX, "--out", out, "--overlay")
    result = run("detect", face_picture, *words)
    assert result.exit_code == 0, result.output
    with open(out / "landmarks.csv", newline="") as table:
        (row,) = csv.DictReader(table)
    assert f"x_{config(arch).points - 1}" in row
    assert f"x_{config(arch).points}" not in row
    # Weights that mean nothing leave the mean face in its box.
    xs = [float(value) for name, value in row.items() if name.startswith("x_")]
    assert 40 < min(xs) < max(xs) < 220
    record = json.loads((out / "landmarks.json").read_text())
    assert record["detector"]["name"] == arch
    assert (out / "face.overlay.png").is_file()


@pytest.mark.parametrize("arch", ARCHS)
def test_track(arch: str, face_clip: Path, tmp_path: Path) -> None:
    file, out = written(arch, tmp_path), tmp_path / "out"
    words = ("--init", arch, "--detector-weights", file, "--tracker", "lk", "--out", out)
    result = run("track", face_clip, *words, "--face-detector", "hog")
    assert result.exit_code == 0, result.output
    tracks = read_csv(out / "face.csv")
    assert tracks.xy.shape == (3, 1, config(arch).points, 2)


def test_the_five_points_have_a_layout_in_files_and_pictures(
    face_clip: Path, tmp_path: Path
) -> None:
    file, out = written("dcnn", tmp_path), tmp_path / "out"
    words = ("--init", "dcnn", "--detector-weights", file, "--tracker", "lk", "--out", out)
    result = run("track", face_clip, *words, "--face-detector", "hog", "--format", "npz")
    assert result.exit_code == 0, result.output
    with np.load(out / "face.npz") as content:
        assert str(content["scheme"]) == "5"
    assert (out / "face.overlay.mp4").is_file()
    exported = run("export", "blender", out / "face.npz", "--out", tmp_path / "more")
    assert exported.exit_code == 0, exported.output


def test_compare(face_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {arch: written(arch, tmp_path) for arch in ARCHS}

    def resolve_written(part: str, choice: str = "auto") -> ResolvedWeights:
        return ResolvedWeights(files[part], None) if part in files else resolve(part, choice)

    monkeypatch.setattr("facetrack.weights.resolve", resolve_written)
    out = tmp_path / "out"
    words = ("--inits", ",".join(ARCHS), "--trackers", "lk", "--face-detector", "hog", "--out", out)
    result = run("compare", face_clip, *words, "--no-report")
    assert result.exit_code == 0, result.output
    summary = json.loads((out / "summary.json").read_text())
    assert sorted(r["label"] for r in summary["results"]) == [f"{arch} + lk" for arch in ARCHS]
    assert (out / "face.compare.mp4").is_file()


def test_train_writes_what_detect_reads(
    face_picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_faces.allow(monkeypatch, 3, 8)
    (tmp_path / "faces").mkdir()
    faces, out = dotted_faces.write(tmp_path / "faces"), tmp_path / "run"
    words = ("--arch", "dan", "--faces", faces, "--out", out, "--steps", 2, "--batch", 2)
    result = run("train", "detector", *words, "--workers", 1, "--width", 8)
    assert result.exit_code == 0, result.output
    weights = ("--init", "dan", "--detector-weights", out / "dan.safetensors")
    found = run("detect", face_picture, *weights, "--box", BOX, "--out", tmp_path / "found")
    assert found.exit_code == 0, found.output


def test_another_networks_file_is_one_sentence(face_picture: Path, tmp_path: Path) -> None:
    file = written("dan", tmp_path)
    words = ("--init", "mdm", "--detector-weights", file, "--out", tmp_path / "out")
    result = run("detect", face_picture, *words)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert f"{file} is not a checkpoint of mdm" in line
