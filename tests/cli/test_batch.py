"""`facetrack track` with many videos, as a user types it."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import clips
import pytest
from typer.testing import CliRunner

from facetrack.batch.messages import Outcome
from facetrack.batch.plan import Task
from facetrack.batch.workers import Processes
from facetrack.cli import app
from facetrack.pipeline.options import Options

ODD_NAMES = [
    "a b.mp4",
    "it's.mp4",
    '"q".mp4',
    "-n.mp4",
    "é ß.mp4",
    "$(touch x).mp4",
    "two\nlines.mp4",
]


@pytest.fixture
def folder(dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a.mp4 and b.mp4 in `v`, and between them one that is no video."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v").mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(dots, tmp_path / "v" / name)
    (tmp_path / "v/aa.mp4").write_text("no video\n")
    return tmp_path


def track(own_points: Options, *arguments: object):
    options = ["--init", "points", "--points", str(own_points.points), "--tracker", "lk"]
    return CliRunner().invoke(app, ["track", *options, "--no-overlay", *map(str, arguments)])


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return met


def alive(group: int) -> list[str]:
    """The processes of a group, without those that are over but not yet buried (Linux)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, pgrp = path.read_text().rpartition(")")[2].split()[:3]
            if int(pgrp) == group and state != "Z":
                found.append(path.parent.name)
    return found


def statuses(path: Path) -> dict[str, str]:
    with open(path, encoding="utf-8", newline="") as file:
        return {row["video"]: row["status"] for row in csv.DictReader(file)}


def test_one_bad_video_stops_none_of_the_others(folder: Path, own_points: Options) -> None:
    result = track(own_points, "v", "none.mp4", "--out", "out")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        "facetrack: 2 of 4 videos failed: none.mp4, v/aa.mp4."
    )
    assert sorted(p.name for p in Path("out").iterdir()) == [
        *("a.csv", "a.json", "b.csv", "b.json", "batch.csv", "batch.json")
    ]
    assert statuses(Path("out/batch.csv")) == {
        "none.mp4": "failed",
        "v/a.mp4": "done",
        "v/aa.mp4": "failed",
        "v/b.mp4": "done",
    }
    content = json.loads(Path("out/batch.json").read_text())
    assert content["counts"] == {"done": 2, "skipped": 0, "failed": 2, "not reached": 0}
    assert {v["video"]: v["message"] for v in content["videos"] if v["status"] == "failed"} == {
        "none.mp4": "none.mp4 does not exist.",
        "v/aa.mp4": "v/aa.mp4 is not a video that ffmpeg can read.",
    }
    assert "2 done, 2 failed" in result.stdout


def test_what_is_complete_is_skipped(folder: Path, own_points: Options) -> None:
    Path("v/aa.mp4").unlink()
    assert track(own_points, "v", "--out", "out").exit_code == 0
    before = Path("out/a.csv").stat().st_mtime_ns
    result = track(own_points, "v", "--out", "out")
    assert result.exit_code == 0
    assert set(statuses(Path("out/batch.csv")).values()) == {"skipped"}
    assert Path("out/a.csv").stat().st_mtime_ns == before
    assert track(own_points, "v", "--out", "out", "--overwrite").exit_code == 0
    assert set(statuses(Path("out/batch.csv")).values()) == {"done"}


@pytest.mark.parametrize("jobs", [1, 2])
def test_coordinates_are_those_of_all_tables(jobs: int, folder: Path, own_points: Options) -> None:
    """And results in other coordinates do not count as complete."""
    Path("list").write_text("v/a.mp4\nv/b.mp4\n")
    words = ("--manifest", "list", "--out", "out", "--jobs", jobs)
    assert track(own_points, *words).exit_code == 0
    result = track(own_points, *words, "--coordinates", "normalised")
    assert result.exit_code == 0, result.output
    for stem in ("a", "b"):
        header = Path(f"out/{stem}.csv").read_text().splitlines()[0].split(",")
        assert header[5] == "normalised_x_0"
        record = json.loads(Path(f"out/{stem}.json").read_text())
        assert record["csv_coordinates"]["name"] == "normalised"


def test_one_video_is_tracked_anew_and_has_no_summary(folder: Path, own_points: Options) -> None:
    for _ in range(2):
        assert track(own_points, "v/a.mp4", "--out", "out").exit_code == 0
        assert sorted(p.name for p in Path("out").iterdir()) == ["a.csv", "a.json"]
        Path("out/a.csv").write_text("")
    assert track(own_points, "v/a.mp4", "--out", "out").exit_code == 0
    assert Path("out/a.csv").stat().st_size


def test_shards_track_all_videos_once_between_them(folder: Path, own_points: Options) -> None:
    ran = []
    for shard in ("1/2", "2/2"):
        track(own_points, "v", "--out", "out", "--shard", shard)
        ran += statuses(Path(f"out/batch.{shard[0]}-of-2.csv"))
    assert sorted(ran) == ["v/a.mp4", "v/aa.mp4", "v/b.mp4"]


def test_a_shard_without_videos_is_done(folder: Path, own_points: Options) -> None:
    result = track(own_points, "v", "--out", "out", "--shard", "4/4")
    assert result.exit_code == 0
    assert statuses(Path("out/batch.4-of-4.csv")) == {}


