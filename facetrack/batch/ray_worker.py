"""The worker on each device of a Ray cluster. It does not depend on Ray itself."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from facetrack.batch.heartbeat import Beat, beat
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
    """Configuration of a worker.

    Attributes:
        options: tracking options of every video.
        overwrite: track videos again whose results are complete.
        threads: number of threads of each library.
        folder: the current folder of the main process, to which paths are relative.
        variables: environment variables; the worker's own take precedence.
        version: of facetrack in the main process.
        store: where results are written.
        probe: a file that the main process has written there; None if it could not.
    """

    options: Options
    overwrite: bool
    threads: int
    folder: str
    variables: Mapping[str, str]
    version: str
    store: Store
    probe: Path | None


class Worker:
    """Tracks one video after another with the same models.

    One thread tracks while another handles `poll` and `stop`.
    """

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._models = ModelCache()
        self._messages: list[Message] = []
        self._lock = threading.Lock()
        self._stopped = False

    def ready(self) -> str | None:
        """Prepare the process and return None, or the reason why it cannot work, in a sentence."""
        config, node = self._config, platform.node()
        for name, value in config.variables.items():
            os.environ.setdefault(name, value)
        limit_threads(config.threads)
        if __version__ != config.version:
            return (
                f"{node} has facetrack {__version__}, but this machine has {config.version}: "
                "install the same version on all nodes."
            )
        try:
            os.chdir(config.folder)
        except OSError:
            return (
                f"{node} has no folder {config.folder}, where facetrack was started: all nodes "
                "must see the same files under the same names."
            )
        if config.probe is not None and not self._sees(config.probe):
            return (
                f"{node} does not see files written to "
                f"{config.store.shown(config.probe.parent)}: "
                "use a folder that all nodes share, or a url."
            )
        return None

    def track(self, task: Task, place: Path) -> tuple[Outcome, list[Message | Beat]]:
        """Track a video into the folder `place`.

        Returns:
            The outcome, and the messages that were not polled yet.
        """
        try:
            outcome = track_task(
                task,
                self._config.options,
                self._config.overwrite,
                self._models,
                self._send,
                task.store.staging(place),
            )
        except KeyboardInterrupt:
            outcome = Outcome("not reached")
        return outcome, self.poll()

    def poll(self) -> list[Message | Beat]:
        """Return the messages since the last call, and a beat."""
        with self._lock:
            messages, self._messages = self._messages, []
        return [*messages, beat()]

    def process(self) -> tuple[str, int]:
        """Return the name of this machine and the process id."""
        return platform.node(), os.getpid()

    def stop(self) -> None:
        """End the current video when its next message is sent."""
        self._stopped = True

    def _sees(self, path: Path) -> bool:
        with contextlib.suppress(Exception):
            return self._config.store.exists(path)
        return False

    def _send(self, message: Message) -> None:
        if self._stopped:
            raise KeyboardInterrupt
        with self._lock:
            self._messages.append(message)
