"""`facetrack track VIDEO...`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facetrack.cli.reporter import Reporter
from facetrack.defaults import INIT

if TYPE_CHECKING:
    from facetrack.api import Outputs
    from facetrack.pipeline import Options

MANY = "Several videos"

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
    report: Annotated[
        bool,
        typer.Option("--report", help="Make <stem>.report.html, a page to look at the result."),
    ] = False,
    device: Device = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    json_progress: AsJson = False,
    quiet: Quiet = False,
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
) -> None:
    """Track the landmarks of the largest face through a video, or through many.

    Writes <stem>.csv (or another format), <stem>.overlay.mp4 and <stem>.json. Files appear when
    they are whole; files of the same name are replaced. Of several videos, those that are complete
    already, with the same options, are skipped; one that fails stops none of the others, and the
    exit code is then not 0.
    """
    from facetrack.api import Outputs
    from facetrack.batch.inputs import one_video
    from facetrack.detectors import DetectorOptions
    from facetrack.errors import FacetrackError
    from facetrack.output.base import get_format
    from facetrack.pipeline import Options
    from facetrack.trackers import TrackerOptions

    names = videos or []
    single = one_video(names) if manifest is None and shard is None else None
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
        outputs = Outputs(out or Path(), chosen, overlay, report)
        if single is not None:
            _track_one(single, options, outputs, out, reporter)
            return
        many = _Many(names, manifest, jobs, shard, overwrite, keep_folders, json_progress, quiet)
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
    video: Path, options: Options, outputs: Outputs, out: Path | None, reporter: Reporter
) -> None:
    from facetrack.api import track_to_files

    outputs = dataclasses.replace(outputs, folder=out or video.absolute().parent)
    with reporter:
        report = track_to_files(video, options, outputs, reporter.step, reporter.started)
    speed = report.frames / report.seconds
    reporter.done(
        f"{report.frames} frames in {report.seconds:.1f} s ({speed:.1f} fps)",
        report.paths,
        report.warnings,
        frames=report.frames,
        seconds=round(report.seconds, 3),
    )


@dataclasses.dataclass(frozen=True)
class _Many:
    """What was asked for several videos; see the command's options."""

    names: list[str]
    manifest: str | None
    jobs: int
    shard: str | None
    overwrite: bool
    keep_folders: bool
    as_json: bool
    quiet: bool

    def track(
        self, options: Options, outputs: Outputs, out: Path | None
    ) -> tuple[str, bool] | None:
        """Track them; returns what is to be said where some failed, and whether by our fault."""
        from facetrack.batch.inputs import Shard, find_videos
        from facetrack.batch.plan import check_summaries, plan, summary_paths
        from facetrack.batch.run import Batch, run
        from facetrack.cli.batch_reporter import BatchReporter
        from facetrack.errors import FacetrackError
        from facetrack.output.atomic import check_output_folder

        if self.keep_folders and out is None:
            raise FacetrackError("--keep-folders is about the folders in --out: give that too.")
        share = None if self.shard is None else Shard.parse(self.shard)
        found = find_videos(self.names, self.manifest)
        # All videos, so that every shard finds the same to be wrong.
        tasks = plan(found.videos, outputs, out, self.keep_folders)
        summaries = {} if out is None else summary_paths(out, share)
        check_summaries(tasks, list(summaries.values()))
        if out is not None:
            check_output_folder(out)
        if share is not None:
            tasks = share.of(tasks)
        batch = Batch(tasks, options, self.jobs, self.shard, list(found.notes))
        reporter = BatchReporter(len(tasks), self.as_json, self.quiet)
        with reporter:
            run(batch, reporter, self.overwrite, summaries)
        reporter.finish(batch, list(summaries.values()))
        failed = batch.failed()
        if not failed:
            return None
        return batch.failed_sentence(), any(outcome.traceback for _, outcome in failed)
