"""What `facetrack track` and `facetrack.track` do; for still images see `images_api`."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facetrack.api.outputs import Outputs, options_record
from facetrack.callbacks import Progress, Started
from facetrack.errors import FacetrackError
from facetrack.files import check_output_folder, stem_of
from facetrack.formats.base import open_writer
from facetrack.landmarks import schemes
from facetrack.pipeline.assembly import Chunk
from facetrack.pipeline.models import Models
from facetrack.pipeline.options import Options
from facetrack.pipeline.runner import Pipeline
from facetrack.record import environment, write_record
from facetrack.runtime.interrupts import StopState, defer_interrupts
from facetrack.tracks import Tracks
from facetrack.video.checksum import input_sha256
from facetrack.video.encoder import VideoEncoder
from facetrack.video.reader import list_images
from facetrack.viz.overlay import draw_landmarks

if TYPE_CHECKING:
    from facetrack.pipeline.resume import ResumeStore


@dataclass(frozen=True)
class RunResult:
    """What a run did.

    Attributes:
        paths: files written, by kind.
        frames: rows a face has.
        seconds: wall-clock time.
        warnings: sentences about what was lost or guessed.
        interrupted: the process was told to stop: the files have what was done until then.
    """

    paths: dict[str, Path]
    frames: int
    seconds: float
    warnings: list[str]
    interrupted: bool = False


def track(video: str | Path, **options: Any) -> Tracks:
    """Track the landmarks of the faces in a video and return them.

    Args:
        video: a video file or a folder of images.
        **options: fields of `facetrack.Options`.

    Returns:
        Tracks of all frames; F is how many people were followed. With `faces=1`, the default,
        it is one at a time: more than one where another person takes the first one's place.

    Raises:
        FacetrackError: bad input, in one sentence.

    Example:
        >>> tracks = facetrack.track("examples/astronaut.mp4", tracker="lk")  # doctest: +SKIP
        >>> tracks.xy.shape  # doctest: +SKIP
        (96, 1, 68, 2)
    """
    return Tracks.concatenate(c.tracks for c in Pipeline(Path(video), Options(**options)).run())


def track_to_files(
    video: Path,
    options: Options,
    outputs: Outputs,
    progress: Progress = lambda done, total: None,
    started: Started = lambda parts: None,
    parts: Models | None = None,
    keep: bool = False,
    resume: bool = False,
    partial: bool = False,
    back: Progress = lambda done, total: None,
) -> RunResult:
    """Track a video and write its files; all appear, or none.

    Args:
        progress: told of the frames that are done.
        started: told, once all parts are made, what each says of itself; by kind.
        parts: of an earlier run with these options, to be used again.
        keep: save now and then what a later run can go on from, in a hidden folder beside the
            files, which goes when the run is done.
        resume: go on from there; from the beginning where there is nothing to go on from.
        partial: when the process is told to stop (`facetrack.runtime.interrupts`), finish the files with
            what is done; on the way back, where there is nothing for them, save the state.
        back: told of the frames before the query frame, through which it goes backwards first.

    Raises:
        FacetrackError: bad input or an output that cannot be written, in one sentence.
        KeyboardInterrupt: told to stop on the way back; says what is done.
    """
    began = time.perf_counter()
    video = Path(video)
    stem = stem_of(video)
    if outputs.report:
        from facetrack.report import report_of_track
    pipeline = Pipeline(video, options, parts)
    check_output_folder(outputs.folder)
    paths = outputs.paths(stem)
    for path in paths.values():
        if os.path.exists(path) and os.path.exists(video) and path.samefile(video):
            raise FacetrackError(f"{path} is the input itself: choose another --out folder.")
    pipeline.prepare()
    described = pipeline.describe()
    started(described)
    unfinished = state = None
    if keep or resume:
        from facetrack.pipeline.resume import ResumeStore

        unfinished = ResumeStore(outputs.folder, stem, _run_key(pipeline, described))
        state = unfinished.load(pipeline.shared) if resume else None
        pipeline.before = unfinished.before

    interruptions: StopState | None = None

    def is_told() -> bool:
        """Whether to stop. Until this is first asked there is nothing to keep, and the process is
        interrupted at once."""
        nonlocal interruptions
        if partial and interruptions is None:
            interruptions = stack.enter_context(defer_interrupts())
        return interruptions is not None and interruptions.requested

    def told_back(done: int, total: int | None) -> None:
        back(done, total)
        told = is_told()
        if unfinished is not None and (told or unfinished.due):
            unfinished.save(pipeline.state(), pipeline.shared)
        if told:
            raise KeyboardInterrupt(
                f"{done} of {total} frames are tracked backwards from the query frame, before the "
                "files begin, and the same command with --resume goes on from there"
            )

    pipeline.told_back = told_back
    info, frames, writing = pipeline.info, 0, 0.0
    resumed_from = interrupted = None
    warnings: list[str] = []
    kept: list[Tracks] = []
    with ExitStack() as stack:
        # Files take their final names as the stack unwinds, so only after everything worked.
        writers = [
            stack.enter_context(open_writer(name, outputs.folder, stem)) for name in outputs.formats
        ]
        encoder = None
        if outputs.overlay:
            encoder = stack.enter_context(
                VideoEncoder(
                    paths["overlay"],
                    (info.width, info.height),
                    audio_from=video if info.has_audio else None,
                    start_time=info.start_time,
                    pixel_aspect=info.pixel_aspect,
                )
            )
        chunks: Iterator[Chunk] = iter(pipeline.run(state))
        if state is not None:
            assert unfinished is not None
            resumed_from = state.reached
            chunks = chain(_written(unfinished, pipeline, encoder is not None), chunks)
        for chunk in chunks:
            told = is_told()
            wrote = time.perf_counter()
            for writer in writers:
                writer.write(chunk.tracks)
            if encoder is not None:
                _draw(chunk, encoder, options.faces != 1)
            if unfinished is not None and not chunk.again:
                unfinished.tracks.add(chunk.tracks)
                if pipeline.at_rest and (told or unfinished.due):
                    unfinished.save(pipeline.state(), pipeline.shared)
            writing += time.perf_counter() - wrote
            if outputs.report:
                kept.append(chunk.tracks)
            frames += len(chunk.tracks)
            progress(frames, pipeline.reader.total)
            if told and pipeline.at_rest:
                interrupted = frames
                break
        warnings += pipeline.warnings
    if encoder is not None:
        warnings += encoder.warnings
    timings = {**pipeline.seconds, "write": writing, "total": time.perf_counter() - began}
    record = _sidecar(pipeline, described, outputs, frames, timings, warnings)
    record |= {"interrupted": interrupted is not None, "resumed_from_frame": resumed_from}
    if outputs.report:
        wrote = time.perf_counter()
        warnings += report_of_track(video, Tracks.concatenate(kept), record, paths["report"])
        record["seconds"]["report"] = round(time.perf_counter() - wrote, 3)
    # Last, so that what has a record is complete.
    write_record(paths["sidecar"], record)
    if unfinished is not None and interrupted is None:
        unfinished.remove()
    seconds = time.perf_counter() - began
    return RunResult(paths, frames, seconds, warnings, interrupted is not None)


def _written(unfinished: ResumeStore, pipeline: Pipeline, pictures: bool) -> Iterator[Chunk]:
    """What a run that was ended had written; with its pictures where they are to be drawn again."""
    frames = pipeline.reader.forwards() if pictures else None
    for tracks in unfinished.tracks:
        yield Chunk([next(frames) for _ in tracks.time] if frames else [], tracks, again=True)


def _run_key(pipeline: Pipeline, described: dict[str, Any]) -> dict[str, Any]:
    """All that the rows of a run depend on."""
    video, options = pipeline.video, pipeline.options
    # A fingerprint that costs nothing: hashing an hour's video takes a while.
    files = list_images(video) if os.path.isdir(video) else [video]
    return {
        "options": dataclasses.asdict(options),
        "points": None if options.points is None else pipeline.placing.own_points.tolist(),
        "input": [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files],
        "parts": described,
        **environment(),
    }


def _draw(chunk: Chunk, encoder: VideoEncoder, named: bool) -> None:
    tracks, scheme = chunk.tracks, schemes.get(chunk.tracks.scheme)
    names = [str(face) for face in tracks.face_id.tolist()] if named else None
    for i, frame in enumerate(chunk.frames):
        image = draw_landmarks(
            frame.image, tracks.xy[i], tracks.visible[i], tracks.confidence[i], scheme, names
        )
        encoder.write(image, frame.time, frame.duration)


def _sidecar(
    pipeline: Pipeline,
    described: dict[str, Any],
    outputs: Outputs,
    frames: int,
    timings: dict[str, float],
    warnings: list[str],
) -> dict[str, Any]:
    query, info, options = pipeline.query, pipeline.info, pipeline.options
    assert query is not None
    own_points = options.points is not None
    return {
        **environment(),
        "input": {
            "path": str(pipeline.video),
            "sha256": input_sha256(pipeline.video),
            "width": info.width,
            "height": info.height,
            "rotation": info.rotation,
            "frames": frames,
            "header_fps": None if info.fps is None else str(info.fps),
            "codec": info.codec,
            "audio": info.audio_codec,
        },
        "options": options_record(options, outputs),
        "query": {
            "frame": query.frame.index,
            "time": query.frame.time,
            "box": query.box,
            "scheme": query.scheme,
            "points": len(query.xy),
        },
        "detector": {"name": "points"},
        "face_detector": None if own_points else pipeline.faces.describe(),
        "events": [dataclasses.asdict(event) for event in pipeline.events],
        **described,
        "seconds": {stage: round(value, 3) for stage, value in timings.items()},
        "frames_per_second": round(frames / timings["total"], 3),
        "warnings": warnings,
    }