def test_manifest_in_parallel_with_odd_names(
    dots: Path, own_points: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [*ODD_NAMES, os.fsdecode(b"\xff.mp4")]
    for name in names:
        shutil.copy(dots, name)
    Path("list").write_bytes(b"\0".join(map(os.fsencode, names)))
    result = track(own_points, "--manifest", "list", "--jobs", "2", "--out", "out")
    assert result.exit_code == 0, result.output
    made = {p.name for p in Path("out").glob("*.csv")} - {"batch.csv"}
    assert made == {name.removesuffix(".mp4") + ".csv" for name in names}
    assert not Path("x").exists()
    assert len(json.loads(Path("out/batch.json").read_text())["videos"]) == len(names)


def test_json_lines_tell_of_each_video(folder: Path, own_points: Options) -> None:
    result = track(own_points, "v", "--out", "out", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    ends = {
        line["video"]: line["event"]
        for line in lines
        if line["event"] in ("done", "error") and "video" in line
    }
    assert ends == {"v/a.mp4": "done", "v/aa.mp4": "error", "v/b.mp4": "done"}
    batch = next(line for line in lines if line["event"] == "batch")
    assert (batch["done"], batch["failed"], batch["not_reached"]) == (2, 1, 0)


def test_quiet_says_errors_alone(folder: Path, own_points: Options) -> None:
    result = track(own_points, "v", "--out", "out", "--quiet")
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "facetrack: v/aa.mp4 is not a video that ffmpeg can read.",
        "facetrack: 1 of 3 videos failed: v/aa.mp4.",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "No video was given"),
        (["v", "--shard", "0/2"], "--shard 0/2"),
        (["v", "--keep-folders"], "--keep-folders needs --out"),
        (["v/*.avi"], "No video matches v/*.avi"),
        (["--manifest", "none.txt"], "none.txt cannot be read"),
        (["v", "--out", "v/aa.mp4"], "is a file"),
    ],
    ids=["nothing", "shard", "folders", "pattern", "manifest", "out"],
)
def test_what_cannot_work_is_said_before_anything_is_done(
    arguments: list[str], message: str, folder: Path, own_points: Options
) -> None:
    result = track(own_points, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert sorted(p.name for p in folder.rglob("*")) == ["a.mp4", "aa.mp4", "b.mp4", "v"]


def raising_after(function: Callable[..., object]) -> Callable[..., object]:
    """The function, at whose end a signal arrives."""

    def run_on(*arguments: object) -> object:
        try:
            return function(*arguments)
        finally:
            signal.raise_signal(signal.SIGTERM)

    return run_on


@pytest.mark.parametrize(
    "point",
    ["facetrack.batch.stores.Folder.check", "facetrack.batch.plan.check_former_summaries"],
)
def test_a_signal_before_the_first_video_leaves_no_folder(
    point: str, folder: Path, own_points: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(point, raising_after(pkgutil.resolve_name(point)))
    result = track(own_points, "v", "--out", "new/out")
    assert result.exit_code == 130
    assert result.stderr == "facetrack: interrupted; no unfinished file was left behind.\n"
    assert os.listdir() == ["v"]
    Path("mine").mkdir()
    assert track(own_points, "v", "--out", "mine").exit_code == 130
    assert sorted(os.listdir()) == ["mine", "v"]  # it was there before


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_folders_of_videos_that_failed_are_not_left_empty(
    status: str, folder: Path, own_points: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an engine leaves them that creates a folder before a worker writes to it."""

    def track_all(self: Processes, tasks: Sequence[Task], *_: object) -> Iterator[Any]:
        for index, task in enumerate(tasks):
            task.outputs.folder.mkdir(parents=True, exist_ok=True)
            if status == "interrupted":
                signal.raise_signal(signal.SIGTERM)
            yield index, Outcome("failed", message="nothing came of it.")

    monkeypatch.setattr(Processes, "track_all", track_all)
    result = track(own_points, "v", "--out", "out", "--keep-folders")
    assert result.exit_code == (2 if status == "failed" else 130)
    assert sorted(os.listdir("out")) == ["batch.csv", "batch.json"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_batch_keeps_what_is_whole(
    number: int, own_points: Options, tmp_path: Path
) -> None:
    videos, out = tmp_path / "v", tmp_path / "out"
    videos.mkdir()
    clips.write_clip(videos / "a.mp4", 4)
    long = ("-f", "lavfi", "-i", "testsrc=s=32x16:r=25:d=1600", "-c:v", "mpeg4")
    clips.run_ffmpeg(*long, str(videos / "b.mp4"))
    for name in "cd":
        shutil.copy(videos / "b.mp4", videos / f"{name}.mp4")
    process = subprocess.Popen(
        [sys.executable, "-m", "facetrack", "track", str(videos), "--out", str(out)]
        + ["--init", "points", "--points", str(own_points.points), "--tracker", "lk"]
        + ["--no-overlay", "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # A shell ignores SIGINT for what it puts in the background, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        begun = ".facetrack-*/.facetrack-*.csv"
        wait_for(lambda: (out / "a.json").exists() and len(list(out.glob(begun))) == 2, 90)
        # As a terminal does: all processes of the group are told.
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors.decode()
    assert errors.decode().splitlines() == [
        "facetrack: interrupted; no unfinished file was left behind."
    ]
    assert sorted(p.name for p in out.iterdir()) == [
        *("a.csv", "a.json", "batch.csv", "batch.json")
    ]
    content = statuses(out / "batch.csv")
    assert [content[str(videos / f"{n}.mp4")] for n in "abcd"] == ["done"] + ["not reached"] * 3
    assert wait_for(lambda: not alive(process.pid), 10)
