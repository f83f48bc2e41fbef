"""The state of a batch: its tasks and their outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from facetrack.batch.messages import Outcome
from facetrack.batch.plan import Task
from facetrack.batch.stores import FOLDER, Store
from facetrack.files import printable
from facetrack.pipeline.options import Options


@dataclass
class Batch:
    """A batch and its outcomes so far.

    Attributes:
        tasks: the videos.
        options: tracking options of every video.
        jobs: number of videos tracked in parallel.
        shard: "i/n", or None for all videos.
        notes: sentences about the whole batch.
        left_out: what the user's folders hold besides the videos, as `FoundVideos.left_out`.
        store: where the summary is written.
        outcomes: one per task; "not reached" until the task ends.
        seconds: wall-clock time.
    """

    tasks: Sequence[Task]
    options: Options
    jobs: int
    shard: str | None = None
    notes: list[str] = field(default_factory=list)
    store: Store = FOLDER
    left_out: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(init=False)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.outcomes = [Outcome("not reached") for _ in self.tasks]

    def counts(self) -> dict[str, int]:
        """Count the outcomes by status."""
        counts = {"done": 0, "skipped": 0, "failed": 0, "not reached": 0}
        for outcome in self.outcomes:
            counts[outcome.status] += 1
        return counts

    def failed(self) -> list[tuple[Task, Outcome]]:
        """Return the tasks that failed, with their outcomes."""
        pairs = zip(self.tasks, self.outcomes, strict=True)
        return [(task, outcome) for task, outcome in pairs if outcome.status == "failed"]

    def failed_sentence(self) -> str:
        """Return a sentence that names the videos that failed."""
        names = [printable(str(task.video)) for task, _ in self.failed()]
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        return f"{len(names)} of {len(self.tasks)} videos failed: {shown}."
