"""`facetrack track VIDEO`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facetrack.cli.reporter import Reporter

DetectorWeights = Annotated[
    str,
    typer.Option(
        help="Weights of the landmark detector: a name of `facetrack weights list`, a file of "
        "your own, or auto (published ones if they were fetched, else those that come with "
        "facetrack)."
    ),
]
Flip = Annotated[
    bool,
    typer.Option(
        "--flip", help="Average with the mirrored picture, where the landmark detector can."
    ),
]
SchemeName = Annotated[
    str | None,
    typer.Option(
        help="The layout of the points: 68 picks those of 300-W among the 98 of WFLW. "
        "[default: the detector's own]",
        show_default=False,
    ),
]
Faces = Annotated[
    str,
    typer.Option(help="What finds faces: hog, cnn, mtcnn, yunet, sfd, haar, or auto."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Progress and results as JSON lines on stdout.")
]


def track(
    video: Annotated[Path, typer.Argument(help="A video file, or a folder of images.")],
    init: Annotated[
        str,
        typer.Option(
            help="What places the points: ert, pipnet, fan, star, heatmap1d, or points for your "
            "own."
        ),
    ] = "ert",
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
            help="Steady TAPIR's points by optical flow from frame to frame, or leave them as the "
            "network has them.",
        ),
    ] = True,
    face_detector: Faces = "auto",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files. [default: beside the video]")
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", help="csv, openface, dlc, pts or npz; may be repeated. [default: csv]"
        ),
    ] = None,
    overlay: Annotated[bool, typer.Option(help="Make the overlay video.")] = True,
    device: Device = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    json_progress: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Track the landmarks of the largest face through a video.

    Writes <stem>.csv (or another format), <stem>.overlay.mp4 and <stem>.json. Files appear when
    they are whole; files of the same name are replaced.
    """
    from facetrack.api import Outputs, track_to_files
    from facetrack.detectors import DetectorOptions
    from facetrack.errors import FacetrackError
    from facetrack.output.base import get_format
    from facetrack.pipeline import Options
    from facetrack.trackers import TrackerOptions

    chosen = tuple(dict.fromkeys(formats or ["csv"]))
    reporter = Reporter({"video": str(video)}, "frames", "fps", json_progress, quiet)
    try:
        for name in chosen:
            get_format(name)
        options = Options(
            init=init,
            detector_options=DetectorOptions(detector_weights, device, flip),
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
            face_detector=face_detector,
        )
        outputs = Outputs(out or video.absolute().parent, chosen, overlay)
        with reporter:
            report = track_to_files(video, options, outputs, reporter.step, reporter.started)
    except FacetrackError as error:
        reporter.failed(error)
        raise
    speed = report.frames / report.seconds
    reporter.done(
        f"{report.frames} frames in {report.seconds:.1f} s ({speed:.1f} fps)",
        report.paths,
        report.warnings,
        frames=report.frames,
        seconds=round(report.seconds, 3),
    )
