"""Track a video: `facetrack.track`, and `track_to_files` behind `facetrack track`."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from facetrack.api.corrected_run import corrections_record
from facetrack.api.keywords import TrackKeywords, check_keywords
from facetrack.api.outputs import Outputs, measures_warnings
from facetrack.api.ownership import OTHER_FOLDER, Alternatives
from facetrack.api.run_files import RunFiles
from facetrack.api.run_record import inputs_of, run_key, run_record
from facetrack.api.sources import find_live_source, open_chunks
from facetrack.callbacks import Loading, Progress, Started
from facetrack.corrections.engine import Corrector
from facetrack.corrections.pipeline import CorrectedPipeline, create_pipeline
from facetrack.files import stem_of
from facetrack.pipeline.assembly import Chunk
from facetrack.pipeline.models import Models
from facetrack.pipeline.options import Options
from facetrack.pipeline.runner import Pipeline, RunState
from facetrack.runtime.interrupts import StopState, defer_interrupts
from facetrack.tracks import Tracks

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from facetrack.pipeline.resume import ResumeStore


@dataclass(frozen=True)
class RunResult:
    """The result of `track_to_files`.

    Attributes:
        paths: files written, by kind.
        frames: rows per face.
        seconds: wall-clock time.
        warnings: sentences about lost or guessed data.
        interrupted: True if the process was asked to stop; the files hold the frames until then.
    """

    paths: dict[str, Path]
    frames: int
    seconds: float
    warnings: list[str]
    interrupted: bool = False


def track(
    video: str | Path | int | np.ndarray | Iterable[np.ndarray],
    *,
    progress: Progress | None = None,
    **options: Unpack[TrackKeywords],
) -> Tracks:
    """Track the landmarks of the faces in a video.

    The keywords are the options of the command line, with underscores: `init`, `tracker`, `device`,
    `faces`, `start`, `end`, `points`, `fps` and more (`facetrack.api.keywords.TrackKeywords`).

    Args:
        video: a video file, a folder of images, or a series such as `frames/img_*.png`; the number
            of a camera (0), or an address, which end after `seconds` or `max_frames`, or with
            Ctrl-C; an array (T, H, W, 3) RGB or (T, H, W) grey of uint8; or an iterable of frames,
            which are kept on disk until the end.
        progress: called with the number of frames done and their number (None if unknown).
        **options: see above.

    Returns:
        Tracks of all frames; F is the number of people. With `faces=1`, the default, one person is
        tracked at a time; F is larger if another person takes the first person's place.

    Raises:
        FacetrackError: bad input, in one sentence.
        TypeError: an unknown keyword, or a value of another type.

    Example:
        >>> tracks = facetrack.track("examples/astronaut.mp4", tracker="lk")  # doctest: +SKIP
        >>> tracks.xy.shape  # doctest: +SKIP
        (96, 1, 68, 2)
    """
    check_keywords("track", options, TrackKeywords)
    parts: list[Tracks] = []
    with ExitStack() as stack:
        try:
            for chunk in open_chunks(stack, video, options, stream=False, progress=progress):
                parts.append(chunk.tracks)
        except KeyboardInterrupt:
            # What came from a live source cannot come again.
            if not parts or find_live_source(video, options) is None:
                raise
    return Tracks.concatenate(parts)


def track_to_files(
    video: Path,
    options: Options,
    outputs: Outputs,
    progress: Progress = lambda done, total: None,
    started: Started = lambda models: None,
    models: Models | None = None,
    keep: bool = False,
    resume: bool = False,
    partial: bool = False,
    on_backward_progress: Progress = lambda done, total: None,
    overwrite: bool = False,
    inputs: Mapping[str, Path] | None = None,
    loading: Loading = lambda: None,
    alternatives: Alternatives = OTHER_FOLDER,
    final_folder: str | None = None,
) -> RunResult:
    """Track a video and write its files: all of them, or none.

    Args:
        video: a video file, a folder of images, or a series such as `frames/img_*.png`.
        options: how to track.
        outputs: the files to write.
        progress: called with the number of frames done.
        started: called once all models are loaded, with their descriptions by kind.
        models: of an earlier run with the same options, to use them again.
        keep: save the run's state from time to time, in a hidden folder beside the files that is
            deleted when the run is complete.
        resume: continue from a saved state; from the beginning if there is none.
        partial: when the process is asked to stop (`facetrack.runtime.interrupts`), finish the
            files with the frames done, unless earlier results of this video have more. During the
            backward pass there are none: the state is saved.
        on_backward_progress: called with the number of frames done by the backward pass, from the
            query frame to the first, which comes first.
        overwrite: replace files that facetrack did not write, or that are results of another input.
        inputs: further inputs of the command by kind, e.g. a manifest, which are never replaced.
        loading: called before the models are loaded.
        alternatives: what the user can do where a file must not be replaced.
        final_folder: of the command's files, for the record, if they are to be moved there.

    Raises:
        FacetrackError: bad input or an output that cannot be written, in one sentence.
        KeyboardInterrupt: the process was asked to stop, and the files stay as they are: during the
            backward pass, or because earlier results have more frames. The state is saved.
    """
    began = time.perf_counter()
    pipeline = create_pipeline(Path(video), options, models)
    if options.corrections is not None:
        outputs = replace(outputs, keeps_uncorrected=True)
    files = RunFiles(
        pipeline.video,
        pipeline.info,
        outputs,
        show_ids=options.faces != 1,
        inputs={**inputs_of(pipeline.video, options), **(inputs or {})},
        overwrite=overwrite,
        alternatives=alternatives,
    )
    with files, ExitStack() as stack:
        loading()
        pipeline.prepare()
        described = pipeline.describe()
        started(described)
        store = state = None
        if keep or resume:
            from facetrack.pipeline.resume import ResumeStore

            key = run_key(pipeline, described)
            store = ResumeStore(outputs.folder, stem_of(pipeline.video), key)
            stack.enter_context(store.reserved())
            stack.push(store.clean_up)
            state = store.load(pipeline.shared) if resume else None
            if isinstance(pipeline, CorrectedPipeline):
                pipeline.uncorrected_log = store.uncorrected_log
                pipeline.runs_folder = store.runs_folder
        run = _Run(pipeline, files, store, _StopRequest(partial), progress, on_backward_progress)
        with run.stop:
            run.track(state)
        if run.interrupted and files.former_holds_more():
            raise KeyboardInterrupt(
                "the files of the earlier run, which went further, stay as they are. "
                "Run the same command with --resume to continue"
            )
        files.close()
        warnings = [*pipeline.warnings, *files.warnings, *measures_warnings(options, outputs)]
        warnings += [] if store is None else store.unfit
        total = time.perf_counter() - began
        seconds = {**pipeline.seconds, "write": run.write_seconds, "total": total}
        record = run_record(pipeline, described, outputs, files.num_frames, seconds, warnings)
        record["interrupted"] = run.interrupted
        folder = str(outputs.folder) if final_folder is None and keep else final_folder
        if folder is not None and Path(folder).absolute() != pipeline.video.absolute().parent:
            record["output_folder"] = folder
        record["resumed_from_frame"] = None if state is None else state.reached
        if isinstance(pipeline, CorrectedPipeline) and pipeline.corrector is not None:
            _add_corrections(pipeline, pipeline.corrector, files, record)
        files.finish(record)
        if store is not None and not run.interrupted:
            store.remove()
    total = time.perf_counter() - began
    return RunResult(files.paths, files.num_frames, total, record["warnings"], run.interrupted)


def _add_corrections(
    pipeline: CorrectedPipeline, corrector: Corrector, files: RunFiles, record: dict[str, Any]
) -> None:
    path = pipeline.options.corrections
    if path is None:
        record["query"]["further_frames"] = list(pipeline.options.further_query_frames)
        return
    files.uncorrected = corrector.base
    record["corrections"] = corrections_record(
        corrector, path, pipeline.corrections_sha256, pipeline.corrections
    )


class _StopRequest:
    """Tells whether the process was asked to stop.

    Signals are deferred from the first call of `received` on, until the context closes. Before
    that there is nothing to save, and a signal interrupts the process at once.

    Args:
        enabled: False to leave signals alone.
    """

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._stack = ExitStack()
        self._state: StopState | None = None

    def received(self) -> bool:
        """Return True if the process was asked to stop."""
        if self._enabled and self._state is None:
            self._state = self._stack.enter_context(defer_interrupts())
        return self._state is not None and self._state.requested

    def __enter__(self) -> _StopRequest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return self._stack.__exit__(kind, error, traceback)


@dataclass
class _Run:
    """Passes the chunks of a pipeline to the files, and saves the state.

    Attributes:
        pipeline, files: source and destination of the chunks.
        store: saves the state; None for no saving.
        stop: tells when to stop.
        progress, on_backward_progress: see `track_to_files`.
        write_seconds: time spent on writing and saving.
        interrupted: True if `track` stopped early.
    """

    pipeline: Pipeline
    files: RunFiles
    store: ResumeStore | None
    stop: _StopRequest
    progress: Progress
    on_backward_progress: Progress
    write_seconds: float = 0.0
    interrupted: bool = False

    def track(self, state: RunState | None) -> None:
        """Write all chunks, or those until the process is asked to stop.

        Args:
            state: of an interrupted run, to continue from there.
        """
        for chunk in self._chunks(state):
            stop = self.stop.received()
            self._write(chunk, stop)
            self.progress(self.files.num_frames, self.pipeline.reader.total)
            if stop and self.pipeline.at_rest:
                self.interrupted = True
                return

    def _chunks(self, state: RunState | None) -> Iterator[Chunk]:
        log = None if self.store is None else self.store.backward_log
        chunks = self.pipeline.run(state, log, self._after_backward_step)
        if state is None or self.store is None:
            return chunks
        return itertools.chain(self._replay(self.store), chunks)

    def _replay(self, store: ResumeStore) -> Iterator[Chunk]:
        """Yield the chunks that the interrupted run wrote; with frames if these are drawn again."""
        frames = self.pipeline.reader.forwards() if "overlay" in self.files.paths else None
        for tracks in store.tracks:
            images = [next(frames) for _ in tracks.time] if frames else []
            yield Chunk(images, tracks, replayed=True)

    def _write(self, chunk: Chunk, stop: bool) -> None:
        began = time.perf_counter()
        self.files.write(chunk)
        if self.store is not None and not chunk.replayed:
            self.store.tracks.add(chunk.tracks)
            if self.pipeline.at_rest:
                self.store.save_if_due(self.pipeline, now=stop)
        self.write_seconds += time.perf_counter() - began

    def _after_backward_step(self, done: int, total: int | None) -> None:
        self.on_backward_progress(done, total)
        stop = self.stop.received()
        if self.store is not None:
            self.store.save_if_due(self.pipeline, now=stop)
        if stop:
            raise KeyboardInterrupt(
                f"{done} of {total} frames are {self.pipeline.stage}, and no file is written yet. "
                "Run the same command with --resume to continue"
            )
