"""Where each video's files go."""

from __future__ import annotations

from pathlib import Path

import pytest

from facetrack.api.outputs import Outputs
from facetrack.batch.inputs import Shard
from facetrack.batch.plan import check_summaries, plan, summary_paths
from facetrack.errors import FacetrackError

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
