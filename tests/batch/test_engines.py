"""Which engine is meant, and what it asks of a cluster; Ray itself need not be there."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from facetrack.api.outputs import Outputs
from facetrack.batch import engines, ray_cluster
from facetrack.batch.plan import Task
from facetrack.batch.ray_cluster import WorkerResources, cpus_per_worker
from facetrack.batch.ray_engine import RayCluster
from facetrack.batch.stores import store_of
from facetrack.detectors import DetectorOptions
from facetrack.errors import FacetrackError
from facetrack.pipeline.options import Options
from facetrack.trackers.base import TrackerOptions


@pytest.fixture
def task(dots: Path, tmp_path: Path) -> Task:
    return Task(dots, Outputs(tmp_path, overlay=False))


@pytest.mark.parametrize(
    ("cores", "workers", "each"),
    [
        ([8.0], 1, 8),
        ([8.0], 3, 2),
        ([8.0, 8.0], 2, 8),
        ([8.0, 8.0], 3, 4),
        ([0, 4.0, 16.0], 5, 4),
        ([2.0], 5, 1),
        ([], 2, 1),
    ],
)
def test_cores_are_shared_so_that_all_find_room(
    cores: list[float], workers: int, each: int
) -> None:
    assert cpus_per_worker(cores, workers) == each


def nodes(*resources: dict[str, float]) -> Any:
    alive = [{"Alive": True, "Resources": one} for one in resources]
    return SimpleNamespace(nodes=lambda: [*alive, {"Alive": False, "Resources": {"GPU": 8.0}}])


def on(device: str) -> Options:
    return Options(
        tracker_options=TrackerOptions(device=device),
        detector_options=DetectorOptions(device=device),
    )


@pytest.mark.parametrize(
    ("device", "wanted"),
    [
        ("auto", (WorkerResources(4, 1), 3)),
        ("cuda", (WorkerResources(4, 1), 3)),
        ("cpu", (WorkerResources(12, 0), 2)),
    ],
)
def test_a_worker_a_gpu_where_there_are_any(
    device: str, wanted: tuple[WorkerResources, int]
) -> None:
    ray = nodes({"CPU": 16.0, "GPU": 2.0}, {"CPU": 4.0, "GPU": 1.0}, {"CPU": 12.0}, {})
    assert ray_cluster.plan_workers(ray, on(device), 2) == wanted


def test_cuda_without_a_gpu_is_refused() -> None:
    with pytest.raises(FacetrackError, match="Ray sees no GPU"):
        ray_cluster.plan_workers(nodes({"CPU": 16.0}), on("cuda"), 2)


def test_a_gpu_of_one_machine_is_refused(task: Task) -> None:
    with pytest.raises(FacetrackError, match="--device cuda:1 names a device of a single machine"):
        next(RayCluster(1, None).track_all([task], on("cuda:1"), False))


def test_without_ray_the_package_is_named(
    task: Task, own_points: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(FacetrackError, match=r'^--engine ray needs Ray: pip install "facetrack'):
        next(RayCluster(1, None).track_all([task], own_points, False))


def test_a_cluster_that_is_not_there_is_told_of_at_once(
    task: Task, own_points: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(FacetrackError, match=f"^The Ray cluster at {address} cannot be reached: "):
        next(RayCluster(1, address).track_all([task], own_points, False))


@pytest.mark.parametrize(
    ("name", "address", "message"),
    [("slurm", None, "no engine 'slurm'"), ("local", "host:1", "needs --engine ray")],
)
def test_engines_that_are_none(name: str, address: str | None, message: str) -> None:
    with pytest.raises(FacetrackError, match=message):
        engines.create(name, 1, address)


def test_a_url_is_for_ray(task: Task) -> None:
    store, _ = store_of("s3://bucket/results")
    far = replace(task, store=store)
    engines.check("ray", [far])
    with pytest.raises(FacetrackError, match="s3://bucket/results is a url"):
        engines.check("local", [far])
    with pytest.raises(FacetrackError, match="--format pts"):
        engines.check("ray", [replace(far, outputs=replace(far.outputs, formats=("pts",)))])
