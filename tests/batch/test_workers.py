"""The processes: what they tell, and what is left when one dies."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from facetrack.api.outputs import Outputs
from facetrack.batch import workers
from facetrack.batch.messages import Outcome, Progressed, Started
from facetrack.batch.plan import Task, plan
from facetrack.batch.workers import Processes
from facetrack.formats.csv import read_csv
from facetrack.pipeline.options import Options
from facetrack.runtime.threads import available_cores


class Deadly(Task):
    """A video that kills the process that tracks it."""

    @property
    def paths(self) -> dict[str, Path]:
        if os.environ.get("FACETRACK_TEST_PARENT") != str(os.getpid()):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().paths


class Broken(Task):
    """A video at which facetrack itself fails."""

    @property
    def paths(self) -> dict[str, Path]:
        raise RuntimeError("a mistake")


class Threads(Task):
    """Fails with the number of threads of the process it is in."""

    @property
    def paths(self) -> dict[str, Path]:
        import cv2

        raise RuntimeError(f"{os.environ.get('OMP_NUM_THREADS')} {cv2.getNumThreads()}")


@pytest.fixture
def tasks(dots: Path, tmp_path: Path) -> list[Task]:
    """Three copies of the clip."""
    for name in "abc":
        shutil.copy(dots, tmp_path / f"{name}.mp4")
    videos = sorted(tmp_path.glob("*.mp4"))
    return plan(videos, Outputs(Path(), overlay=False), tmp_path / "out")


def outcomes(tasks: list[Task], options: Options, jobs: int, again: bool = False) -> list[Outcome]:
    messages = Processes(jobs).track_all(tasks, options, again)
    found = {i: m for i, m in messages if isinstance(m, Outcome)}
    return [found[i] for i in range(len(tasks))]


def test_every_video_is_tracked_and_told_of(tasks: list[Task], own_points: Options) -> None:
    types: dict[int, list[type]] = {0: [], 1: [], 2: []}
    for index, message in Processes(2).track_all(tasks, own_points, False):
        types[index].append(type(message))
    assert set(map(tuple, types.values())) == {(Started, Progressed, Outcome)}
    for task in tasks:
        assert len(read_csv(task.paths["csv"])) == 12


def test_a_process_that_dies_fails_its_video_alone(
    tasks: list[Task], own_points: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACETRACK_TEST_PARENT", str(os.getpid()))
    tasks[0] = Deadly(tasks[0].video, tasks[0].outputs)
    first, *others = outcomes(tasks, own_points, 1)
    assert (first.status, first.traceback) == ("failed", "")
    assert first.message == (
        f"the process that tracked {tasks[0].video} ended by itself "
        "(SIGKILL, perhaps out of memory)."
    )
    assert [other.status for other in others] == ["done", "done"]


def test_an_error_of_our_own_keeps_its_traceback(tasks: list[Task], own_points: Options) -> None:
    tasks[0] = Broken(tasks[0].video, tasks[0].outputs)
    first, *others = outcomes(tasks[:2], own_points, 1)
    assert first.message.startswith("RuntimeError at ")
    assert "a mistake" in first.traceback
    assert [other.status for other in others] == ["done"]


def test_complete_videos_are_skipped_unless_asked_for(
    tasks: list[Task], own_points: Options
) -> None:
    tasks = tasks[:1]
    assert [o.status for o in outcomes(tasks, own_points, 1)] == ["done"]
    (again,) = outcomes(tasks, own_points, 1)
    assert (again.status, again.frames) == ("skipped", 12)
    assert [o.status for o in outcomes(tasks, own_points, 1, again=True)] == ["done"]
    other = replace(own_points, query_frame=1)
    assert [o.status for o in outcomes(tasks, other, 1)] == ["done"]


@pytest.mark.parametrize(
    ("jobs", "own", "wanted"),
    [(2, None, max(1, available_cores() // 2)), (2, "1", 1)],
    ids=["shared out", "the user's own"],
)
def test_cores_are_shared_out(
    jobs: int,
    own: str | None,
    wanted: int,
    tasks: list[Task],
    own_points: Options,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if own is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", own)
    some = [Threads(task.video, task.outputs) for task in tasks[:2]]
    errors = {o.traceback.splitlines()[-1] for o in outcomes(some, own_points, jobs)}
    assert errors == {f"RuntimeError: {wanted} {wanted}"}


def test_a_process_whose_main_process_was_killed_ends_as_if_asked_to(
    tasks: list[Task], own_points: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, own = multiprocessing.Pipe()
    cleaned = []

    def track(*_: object) -> Outcome:
        main.close()
        try:
            for _ in range(3000):
                time.sleep(0.01)
        except KeyboardInterrupt:
            cleaned.append(True)
            raise
        return Outcome("done")

    monkeypatch.setattr(workers, "track_task", track)
    former = signal.getsignal(signal.SIGINT)
    main.send(tasks[0])
    try:
        workers._serve(own, own_points, None, False, 0.01)
    finally:
        signal.signal(signal.SIGINT, former)
        own.close()
    assert cleaned == [True]


def test_closing_midway_ends_the_processes(tasks: list[Task], own_points: Options) -> None:
    with contextlib.closing(Processes(2).track_all(tasks, own_points, False)) as messages:
        next(messages)
    assert multiprocessing.active_children() == []
