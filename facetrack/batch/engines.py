"""Engines that track the videos of a batch: processes on this machine, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol

from facetrack.batch.messages import Message
from facetrack.batch.plan import Task
from facetrack.batch.stores import Remote
from facetrack.defaults import STALL_TIMEOUT
from facetrack.errors import FacetrackError
from facetrack.pipeline.options import Options


class Engine(Protocol):
    """Tracks several videos in parallel.

    Attributes:
        notes: sentences about the whole batch so far.
    """

    notes: list[str]

    def track_all(
        self, tasks: Sequence[Task], options: Options, overwrite: bool
    ) -> Generator[tuple[int, Message], None, None]:
        """Track all tasks and yield (index in `tasks`, message).

        A task's last message is its Outcome. Closing the generator, or an interruption, ends the
        work and removes unfinished files.

        Args:
            tasks: the videos.
            options: tracking options of every video.
            overwrite: track videos again whose results are complete.
        """
        ...


def create(
    name: str, jobs: int, address: str | None = None, stall_timeout: float = STALL_TIMEOUT
) -> Engine:
    """Create an engine.

    Args:
        name: "local" or "ray".
        jobs: number of videos tracked in parallel; ignored on a cluster with GPUs, which tracks one
            video per GPU.
        address: of a Ray cluster; None for the cluster that Ray finds, otherwise this machine.
        stall_timeout: seconds without a sign of work after which a video's process is ended; 0 for
            no limit.

    Raises:
        FacetrackError: no engine has this name, or the engine takes no address.
    """
    if name == "local":
        if address is not None:
            raise FacetrackError("--address is that of a Ray cluster: it needs --engine ray.")
        from facetrack.batch.workers import Processes

        return Processes(jobs, stall_timeout)
    if name == "ray":
        from facetrack.batch.ray_engine import RayCluster

        return RayCluster(jobs, address, stall_timeout)
    raise FacetrackError(f"There is no engine '{name}'; choose one of: local, ray.")


def check(name: str, tasks: Sequence[Task]) -> None:
    """Check that the engine can write to the tasks' stores.

    Raises:
        FacetrackError: it cannot.
    """
    remote = [task for task in tasks if isinstance(task.store, Remote)]
    if remote and name != "ray":
        raise FacetrackError(f"{remote[0].store} is a url: give --engine ray too.")
    if any("pts" in task.outputs.formats for task in remote):
        raise FacetrackError(
            "--format pts writes a folder of files for each video, which cannot be replaced as a "
            "whole at a url: choose another format."
        )
