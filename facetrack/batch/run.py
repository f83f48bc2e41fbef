"""A batch from its first video to its summary."""

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
from facetrack.version import __version__


class Listener(Protocol):
    """Receives the messages of a batch."""

    def handle(self, task: Task, message: Message) -> None:
        """Handle a message about a task."""
        ...


def run(
    batch: Batch, engine: Engine, listener: Listener, again: bool, summaries: dict[str, Path]
) -> None:
    """Track the videos of a batch, and fill in its outcomes.

    Args:
        engine: what tracks them.
        again: track also what is complete.
        summaries: where the summary is written, by kind ("json", "csv"); also when the batch is
            interrupted.

    Raises:
        FacetrackError: the summary cannot be written. A video that fails is an outcome.
    """
    began = time.perf_counter()
    try:
        if batch.tasks:
            messages = engine.track_all(batch.tasks, batch.options, again)
            with contextlib.closing(messages):
                for index, message in messages:
                    if isinstance(message, Outcome):
                        batch.outcomes[index] = message
                    listener.handle(batch.tasks[index], message)
    finally:
        batch.seconds = time.perf_counter() - began
        batch.notes += [*engine.notes, *_old(batch.outcomes)]
        summary.write(batch, summaries)


def _old(outcomes: Sequence[Outcome]) -> list[str]:
    skipped = [o.version for o in outcomes if o.status == "skipped"]
    # A checkout that is not installed does not know its own.
    versions = set(skipped) - {__version__, None}
    if not versions:
        return []
    count = sum(version in versions for version in skipped)
    named = ", ".join(sorted(str(version) for version in versions))
    return [
        f"Of what was complete already, {count} were made by another version of facetrack "
        f"({named}); --overwrite makes them anew."
    ]
