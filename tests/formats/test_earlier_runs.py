"""Runs are found by their tables, records, folders and videos."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from closed_folders import close

from facetrack.errors import FacetrackError
from facetrack.formats.earlier_runs import find_runs, summary_of
from facetrack.record import environment, write_record

SIZE = (64, 48)


def write_run(
    folder: Path,
    stem: str,
    suffixes: tuple[str, ...] = (".csv",),
    formats: tuple[str, ...] | None = None,
) -> Path:
    """Write the files of a run, with empty tables; return the record, with these formats."""
    folder.mkdir(exist_ok=True)
    for suffix in suffixes:
        (folder / f"{stem}{suffix}").touch()
    entry = {"path": f"{stem}.mp4", "width": SIZE[0], "height": SIZE[1]}
    record = folder / f"{stem}.json"
    options = {} if formats is None else {"formats": list(formats)}
    write_record(record, {**environment(), "input": entry, "options": options, "tracker": {}})
    return record


def write_summary(folder: Path) -> Path:
    """Write the summary of a comparison of two methods."""
    content = {
        "comparison_format": 1,
        "video": "a.mp4",
        "input": {"width": 64, "height": 48},
        "results": [{"files": {"csv": f"a.{name}.csv"}} for name in ("ert-lk", "ert-tapir")],
    }
    path = folder / "summary.json"
    path.write_text(json.dumps(content))
    return path


def test_a_run_has_its_record_video_and_size(tmp_path: Path) -> None:
    record = write_run(tmp_path, "take.2", (".csv", ".npz"))
    for path in (tmp_path, record):
        (run,) = find_runs([path])
        assert (run.table, run.record) == (tmp_path / "take.2.npz", record)
        assert (run.video, run.size, run.stem) == ("take.2.mp4", SIZE, "take.2")
    (run,) = find_runs([tmp_path / "take.2.csv"])
    assert (run.table.suffix, run.record) == (".csv", record)


def test_a_table_of_an_earlier_run_does_not_hide_that_of_the_last(tmp_path: Path) -> None:
    record = write_run(tmp_path, "a", (".csv", ".npz"), formats=("csv",))
    assert {find_runs([path])[0].table.name for path in (tmp_path, record)} == {"a.csv"}
    record = write_run(tmp_path, "a", (".csv", ".npz"), formats=("csv", "npz"))
    assert {find_runs([path])[0].table.name for path in (tmp_path, record)} == {"a.npz"}


def test_each_run_counts_once(tmp_path: Path) -> None:
    record = write_run(tmp_path, "a", (".csv", ".npz"))
    names = [tmp_path / "a.csv", tmp_path / "a.npz", record, tmp_path]
    assert [run.table.name for run in find_runs(names)] == ["a.csv"]


def test_a_foreign_json_beside_a_table_is_no_record(tmp_path: Path) -> None:
    write_run(tmp_path, "a").write_text('{"mine": 1}')
    (run,) = find_runs([tmp_path / "a.csv"], (64, 48))
    assert (run.record, run.size) == (None, SIZE)
    with pytest.raises(FacetrackError, match=r"a\.json is not a record"):
        find_runs([tmp_path / "a.json"])
    with pytest.raises(FacetrackError, match="contains no run"):
        find_runs([tmp_path])


def test_a_comparison_names_the_tracks_of_its_methods(tmp_path: Path) -> None:
    summary = write_summary(tmp_path)
    for path in (tmp_path, summary):
        assert summary_of(path) == summary
        runs = find_runs([path])
        assert [run.table.name for run in runs] == ["a.ert-lk.csv", "a.ert-tapir.csv"]
        assert {(run.record, run.size) for run in runs} == {(None, SIZE)}
    summary.write_text("{")
    with pytest.raises(FacetrackError, match=r"summary\.json is damaged"):
        find_runs([tmp_path])


def test_the_record_of_a_video_called_summary_is_a_run(tmp_path: Path) -> None:
    record = write_run(tmp_path, "summary")
    assert summary_of(tmp_path) is None
    for path in (tmp_path, record, tmp_path / "summary.csv"):
        assert [run.table.name for run in find_runs([path])] == ["summary.csv"]


def test_a_record_without_the_size_says_so(tmp_path: Path) -> None:
    record = write_run(tmp_path, "a")
    content = json.loads(record.read_text())
    del content["input"]["width"]
    record.write_text(json.dumps(content))
    (run,) = find_runs([tmp_path])
    with pytest.raises(FacetrackError, match=r"record .*a\.json lacks the size"):
        run.read()


def test_what_names_no_run_is_refused(tmp_path: Path) -> None:
    record = write_run(tmp_path, "a")
    (tmp_path / "a.csv").unlink()
    (tmp_path / "notes.txt").touch()
    for path, message in (
        (record, r"neither a \.npz nor a \.csv beside .*a\.json"),
        (tmp_path / "a.csv", r"There is no .*a\.csv; check the path"),
        (tmp_path / "summary.json", r"There is no .*summary\.json"),
        (tmp_path / "notes.txt", "is not a run of facetrack track"),
        (tmp_path, "contains no run"),
    ):
        with pytest.raises(FacetrackError, match=message):
            find_runs([path])
    with pytest.raises(FacetrackError, match="at least one run"):
        find_runs([])


def test_a_closed_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = write_run(tmp_path / "runs", "a")
    close(record.parent, monkeypatch)
    for name in ("a.json", "a.csv", "a.mp4", "inner"):
        with pytest.raises(FacetrackError, match=r"you may not enter the folder .*runs\.$"):
            find_runs([record.parent / name])


def test_a_table_of_another_kind_is_not_asked_for_its_size(tmp_path: Path) -> None:
    (tmp_path / "a.measures.csv").write_text("frame,face_id,pose_Rx\n0,0,0.1\n")
    (run,) = find_runs([tmp_path / "a.measures.csv"])
    with pytest.raises(FacetrackError, match=r"a\.measures\.csv is not a facetrack CSV"):
        run.read()
