"""A Ray cluster: how to reach it, and what it has room for."""

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

KNOCK = 10.0
"""Seconds in which a cluster must answer."""


@dataclass(frozen=True)
class Device:
    """What a worker asks of the cluster: whole CPUs, whole GPUs."""

    cpus: int
    gpus: int


def share(cores: Sequence[float], workers: int) -> int:
    """How many CPUs each worker may take, so that all find room on machines with these many."""
    for each in range(int(max(cores, default=1)), 1, -1):
        if sum(count // each for count in cores) >= workers:
            return each
    return 1


def devices(ray: Any, options: Options, jobs: int) -> tuple[Device, int]:
    """What each worker takes, and how many there are."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    with_gpu = [node for node in nodes if node.get("GPU", 0) >= 1]
    wanted = options.tracker_options.device
    if with_gpu and wanted != "cpu":
        cpus = min(int(node.get("CPU", 0) // node["GPU"]) for node in with_gpu)
        return Device(cpus, 1), sum(int(node["GPU"]) for node in with_gpu)
    if wanted == "cuda":
        raise FacetrackError("--device cuda: Ray sees no GPU in its cluster.")
    return Device(share([node.get("CPU", 0) for node in nodes], jobs), 0), jobs


def check_device(options: Options) -> None:
    """Raise FacetrackError where a device is asked for that only one machine knows."""
    for device in (options.tracker_options.device, options.detector_options.device):
        if ":" in device:
            raise FacetrackError(
                f"--device {device} is one of a single machine: with --engine ray say cuda, and "
                "each worker gets a GPU of its own."
            )


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray, connected; what was connected before stays so."""
    try:
        import ray
    except ImportError as error:
        raise FacetrackError('--engine ray needs Ray: pip install "facetrack[ray]".') from error
    if ray.is_initialized():
        yield ray
        return
    if address is not None:
        _check_reachable(address)
    # A cluster that is started here is a helper of this command: it reports to nobody.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        with _own_signals():
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
    """Ray itself knocks for minutes at a door that is not there."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isascii() and port.isdigit()):
        return  # a word, such as auto
    try:
        socket.create_connection((host.strip("[]"), int(port)), KNOCK).close()
    except (OSError, OverflowError) as error:
        raise FacetrackError(
            f"The Ray cluster at {address} cannot be reached: {reason(error)}."
        ) from error


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself; who has called it decides what that means."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def reason(error: Exception) -> str:
    """What an error of Ray's says first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")
