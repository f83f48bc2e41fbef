"""Exports of saved runs: what is found, written, recorded and left alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rendered_heads as heads
from typer.testing import CliRunner

from facetrack.api.export import export_to_files
from facetrack.cli import app
from facetrack.errors import FacetrackError
from facetrack.exports import base
from facetrack.exports.base import EXPORTERS
from facetrack.files import sha256_of
from facetrack.formats.csv import CsvWriter
from facetrack.formats.earlier_runs import find_runs
from facetrack.formats.npz import NpzWriter
from facetrack.measures.face_model import load
from facetrack.measures.measured import Measured, measure_video
from facetrack.tracks import Tracks


@pytest.fixture(scope="module")
def xy() -> np.ndarray:
    time = np.arange(60) / 30
    shut = heads.blink(time, 0.8, 0.1, 0.2)
    return heads.project(heads.with_lids(load().mean, {"r": shut, "l": shut}), heads.turns(60, 10))


@pytest.fixture(autouse=True, scope="module")
def _measure_once() -> Iterator[None]:
    """Measure equal tracks only once, which takes a second."""
    known: dict[object, Measured] = {}

    def measure(tracks: Tracks, focal: float | None) -> Measured:
        key = (tracks.xy.tobytes(), tracks.scheme, focal)
        if key not in known:
            known[key] = measure_video(tracks, focal)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "measure_video", measure)
        yield


def write_run(folder: Path, stem: str, xy: np.ndarray, video: Path | None = None) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    with CsvWriter(folder / f"{stem}.csv") as writer:
        writer.write(heads.tracks_of(xy))
    path = video or folder / f"{stem}.mp4"
    entry = {"path": str(path), "absolute_path": os.path.abspath(path), "width": 640, "height": 480}
    content = {"versions": {}, "input": entry, "options": {}, "tracker": {"name": "lk"}}
    (folder / f"{stem}.json").write_text(json.dumps(content))
    return folder / f"{stem}.csv"


def invoke(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["export", *map(str, words)])
    return result.exit_code, result.output


def test_every_format_is_written_and_recorded(tmp_path: Path, xy: np.ndarray) -> None:
    table = write_run(tmp_path / "runs", "a", xy)
    before = sorted(path.name for path in table.parent.iterdir())
    for name in EXPORTERS:
        code, output = invoke(name, table, "--out", tmp_path / "out")
        assert code == 0, output
    record = json.loads((tmp_path / "out/a.exports.json").read_text())
    assert list(record["exports"]) == sorted(EXPORTERS)
    entries = [entry["files"] for entry in record["exports"].values()]
    listed = {name: sha for files in entries for name, sha in files.items()}
    found = {
        path.relative_to(tmp_path / "out").as_posix(): sha256_of(path)
        for path in (tmp_path / "out").rglob("*")
        if path.is_file() and path.name != "a.exports.json"
    }
    assert listed == found
    assert record["exports"]["gltf"]["conventions"].startswith("metres")
    assert sorted(path.name for path in table.parent.iterdir()) == before


def test_own_files_are_replaced_and_changed_ones_are_not(tmp_path: Path, xy: np.ndarray) -> None:
    table = write_run(tmp_path, "a", xy)
    assert invoke("praat", table)[0] == 0
    assert invoke("praat", table)[0] == 0, "unchanged since"
    grid = tmp_path / "a.TextGrid"
    grid.write_text(grid.read_text() + "\n")
    code, output = invoke("praat", table)
    assert (code, "was changed since facetrack wrote it" in output) == (2, True)
    assert grid.read_text().endswith("\n\n")
    assert invoke("praat", table, "--overwrite")[0] == 0
    assert not grid.read_text().endswith("\n\n")


def test_folders_with_files_of_the_user_are_not_replaced(tmp_path: Path, xy: np.ndarray) -> None:
    table = write_run(tmp_path, "a", xy)
    assert invoke("bids", table)[0] == 0
    assert invoke("bids", table, "--task", "rest")[0] == 0
    notes = tmp_path / "a_bids" / "notes.txt"
    notes.write_text("my own")
    assert invoke("bids", table)[0] == 2
    assert notes.read_text() == "my own"


def test_foreign_files_are_not_replaced(tmp_path: Path, xy: np.ndarray) -> None:
    table = write_run(tmp_path, "a", xy)
    (tmp_path / "a.vtt").write_text("WEBVTT\n\nmy subtitles\n")
    (tmp_path / "b.exports.json").write_text("{}")
    code, output = invoke("webvtt", table)
    assert (code, "a.vtt exists" in output) == (2, True)
    assert not (tmp_path / "a.exports.json").exists()
    write_run(tmp_path, "b", xy)
    assert invoke("webvtt", tmp_path / "b.csv")[0] == 2
    assert (tmp_path / "b.exports.json").read_text() == "{}"


def test_files_of_another_run_are_not_replaced(tmp_path: Path, xy: np.ndarray) -> None:
    first = write_run(tmp_path / "one", "a", xy)
    second = write_run(tmp_path / "two", "a", xy + 1)
    assert invoke("movement", first, "--out", tmp_path)[0] == 0
    code, output = invoke("movement", second, "--out", tmp_path)
    assert (code, "another run" in output) == (2, True)
    assert invoke("movement", second, "--out", tmp_path, "--overwrite")[0] == 0


def test_both_tables_of_a_run_are_that_run(tmp_path: Path, xy: np.ndarray) -> None:
    """A run that was exported may be repeated with an .npz, which is then the table to read."""
    table = write_run(tmp_path, "a", xy)
    assert invoke("movement", table)[0] == 0
    with NpzWriter(tmp_path / "a.npz") as writer:
        writer.write(heads.tracks_of(xy))
    for name in ("a.npz", "a.csv"):
        code, output = invoke("movement", tmp_path / name)
        assert code == 0, output


def test_inputs_are_never_replaced(tmp_path: Path, xy: np.ndarray) -> None:
    video = tmp_path / "a.movement.nc"
    video.write_bytes(b"the video itself")
    table = write_run(tmp_path, "a", xy, video)
    assert invoke("movement", table, "--overwrite")[0] == 2
    assert video.read_bytes() == b"the video itself"


def test_a_video_means_its_results(tmp_path: Path, xy: np.ndarray) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"video")
    code, output = invoke("movement", video)
    assert (code, "track it first" in output) == (2, True)
    write_run(tmp_path, "a", xy)
    assert [run.table for run in find_runs([video])] == [tmp_path / "a.csv"]
    other = tmp_path / "other" / "a.mp4"
    other.parent.mkdir()
    other.write_bytes(b"another video")
    with pytest.raises(FacetrackError, match="no results"):
        find_runs([other])


def test_npz_is_preferred_for_its_confidence(tmp_path: Path, xy: np.ndarray) -> None:
    table = write_run(tmp_path, "a", xy)
    with NpzWriter(tmp_path / "a.npz") as writer:
        writer.write(heads.tracks_of(xy))
    (run,) = find_runs([tmp_path / "a.json"])
    assert run.table.suffix == ".npz"
    assert find_runs([table])[0].table == table


def test_a_failed_export_leaves_nothing(tmp_path: Path, xy: np.ndarray) -> None:
    table = write_run(tmp_path, "a", xy)
    tracks = heads.tracks_of(xy)
    few = {name: getattr(tracks, name)[:, :, :5] for name in ("xy", "visible", "confidence")}
    with CsvWriter(table) as writer:
        writer.write(replace(tracks, **few, scheme="points-5"))
    code, output = invoke("elan", table, "--out", tmp_path / "out")
    assert (code, "68 points" in output) == (2, True)
    assert not (tmp_path / "out").exists()


def test_csv_without_record_needs_the_size(tmp_path: Path, xy: np.ndarray) -> None:
    table = write_run(tmp_path, "a", xy)
    (tmp_path / "a.json").unlink()
    assert invoke("movement", table)[0] == 2
    assert invoke("movement", table, "--size", "640x480")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["aftereffects", "--points", "x"], "--points takes numbers"),
        (["aftereffects", "--points", "99"], "no point 99"),
        (["bids", "--subject", "a/b"], "--subject takes letters"),
        (["elan", "--focal", "-1"], "focal length"),
    ],
)
def test_bad_options_are_one_sentence(
    words: list[str], message: str, tmp_path: Path, xy: np.ndarray
) -> None:
    table = write_run(tmp_path, "a", xy)
    code, output = invoke(words[0], table, *words[1:])
    assert (code, message in output) == (2, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.json"]


def test_json_lists_the_files(tmp_path: Path, xy: np.ndarray) -> None:
    table = write_run(tmp_path, "a", xy)
    code, output = invoke("aftereffects", table, "--points", "30,8", "--json")
    line = json.loads(output)
    assert code == 0
    assert [Path(path).name for path in line["files"]] == [
        "a.face_0.point_30.ae.txt",
        "a.face_0.point_8.ae.txt",
    ]


def test_unknown_format(tmp_path: Path, xy: np.ndarray) -> None:
    (run,) = find_runs([write_run(tmp_path, "a", xy)])
    with pytest.raises(FacetrackError, match="no export 'fbx'; choose movement, "):
        export_to_files(run, "fbx")
