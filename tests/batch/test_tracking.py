"""One video of a batch: it goes on where an earlier attempt was ended."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import clips
import pytest

from facetrack.api import staging
from facetrack.api.outputs import Outputs
from facetrack.batch import tracking
from facetrack.batch.messages import Message, Outcome, Progressed
from facetrack.batch.plan import Task, plan
from facetrack.batch.tracking import track_task
from facetrack.pipeline import resume
from facetrack.pipeline.models import ModelCache
from facetrack.pipeline.options import Options


@pytest.fixture
def task(dots: Path, tmp_path: Path) -> Task:
    (made,) = plan([dots], Outputs(Path(), overlay=False), tmp_path / "out")
    return made


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """States are saved, and progress is told, after every chunk."""
    monkeypatch.setattr(resume, "SAVE_INTERVAL_S", 0.0)
    monkeypatch.setattr(tracking, "INTERVAL", 0.0)


def attempt(task: Task, options: Options, ends_at: int = 0, again: bool = False) -> Outcome:
    """Track it; at so many frames the process is told to end, as a worker is."""

    def tell(message: Message) -> None:
        if ends_at and isinstance(message, Progressed) and message.done >= ends_at:
            raise KeyboardInterrupt

    place = nullcontext(task.outputs.folder)
    return track_task(task, options, again, ModelCache(), tell, place)


def record(task: Task) -> dict[str, object]:
    return json.loads(task.paths["sidecar"].read_text())


@pytest.fixture
def ended(task: Task, own_points: Options, often: None) -> Task:
    with pytest.raises(KeyboardInterrupt):
        attempt(task, own_points, ends_at=8)
    assert [p.name for p in task.outputs.folder.iterdir()] == [f".{task.video.stem}.unfinished"]
    return task


def test_a_video_goes_on_where_it_was_ended(
    ended: Task, own_points: Options, tmp_path: Path
) -> None:
    assert attempt(ended, own_points).status == "done"
    (whole,) = plan([ended.video], Outputs(Path(), overlay=False), tmp_path / "whole")
    assert attempt(whole, own_points).status == "done"
    assert record(ended)["resumed_from_frame"] == 7
    assert record(whole)["resumed_from_frame"] is None
    assert ended.paths["csv"].read_bytes() == whole.paths["csv"].read_bytes()
    assert {p.suffix for p in ended.outputs.folder.iterdir()} == {".csv", ".json"}


def test_overwriting_begins_anew(ended: Task, own_points: Options) -> None:
    assert attempt(ended, own_points, again=True).status == "done"
    assert record(ended)["resumed_from_frame"] is None


def test_a_place_of_one_attempt_keeps_no_state(
    task: Task, own_points: Options, often: None, tmp_path: Path
) -> None:
    staging = tmp_path / "staging"

    def tell(message: Message) -> None:
        if isinstance(message, Progressed):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        track_task(task, own_points, False, ModelCache(), tell, nullcontext(staging))
    assert not staging.exists() or not list(staging.iterdir())


def test_results_of_another_video_and_files_of_the_user_s_are_kept(
    task: Task, own_points: Options, tmp_path: Path
) -> None:
    other = clips.write_clip(tmp_path / "dots.mkv", 5)
    (second,) = plan([other], Outputs(Path(), overlay=False), tmp_path / "out")
    assert attempt(task, own_points).status == "done"
    outcome = attempt(second, own_points)
    assert (outcome.status, outcome.traceback) == ("failed", "")
    assert f"holds the results of {task.video}, another input" in outcome.message
    assert attempt(task, own_points).status == "skipped"
    assert attempt(second, own_points, again=True).status == "done"
    task.paths["csv"].write_text("mine")
    task.paths["sidecar"].unlink()
    assert "dots.csv exists" in attempt(second, own_points).message
    assert task.paths["csv"].read_text() == "mine"


def test_a_run_that_is_killed_while_it_replaces_files_is_repeated(
    task: Task, own_points: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With other options, the former record never stands beside new files."""

    class Killed(BaseException):
        pass

    assert attempt(task, own_points).status == "done"
    former = task.paths["csv"].read_bytes()
    other = replace(own_points, query_frame=3)
    real = os.replace

    def killed(source: Path, target: Path) -> None:
        if Path(target).name == task.paths["sidecar"].name and ".facetrack" not in str(
            Path(target).parent
        ):
            raise Killed
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        patch.setattr(staging, "roll_back", lambda place: False)
        patch.setattr(staging, "discard", lambda place: None)
        with pytest.raises(Killed):
            attempt(task, other)
    assert task.paths["csv"].read_bytes() != former
    assert not task.paths["sidecar"].exists()
    assert attempt(task, other).status == "done"
    assert record(task)["options"]["query_frame"] == 3
    assert {p.suffix for p in task.outputs.folder.iterdir()} == {".csv", ".json"}
