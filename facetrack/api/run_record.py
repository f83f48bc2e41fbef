"""Assemble the record of a tracking run."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from facetrack.api.outputs import Outputs, options_record
from facetrack.errors import FacetrackError
from facetrack.files import reason_of, sha256_of
from facetrack.landmarks.point_files import points_sha256
from facetrack.multiface.face_track import Event
from facetrack.pipeline.options import Options
from facetrack.pipeline.query_frame import Query
from facetrack.pipeline.runner import Pipeline
from facetrack.record import environment
from facetrack.video.checksum import input_sha256
from facetrack.video.image_files import images_of
from facetrack.video.probe import VideoInfo


def inputs_of(video: Path, options: Options) -> dict[str, Path]:
    """Return the files that a run reads, by kind: the video, points, and weights of the user's."""
    inputs = {"video": video}
    inputs |= {f"image {path.name}": path for path in images_of(video) or []}
    if options.points is not None:
        inputs["points file"] = options.points
    if options.corrections is not None:
        inputs["file of corrections"] = options.corrections
    # A name of published weights may be the name of a file, too, which is read then.
    inputs["detector's weights"] = Path(options.detector_options.weights)
    inputs["tracker's weights"] = Path(options.tracker_options.weights)
    return inputs


def run_key(pipeline: Pipeline, described: dict[str, Any]) -> dict[str, Any]:
    """Return everything that the rows of a run depend on, to tell whether it can be resumed.

    Args:
        described: the models' descriptions by kind.
    """
    video, options = pipeline.video, pipeline.options
    # Sizes and times of the files tell a changed input; hashing an hour of video takes too long.
    files = images_of(video) or [video]
    own_points = None
    if options.points is not None:
        own_points = pipeline.query_search.own_points.tolist()
    return {
        "options": dataclasses.asdict(options),
        "points": own_points,
        "corrections": None if options.corrections is None else _content(options.corrections),
        "input": [_stamp(file) for file in files],
        "parts": described,
        **environment(),
    }


def _content(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise FacetrackError(f"{path} cannot be read: {reason_of(error)}.") from error


def _stamp(path: Path) -> tuple[str, int, int]:
    """Return name, size and time of a file; one of several images may be unreadable."""
    try:
        stat = path.stat()
    except OSError:
        return path.name, -1, -1
    return path.name, stat.st_size, stat.st_mtime_ns


def run_record(
    pipeline: Pipeline,
    described: dict[str, Any],
    outputs: Outputs,
    num_frames: int,
    seconds: dict[str, float],
    warnings: list[str],
) -> dict[str, Any]:
    """Return the record of a run: input, options, models, decisions and times.

    Args:
        described: the models' descriptions by kind.
        num_frames: rows written.
        seconds: time spent by stage; "total" is needed.
        warnings: the run's warnings.
    """
    query, info, options = pipeline.query, pipeline.info, pipeline.options
    assert query is not None
    own_points = options.points is not None
    images = images_of(pipeline.video)
    return {
        **environment(),
        "input": {
            "path": str(pipeline.video),
            "absolute_path": os.path.abspath(pipeline.video),
            "sha256": input_sha256(pipeline.video),
            **picture_record(info, num_frames),
            "colour": info.describe_colour(),
            "deinterlaced": pipeline.reader.deinterlaced,
            "audio": info.audio_codec,
            **({} if images is None else {"images": [path.name for path in images]}),
        },
        "options": options_record(options, outputs),
        "query": query_record(query),
        "detector": {"name": "points", **_own_points_record(pipeline)},
        "face_detector": None if own_points else pipeline.models.face_detector.describe(),
        "events": events_record(pipeline.events),
        **described,
        **speed_record(num_frames, seconds),
        "warnings": warnings,
    }


def _own_points_record(pipeline: Pipeline) -> dict[str, str]:
    # Of the points as they were read: their file may have changed since.
    if pipeline.options.points is None:
        return {}
    return {"sha256": points_sha256(pipeline.query_search.own_points)}


def picture_record(info: VideoInfo, num_frames: int) -> dict[str, Any]:
    """Return the entries of the record's input for its pictures."""
    return {
        "width": info.width,
        "height": info.height,
        "rotation": info.rotation,
        "frames": num_frames,
        "start_time": round(info.start_time, 6),
        "header_fps": None if info.fps is None else str(info.fps),
        "codec": info.codec,
    }


def speed_record(num_frames: int, seconds: dict[str, float]) -> dict[str, Any]:
    """Return the record's entries for the time by stage, of which "total" is needed."""
    return {
        "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
        "frames_per_second": round(num_frames / seconds["total"], 3),
    }


def query_record(query: Query) -> dict[str, Any]:
    """Return the record's entry for the query frame."""
    return {
        "frame": query.frame.index,
        "time": query.frame.time,
        "box": query.box,
        "scheme": query.scheme,
        "points": len(query.xy),
    }


def events_record(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Return the record's entry for the decisions about faces."""
    return [dataclasses.asdict(event) for event in events]
