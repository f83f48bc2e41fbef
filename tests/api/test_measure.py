"""Measures of saved runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rendered_heads as heads
from typer.testing import CliRunner

from facetrack.api.measure import measure_to_files, read_groups, table_rows
from facetrack.cli import app
from facetrack.errors import FacetrackError
from facetrack.formats.csv import CsvWriter
from facetrack.formats.earlier_runs import find_runs
from facetrack.formats.npz import NpzWriter
from facetrack.measures.face_model import load
from facetrack.measures.files import EVENT_COLUMNS, MEASURE_COLUMNS


@pytest.fixture(scope="module")
def xy() -> np.ndarray:
    time = np.arange(60) / 30
    shut = heads.blink(time, 0.8, 0.1, 0.2)
    return heads.project(heads.with_lids(load().mean, {"r": shut, "l": shut}), heads.turns(60, 10))


def write_run(folder: Path, stem: str, xy: np.ndarray, record: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    with CsvWriter(folder / f"{stem}.csv") as writer:
        writer.write(heads.tracks_of(xy))
    if record:
        entry = {"path": f"videos/{stem}.mp4", "width": 640, "height": 480}
        content = {"versions": {}, "input": entry, "options": {}, "tracker": {"name": "lk"}}
        (folder / f"{stem}.json").write_text(json.dumps(content))
    return folder / f"{stem}.csv"


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def invoke(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["measure", *map(str, words)])
    return result.exit_code, result.output


def test_files_of_a_run(tmp_path: Path, xy: np.ndarray) -> None:
    table = write_run(tmp_path, "a.b", xy)
    assert invoke(table)[0] == 0
    rows = rows_of(tmp_path / "a.b.measures.csv")
    assert tuple(rows[0]) == MEASURE_COLUMNS
    assert len(rows) == 60
    assert rows[0]["timestamp"] == "0.000000"
    assert rows[0]["mouth_velocity"] == ""
    assert rows[0]["mouth_velocity_valid"] == "0"
    events = rows_of(tmp_path / "a.b.events.csv")
    assert tuple(events[0]) == EVENT_COLUMNS
    assert [(e["event"], e["side"], e["complete"]) for e in events] == [
        ("blink", "r", "1"),
        ("blink", "l", "1"),
    ]
    record = json.loads((tmp_path / "a.b.measures.json").read_text())
    assert record["measured"]["video"] == "videos/a.b.mp4"
    assert record["measures"]["faces"][0]["events"]["blink"]["count"] == 1
    assert record["measures"]["face_model"]["weights"] == "shape3d-s"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_table_record_and_folder_name_the_same_run(tmp_path: Path, xy: np.ndarray) -> None:
    table = write_run(tmp_path, "a", xy)
    write_run(tmp_path, "b", xy, record=False)
    runs = find_runs([table, tmp_path / "a.json", tmp_path])
    assert [run.table.name for run in runs] == ["a.csv"]
    with NpzWriter(tmp_path / "a.npz") as writer:
        writer.write(heads.tracks_of(xy))
    assert [run.table.name for run in find_runs([tmp_path])] == ["a.npz"]


def test_csv_without_record_needs_the_size(tmp_path: Path, xy: np.ndarray) -> None:
    table = write_run(tmp_path, "a", xy, record=False)
    code, output = invoke(table)
    assert (code, "--size" in output) == (2, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv"]
    assert invoke(table, "--size", "640x480")[0] == 0
    assert (tmp_path / "a.measures.csv").is_file()


def test_the_focal_length_is_that_of_the_run(tmp_path: Path, xy: np.ndarray) -> None:
    table = write_run(tmp_path, "a", xy)
    record = json.loads(table.with_suffix(".json").read_text())
    table.with_suffix(".json").write_text(json.dumps({**record, "options": {"focal": 812.5}}))
    for words, focal in (([], 812.5), (["--focal", "700"], 700)):
        assert invoke(table, *words)[0] == 0
        measured = json.loads((tmp_path / "a.measures.json").read_text())["measures"]
        assert measured["focal"] == focal
    assert CliRunner().invoke(app, ["export", "bids", str(table)]).exit_code == 0
    exported = json.loads((tmp_path / "a.exports.json").read_text())["exports"]["bids"]
    assert exported["focal"] == 812.5


def test_foreign_files_and_inputs_are_not_replaced(tmp_path: Path, xy: np.ndarray) -> None:
    table = write_run(tmp_path, "a", xy)
    foreign = tmp_path / "a.events.csv"
    foreign.write_text("my own notes\n")
    code, output = invoke(table)
    assert (code, "a.events.csv" in output) == (2, True)
    assert foreign.read_text() == "my own notes\n"
    assert not (tmp_path / "a.measures.csv").exists()
    assert invoke(table, "--overwrite")[0] == 0
    assert invoke(table)[0] == 0, "its own files are replaced"
    before = table.read_text()
    assert invoke(table, "--table", table)[0] == 2
    assert table.read_text() == before


def test_groups_are_found_from_another_folder(
    tmp_path: Path, xy: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        write_run(tmp_path / name, "a", xy)
        record = tmp_path / name / "a.json"
        content = json.loads(record.read_text())
        content["input"] |= {
            "path": f"data/{name}/a.mp4",
            "absolute_path": str(tmp_path / "data" / name / "a.mp4"),
        }
        record.write_text(json.dumps(content))
    (tmp_path / "data").mkdir()
    groups = tmp_path / "data" / "groups.csv"
    groups.write_text("video,subject\none/a.mp4,s01\ntwo/a.mp4,s02\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert (
        invoke(tmp_path / "one", tmp_path / "two", "--table", "t.csv", "--groups", groups)[0] == 0
    )
    assert [row["subject"] for row in rows_of(Path("t.csv"))] == ["s01", "s02"]


def test_measures_of_another_run_are_not_replaced(tmp_path: Path, xy: np.ndarray) -> None:
    one, two = (write_run(tmp_path / name, "a", xy[: 50 + i]) for i, name in enumerate("ab"))
    out = tmp_path / "out"
    assert invoke(one, "--out", out)[0] == 0
    before = (out / "a.measures.csv").read_bytes()
    code, output = invoke(two, "--out", out)
    assert (code, "another run" in " ".join(output.split())) == (2, True)
    assert (out / "a.measures.csv").read_bytes() == before
    with NpzWriter(one.with_suffix(".npz")) as writer:
        writer.write(heads.tracks_of(xy[:50]))
    assert invoke(one.with_suffix(".npz"), "--out", out)[0] == 0, "the other table of that run"
    assert invoke(two, "--out", out, "--overwrite")[0] == 0

    # So are those that `track --measures` wrote.
    record = json.loads(one.with_suffix(".json").read_text())
    one.with_suffix(".json").write_text(json.dumps({**record, "options": {"measures": True}}))
    assert invoke(one)[0] == 0
    (one.parent / "a.measures.json").unlink()
    code, output = invoke(two, "--out", one.parent)
    assert (code, "videos/a.mp4, another run" in " ".join(output.split())) == (2, True)


def test_table_of_several_videos_with_groups(tmp_path: Path, xy: np.ndarray) -> None:
    for stem in ("a", "b"):
        write_run(tmp_path / "runs", stem, xy)
    groups = tmp_path / "groups.csv"
    groups.write_text("video,subject,condition\na.mp4,s01,rest\n")
    code, output = invoke(tmp_path / "runs", "--table", tmp_path / "all.csv", "--groups", groups)
    assert code == 0
    assert "no groups for videos/b.mp4" in output
    rows = rows_of(tmp_path / "all.csv")
    assert [(r["video"], r["subject"], r["condition"]) for r in rows] == [
        ("videos/a.mp4", "s01", "rest"),
        ("videos/b.mp4", "", ""),
    ]
    assert rows[0]["blink_count"] == "1"
    assert float(rows[0]["eye_r_open_median"]) > 0.9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,group\na,1\n", "one column called video"),
        ("video,group\na,1,2\n", "too many cells"),
        ("video,group\n,1\n", "without a video"),
        ("video,video\na,b\n", "one column called video"),
        ("", "one column called video"),
        ("video,group\na,1\na,2\n", "two rows for a that differ"),
    ],
)
def test_bad_manifest_of_groups(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "groups.csv").write_text(text)
    with pytest.raises(FacetrackError, match=message):
        read_groups(tmp_path / "groups.csv")


def test_a_group_may_not_be_called_like_a_column_of_the_table(
    tmp_path: Path, xy: np.ndarray
) -> None:
    write_run(tmp_path / "runs", "a", xy)
    groups = tmp_path / "groups.csv"
    groups.write_text("video,subject,face_id\na.mp4,s01,0\n")
    code, output = invoke(tmp_path / "runs", "--table", tmp_path / "all.csv", "--groups", groups)
    assert code == 2
    assert "a column 'face_id'" in " ".join(output.split())
    assert not (tmp_path / "all.csv").exists()


def test_bad_names_are_one_sentence(tmp_path: Path, xy: np.ndarray) -> None:
    (tmp_path / "x.json").write_text("{}")
    (tmp_path / "x.txt").write_text("")
    (tmp_path / "empty").mkdir()
    for name in ("x.json", "x.txt", "missing.csv", "empty"):
        code, output = invoke(tmp_path / name)
        assert code == 2
        assert "Traceback" not in output
    table = write_run(tmp_path, "a", xy)
    for words in (["--size", "12"], ["--focal", "0"], ["--groups", table]):
        assert invoke(table, *words)[0] == 2
    assert not (tmp_path / "a.measures.csv").exists()


def test_same_names_in_one_folder_are_refused(tmp_path: Path, xy: np.ndarray) -> None:
    tables = [write_run(tmp_path / name, "a", xy) for name in ("one", "two")]
    assert invoke(*tables, "--out", tmp_path / "out")[0] == 2
    assert invoke(*tables)[0] == 0


def test_rows_without_groups_have_no_group_columns(tmp_path: Path, xy: np.ndarray) -> None:
    run = find_runs([write_run(tmp_path, "a", xy)])[0]
    rows, warnings = table_rows([run], [measure_to_files(run, tmp_path)])
    assert list(rows[0])[:3] == ["video", "table", "face_id"]
    assert warnings == []
