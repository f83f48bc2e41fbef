"""Connect to a Ray cluster and choose the resources of its workers."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from facetrack.errors import FacetrackError
from facetrack.pipeline.options import Options

CONNECT_TIMEOUT = 10.0
"""Seconds within which a cluster must answer."""


@dataclass(frozen=True)
class WorkerResources:
    """Resources that a worker requests from the cluster: whole CPUs and whole GPUs."""

    cpus: int
    gpus: int


def cpus_per_worker(cores: Sequence[float], workers: int) -> int:
    """Return the most CPUs per worker such that all workers fit.

    Args:
        cores: number of CPUs of each machine.
        workers: number of workers.
    """
    for each in range(int(max(cores, default=1)), 1, -1):
        if sum(count // each for count in cores) >= workers:
            return each
    return 1


def plan_workers(ray: Any, options: Options, jobs: int) -> tuple[WorkerResources, int]:
    """Choose the resources of each worker and the number of workers.

    Raises:
        FacetrackError: the options ask for a GPU, and the cluster has none.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    with_gpu = [node for node in nodes if node.get("GPU", 0) >= 1]
    wanted = options.tracker_options.device
    if with_gpu and wanted != "cpu":
        cpus = min(int(node.get("CPU", 0) // node["GPU"]) for node in with_gpu)
        return WorkerResources(cpus, 1), sum(int(node["GPU"]) for node in with_gpu)
    if wanted == "cuda":
        raise FacetrackError("--device cuda: Ray sees no GPU in its cluster.")
    return WorkerResources(cpus_per_worker([node.get("CPU", 0) for node in nodes], jobs), 0), jobs


def check_device(options: Options) -> None:
    """Check that the options name no numbered device, which has no meaning on a cluster.

    Raises:
        FacetrackError: they do.
    """
    for device in (options.tracker_options.device, options.detector_options.device):
        if ":" in device:
            raise FacetrackError(
                f"--device {device} names a device of a single machine: with --engine ray use "
                "cuda, and each worker gets its own GPU."
            )


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Connect to Ray and yield its module. An existing connection is used and kept.

    Raises:
        FacetrackError: Ray is missing, or the cluster cannot be used.
    """
    try:
        import ray
    except ImportError as error:
        raise FacetrackError('--engine ray needs Ray: pip install "facetrack[ray]".') from error
    if ray.is_initialized():
        yield ray
        return
    if address is not None:
        _check_reachable(address)
    # A cluster that is started here belongs to this command: switch off its usage reports.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        with _keep_sigterm_handler():
            ray.init(
                address=address,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except Exception as error:
        where = "Ray" if address is None else f"The Ray cluster at {address}"
        raise FacetrackError(f"{where} cannot be used: {reason(error)}.") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise FacetrackError at once if nothing listens at the address; Ray retries for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isascii() and port.isdigit()):
        return  # a word, such as auto
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT).close()
    except (OSError, OverflowError) as error:
        raise FacetrackError(
            f"The Ray cluster at {address} cannot be reached: {reason(error)}."
        ) from error


@contextlib.contextmanager
def _keep_sigterm_handler() -> Iterator[None]:
    """Restore the handler of SIGTERM, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def reason(error: Exception) -> str:
    """Return the first line of an error of Ray."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
