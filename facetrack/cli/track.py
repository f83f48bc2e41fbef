"""`facetrack track VIDEO...`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facetrack.cli.ahead import import_torch_ahead
from facetrack.cli.options import (
    AsJson,
    DetectorWeights,
    Device,
    Faces,
    Flip,
    Precision,
    Quiet,
    SchemeName,
)
from facetrack.cli.reporter import Reporter
from facetrack.cli.track_many import _Many
from facetrack.defaults import INIT

if TYPE_CHECKING:
    from facetrack.api.outputs import Outputs
    from facetrack.pipeline.options import Options

MANY = "Several videos"


def track(
    videos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VIDEO",
            help="Video files, folders of images, folders of videos, or patterns.",
            show_default=False,
        ),
    ] = None,
    init: Annotated[
        str,
        typer.Option(
            help="What places the points: ert, pipnet, fan, star, heatmap1d, or points for your "
            "own."
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
            help="Frame (from 0) on which the points are placed; they are tracked both ways from "
            "there. [default: the first frame with a face]",
        ),
    ] = None,
    tracker: Annotated[
        str, typer.Option(help="What carries them: tapir, lk (Lucas-Kanade) or per-frame.")
    ] = "tapir",
    tracker_weights: Annotated[
        str,
        typer.Option(help="A bundled TAPIR (tapir-s) or a checkpoint: .pt, .npy, .safetensors."),
    ] = "tapir-s",
    causal: Annotated[
        bool | None,
        typer.Option(
            "--causal/--offline",
            help="How an official TAPIR checkpoint was trained. [default: by its file name]",
        ),
    ] = None,
    softmax_temperature: Annotated[
        float | None,
        typer.Option(help="Of an official TAPIR checkpoint. [default: 20]"),
    ] = None,
    follow_face: Annotated[
        bool,
        typer.Option(
            "--follow-face/--whole-frame",
            help="Track in a window that follows the face, or in the whole frame "
            "squeezed to 256 x 256 as the TAPIR demos do.",
        ),
    ] = True,
    steady: Annotated[
        bool,
        typer.Option(
            "--steady/--raw",
            help="Steady TAPIR's points by the query frame's picture and by optical flow, or leave "
            "them as the network has them.",
        ),
    ] = True,
    expressions: Annotated[
        bool,
        typer.Option(
            "--expressions/--no-expressions",
            help="Let a small landmark network correct mouth, eyes, brows and jaw as they move "
            "(of tapir with 68 points; not with --raw or --redetect never).",
        ),
    ] = True,
    face_detector: Faces = "auto",
    faces: Annotated[
        str,
        typer.Option(metavar="N", help="How many people to follow: a number, largest (1) or all."),
    ] = "largest",
    redetect: Annotated[
        str,
        typer.Option(
            metavar="N",
            help="When to look for faces again: auto (at cuts, where the face was lost, and now "
            "and then to check), never, or every N frames.",
        ),
    ] = "auto",
    start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Track from here on: seconds, or h:mm:ss. [default: the beginning]"
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Track up to here. [default: the end]"),
    ] = None,
    stride: Annotated[int, typer.Option(min=1, help="Track every so-manieth frame.")] = 1,
    out: Annotated[
        str | None,
        typer.Option(
            help="Folder for the files; with --engine ray also a url, such as s3://bucket/folder. "
            "[default: beside the video]",
            show_default=False,
        ),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", help="csv, openface, dlc, pts or npz; may be repeated. [default: csv]"
        ),
    ] = None,
    overlay: Annotated[bool, typer.Option(help="Make the overlay video.")] = True,
    report: Annotated[
        bool,
        typer.Option("--report", help="Make <stem>.report.html, a page to look at the result."),
    ] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    json_progress: AsJson = False,
    quiet: Quiet = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on where such a run was ended, as several videos always do.",
        ),
    ] = False,
    manifest: Annotated[
        str | None,
        typer.Option(
            help="A list: a path a line, relative ones to its folder; - is standard input.",
            rich_help_panel=MANY,
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(min=1, help="So many at a time, each in a process.", rich_help_panel=MANY),
    ] = 1,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Only every N-th of the sorted list, from the I-th on (1/N ... N/N).",
            rich_help_panel=MANY,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Track also what is complete already.", rich_help_panel=MANY
        ),
    ] = False,
    keep_folders: Annotated[
        bool,
        typer.Option(
            "--keep-folders",
            help="Repeat the videos' folders in --out, so that a/x.mp4 and b/x.mp4 do not meet.",
            rich_help_panel=MANY,
        ),
    ] = False,
    engine: Annotated[
        str,
        typer.Option(
            help="What tracks them: local (processes of this machine) or ray (a Ray cluster: one "
            "video at a time on each GPU, or --jobs where there is none).",
            rich_help_panel=MANY,
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            help="The Ray cluster's, such as 10.0.0.1:6379. [default: the one Ray finds on this "
            "machine, else this machine alone]",
            show_default=False,
            rich_help_panel=MANY,
        ),
    ] = None,
) -> None:
    """Track the landmarks of a face, or of several, through a video, or through many.

    Writes <stem>.csv (or another format), <stem>.overlay.mp4 and <stem>.json. Files appear when
    they are whole; files of the same name are replaced. Of several videos, those that are complete
    already, with the same options, are skipped; one that fails stops none of the others, and the
    exit code is then not 0.
    """
    from facetrack.batch.inputs import one_video
    from facetrack.batch.stores import is_url

    names = videos or []
    alone = manifest is None and shard is None and (engine, address) == ("local", None)
    single = one_video(names) if alone and not is_url(out) else None
    if single is not None and os.path.isfile(single):  # Path.is_file raises at a name too long
        import_torch_ahead()

    from facetrack.api.outputs import Outputs
    from facetrack.detectors import DetectorOptions
    from facetrack.errors import FacetrackError
    from facetrack.formats.base import get_format
    from facetrack.pipeline.options import Options
    from facetrack.trackers.base import TrackerOptions
    from facetrack.video.span import seconds_of

    subject = {} if single is None else {"video": str(single)}
    reporter = Reporter(subject, "frames", "fps", json_progress, quiet)
    try:
        if not names and manifest is None:
            raise FacetrackError("Which video? Name one, or several, or give --manifest FILE.")
        chosen = tuple(dict.fromkeys(formats or ["csv"]))
        for name in chosen:
            get_format(name)
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
            faces=_how_many(faces),
            redetect=int(redetect) if redetect.isdecimal() else redetect,
            start=None if start is None else seconds_of(start),
            end=None if end is None else seconds_of(end),
            stride=stride,
        )
        outputs = Outputs(Path(out or ""), chosen, overlay, report)
        if single is not None:
            _track_one(
                single, options, outputs, None if out is None else Path(out), reporter, resume
            )
            return
        many = _Many(
            *(names, manifest, jobs, shard, overwrite, keep_folders),
            *(engine, address, json_progress, quiet),
        )
        failed = many.track(options, outputs, out)
    except FacetrackError as error:
        reporter.failed(error)
        raise
    if failed is not None:
        sentence, internal = failed
        if not internal:
            raise FacetrackError(sentence)
        typer.echo(f"facetrack: {sentence}", err=True)
        raise typer.Exit(1)


def _track_one(
    video: Path,
    options: Options,
    outputs: Outputs,
    out: Path | None,
    reporter: Reporter,
    resume: bool,
) -> None:
    from facetrack.api.track import track_to_files

    outputs = dataclasses.replace(outputs, folder=out or video.absolute().parent)
    with reporter:
        report = track_to_files(
            video,
            options,
            outputs,
            reporter.step,
            reporter.started,
            keep=True,
            resume=resume,
            partial=True,
            back=reporter.back,
        )
    speed = report.frames / report.seconds
    reporter.done(
        f"{report.frames} frames in {report.seconds:.1f} s ({speed:.1f} fps)",
        report.paths,
        report.warnings,
        frames=report.frames,
        seconds=round(report.seconds, 3),
    )
    if report.interrupted:
        typer.echo(
            f"facetrack: interrupted; the files hold the first {report.frames} frames, and the "
            "same command with --resume goes on from there.",
            err=True,
        )
        raise typer.Exit(130)


def _how_many(faces: str) -> int | None:
    from facetrack.errors import FacetrackError

    if faces == "all":
        return None
    if faces == "largest" or faces.isdecimal():
        return 1 if faces == "largest" else int(faces)
    raise FacetrackError(f"--faces is a number, largest or all, not {faces!r}.")
