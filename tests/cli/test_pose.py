"""`facetrack pose` as a user types it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from still_images import files_in, refused, save, stand_in
from typer.testing import CliRunner, Result

from facetrack.cli import app
from facetrack.images.poses import PosePipeline
from facetrack.measures.files import MEASURE_COLUMNS

POSE = [name for name in MEASURE_COLUMNS if name.startswith("pose_")]


@pytest.fixture(autouse=True)
def _quick_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)


def pose(*words: object, method: str = "network") -> Result:
    start = ["pose", "--face-detector", "hog", "--device", "cpu", "--method", method]
    return CliRunner().invoke(app, [*start, *map(str, words)])


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "pose.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "pose.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("method", ["landmarks", "network"])
def test_pictures_and_videos(
    method: str, face: Path, empty: Path, face_clip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = pose(face, empty, face_clip, "--out", out, method=method)
    assert done.exit_code == 0, done.output
    found = rows(out)
    assert list(found[0]) == ["input", "frame", "face_id", "timestamp", *POSE]
    assert [row["input"] for row in found] == [str(face), str(empty), *[str(face_clip)] * 3]
    assert [row["frame"] for row in found] == ["", "", "0", "1", "2"]
    assert [row["face_id"] for row in found] == ["0", "", "0", "0", "0"]
    assert [row["pose_valid"] for row in found] == ["1", "0", "1", "1", "1"]
    assert [row["timestamp"] for row in found[2:]] == ["0.000000", "0.040000", "0.080000"]
    assert {found[1][name] for name in POSE[:-1]} == {""}
    first, *clip = ([float(row[name]) for name in POSE[:-1]] for row in (found[0], *found[2:]))
    assert np.abs(np.array(clip) - first)[:, 3:].max() < 0.1  # the same picture, compressed
    entries = {entry["input"]: entry for entry in record(out)["inputs"]}
    assert entries[str(face)]["status"] == "ok"
    assert entries[str(empty)]["status"] == "no face"
    assert (entries[str(face_clip)]["frames"], entries[str(face_clip)]["poses"]) == (3, 3)
    assert "No head pose was found in 1 of 3 inputs" in done.stderr
    assert record(out)["options"]["method"] == method


def test_both_methods_agree(face: Path, tmp_path: Path) -> None:
    found = []
    for method in ("landmarks", "network"):
        pose(face, "--out", tmp_path / method, "--focal", 600, method=method)
        (row,) = rows(tmp_path / method)
        found.append([float(row[name]) for name in POSE[:-1]])
        assert record(tmp_path / method)["inputs"][0]["focal"] == 600
    off = np.abs(np.subtract(*found))
    assert off[3:].max() < np.radians(15)
    assert off[:2].max() < 15
    assert off[2] < 0.15 * found[0][2]


def test_what_cannot_be_read_does_not_stop_the_rest(face: Path, tmp_path: Path) -> None:
    bad = tmp_path / "in/bad.mp4"
    bad.write_text("no video")
    done = pose(bad, face, "none.png", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "2 of 3 inputs" in done.stderr
    assert [row["pose_valid"] for row in rows(tmp_path / "out")] == ["0", "1", "0"]
    statuses = [entry["status"] for entry in record(tmp_path / "out")["inputs"]]
    assert statuses == ["unreadable", "ok", "unreadable"]
    refused(pose("none.png", "--out", tmp_path / "new"), "none.png does not exist")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("count", [1, 2])
def test_values_of_12_bits_in_16_are_warned_of(count: int, face: Path, tmp_path: Path) -> None:
    dark = [tmp_path / f"dark_{number}.png" for number in range(count)]
    for path in dark:
        cv2.imwrite(str(path), cv2.imread(str(face)).astype(np.uint16) * 16)
    said = " ".join(pose(*dark, "--out", tmp_path / "out").output.split())
    assert said.count("-bit values up to 4080 only, and is nearly black") == 1
    assert f"dark_{count - 1}.png holds" in said
    assert record(tmp_path / "out")["warnings"][0] in said


def test_results_of_other_inputs_are_kept(face: Path, empty: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert pose(face, "--out", out).exit_code == 0
    before = (out / "pose.csv").read_bytes()
    refused(pose(empty, "--out", out), "holds the results of other inputs")
    assert (out / "pose.csv").read_bytes() == before
    assert pose(empty, face, "--out", out).exit_code == 0
    assert len(rows(out)) == 2
    assert pose(face, "--out", out, "--overwrite").exit_code == 0
    assert len(rows(out)) == 1


@pytest.mark.parametrize("name", ["pose.csv", "pose.json"])
def test_files_of_others_are_kept(name: str, face: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    refused(pose(face, "--out", out), "nothing in it or beside it shows that facetrack wrote it")
    assert (out / name).read_text() == "mine"
    assert pose(face, "--out", out, "--overwrite").exit_code == 0
    assert files_in(out) == ["pose.csv", "pose.json"]


def test_a_folder_may_hold_its_own_results(face: Path, tmp_path: Path) -> None:
    for _ in range(2):
        done = pose(face.parent, "--out", face.parent)
        assert done.exit_code == 0, done.output
        assert "Left out" not in done.stderr
    (face.parent / "notes.txt").touch()
    assert "Left out of" in pose(face.parent, "--out", face.parent).stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--method", "pnp"), "There is no method 'pnp'"),
        (("--faces", "some"), "choose largest or all"),
        (("--face-detector", "none"), "no face detector 'none'"),
        (("--init", "none"), "no landmark detector 'none'"),
        (("--focal", "-3"), "must be above 0 pixels"),
        (("--pose-weights", "none.safetensors"), "neither a file nor"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_options_are_one_sentence_and_no_file(
    options: tuple[str, ...], message: str, face: Path, tmp_path: Path
) -> None:
    refused(pose(face, *options, "--out", tmp_path / "out"), message)
    assert not (tmp_path / "out").exists() or files_in(tmp_path / "out") == []


def test_an_interrupted_run_keeps_what_is_done(
    face: Path, face_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop within a video leaves the inputs before it."""
    import signal

    run = PosePipeline.run

    def stopped(self: PosePipeline, source: Any, *rest: Any) -> Any:
        if source == face_clip:
            signal.raise_signal(signal.SIGINT)
        return run(self, source, *rest)

    monkeypatch.setattr(PosePipeline, "run", stopped)
    copy = tmp_path / "in/copy.png"
    shutil.copy(face, copy)
    done = pose(face, face_clip, copy, "--out", tmp_path / "out")
    assert done.exit_code == 130
    assert "the files hold the first 1 inputs" in done.stderr
    assert [row["input"] for row in rows(tmp_path / "out")] == [str(face)]
    statuses = [entry["status"] for entry in record(tmp_path / "out")["inputs"]]
    assert statuses == ["ok", "not reached", "not reached"]


def test_options_from_a_file_and_json_lines(
    face: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text('[pose]\nmethod = "network"\nface-detector = "hog"\n')
    words = ["pose", str(face), "--config", "study.toml", "--json", "--out", "out"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0]["event"] == "loading"
    assert lines[1]["pose"]["weights"] == "pose-s"
    assert (lines[-1]["event"], lines[-1]["faces"], lines[-1]["frames"]) == ("done", 1, 1)
    assert record(tmp_path / "out")["options"]["method"] == "network"
    quiet = pose(face, "--quiet", "--out", "out")
    assert (quiet.exit_code, quiet.output) == (0, "")


def test_a_name_with_odd_characters_is_escaped(tmp_path: Path) -> None:
    odd = save(tmp_path / "in/=1+1,é.png")
    assert pose(odd.parent, "--out", tmp_path / "out").exit_code == 0
    (row,) = rows(tmp_path / "out")
    assert row["input"] == str(odd)
