"""What runs on each device of a Ray cluster; knows nothing of Ray itself."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from facetrack.batch.messages import Message, Outcome
from facetrack.batch.plan import Task
from facetrack.batch.stores import Store
from facetrack.batch.tracking import track_task
from facetrack.pipeline.models import ModelCache
from facetrack.pipeline.options import Options
from facetrack.runtime.threads import limit_threads
from facetrack.version import __version__


@dataclass(frozen=True)
class WorkerConfig:
    """What a worker has to know.

    Attributes:
        options: of all videos.
        again: track also what is complete.
        threads: so many for each library.
        folder: the current folder of the process that leads, to which relative names belong.
        variables: of the environment; the worker's own take precedence.
        version: of the facetrack that leads.
        store: where results end up.
        probe: a file that the leading process has written there; None where it could not.
    """

    options: Options
    again: bool
    threads: int
    folder: str
    variables: Mapping[str, str]
    version: str
    store: Store
    probe: Path | None


class Worker:
    """Tracks one video after another with the same parts.

    One thread tracks, while another answers `news` and `stop`.
    """

    def __init__(self, terms: WorkerConfig) -> None:
        self._terms = terms
        self._kept = ModelCache()
        self._said: list[Message] = []
        self._lock = threading.Lock()
        self._stopped = False

    def ready(self) -> str | None:
        """Prepare the process; what stands in the way, in a sentence, or None."""
        terms, node = self._terms, platform.node()
        for name, value in terms.variables.items():
            os.environ.setdefault(name, value)
        limit_threads(terms.threads)
        if __version__ != terms.version:
            return (
                f"{node} has facetrack {__version__}, and not {terms.version} as here: "
                "install the same on all nodes."
            )
        try:
            os.chdir(terms.folder)
        except OSError:
            return (
                f"{node} has no folder {terms.folder}, where facetrack was started: all nodes must "
                "see the same files under the same names."
            )
        if terms.probe is not None and not self._sees(terms.probe):
            return (
                f"{node} does not see what is written to {terms.store.shown(terms.probe.parent)}: "
                "results go to a folder that all nodes share, or to a url."
            )
        return None

    def track(self, task: Task, place: Path) -> tuple[Outcome, list[Message]]:
        """Track a video into the folder `place`; also returns the news not asked for yet."""
        try:
            outcome = track_task(
                task,
                self._terms.options,
                self._terms.again,
                self._kept,
                self._tell,
                task.store.staging(place),
            )
        except KeyboardInterrupt:
            outcome = Outcome("not reached")
        return outcome, self.poll()

    def poll(self) -> list[Message]:
        """What has been said since the last time."""
        with self._lock:
            said, self._said = self._said, []
        return said

    def stop(self) -> None:
        """End the work on the video at the next word about it."""
        self._stopped = True

    def _sees(self, path: Path) -> bool:
        with contextlib.suppress(Exception):
            return self._terms.store.exists(path)
        return False

    def _tell(self, message: Message) -> None:
        if self._stopped:
            raise KeyboardInterrupt
        with self._lock:
            self._said.append(message)
