"""One video of a batch, in the process that tracks it; the same for all engines."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from facetrack.batch.messages import INTERVAL, Message, Outcome, Progressed, Started
from facetrack.batch.plan import Task
from facetrack.errors import FacetrackError
from facetrack.pipeline.models import ModelCache
from facetrack.pipeline.options import Options


def track_task(
    task: Task,
    options: Options,
    again: bool,
    kept: ModelCache,
    tell: Callable[[Message], None],
    place: AbstractContextManager[Path],
) -> Outcome:
    """Track a video unless it is complete, from where an earlier run of it was ended; whatever
    goes wrong is the outcome.

    Args:
        again: track also what is complete, and from the beginning.
        kept: parts of the videos before.
        tell: is told of the start and of progress; what it raises ends the work.
        place: entered where the video is tracked, gives the folder to write to.
    """
    from facetrack.api.track import track_to_files
    from facetrack.batch.records import complete
    from facetrack.version import __version__

    said = 0.0

    def progress(done: int, total: int | None) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= INTERVAL:
            said = now
            tell(Progressed(done, total))

    try:
        record = None if again else complete(task, options)
        if record is not None:
            return Outcome(
                "skipped",
                record["input"].get("frames"),
                version=record.get("versions", {}).get("facetrack"),
            )
        with place as folder:
            # A place of this attempt alone goes with it, and so would what a later one needs.
            stays = folder == task.outputs.folder
            report = track_to_files(
                task.video,
                options,
                replace(task.outputs, folder=folder),
                progress,
                lambda parts: tell(Started(parts)),
                kept.of(options),
                keep=stays,
                resume=stays and not again,
            )
    except FacetrackError as error:
        return Outcome("failed", message=str(error))
    except Exception as error:
        kept.drop()
        message = f"{type(error).__name__} at {task.video}, which is an error of facetrack itself."
        return Outcome("failed", message=message, traceback=traceback.format_exc())
    return Outcome(
        "done", report.frames, report.seconds, warnings=report.warnings, version=__version__
    )
