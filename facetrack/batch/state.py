"""The state of a batch: its tasks and their outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from facetrack.batch.messages import Outcome
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
        names = [printable(str(task.video)) for task, _ in self.failed()]
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        return f"{len(names)} of {len(self.tasks)} videos failed: {shown}."


def printable(text: str) -> str:
    """`text` with control characters and lone surrogates, as odd file names have them, escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
