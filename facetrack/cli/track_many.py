"""Track several videos from one command line."""

from __future__ import annotations

import dataclasses

from facetrack.api.outputs import Outputs
from facetrack.errors import FacetrackError
from facetrack.pipeline.options import Options


@dataclasses.dataclass(frozen=True)
class _Many:
    """What was asked for several videos; see the command's options."""

    names: list[str]
    manifest: str | None
    jobs: int
    shard: str | None
    overwrite: bool
    keep_folders: bool
    engine: str
    address: str | None
    as_json: bool
    quiet: bool

    def track(
        self, options: Options, outputs: Outputs, destination: str | None
    ) -> tuple[str, bool] | None:
        """Track them; returns what is to be said where some failed, and whether by our fault."""
        from facetrack.batch import engines
        from facetrack.batch.inputs import Shard, find_videos
        from facetrack.batch.plan import check_summaries, plan, summary_paths
        from facetrack.batch.run import run
        from facetrack.batch.state import Batch
        from facetrack.batch.stores import store_of
        from facetrack.cli.batch_reporter import BatchReporter

        engine = engines.create(self.engine, self.jobs, self.address)
        store, out = store_of(destination)
        if self.keep_folders and out is None:
            raise FacetrackError("--keep-folders is about the folders in --out: give that too.")
        share = None if self.shard is None else Shard.parse(self.shard)
        found = find_videos(self.names, self.manifest)
        # All videos, so that every shard finds the same to be wrong.
        tasks = plan(found.videos, outputs, out, self.keep_folders, store)
        engines.check(self.engine, tasks)
        summaries = {} if out is None else summary_paths(out, share)
        check_summaries(tasks, list(summaries.values()))
        if out is not None:
            store.check(out)
        if share is not None:
            tasks = share.of(tasks)
        batch = Batch(tasks, options, self.jobs, self.shard, list(found.notes), store)
        reporter = BatchReporter(len(tasks), self.as_json, self.quiet)
        with reporter:
            run(batch, engine, reporter, self.overwrite, summaries)
        reporter.finish(batch, list(summaries.values()))
        failed = batch.failed()
        if not failed:
            return None
        return batch.failed_sentence(), any(outcome.traceback for _, outcome in failed)
