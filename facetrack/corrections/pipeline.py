"""A run whose tracks are corrected by hand, or blended from several query frames.

The run first tracks the video as any other; its rows are spooled. Then the corrections are tracked,
and the corrected rows are yielded from the first frame to the last.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from facetrack.callbacks import Progress
from facetrack.corrections.chunks import corrected_chunks
from facetrack.corrections.correction import Correction, active
from facetrack.corrections.create import create_corrector, model_options
from facetrack.corrections.engine import Corrector
from facetrack.corrections.log import read_corrections
from facetrack.corrections.placements import find_placements
from facetrack.corrections.resolve import Placement
from facetrack.pipeline.assembly import Chunk
from facetrack.pipeline.models import Models
from facetrack.pipeline.options import Options
from facetrack.pipeline.runner import Pipeline, RunState
from facetrack.pipeline.track_log import TrackLog
from facetrack.tracks import Tracks
from facetrack.video.reader import time_decoding

if TYPE_CHECKING:
    from facetrack.video.span import SpanReader


@dataclass(frozen=True)
class CorrectedState(RunState):
    """The state of a run with corrections between two steps; see `RunState`.

    Attributes:
        num_emitted: rows that were yielded; before the first, the run before corrections may be
            incomplete.
    """

    num_emitted: int = 0


class CorrectedPipeline(Pipeline):
    """One video's run with corrections; see `Pipeline`.

    Attributes:
        uncorrected_log: spools the rows before corrections; set it before `run` to keep them.
        runs_folder: keeps what is tracked again, for a later run; None for not to.
        corrections: those in force.
        corrector: tracks again; None until the tracks before corrections are complete.
    """

    def __init__(
        self,
        video: Path,
        options: Options,
        models: Models | None = None,
        reader: SpanReader | None = None,
    ) -> None:
        super().__init__(video, options, models, reader)
        self.uncorrected_log = TrackLog()
        self.runs_folder: Path | None = None
        self.corrections: list[Correction] = []
        self.corrections_sha256 = ""
        self.corrector: Corrector | None = None
        self._num_emitted = 0

    def prepare(self) -> None:
        """Create all models, and read the corrections; see `Pipeline.prepare`."""
        path = self.options.corrections
        content = None if path is None else read_corrections(path)
        super().prepare()
        if content is not None:
            self.corrections = active(content.rows)
            self.corrections_sha256 = content.sha256
            self._option_warnings += content.warnings
            self.warnings += content.warnings

    def run(
        self,
        state: RunState | None = None,
        backward_log: TrackLog | None = None,
        on_backward_progress: Progress = lambda done, total: None,
    ) -> Iterator[Chunk]:
        """Track the video and its corrections; yield the chunks in order.

        Args:
            state: of an interrupted run, to yield only the chunks that follow.
            backward_log: see `Pipeline.run`.
            on_backward_progress: called with the number of frames done and their total, of the
                backward pass, of the tracks before corrections, and of what is tracked again;
                `state()` may be called from it.
        """
        if isinstance(state, CorrectedState):
            self._num_emitted = state.num_emitted
        done = sum(len(tracks) for tracks in self.uncorrected_log)
        for chunk in super().run(state, backward_log, on_backward_progress):
            self.uncorrected_log.add(chunk.tracks)
            done += len(chunk.tracks)
            if self.at_rest:
                self.stage = "tracked before the corrections"
                on_backward_progress(done, self.reader.total)
        self.stage = "tracked again"
        began = time.perf_counter()
        self.corrector = corrector = self._create_corrector()
        while (update := corrector.step()) is not None:
            on_backward_progress(update.done, update.total)
        self.seconds["corrections"] = time.perf_counter() - began
        self.warnings += [w for w in corrector.warnings if w not in self.warnings]
        yield from self._emit(corrector)

    def state(self) -> CorrectedState:
        """Return what a later run needs to continue; see `Pipeline.state`."""
        base, reached = super().state(), None
        if self._num_emitted:
            reached = self.reader.first + (self._num_emitted - 1) * self.options.stride
        values = {**vars(base), "reached": base.reached if reached is None else reached}
        return CorrectedState(**values, num_emitted=self._num_emitted)

    def _create_corrector(self) -> Corrector:
        """Return a corrector with all corrections, after the video was tracked."""
        base = Tracks.concatenate(self.uncorrected_log)
        own = self.options.points is not None
        models = Models(model_options(self.options)) if own else self.models
        events = [dataclasses.asdict(event) for event in self.events]
        corrector = create_corrector(base, events, self.video, self.options, models)
        corrector.runs_folder = self.runs_folder
        placements: list[Placement] = []
        if self.options.further_query_frames:
            assert self.query is not None
            placements = find_placements(
                *(corrector.base, self.query, self.options.further_query_frames),
                *(self.face_landmarker, corrector.frames, self.options.faces),
            )
        corrector.set_corrections(self.corrections, placements)
        return corrector

    def _emit(self, corrector: Corrector) -> Iterator[Chunk]:
        tracks = corrector.tracks()
        if self.options.corrections is None:
            tracks = replace(tracks, corrected=None)
        start = self._num_emitted
        after = int(tracks.frames[start - 1]) if start else None
        frames = time_decoding(self.reader.forwards(after), self.seconds)
        for chunk in corrected_chunks(tracks, frames, start):
            self._num_emitted += len(chunk.tracks)
            self.at_rest = True
            yield chunk


def create_pipeline(
    video: Path,
    options: Options,
    models: Models | None = None,
    reader: SpanReader | None = None,
) -> Pipeline:
    """Return the pipeline of a run: with corrections if its options name any."""
    kind = CorrectedPipeline if options.tracks_again else Pipeline
    return kind(video, options, models, reader)
