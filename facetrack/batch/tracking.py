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
        overwrite: track the video from the beginning even if it is complete, and replace files that
            facetrack did not write or that are results of another input.
        models: models of earlier videos.
        send: called with messages about the start and the progress; an exception that it raises
            ends the work.
        folder_context: context that yields the folder to write to.

    Returns:
        The outcome. Errors are outcomes too; only exceptions such as KeyboardInterrupt propagate.
    """
    from facetrack.api.corrected_run import with_corrections
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
        # The models are the same for all videos, with corrections or without.
        shared = replace(options, corrections=None)
        options = with_corrections(options, task.video, task.outputs.folder, several=True)
        if options.corrections is not None:
            task = task.corrected
        record = None if overwrite else complete(task, options)
        if record is not None:
            return Outcome(
                "skipped",
                record["input"].get("frames"),
                version=record.get("versions", {}).get("facetrack"),
            )
        _check_outputs(task, options, overwrite)
        with folder_context as folder:
            # A folder of this attempt is removed with it, and so would be the state to resume from.
            is_final_folder = folder == task.outputs.folder
            result = track_to_files(
                task.video,
                options,
                replace(task.outputs, folder=folder),
                progress,
                lambda parts: send(Started(parts)),
                models.get(shared),
                keep=is_final_folder,
                resume=is_final_folder and not overwrite,
                overwrite=overwrite,
                final_folder=task.store.shown(task.outputs.folder),
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


def _check_outputs(task: Task, options: Options, overwrite: bool) -> None:
    """Refuse to replace files that are not results of this video, before any work is done."""
    from facetrack.api.ownership import refuse_foreign_files, refuse_inputs
    from facetrack.api.run_record import inputs_of
    from facetrack.batch.stores import Folder

    if isinstance(task.store, Folder):
        refuse_inputs(task.paths.values(), inputs_of(task.video, options))
    if not overwrite:
        is_local = isinstance(task.store, Folder)
        refuse_foreign_files(task.paths, task.video, None if is_local else task.store.open)
