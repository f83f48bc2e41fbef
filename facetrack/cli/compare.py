"""`facetrack compare [VIDEO]`."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facetrack.cli import choices
from facetrack.cli.options import (
    AsJson,
    Coordinates,
    Device,
    Faces,
    Focal,
    ImageRate,
    Overwrite,
    PointConfidence,
    Precision,
    Quiet,
    SchemeName,
    split_names,
)
from facetrack.cli.output_folder import folder_option, output_folder
from facetrack.cli.printing import echo
from facetrack.cli.reporter import Reporter
from facetrack.defaults import INIT
from facetrack.files import printable

if TYPE_CHECKING:
    from facetrack.comparison.results import Comparison

PIPED_WIDTH = 200


def compare(
    video: Annotated[
        Path | None,
        typer.Argument(
            help="A video file, or a folder or series of images. [default: the example clip]",
            show_default=False,
        ),
    ] = None,
    inits: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Landmark detectors to compare, comma-separated: "
            f"{', '.join(choices.LANDMARK_DETECTORS)}; or all that have weights: all.",
        ),
    ] = INIT,
    trackers: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help=f"Point trackers to compare, comma-separated: {', '.join(choices.TRACKERS)}.",
        ),
    ] = "tapir",
    out: Annotated[
        str | None,
        folder_option("Output folder. [default: <stem>.compare in the current folder]"),
    ] = None,
    ground_truth: Annotated[
        Path | None,
        typer.Option(
            help="Annotated landmarks: a folder with one .pts file per frame (300-VW's annot/, or "
            "written by track --format pts), or a .csv or .npz of tracks."
        ),
    ] = None,
    query_frame: Annotated[
        int | None,
        typer.Option(
            help="Frame (counted from 0) on which the landmarks are detected. [default: the first "
            "frame with a face]"
        ),
    ] = None,
    scheme: SchemeName = None,
    face_detector: Faces = "auto",
    tracker_weights: Annotated[
        str,
        typer.Option(
            help="Weights of tapir: a name from `facetrack weights list`, or a checkpoint."
        ),
    ] = "tapir-s",
    check_every: Annotated[
        float,
        typer.Option(
            help="Seconds between the detections that drift is measured against; 0 disables them."
        ),
    ] = 1.0,
    cycle_frames: Annotated[
        int,
        typer.Option(
            help="Number of frames after the query frame over which points are tracked forwards "
            "and back for the cycle error; 0 disables it."
        ),
    ] = 12,
    fps: ImageRate = None,
    overlay: Annotated[
        bool, typer.Option("--video/--no-video", help="Write the side-by-side video.")
    ] = True,
    report: Annotated[bool, typer.Option(help="Write report.html.")] = True,
    measures: Annotated[
        bool,
        typer.Option(
            "--measures",
            help="Write the measures and events of each method: head pose, eyes, mouth, blinks.",
        ),
    ] = False,
    focal: Focal = None,
    coordinates: Coordinates = "pixels",
    point_confidence: PointConfidence = False,
    overwrite: Overwrite = False,
    device: Device = "auto",
    precision: Precision = "auto",
    json_progress: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare landmark detectors and point trackers: run every combination on one video.

    Writes summary.csv, summary.json, report.html, <stem>.compare.mp4 and one
    <stem>.<init>-<tracker>.csv per method. Without VIDEO it runs on the example clip.
    """
    from facetrack.api.compare import compare_to_files, example_clip
    from facetrack.comparison.options import ALL, CompareOptions
    from facetrack.errors import FacetrackError
    from facetrack.files import stem_of
    from facetrack.measures.pose import check_focal
    from facetrack.video.span import parse_rate

    chosen = example_clip() if video is None else video
    reporter = Reporter({"video": str(chosen)}, "frames", "fps", json_progress, quiet)
    if video is None and not quiet:
        echo(f"No video was given: comparing on the example clip, {chosen}.", err=True)
    try:
        check_focal(focal)
        for init in split_names(inits):
            if split_names(inits) != (ALL,):
                choices.check_parts(init, inits=choices.LANDMARK_DETECTORS)
        for tracker in split_names(trackers):
            choices.check_parts(None, tracker, face_detector, None, device)
        default = f"{stem_of(chosen)}.compare"
        folder = Path(default) if out is None else output_folder(out, [chosen])
        options = CompareOptions(
            inits=split_names(inits),
            trackers=split_names(trackers),
            scheme=scheme,
            query_frame=query_frame,
            face_detector=face_detector,
            tracker_weights=tracker_weights,
            device=device,
            precision=precision,
            check_every=check_every,
            cycle_frames=cycle_frames,
            ground_truth=ground_truth,
            fps=None if fps is None else parse_rate(fps),
            coordinates=coordinates,
        )
        with reporter:
            if os.path.lexists(chosen):
                reporter.loading()
            comparison = compare_to_files(
                chosen,
                options,
                folder,
                overlay,
                report,
                reporter.step,
                reporter.started,
                shlex.join(["facetrack", *sys.argv[1:]]),
                overwrite,
                measures,
                focal,
                point_confidence,
            )
    except FacetrackError as error:
        reporter.failed(error)
        raise
    if not quiet and not json_progress:
        show(comparison)
    warnings = [*comparison.warnings, *(w for r in comparison.results for w in r.warnings)]
    total = comparison.seconds["total"]
    count = len(comparison.results[0].tracks)
    reporter.done(
        f"{len(comparison.results)} methods, {count} frames in {total:.1f} s",
        {**comparison.files, **{f"csv of {r.label}": r.files["csv"] for r in comparison.results}},
        list(dict.fromkeys(warnings)),
        frames=count,
        seconds=round(total, 3),
        ranking=comparison.ranking,
        ranked_by=comparison.ranked_by,
    )


def show(comparison: Comparison) -> None:
    """Print a table with one row per method, best first, and the best of each measure in bold."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from facetrack.comparison import measures

    order = {label: i for i, label in enumerate(comparison.ranking)}
    results = sorted(comparison.results, key=lambda r: order.get(r.label, 0))
    columns = {}
    for measure in measures.MEASURES:
        values = [r.measures.get(measure.key, float("nan")) for r in results]
        if any(value == value for value in values):
            columns[measure] = values
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for measure in columns:
        arrow = {"lower": " ↓", "higher": " ↑", "": ""}[measure.better]
        table.add_column(f"{measure.title}{arrow}\n{measure.unit}", justify="right")
    best_rows = {m: measures.best(m.key, values, m.digits) for m, values in columns.items()}
    for i, result in enumerate(results):
        cells = []
        for measure, values in columns.items():
            text = "-" if values[i] != values[i] else f"{values[i]:.{measure.digits}f}"
            cells.append(Text(text, "bold" if i in best_rows[measure] else ""))
        table.add_row(Text(printable(result.label)), *cells)
    console.print(table)
    console.print()
    if comparison.ranking:
        title = measures.BY_KEY[comparison.ranked_by].title
        console.print(
            f"Ordered by {title}; ↓: lower is better, ↑: higher is better; the best is bold."
        )
        if comparison.truth is None:
            console.print("Without --ground-truth this order is a weak hint, not a measurement.")
    for measure in columns:
        console.print(f"  {measure.title}: {measure.meaning}", highlight=False, soft_wrap=True)
    memory = comparison.peak_memory
    if memory == memory:
        console.print(f"  peak memory of the whole run: {memory:.0f} MB", highlight=False)
