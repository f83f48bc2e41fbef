"""What the main process of the Ray engine does with the files of an attempt, without Ray."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from facetrack.api.outputs import Outputs
from facetrack.api.staging import staging_place
from facetrack.batch.heartbeat import Watch
from facetrack.batch.messages import Outcome
from facetrack.batch.plan import Task, plan
from facetrack.batch.ray_engine import _Job, _WorkerPool
from facetrack.batch.ray_worker import Worker, WorkerConfig
from facetrack.batch.stores import Remote
from facetrack.pipeline.options import Options
from facetrack.version import __version__

CORRECTIONS = "frame,face,point,x,y,hidden,who,when\n7,0,0,4,3,0,me,2026-01-01T00:00:00.000Z\n"


def track(task: Task, options: Options) -> Outcome:
    """Track a video as a worker of Ray's does, and publish what it wrote."""
    config = WorkerConfig(options, False, 1, os.getcwd(), {}, __version__, task.store, None)
    place = staging_place(task.outputs.folder)
    outcome, _ = Worker(config).track(task, place)
    discarded: list[_Job] = []
    pool: Any = SimpleNamespace(_tasks=[task], _discard=discarded.append)
    job = _Job(0, 1, place, None, Watch(0), contextlib.ExitStack())
    outcome = _WorkerPool._finish(pool, job, outcome)
    assert discarded == [job]
    return outcome


@pytest.fixture
def corrected(dots: Path, own_points: Options, tmp_path: Path) -> Options:
    folder = tmp_path / "corrections"
    folder.mkdir()
    (folder / f"{dots.stem}.corrections.csv").write_text(CORRECTIONS)
    return replace(own_points, corrections=folder)


def test_the_tracks_before_corrections_are_published_too(
    dots: Path, corrected: Options, tmp_path: Path
) -> None:
    (task,) = plan([dots], Outputs(Path(), overlay=False), tmp_path / "out")
    assert track(task, corrected).status == "done"
    names = {f"{dots.stem}.{end}" for end in ("csv", "json", "uncorrected.npz")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert track(task, corrected).status == "skipped"
    # Without that file the results are not complete.
    (tmp_path / f"out/{dots.stem}.uncorrected.npz").unlink()
    assert track(task, corrected).status == "done"


def test_a_file_of_the_user_s_in_the_place_of_those_tracks_is_kept(
    dots: Path, corrected: Options, tmp_path: Path
) -> None:
    (task,) = plan([dots], Outputs(Path(), overlay=False), tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / f"out/{dots.stem}.uncorrected.npz").write_text("mine")
    outcome = track(task, corrected)
    assert outcome.status == "failed"
    assert "nothing in it or beside it shows that facetrack wrote it" in outcome.message


def test_the_record_has_the_final_folder(dots: Path, own_points: Options, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    store = Remote("memory://user:secret@bucket/out")
    outputs = Outputs(Path(), overlay=False)
    video = shutil.copy(dots, tmp_path)
    for out, kept, wanted in (
        (tmp_path / "out", None, str(tmp_path / "out")),
        (store.root, store, "memory://bucket/out"),
        (None, None, None),
    ):
        (task,) = plan([Path(video)], outputs, out, store=kept)
        assert track(task, own_points).status == "done"
        record = json.loads(task.store.read(task.paths["sidecar"]))
        assert record.get("output_folder") == wanted
