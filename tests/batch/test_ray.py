"""The Ray engine: on one node, and on two of which one is killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from facetrack.api.outputs import Outputs
from facetrack.batch import heartbeat, ray_engine, stores
from facetrack.batch.messages import Message, Outcome, Progressed, Started
from facetrack.batch.plan import Task, plan
from facetrack.batch.ray_engine import RayCluster
from facetrack.cli import app
from facetrack.errors import FacetrackError
from facetrack.formats.csv import read_csv
from facetrack.pipeline.options import Options

ray = pytest.importorskip("ray", reason="needs Ray: pip install facetrack[ray]")
cluster_utils = pytest.importorskip("ray.cluster_utils")
cloudpickle = pytest.importorskip("ray.cloudpickle")

# What Ray itself leaves open or has outlived is not ours to judge.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
MEMORY = 80 * 2**20


class Deadly(Task):
    """A video that kills the process that tracks it, as often as the file `deadly` beside it says.

    `deaths` gets a mark for each process that came to it.
    """

    @property
    def paths(self) -> dict[str, Path]:
        folder = self.video.parent.parent
        if os.environ["FACETRACK_TEST_PARENT"] != str(os.getpid()):
            with open(folder / "deaths", "a") as file:
                file.write(".")
            if (folder / "deaths").stat().st_size <= int((folder / "deadly").read_text()):
                os.kill(os.getpid(), signal.SIGKILL)
        return super().paths


class Stopping(Task):
    """A video at which the first process stops, as by SIGSTOP from outside."""

    @property
    def paths(self) -> dict[str, Path]:
        mark = self.video.parent.parent / "stopped"
        if os.environ["FACETRACK_TEST_PARENT"] != str(os.getpid()) and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGSTOP)
        return super().paths


@pytest.fixture(autouse=True)
def by_value() -> Iterator[None]:
    """Workers cannot import this module."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without CPUs, to which a test adds nodes."""
    made = cluster_utils.Cluster()
    made.add_node(num_cpus=0, object_store_memory=MEMORY)
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def copies(clip: Path, folder: Path, count: int, **where: Any) -> list[Task]:
    """Tasks of so many copies of a clip, whose results go to `out`."""
    (folder / "v").mkdir()
    for i in range(count):
        shutil.copy(clip, folder / f"v/{i:02d}.mp4")
    out = where.pop("out", folder / "out")
    return plan(sorted(folder.glob("v/*")), Outputs(Path(), overlay=False), out, **where)


def outcomes(messages: list[tuple[int, Message]]) -> dict[int, list[Outcome]]:
    found: dict[int, list[Outcome]] = {}
    for index, message in messages:
        if isinstance(message, Outcome):
            found.setdefault(index, []).append(message)
    return found


def whole_and_nothing_else(tasks: list[Task], frames: int) -> None:
    """Each video's files are there, and no unfinished one."""
    for task in tasks:
        assert len(read_csv(task.paths["csv"])) == frames
        assert json.loads(task.paths["sidecar"].read_text())["input"]["frames"] == frames
    (folder,) = {task.outputs.folder for task in tasks}
    wanted = {path.name for task in tasks for path in task.paths.values()}
    assert {path.name for path in folder.iterdir()} == wanted


def test_forty_videos_are_done_once_each_though_a_node_is_killed(
    cluster: Any,
    dots: Path,
    own_points: Options,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=MEMORY) for _ in range(2)]
    tasks = copies(dots, tmp_path, 40)
    log = tmp_path / "log"
    move = stores.Folder.publish

    def noted(self: stores.Folder, place: Path, finals: dict[str, Path]) -> None:
        with open(log, "a") as file:
            file.write(f"{finals['sidecar'].name}\n")
        move(self, place, finals)

    monkeypatch.setattr(stores.Folder, "publish", noted)
    hired = []
    hire = ray_engine._WorkerPool._spawn
    monkeypatch.setattr(
        ray_engine._WorkerPool, "_spawn", lambda crew: (hired.append(1), hire(crew))
    )
    messages: list[tuple[int, Message]] = []
    engine = RayCluster(2, cluster.address)
    for index, message in engine.track_all(tasks, own_points, False):
        messages.append((index, message))
        if len(outcomes(messages)) >= 10 and nodes:
            cluster.remove_node(nodes.pop(), allow_graceful=False)
            nodes.clear()
    found = outcomes(messages)
    assert {index: [one.status for one in ended] for index, ended in found.items()} == {
        index: ["done"] for index in range(40)
    }
    assert Counter(log.read_text().split()) == {f"{i:02d}.json": 1 for i in range(40)}
    whole_and_nothing_else(tasks, 12)
    assert len(hired) > 2, "no worker was replaced, so the kill came to nothing"
    assert engine.notes == []


