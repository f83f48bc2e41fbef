"""What tracks the videos of a batch: processes of this machine, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol

from facetrack.batch.messages import Message
from facetrack.batch.plan import Task
from facetrack.batch.stores import Remote
from facetrack.errors import FacetrackError
from facetrack.pipeline.options import Options


class Engine(Protocol):
    """Tracks videos, several at a time.

    Attributes:
        notes: sentences about the whole batch, as far as it has come.
    """

    notes: list[str]

    def track_all(
        self, tasks: Sequence[Task], options: Options, again: bool
    ) -> Generator[tuple[int, Message], None, None]:
        """Yield (index in `tasks`, what is new of it); a task's last message is its Outcome.

        Closing the generator, or an interruption, ends the work, and unfinished files are removed.

        Args:
            again: track also what is complete.
        """
        ...


def create(name: str, jobs: int, address: str | None = None) -> Engine:
    """Make an engine.

    Args:
        name: "local" or "ray".
        jobs: videos at a time (on GPUs of a cluster: as many as there are GPUs).
        address: of a Ray cluster; None is the one that Ray finds, or one of this machine alone.

    Raises:
        FacetrackError: there is no such engine, or it has no address.
    """
    if name == "local":
        if address is not None:
            raise FacetrackError("--address is that of a Ray cluster: give --engine ray too.")
        from facetrack.batch.workers import Processes

        return Processes(jobs)
    if name == "ray":
        from facetrack.batch.ray_engine import RayCluster

        return RayCluster(jobs, address)
    raise FacetrackError(f"There is no engine '{name}'; choose one of: local, ray.")


def check(name: str, tasks: Sequence[Task]) -> None:
    """Make sure that the engine can write where the results are to go.

    Raises:
        FacetrackError: it cannot.
    """
    remote = [task for task in tasks if isinstance(task.store, Remote)]
    if remote and name != "ray":
        raise FacetrackError(f"{remote[0].store} is a url: give --engine ray too.")
    if any("pts" in task.outputs.formats for task in remote):
        raise FacetrackError(
            "--format pts is a folder of files for each video, which a url cannot take whole: "
            "choose another format."
        )
