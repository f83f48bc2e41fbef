"""Where each video's files go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from facetrack.api.outputs import Outputs
from facetrack.batch.inputs import Shard
from facetrack.batch.plan import (
    SUMMARY_HEADER,
    check_former_summaries,
    check_inputs,
    check_summaries,
    plan,
    summary_paths,
)
from facetrack.batch.stores import FOLDER
from facetrack.errors import FacetrackError
from facetrack.pipeline.options import Options

PLAIN = Outputs(Path(), overlay=False)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def csvs(tasks) -> list[str]:
    return [str(task.paths["csv"]) for task in tasks]


def test_files_go_to_out() -> None:
    assert csvs(plan([Path("a/x.mp4"), Path("b/y.mp4")], PLAIN, Path("out"))) == [
        "out/x.csv",
        "out/y.csv",
    ]


def test_files_go_beside_the_videos(tmp_path: Path) -> None:
    videos = [Path("a/x.mp4"), tmp_path / "b/x.mp4"]
    assert csvs(plan(videos, PLAIN, None)) == [
        str(tmp_path / "a/x.csv"),
        str(tmp_path / "b/x.csv"),
    ]


def test_folders_are_kept_below_the_current_one_or_the_root(tmp_path: Path) -> None:
    videos = [Path("a/x.mp4"), tmp_path / "b/x.mp4", Path("/data/s1/x.mp4")]
    assert csvs(plan(videos, PLAIN, Path("out"), keep_folders=True)) == [
        "out/a/x.csv",
        "out/b/x.csv",
        "out/data/s1/x.csv",
    ]


@pytest.mark.parametrize("names", [("a/x.mp4", "b/x.mp4"), ("a/x.mp4", "b/X.mov")], ids=str)
def test_two_folders_that_meet_are_refused_with_the_way_out(names: tuple[str, str]) -> None:
    with pytest.raises(FacetrackError, match=r"would both write out/.*--keep-folders"):
        plan([Path(name) for name in names], PLAIN, Path("out"))


@pytest.mark.parametrize("out", [None, Path("out")], ids=["beside", "out"])
def test_one_folder_that_meets_itself_is_refused(out: Path | None) -> None:
    with pytest.raises(FacetrackError, match=r"would both write .*rename one"):
        plan([Path("x.mov"), Path("x.mp4")], PLAIN, out)


@pytest.mark.parametrize("out", [None, Path("out")], ids=["beside", "out"])
def test_a_folder_that_meets_itself_through_a_link_is_refused(out: Path | None) -> None:
    Path("real").mkdir()
    Path("link").symlink_to("real")
    with pytest.raises(FacetrackError, match=r"would both write .*rename one"):
        plan([Path("link/x.mov"), Path("real/x.mp4")], PLAIN, out)


def test_files_of_different_formats_may_meet_too() -> None:
    outputs = Outputs(Path(), ("csv", "openface"), overlay=False)
    with pytest.raises(FacetrackError, match=r"out/x\.openface\.csv"):
        plan([Path("x.mp4"), Path("x.openface.mp4")], outputs, Path("out"))


def test_an_input_is_not_written_over() -> None:
    with pytest.raises(FacetrackError, match="is an input itself"):
        plan([Path("x.mp4"), Path("x.overlay.mp4")], Outputs(Path()), None)


def test_summaries_of_shards_do_not_meet() -> None:
    assert str(summary_paths(Path("out"), None)["json"]) == "out/batch.json"
    assert str(summary_paths(Path("out"), Shard(2, 8))["csv"]) == "out/batch.2-of-8.csv"


def test_a_video_called_batch_is_refused() -> None:
    tasks = plan([Path("batch.mp4")], PLAIN, Path("out"))
    with pytest.raises(FacetrackError, match="the summary's name"):
        check_summaries(tasks, list(summary_paths(Path("out"), None).values()))


@pytest.mark.parametrize("kind", ["points file", "manifest"])
def test_no_file_of_a_batch_is_an_input(kind: str, own_points: Options) -> None:
    Path("out").mkdir()
    given = Path("out/x.csv")
    given.write_text("1,2\n3,4\n")
    tasks = plan([Path("x.mp4"), Path("y.mp4")], PLAIN, Path("out"))
    options = replace(own_points, points=given) if kind == "points file" else own_points
    manifest = str(given) if kind == "manifest" else None
    with pytest.raises(FacetrackError, match=rf"out/x\.csv is an input itself, the {kind}"):
        check_inputs(tasks, {}, options, manifest)
    check_inputs(tasks, {}, own_points, "-")


def test_a_link_to_another_video_of_the_batch_is_not_replaced(own_points: Options) -> None:
    Path("out").mkdir()
    Path("y.mp4").touch()
    Path("out/x.csv").symlink_to(Path("y.mp4").absolute())
    tasks = plan([Path("x.mp4"), Path("y.mp4")], PLAIN, Path("out"))
    with pytest.raises(FacetrackError, match=r"out/x\.csv is an input itself, the video y\.mp4"):
        check_inputs(tasks, {}, own_points, None)


@pytest.mark.parametrize("name", ["batch.csv", "batch.json"])
def test_a_file_of_the_user_s_with_the_summary_s_name_is_kept(name: str) -> None:
    Path("out").mkdir()
    summaries = summary_paths(Path("out"), None)
    check_former_summaries(summaries, FOLDER)
    Path("out/batch.csv").write_bytes(SUMMARY_HEADER + b"\n")
    Path("out/batch.json").write_text('{"versions": {}, "counts": {}, "videos": []}')
    check_former_summaries(summaries, FOLDER)
    (Path("out") / name).write_text("mine")
    with pytest.raises(FacetrackError, match=f"{name} exists.*--overwrite"):
        check_former_summaries(summaries, FOLDER)
