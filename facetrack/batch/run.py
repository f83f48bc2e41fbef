"""Run a batch from its first video to its summary."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from facetrack.batch import summary
from facetrack.batch.engines import Engine
from facetrack.batch.messages import Message, Outcome
from facetrack.batch.plan import Task
from facetrack.batch.state import Batch
from facetrack.errors import FacetrackError
from facetrack.version import __version__


class Listener(Protocol):
    """Receives the messages of a batch."""

    def handle(self, task: Task, message: Message) -> None:
        """Handle a message about a task."""
        ...


def run(
    batch: Batch, engine: Engine, listener: Listener, overwrite: bool, summaries: dict[str, Path]
) -> None:
    """Track the videos of a batch and fill in its outcomes.

    Args:
        batch: the batch.
        engine: tracks the videos.
        listener: receives all messages.
        overwrite: track videos again whose results are complete.
        summaries: paths of the summary by kind ("json", "csv"). It is written also if the batch is
            interrupted, but not if it cannot start.

    Raises:
        FacetrackError: the batch cannot start, or the summary cannot be written. A video's failure
            is only an outcome.
    """
    start_time = time.perf_counter()
    is_started = False
    try:
        if batch.tasks:
            messages = engine.track_all(batch.tasks, batch.options, overwrite)
            with contextlib.closing(messages):
                for index, message in messages:
                    is_started = True
                    if isinstance(message, Outcome):
                        batch.outcomes[index] = message
                    listener.handle(batch.tasks[index], message)
    except FacetrackError:
        if not is_started:
            summaries = {}  # those of an earlier run stay
        raise
    finally:
        batch.seconds = time.perf_counter() - start_time
        batch.notes += [*engine.notes, *_version_notes(batch.outcomes)]
        summary.write(batch, summaries)


def _version_notes(outcomes: Sequence[Outcome]) -> list[str]:
    skipped = [o.version for o in outcomes if o.status == "skipped"]
    # A checkout that is not installed has no version.
    versions = set(skipped) - {__version__, None}
    if not versions:
        return []
    count = sum(version in versions for version in skipped)
    named = ", ".join(sorted(str(version) for version in versions))
    return [
        f"{count} of the skipped videos were tracked by another version of facetrack ({named}); "
        "--overwrite tracks them again."
    ]
