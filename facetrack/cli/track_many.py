"""Track several videos from one command line."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facetrack.api.outputs import Outputs
    from facetrack.pipeline.options import Options


@dataclasses.dataclass(frozen=True)
class BatchRun:
    """Hold the command-line options that apply to several videos.

    The attributes carry the values of the options of the same names; see `facetrack track --help`.
    """

    names: list[str]
    manifest: str | None
    jobs: int
    shard: str | None
    overwrite: bool
    keep_folders: bool
    engine: str
    address: str | None
    stall_timeout: float
    as_json: bool
    quiet: bool

    def track(
        self, options: Options, outputs: Outputs, destination: str | None
    ) -> tuple[str, bool] | None:
        """Track the videos.

        Args:
            options: tracking options of every video.
            outputs: files to write for every video.
            destination: output folder or URL; None for each video's own folder.

        Returns:
            None if all videos succeeded. Otherwise a sentence about the failed videos, and
            whether any of them failed because of an internal error.
        """
        from facetrack.batch import engines
        from facetrack.batch.inputs import Shard, find_videos
        from facetrack.batch.plan import (
            check_former_summaries,
            check_inputs,
            check_summaries,
            plan,
            summary_paths,
        )
        from facetrack.batch.run import run
        from facetrack.batch.state import Batch
        from facetrack.batch.stores import FOLDER, store_of
        from facetrack.cli.batch_reporter import BatchReporter
        from facetrack.errors import FacetrackError
        from facetrack.files import removing_new_folders

        engine = engines.create(self.engine, self.jobs, self.address, self.stall_timeout)
        store, out = store_of(destination)
        if self.keep_folders and out is None:
            raise FacetrackError("--keep-folders needs --out.")
        shard = None if self.shard is None else Shard.parse(self.shard)
        inputs = find_videos(self.names, self.manifest)
        # Plan all videos, so that every shard reports the same errors.
        tasks = plan(inputs.videos, outputs, out, self.keep_folders, store)
        engines.check(self.engine, tasks)
        summaries = {} if out is None else summary_paths(out, shard)
        check_summaries(tasks, list(summaries.values()))
        check_inputs(tasks, summaries, options, self.manifest)
        if shard is not None:
            tasks = shard.of(tasks)
        batch = Batch(tasks, options, self.jobs, self.shard, list(inputs.notes), store)
        batch.left_out = inputs.left_out
        reporter = BatchReporter(len(tasks), self.as_json, self.quiet)
        folders = {task.outputs.folder for task in tasks} | ({out} if out is not None else set())
        with removing_new_folders(*(folders if store == FOLDER else ())):
            if out is not None:
                store.check(out)
                if not self.overwrite:
                    check_former_summaries(summaries, store)
            with reporter:
                run(batch, engine, reporter, self.overwrite, summaries)
        reporter.finish(batch, list(summaries.values()))
        failed = batch.failed()
        if not failed:
            return None
        return batch.failed_sentence(), any(outcome.traceback for _, outcome in failed)
