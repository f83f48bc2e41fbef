"""The videos of a batch on a Ray cluster: each tracked once, whatever dies on the way."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facetrack.batch.messages import INTERVAL, Message, Outcome
from facetrack.batch.plan import Task
from facetrack.batch.ray_cluster import Device, check_device, connected, devices, reason
from facetrack.batch.ray_worker import Worker, WorkerConfig
from facetrack.batch.stores import Folder, place_beside
from facetrack.errors import FacetrackError
from facetrack.pipeline.options import Options
from facetrack.version import __version__

ATTEMPTS = 3
"""So often a video is begun whose worker or machine dies."""
PATIENCE = 15.0
"""Seconds that workers get to remove what they have begun when all is to end."""
ROOM = 600.0
"""Seconds to wait for the cluster to have room for a worker, or to grow."""


@dataclass
class _Job:
    """A video in a worker's hands: the attempt's number, its place, what is to come of it."""

    index: int
    attempt: int
    place: Path
    result: Any
    news: Any = None


@dataclass
class _WorkerHandle:
    """A worker: not ready yet, idle, or at a job."""

    actor: Any
    ready: Any
    job: _Job | None = None

    @property
    def awaited(self) -> Any:
        return self.ready if self.job is None else self.job.result


class RayCluster:
    """An engine: one worker a GPU where Ray has any, else `jobs` workers with a share of cores.

    A worker makes its models once. It writes to a place of its own; this process alone gives files
    their final names, and only those of the attempt it has waited for. So each video is done once,
    also where a machine that was given up for dead goes on.
    """

    def __init__(self, jobs: int, address: str | None) -> None:
        self.jobs, self.address = jobs, address
        self.notes: list[str] = []

    def track_all(
        self, tasks: Sequence[Task], options: Options, again: bool
    ) -> Generator[tuple[int, Message], None, None]:
        """As `Engine.track_all`.

        Raises:
            FacetrackError: Ray is missing, cannot be reached, or has no room for a worker.
        """
        check_device(options)
        with connected(self.address) as ray, _probe(tasks[0]) as probe:
            device, count = devices(ray, options, min(self.jobs, len(tasks)))
            terms = WorkerConfig(
                options=options,
                again=again,
                threads=max(1, device.cpus),
                folder=os.getcwd(),
                variables={k: v for k, v in os.environ.items() if k.startswith("FACETRACK_")},
                version=__version__,
                store=tasks[0].store,
                probe=probe,
            )
            crew = _WorkerPool(ray, tasks, terms, device, min(count, len(tasks)), self.notes)
            try:
                yield from crew.work()
            finally:
                crew.end()


class _WorkerPool:
    """The workers of one batch, and what is left to do."""

    def __init__(
        self,
        ray: Any,
        tasks: Sequence[Task],
        terms: WorkerConfig,
        device: Device,
        count: int,
        notes: list[str],
    ) -> None:
        self._ray, self._tasks, self._notes = ray, tasks, notes
        self._waiting = deque((index, 1) for index in range(len(tasks)))
        # Ray itself tries nothing again: it could not know what is finished.
        remote = ray.remote(
            num_cpus=device.cpus,
            num_gpus=device.gpus,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=2,
            scheduling_strategy="SPREAD",
        )(Worker)
        self._device = device
        self._new = lambda: remote.remote(terms)
        self._hands: list[_WorkerHandle] = []
        self._fruitless = 0  # workers in a row that died before they were ready
        self._idle_since = time.monotonic()
        for _ in range(count):
            self._spawn()

    def work(self) -> Iterator[tuple[int, Message]]:
        """Until all videos have their outcomes."""
        asked = time.monotonic()
        while self._waiting or any(hand.job for hand in self._hands):
            if not self._hands:
                raise FacetrackError(self._notes.pop() if self._notes else "Ray has no worker.")
            awaited = [hand.awaited for hand in self._hands]
            done = set(self._ray.wait(awaited, num_returns=1, timeout=INTERVAL)[0])
            for hand in [hand for hand in self._hands if hand.awaited in done]:
                yield from self._answer(hand)
            if time.monotonic() - asked >= INTERVAL:
                asked = time.monotonic()
                for hand in self._hands:
                    yield from self._news(hand)
            self._check_room()

    def end(self) -> None:
        """Let the workers remove what they have begun, and go."""
        busy = [hand for hand in self._hands if hand.job is not None]
        for hand in busy:
            hand.actor.stop.remote()
        if busy:
            results = [hand.awaited for hand in busy]
            self._ray.wait(results, num_returns=len(results), timeout=PATIENCE)
        for hand in list(self._hands):
            self._let_go(hand)

    # ---------------------------------------------------------------- one worker

    def _spawn(self) -> None:
        actor = self._new()
        self._hands.append(_WorkerHandle(actor, actor.ready.remote()))

    def _let_go(self, hand: _WorkerHandle) -> None:
        self._hands.remove(hand)
        with contextlib.suppress(Exception):
            self._ray.kill(hand.actor)
        if hand.job is not None:
            self._tasks[hand.job.index].store.discard(hand.job.place)

    def _replace(self, hand: _WorkerHandle) -> None:
        self._let_go(hand)
        if self._waiting:
            self._spawn()

    def _answer(self, hand: _WorkerHandle) -> Iterator[tuple[int, Message]]:
        """The worker has said what it was awaited for, or is dead."""
        if hand.job is None:
            self._begin(hand)
            return
        job, errors = hand.job, self._ray.exceptions
        try:
            outcome, said = self._ray.get(job.result)
        except errors.RayTaskError as error:  # a mistake of ours, which another attempt repeats
            message = f"{type(error.cause).__name__} at {self._tasks[job.index].video}"
            outcome = Outcome("failed", message=f"{message}, which is an error of facetrack itself")
            outcome, said = _with_traceback(outcome, str(error)), []
        except errors.RayError as error:
            yield from self._died(hand, job, error)
            return
        yield from ((job.index, message) for message in [*self._heard(job), *said])
        yield job.index, self._finish(job, outcome)
        hand.job = None
        self._give(hand)

    def _begin(self, hand: _WorkerHandle) -> None:
        """The worker is ready, unless something is in its way."""
        try:
            problem = self._ray.get(hand.ready)
        except self._ray.exceptions.RayError as error:
            self._fruitless += 1
            if self._fruitless < ATTEMPTS:
                self._replace(hand)
            else:
                self._dismiss(hand, f"A worker of Ray's died at once: {reason(error)}.")
            return
        self._fruitless = 0
        if problem is not None:
            self._dismiss(hand, problem)
            return
        self._give(hand)

    def _dismiss(self, hand: _WorkerHandle, why: str) -> None:
        """Go on without this one; another of the same machine would do no better."""
        self._let_go(hand)
        if why not in self._notes:
            self._notes.append(why)

    def _give(self, hand: _WorkerHandle) -> None:
        if not self._waiting:
            self._let_go(hand)
            return
        index, attempt = self._waiting.popleft()
        task = self._tasks[index]
        place = place_beside(task.outputs.folder)
        hand.job = _Job(index, attempt, place, hand.actor.track.remote(task, place))

    def _finish(self, job: _Job, outcome: Outcome) -> Outcome:
        """Give the files their final names."""
        task = self._tasks[job.index]
        if outcome.status != "done":
            task.store.discard(job.place)
            return outcome
        try:
            task.store.publish(job.place, task.paths)
        except FacetrackError as error:
            task.store.discard(job.place)
            return Outcome("failed", message=str(error))
        return outcome

    def _died(
        self, hand: _WorkerHandle, job: _Job, error: Exception
    ) -> Iterator[tuple[int, Message]]:
        video = self._tasks[job.index].video
        if job.attempt < ATTEMPTS:
            # Last in the queue, in case it is the video that kills.
            self._waiting.append((job.index, job.attempt + 1))
        else:
            yield (
                job.index,
                Outcome(
                    "failed",
                    message=f"the worker that tracked {video} ended by itself, {ATTEMPTS} times "
                    f"({reason(error)}).",
                ),
            )
        self._replace(hand)

    # ---------------------------------------------------------------- what they say

    def _news(self, hand: _WorkerHandle) -> Iterator[tuple[int, Message]]:
        """What a worker at work has said, as far as the answer is there; ask again."""
        job = hand.job
        if job is None:
            return
        if job.news is not None:
            if not self._ray.wait([job.news], timeout=0)[0]:
                return
            yield from ((job.index, message) for message in self._heard(job))
        job.news = hand.actor.poll.remote()

    def _heard(self, job: _Job) -> list[Message]:
        if job.news is None:
            return []
        try:
            return list(self._ray.get(job.news, timeout=PATIENCE))
        except self._ray.exceptions.RayError:
            return []  # it is dead, which its result says too
        finally:
            job.news = None

    def _check_room(self) -> None:
        now = time.monotonic()
        if any(hand.job for hand in self._hands):
            self._idle_since = now
        if now - self._idle_since > ROOM:
            gpu = " and a GPU" if self._device.gpus else ""
            raise FacetrackError(
                f"For {ROOM / 60:.0f} minutes Ray had no room for a worker, which takes "
                f"{self._device.cpus} CPUs{gpu}: `ray status` says what takes it."
            )


@contextlib.contextmanager
def _probe(task: Task) -> Iterator[Path | None]:
    """A file among the results, by which workers find out whether they see the same."""
    folder = task.outputs.folder
    while isinstance(task.store, Folder) and not folder.exists() and folder != folder.parent:
        folder = folder.parent
    path = place_beside(folder)
    try:
        with task.store.writing(path) as temporary:
            temporary.touch()
    except FacetrackError:
        yield None  # that video will fail, and say why
        return
    try:
        yield path
    finally:
        task.store.discard(path)


def _with_traceback(outcome: Outcome, text: str) -> Outcome:
    return Outcome("failed", message=outcome.message + ".", traceback=text)
