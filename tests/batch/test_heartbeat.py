"""Processes that are stopped or hang are noticed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from facetrack.api.outputs import Outputs
from facetrack.batch import heartbeat
from facetrack.batch.heartbeat import (
    MIN_CPU_SECONDS,
    START_TIMEOUT,
    Beat,
    Clock,
    Watch,
    beating,
    kill_with_children,
)
from facetrack.batch.messages import Outcome, Progressed
from facetrack.batch.plan import Task, plan
from facetrack.batch.workers import Processes
from facetrack.pipeline.options import Options


def test_silence_is_a_stall_and_messages_are_not() -> None:
    watch = Watch(10)
    watch.hear(Beat(1.0))
    for _ in range(5):
        assert not watch.stalled(9)
        watch.hear(Progressed(1, None))
    assert not watch.stalled(9)
    assert watch.stalled(2)


def test_beats_without_work_do_not_count() -> None:
    watch = Watch(10)
    watch.hear(Beat(1.0))
    assert not watch.stalled(9)
    watch.hear(Beat(1.0 + MIN_CPU_SECONDS / 2))
    assert watch.stalled(2)
    watch.hear(Beat(1.0 + MIN_CPU_SECONDS))
    assert not watch.stalled(9)


def test_a_new_process_gets_time_to_begin() -> None:
    watch = Watch(1)
    assert not watch.stalled(START_TIMEOUT)
    assert watch.stalled(1)


def test_zero_is_no_limit() -> None:
    watch = Watch(0)
    watch.hear(Beat(1.0))
    assert not watch.stalled(1e9)


def test_time_in_which_the_batch_itself_was_stopped_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter([0.0, 0.5, 3600.0])
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: next(times))
    clock = Clock(1.0)
    assert clock.elapsed() == 0.5
    assert clock.elapsed() == 2.0


def test_beats_end_with_the_context_and_with_the_connection() -> None:
    beats: list[Beat] = []

    def send(beat: Beat) -> None:
        beats.append(beat)
        if len(beats) == 3:
            raise BrokenPipeError

    with beating(send, 0.001):
        deadline = time.monotonic() + 30
        while len(beats) < 3 and time.monotonic() < deadline:
            time.sleep(0.001)
    assert len(beats) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_children_of_a_stopped_process_are_killed_too() -> None:
    parent = subprocess.Popen(["sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(child, signal.SIGSTOP)
    os.kill(parent.pid, signal.SIGSTOP)
    kill_with_children(parent.pid)
    assert parent.wait(30) == -signal.SIGKILL
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@dataclass(frozen=True)
class Stopping(Task):
    """A video whose process stops, or waits for ever."""

    how: str = "stop"

    @property
    def paths(self) -> dict[str, Path]:
        if os.environ.get("FACETRACK_TEST_PARENT") != str(os.getpid()):
            if self.how == "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            else:
                time.sleep(3600)
        return super().paths


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "wait"])
def test_a_stalled_video_fails_and_the_others_go_on(
    how: str, dots: Path, own_points: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACETRACK_TEST_PARENT", str(os.getpid()))
    for name in "abc":
        (tmp_path / f"{name}.mp4").write_bytes(dots.read_bytes())
    out = tmp_path / "out"
    first, *rest = plan(sorted(tmp_path.glob("*.mp4")), Outputs(Path(), overlay=False), out)
    tasks: list[Any] = [Stopping(first.video, first.outputs, how=how), *rest]
    messages = Processes(1, stall_timeout=3).track_all(tasks, own_points, False)
    outcomes = {index: m for index, m in messages if isinstance(m, Outcome)}
    assert [outcomes[i].status for i in range(3)] == ["failed", "done", "done"]
    assert outcomes[0].message == (
        f"the process that tracked {first.video} gave no sign of work for 3 seconds "
        "(--stall-timeout) and was ended."
    )
    assert sorted(p.name for p in out.iterdir()) == ["b.csv", "b.json", "c.csv", "c.json"]
