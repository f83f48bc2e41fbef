"""`facetrack track VIDEO...`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facetrack.cli.ahead import import_torch_ahead
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
    DetectorWeights,
    Device,
    Faces,
    Flip,
    Focal,
    ImageRate,
    Precision,
    Quiet,
    SchemeName,
)
from facetrack.cli.reporter import Reporter
from facetrack.cli.track_many import BatchRun
from facetrack.cli.track_one import track_one
from facetrack.defaults import INIT, STALL_TIMEOUT

if TYPE_CHECKING:
    pass

BATCH_PANEL = "Several videos"
"""Heading in the help for the options that apply to several videos."""


def track(
    videos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VIDEO",
            help="Video files, folders or series of images, folders of videos, patterns; or one "
            "camera (0), address (rtsp, http, udp, ...) or - for standard input.",
            show_default=False,
        ),
    ] = None,
    init: Annotated[
        str,
        typer.Option(
            help="Landmark detector: ert, pipnet, fan, star, heatmap1d, or points to give your "
            "own points."
        ),
    ] = INIT,
    detector_weights: DetectorWeights = "auto",
    flip: Flip = False,
    scheme: SchemeName = None,
    points: Annotated[
        Path | None,
        typer.Option(
            help="With --init points: a .pts file, or a CSV of x,y rows "
            "(pixels; 0,0 is the centre of the top-left pixel)."
        ),
    ] = None,
    query_frame: Annotated[
        int | None,
        typer.Option(
            help="Frame (counted from 0) on which the landmarks are detected; they are tracked "
            "forwards and backwards from it. [default: the first frame with a face]",
        ),
    ] = None,
    tracker: Annotated[
        str, typer.Option(help="Point tracker: tapir, lk (Lucas-Kanade) or per-frame.")
    ] = "tapir",
    tracker_weights: Annotated[
        str,
        typer.Option(
            help="Weights of the tracker: the bundled tapir-s, or a TAPIR checkpoint (.pt, .npy, "
            ".safetensors)."
        ),
    ] = "tapir-s",
    causal: Annotated[
        bool | None,
        typer.Option(
            "--causal/--offline",
            help="Whether an official TAPIR checkpoint was trained as a causal model. [default: "
            "read from its file name]",
        ),
    ] = None,
    softmax_temperature: Annotated[
        float | None,
        typer.Option(help="Softmax temperature of an official TAPIR checkpoint. [default: 20]"),
    ] = None,
    follow_face: Annotated[
        bool,
        typer.Option(
            "--follow-face/--whole-frame",
            help="Track in a window that follows the face, or in the whole frame resized to "
            "256 x 256 as in the TAPIR demos.",
        ),
    ] = True,
    steady: Annotated[
        bool,
        typer.Option(
            "--steady/--raw",
            help="Refine TAPIR's points by template alignment to the query frame and by optical "
            "flow, or write the network's raw output.",
        ),
    ] = True,
    expressions: Annotated[
        bool,
        typer.Option(
            "--expressions/--no-expressions",
            help="Correct eyes, brows, mouth and chin with small networks that see every frame "
            "(only tapir with 68 points; not with --raw or --redetect never).",
        ),
    ] = True,
    face_detector: Faces = "auto",
    faces: Annotated[
        str,
        typer.Option(metavar="N", help="Number of faces to track: a number, largest (1) or all."),
    ] = "largest",
    redetect: Annotated[
        str,
        typer.Option(
            metavar="N",
            help="When to detect faces again: auto (at cuts, when a face is lost, and periodically "
            "as a check), never, or every N frames.",
        ),
    ] = "auto",
    start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Start of the part to track: seconds, or h:mm:ss. [default: the beginning]",
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="End of the part to track. [default: the end]"),
    ] = None,
    stride: Annotated[int, typer.Option(min=1, help="Track every Nth frame.")] = 1,
    fps: ImageRate = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "--output",
            "-o",
            help="Output folder; with --engine ray also a URL such as s3://bucket/folder. "
            "[default: the video's folder]",
            show_default=False,
        ),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="Output format: csv, openface, dlc, pts or npz; may be repeated. [default: csv]",
        ),
    ] = None,
    overlay: Annotated[bool, typer.Option(help="Write the overlay video.")] = True,
    report: Annotated[
        bool,
        typer.Option("--report", help="Write <stem>.report.html, a page that shows the result."),
    ] = False,
    measures: Annotated[
        bool,
        typer.Option(
            "--measures",
            help="Write <stem>.measures.csv and <stem>.events.csv: head pose, eyes, mouth, brows, "
            "asymmetries, and blinks.",
        ),
    ] = False,
    focal: Focal = None,
    device: Device = "auto",
    precision: Precision = "auto",
    json_progress: AsJson = False,
    quiet: Quiet = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue an interrupted run of the same command. Always on with several videos.",
        ),
    ] = False,
    manifest: Annotated[
        str | None,
        typer.Option(
            help="Text file with one video path per line, relative to the file's folder; - is "
            "standard input.",
            rich_help_panel=BATCH_PANEL,
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            min=1, help="Number of videos processed in parallel.", rich_help_panel=BATCH_PANEL
        ),
    ] = 1,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Track only every Nth video of the sorted list, starting with the Ith (1/N to "
            "N/N).",
            rich_help_panel=BATCH_PANEL,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace whatever lies at the outputs' names, except inputs: complete results "
            "of several videos, results of another input, and files that facetrack did not write.",
        ),
    ] = False,
    keep_folders: Annotated[
        bool,
        typer.Option(
            "--keep-folders",
            help="Recreate the videos' folder structure in --out, so that the results of a/x.mp4 "
            "and b/x.mp4 do not collide.",
            rich_help_panel=BATCH_PANEL,
        ),
    ] = False,
    engine: Annotated[
        str,
        typer.Option(
            help="Where the videos are processed: local (processes on this machine) or ray (a Ray "
            "cluster: one video at a time per GPU, or --jobs videos without GPUs).",
            rich_help_panel=BATCH_PANEL,
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            help="Address of the Ray cluster, such as 10.0.0.1:6379. [default: the cluster that "
            "Ray finds on this machine, otherwise this machine alone]",
            show_default=False,
            rich_help_panel=BATCH_PANEL,
        ),
    ] = None,
    stall_timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="End the process of a video that gives no sign of work for this long, e.g. "
            "because it was stopped; the video fails and the others go on. 0: never.",
            rich_help_panel=BATCH_PANEL,
        ),
    ] = STALL_TIMEOUT,
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
    from facetrack.formats.base import get_format
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
        for chosen_format in chosen:
            get_format(chosen_format)
        options = Options(
            init=init,
            detector_options=DetectorOptions(detector_weights, device, flip, precision),
            scheme=scheme,
            points=points,
            query_frame=query_frame,
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
        )
        check_focal(focal)
        live_only = {"--camera-size": camera_size, "--camera-rate": camera_rate, "--name": name}
        live_only |= {"--seconds": seconds, "--max-frames": max_frames, "--drop": drop}
        file_only = {"--resume": resume, "--manifest": manifest, "--shard": shard, "--fps": fps}
        file_only |= {"--keep-folders": keep_folders, "--address": address, "--jobs": jobs > 1}
        file_only |= {"--engine": engine != "local", "--out with a URL": is_url(out)}
        refuse_options(live_only | {"--show": show} if source is None else file_only, source)
        outputs = Outputs(Path(out or ""), chosen, overlay, report, measures, focal)
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


def _max_faces(faces: str) -> int | None:
    """Parse --faces into the number of faces to track; None means all."""
    from facetrack.errors import FacetrackError

    if faces == "all":
        return None
    if faces == "largest" or faces.isdecimal():
        return 1 if faces == "largest" else int(faces)
    raise FacetrackError(f"--faces must be a number, largest or all, not {faces!r}.")