def test_one_node_tracks_retries_resumes_and_gives_up(
    cluster: Any,
    dots: Path,
    own_points: Options,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FACETRACK_TEST_PARENT", str(os.getpid()))
    (tmp_path / "deadly").write_text("1")
    cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    tasks = copies(dots, tmp_path, 3)
    tasks[0] = Deadly(tasks[0].video, tasks[0].outputs)
    messages = list(RayCluster(1, cluster.address).track_all(tasks, own_points, False))
    for index, ended in outcomes(messages).items():
        assert [(one.status, one.frames, one.message) for one in ended] == [("done", 12, "")]
        first, *others, last = (type(message) for i, message in messages if i == index)
        # On a busy machine a video gives several messages of its progress.
        assert (first, set(others), last) == (Started, {Progressed}, Outcome)
    assert (tmp_path / "deaths").stat().st_size > 1
    whole_and_nothing_else(tasks, 12)
    # What is complete is skipped; a video that always kills is given up.
    tasks[0].paths["sidecar"].unlink()
    (tmp_path / "deaths").unlink()
    (tmp_path / "deadly").write_text("1000000")
    again = outcomes(list(RayCluster(1, cluster.address).track_all(tasks, own_points, False)))
    assert [again[i][0].status for i in range(3)] == ["failed", "skipped", "skipped"]
    assert "ended by itself, 3 times" in again[0][0].message
    assert (tmp_path / "deaths").stat().st_size == ray_engine.MAX_ATTEMPTS


def test_a_stopped_worker_is_replaced(
    cluster: Any,
    dots: Path,
    own_points: Options,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FACETRACK_TEST_PARENT", str(os.getpid()))
    monkeypatch.setattr(heartbeat, "START_TIMEOUT", 5.0)
    cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    tasks = copies(dots, tmp_path, 2)
    tasks[0] = Stopping(tasks[0].video, tasks[0].outputs)
    engine = RayCluster(1, cluster.address, stall_timeout=5.0)
    found = outcomes(list(engine.track_all(tasks, own_points, False)))
    assert [[one.status for one in found[i]] for i in range(2)] == [["done"], ["done"]]
    assert (tmp_path / "stopped").exists()
    whole_and_nothing_else(tasks, 12)


def test_results_go_to_a_url(
    cluster: Any, dots: Path, own_points: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    monkeypatch.chdir(tmp_path)
    shutil.copy(dots, "a.mp4")
    url = f"file://{tmp_path}/far/off"
    options = ["--init", "points", "--points", str(own_points.points), "--tracker", "lk"]
    for status in ("done", "skipped"):
        result = CliRunner().invoke(
            app,
            ["track", "a.mp4", *options, "--no-overlay", "--out", url, "--json"]
            + ["--engine", "ray", "--address", cluster.address],
        )
        assert result.exit_code == 0, result.output
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        (line,) = [one for one in lines if one["event"] == status]
        assert line["files"] == {"csv": f"{url}/a.csv", "sidecar": f"{url}/a.json"}
        assert lines[-1]["files"] == [f"{url}/batch.json", f"{url}/batch.csv"]
    assert sorted(path.name for path in (tmp_path / "far/off").iterdir()) == [
        *("a.csv", "a.json", "batch.csv", "batch.json")
    ]
    assert len(read_csv(tmp_path / "far/off/a.csv")) == 12


def test_a_node_that_sees_other_files_is_left_out(
    cluster: Any, dots: Path, own_points: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    tasks = copies(dots, tmp_path, 1)

    @contextlib.contextmanager
    def nowhere(task: Task) -> Iterator[Path]:
        yield tmp_path / "elsewhere/probe"

    monkeypatch.setattr(ray_engine, "_probe", nowhere)
    with pytest.raises(FacetrackError, match=r"does not see files written to .*elsewhere"):
        list(RayCluster(1, cluster.address).track_all(tasks, own_points, False))


def test_an_interruption_leaves_no_unfinished_file(
    cluster: Any, own_points: Options, tmp_path: Path
) -> None:
    import clips

    cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    (tmp_path / "v").mkdir()
    long = ("-f", "lavfi", "-i", "testsrc=s=32x16:r=25:d=3200", "-c:v", "mpeg4")
    clips.run_ffmpeg(*long, str(tmp_path / "v/a.mp4"))
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "facetrack", "track", str(tmp_path / "v"), "--out", str(out)]
        + ["--init", "points", "--points", str(own_points.points), "--tracker", "lk"]
        + ["--no-overlay", "--engine", "ray", "--address", cluster.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 90
        begun = ".facetrack-*/.facetrack-*/.facetrack-*.csv"
        while not list(out.glob(begun)) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors.decode()
    assert errors.decode().splitlines() == [
        "facetrack: interrupted; no unfinished file was left behind."
    ]
    assert sorted(path.name for path in out.iterdir()) == ["batch.csv", "batch.json"]
    assert ",not reached," in (out / "batch.csv").read_text()
