"""Track one video of a batch in the current process; used by all engines."""

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
    overwrite: bool,
    models: ModelCache,
    send: Callable[[Message], None],
    folder_context: AbstractContextManager[Path],
) -> Outcome:
    """Track a video unless it is complete. An interrupted earlier run is continued.

    Args:
        task: the video.
        options: tracking options.
        overwrite: track the video from the beginning even if it is complete.
        models: models of earlier videos.
        send: called with messages about the start and the progress; an exception that it raises
            ends the work.
        folder_context: context that yields the folder to write to.

    Returns:
        The outcome. Errors are outcomes too; only exceptions such as KeyboardInterrupt propagate.
    """
    from facetrack.api.track import track_to_files
    from facetrack.batch.records import complete
    from facetrack.version import __version__

    last_message_time = 0.0

    def progress(done: int, total: int | None) -> None:
        nonlocal last_message_time
        now = time.monotonic()
        if now - last_message_time >= INTERVAL:
            last_message_time = now
            send(Progressed(done, total))

    try:
        record = None if overwrite else complete(task, options)
        if record is not None:
            return Outcome(
                "skipped",
                record["input"].get("frames"),
                version=record.get("versions", {}).get("facetrack"),
            )
        with folder_context as folder:
            # A folder of this attempt is removed with it, and so would be the state to resume from.
            is_final_folder = folder == task.outputs.folder
            result = track_to_files(
                task.video,
                options,
                replace(task.outputs, folder=folder),
                progress,
                lambda parts: send(Started(parts)),
                models.get(options),
                keep=is_final_folder,
                resume=is_final_folder and not overwrite,
            )
    except FacetrackError as error:
        return Outcome("failed", message=str(error))
    except Exception as error:
        models.clear()
        message = f"{type(error).__name__} at {task.video}, which is an error of facetrack itself."
        return Outcome("failed", message=message, traceback=traceback.format_exc())
    return Outcome(
        "done", result.frames, result.seconds, warnings=result.warnings, version=__version__
    )
