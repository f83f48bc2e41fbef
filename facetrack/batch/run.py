"""A batch from its first video to its summary."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from facetrack import __version__
from facetrack.batch import summary
from facetrack.batch.engines import Engine
from facetrack.batch.messages import Message, Outcome
from facetrack.batch.plan import Task
from facetrack.batch.stores import FOLDER, Store
from facetrack.pipeline.options import Options


@dataclass
class Batch:
    """What is done, and what came of it so far.

    Attributes:
        outcomes: one a task, "not reached" until it has one.
        shard: "i/n", or None for all videos.
        notes: sentences about the whole.
        store: where the summary ends up.
        seconds: wall-clock time.
    """

    tasks: Sequence[Task]
    options: Options
    jobs: int
    shard: str | None = None
    notes: list[str] = field(default_factory=list)
    store: Store = FOLDER
    outcomes: list[Outcome] = field(init=False)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.outcomes = [Outcome("not reached") for _ in self.tasks]

    def counts(self) -> dict[str, int]:
        """How many have each status."""
        found = {"done": 0, "skipped": 0, "failed": 0, "not reached": 0}
        for outcome in self.outcomes:
            found[outcome.status] += 1
        return found

    def failed(self) -> list[tuple[Task, Outcome]]:
        """The tasks that failed."""
        pairs = zip(self.tasks, self.outcomes, strict=True)
        return [(task, outcome) for task, outcome in pairs if outcome.status == "failed"]

    def failed_sentence(self) -> str:
        """What is to be said of them in the end."""
        names = [summary.printable(str(task.video)) for task, _ in self.failed()]
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        return f"{len(names)} of {len(self.tasks)} videos failed: {shown}."


class Listener(Protocol):
    """Is told what happens, as it happens."""

    def hear(self, task: Task, message: Message) -> None:
        """Something is new of this task."""
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
                    listener.hear(batch.tasks[index], message)
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
