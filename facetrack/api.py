"""What `facetrack track` and `facetrack.track` do; for still images see `images_api`."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facetrack import schemes
from facetrack.errors import FacetrackError
from facetrack.output.atomic import check_output_folder
from facetrack.output.base import open_writer, output_path
from facetrack.output.encode import VideoEncoder
from facetrack.output.overlay import draw
from facetrack.output.sidecar import environment, sha256_of, write_sidecar
from facetrack.pipeline import Chunk, Options, Pipeline, Progress, progress_total
from facetrack.tracks import Tracks
from facetrack.video import list_images


@dataclass(frozen=True)
class Outputs:
    """What a run writes.

    Attributes:
        folder: where.
        formats: of the landmark file(s).
        overlay: whether the overlay video is made.
        report: whether the page to look at the result is made.
    """

    folder: Path
    formats: tuple[str, ...] = ("csv",)
    overlay: bool = True
    report: bool = False

    def paths(self, stem: str) -> dict[str, Path]:
        """Final paths by kind."""
        made = {name: output_path(name, self.folder, stem) for name in self.formats}
        if self.overlay:
            made["overlay"] = self.folder / f"{stem}.overlay.mp4"
        if self.report:
            made["report"] = self.folder / f"{stem}.report.html"
        made["sidecar"] = self.folder / f"{stem}.json"
        return made


Started = Callable[[dict[str, dict[str, Any]]], None]


@dataclass(frozen=True)
class Report:
    """What a run did.

    Attributes:
        paths: files written, by kind.
        frames: rows a face has.
        seconds: wall-clock time.
        warnings: sentences about what was lost or guessed.
    """

    paths: dict[str, Path]
    frames: int
    seconds: float
    warnings: list[str]


def track(video: str | Path, **options: Any) -> Tracks:
    """Track the landmarks of a video's largest face and return them.

    Args:
        video: a video file or a folder of images.
        **options: fields of `facetrack.Options`.

    Returns:
        Tracks of all frames, F = 1.

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
) -> Report:
    """Track a video and write its files; all appear, or none.

    Args:
        started: told, once all parts are made, what each says of itself; by kind.

    Raises:
        FacetrackError: bad input or an output that cannot be written, in one sentence.
    """
    began = time.perf_counter()
    video = Path(video)
    stem = stem_of(video)
    if outputs.report:
        from facetrack.report import report_of_track
    pipeline = Pipeline(video, options)
    check_output_folder(outputs.folder)
    paths = outputs.paths(stem)
    for path in paths.values():
        if path.exists() and video.exists() and path.samefile(video):
            raise FacetrackError(f"{path} is the input itself: choose another --out folder.")
    pipeline.prepare()
    described = {"tracker": pipeline.tracker.describe()}
    if options.points is None:
        described["detector"] = pipeline.detector.describe()
    started(described)
    info, frames, writing = pipeline.info, 0, 0.0
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
        for chunk in pipeline.run():
            wrote = time.perf_counter()
            for writer in writers:
                writer.write(chunk.tracks)
            if encoder is not None:
                _draw(chunk, encoder)
            writing += time.perf_counter() - wrote
            if outputs.report:
                kept.append(chunk.tracks)
            frames += len(chunk.frames)
            progress(frames, progress_total(info))
        warnings += pipeline.warnings
    if encoder is not None:
        warnings += encoder.warnings
    timings = {**pipeline.seconds, "write": writing, "total": time.perf_counter() - began}
    record = _sidecar(pipeline, outputs, frames, timings, warnings)
    if outputs.report:
        wrote = time.perf_counter()
        warnings += report_of_track(video, Tracks.concatenate(kept), record, paths["report"])
        record["seconds"]["report"] = round(time.perf_counter() - wrote, 3)
    # Last, so that what has a record is complete.
    write_sidecar(paths["sidecar"], record)
    return Report(paths, frames, time.perf_counter() - began, warnings)


def stem_of(video: Path) -> str:
    """What the names of a video's files begin with; a folder's dot belongs to its name."""
    named = Path(os.path.abspath(video)) if video.name in ("", "..") else video
    return named.name if named.is_dir() else named.stem


def options_record(options: Options, outputs: Outputs) -> dict[str, Any]:
    """The options as the record has them."""
    return {
        **dataclasses.asdict(options),
        "formats": list(outputs.formats),
        "overlay": outputs.overlay,
        "report": outputs.report,
    }


def input_sha256(video: Path) -> str:
    """The SHA-256 of a video file.

    Of a folder of images it is that of the lines `<SHA-256>  <name>` of its images in the order of
    the video, as `sha256sum` prints them.

    Raises:
        OSError: a file cannot be read.
        FacetrackError: a folder without images.
    """
    if not video.is_dir():
        return sha256_of(video)
    lines = [
        f"{sha256_of(image)}  ".encode() + os.fsencode(image.name) for image in list_images(video)
    ]
    return hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest()


def _draw(chunk: Chunk, encoder: VideoEncoder) -> None:
    tracks, scheme = chunk.tracks, schemes.get(chunk.tracks.scheme)
    for i, frame in enumerate(chunk.frames):
        image = draw(frame.image, tracks.xy[i], tracks.visible[i], tracks.confidence[i], scheme)
        encoder.write(image, frame.time, frame.duration)


def _sidecar(
    pipeline: Pipeline,
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
        "detector": {"name": "points"} if own_points else pipeline.detector.describe(),
        "face_detector": None if own_points else pipeline.faces.describe(),
        "tracker": pipeline.tracker.describe(),
        "seconds": {stage: round(value, 3) for stage, value in timings.items()},
        "frames_per_second": round(frames / timings["total"], 3),
        "warnings": warnings,
    }
