"""`facetrack track VIDEO...`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import typer

from facetrack.cli.ahead import import_torch_ahead
from facetrack.cli.choices import check_parts
from facetrack.cli.live import (
    Camera,
    CameraRate,
    CameraSize,
    Drop,
    MaxFrames,
    Name,
    Retries,
    Seconds,
    Show,
    Timeout,
    find_source,
    refuse_options,
    track_source,
)
from facetrack.cli.options import (
    AsJson,
    AudioOffset,
    Coordinates,
    DetectorWeights,
    Device,
    Faces,
    Flip,
    Focal,
    ImageRate,
    OverlayZoom,
    PointConfidence,
    Precision,
    Quiet,
    SchemeName,
    Utc,
    parse_lab_times,
)
from facetrack.cli.output_folder import output_folder
from facetrack.cli.reporter import Reporter
from facetrack.cli.track_many import BatchRun
from facetrack.cli.track_one import track_one
from facetrack.cli.track_options import (
    Address,
    Causal,
    Corrections,
    End,
    Engine,
    Expressions,
    FollowFace,
    Formats,
    Init,
    Jobs,
    KeepFolders,
    Manifest,
    Measures,
    NumFaces,
    Out,
    Overlay,
    OverwriteResults,
    Points,
    QueryFrame,
    Redetect,
    Report,
    Resume,
    ShardOption,
    SoftmaxTemperature,
    StallTimeout,
    Start,
    Steady,
    Stride,
    Tracker,
    TrackerWeights,
    Videos,
)
from facetrack.defaults import INIT, STALL_TIMEOUT


def track(
    videos: Videos = None,
    init: Init = INIT,
    tracker: Tracker = "tapir",
    faces: NumFaces = "largest",
    start: Start = None,
    end: End = None,
    out: Out = None,
    formats: Formats = None,
    overlay: Overlay = True,
    report: Report = False,
    measures: Measures = False,
    device: Device = "auto",
    jobs: Jobs = 1,
    resume: Resume = False,
    points: Points = None,
    query_frame: QueryFrame = None,
    corrections: Corrections = None,
    scheme: SchemeName = None,
    face_detector: Faces = "auto",
    redetect: Redetect = "auto",
    stride: Stride = 1,
    follow_face: FollowFace = True,
    steady: Steady = True,
    expressions: Expressions = True,
    detector_weights: DetectorWeights = "auto",
    flip: Flip = False,
    tracker_weights: TrackerWeights = "tapir-s",
    causal: Causal = None,
    softmax_temperature: SoftmaxTemperature = None,
    precision: Precision = "auto",
    fps: ImageRate = None,
    overwrite: OverwriteResults = False,
    focal: Focal = None,
    overlay_zoom: OverlayZoom = False,
    coordinates: Coordinates = "pixels",
    point_confidence: PointConfidence = False,
    utc: Utc = None,
    audio_offset: AudioOffset = None,
    manifest: Manifest = None,
    shard: ShardOption = None,
    keep_folders: KeepFolders = False,
    engine: Engine = "local",
    address: Address = None,
    stall_timeout: StallTimeout = STALL_TIMEOUT,
    camera: Camera = None,
    camera_size: CameraSize = None,
    camera_rate: CameraRate = None,
    name: Name = None,
    seconds: Seconds = None,
    max_frames: MaxFrames = None,
    show: Show = False,
    drop: Drop = None,
    retries: Retries = 3,
    timeout: Timeout = 10.0,
    json_progress: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Track the facial landmarks of one or more faces through one or more videos.

    Writes <stem>.csv (or another format), <stem>.overlay.mp4 and <stem>.json. They appear together
    once all are complete, and replace those of an earlier run on the same video. With several
    videos, those whose results are already complete with the same options are skipped. A video
    that fails does not stop the rest, and the exit code is then not 0.

    Of a camera or an address, each frame is tracked as it comes, and dropped while tracking is too
    slow. Ctrl-C ends with whole files.
    """
    from facetrack.batch.inputs import one_video
    from facetrack.batch.stores import is_url

    names = videos or []
    source = find_source(names, camera, camera_size, camera_rate)
    is_plain = manifest is None and shard is None and (engine, address) == ("local", None)
    single = one_video(names) if is_plain and source is None and not is_url(out) else None
    # Not Path.is_file, which raises if the name is too long.
    if source is not None or (single is not None and os.path.isfile(single)):
        import_torch_ahead()

    from facetrack.api.outputs import Outputs
    from facetrack.detectors import DetectorOptions
    from facetrack.errors import FacetrackError
    from facetrack.measures.pose import check_focal
    from facetrack.pipeline.options import Options
    from facetrack.trackers.base import TrackerOptions
    from facetrack.video.live_reader import LiveOptions
    from facetrack.video.span import parse_rate, parse_time

    subject = {} if single is None else {"video": str(single)}
    subject |= {} if source is None else {"source": source.shown}
    reporter = Reporter(subject, "frames", "fps", json_progress, quiet)
    try:
        if not names and manifest is None and source is None:
            raise FacetrackError("No video was given: name at least one, or use --manifest FILE.")
        chosen = tuple(dict.fromkeys(formats or ["csv"]))
        check_parts(init, tracker, face_detector, chosen, device)
        if out is not None and not is_url(out):
            output_folder(out, names, several=single is None and source is None)
        first_query, *further_queries = _query_frames(query_frame)
        options = Options(
            init=init,
            detector_options=DetectorOptions(detector_weights, device, flip, precision),
            scheme=scheme,
            points=points,
            query_frame=first_query,
            further_query_frames=tuple(further_queries),
            tracker=tracker,
            tracker_options=TrackerOptions(
                weights=tracker_weights,
                causal=causal,
                softmax_temperature=softmax_temperature,
                follow_face=follow_face,
                steady=steady,
                device=device,
                precision=precision,
            ),
            expressions=expressions,
            face_detector=face_detector,
            faces=_max_faces(faces),
            redetect=int(redetect) if redetect.isdecimal() else redetect,
            start=None if start is None else parse_time(start),
            end=None if end is None else parse_time(end),
            stride=stride,
            fps=None if fps is None else parse_rate(fps),
            corrections=corrections,
        )
        check_focal(focal)
        live_only = {"--camera-size": camera_size, "--camera-rate": camera_rate, "--name": name}
        live_only |= {"--seconds": seconds, "--max-frames": max_frames, "--drop": drop}
        file_only = {"--resume": resume, "--manifest": manifest, "--shard": shard, "--fps": fps}
        file_only |= {"--keep-folders": keep_folders, "--address": address, "--jobs": jobs > 1}
        file_only |= {"--corrections": corrections is not None}
        file_only |= {"--engine": engine != "local", "--out with a URL": is_url(out)}
        refuse_options(live_only | {"--show": show} if source is None else file_only, source)
        lab_times = parse_lab_times(utc, audio_offset, source is not None, single is not None)
        outputs = Outputs(
            *(Path(out or ""), chosen, overlay, report, measures, focal),
            *(coordinates, point_confidence, *lab_times, overlay_zoom),
        )
        if source is not None:
            live = LiveOptions(drop, retries, timeout, stride, seconds, max_frames)
            track_source(source, options, outputs, live, reporter, name, show, overwrite)
            return
        if single is not None:
            track_one(
                *(single, options, outputs, None if out is None else Path(out)),
                *(reporter, resume, overwrite),
            )
            return
        batch_run = BatchRun(
            *(names, manifest, jobs, shard, overwrite, keep_folders),
            *(engine, address, stall_timeout, json_progress, quiet),
        )
        failure = batch_run.track(options, outputs, out)
    except FacetrackError as error:
        reporter.failed(error)
        raise
    if failure is not None:
        sentence, is_internal = failure
        if not is_internal:
            raise FacetrackError(sentence)
        typer.echo(f"facetrack: {sentence}", err=True)
        raise typer.Exit(1)


def _query_frames(text: str | None) -> list[Any]:
    """Parse --query-frame into one or more frames; None stands for the first frame with a face."""
    from facetrack.errors import FacetrackError

    if text is None:
        return [None]
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.removeprefix("-").isdecimal() for word in words):
        raise FacetrackError(
            f"--query-frame is a frame number, or several such as 0,120,480, not {text!r}."
        )
    return [int(word) for word in words]


def _max_faces(faces: str) -> int | None:
    """Parse --faces into the number of faces to track; None means all."""
    from facetrack.errors import FacetrackError

    if faces == "all":
        return None
    if faces == "largest" or faces.isdecimal():
        return 1 if faces == "largest" else int(faces)
    raise FacetrackError(f"--faces must be a number, largest or all, not {faces!r}.")
