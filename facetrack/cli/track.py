"""`facetrack track VIDEO`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from facetrack.api import Report
    from facetrack.pipeline import Progress


def track(
    video: Annotated[Path, typer.Argument(help="A video file, or a folder of images.")],
    init: Annotated[
        str, typer.Option(help="What places the points: ert, or points for your own.")
    ] = "ert",
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
    face_detector: Annotated[
        str, typer.Option(help="hog, cnn, or auto (hog, then cnn where it finds nothing).")
    ] = "auto",
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
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    json_progress: Annotated[
        bool, typer.Option("--json", help="Progress and results as JSON lines on stdout.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Track the landmarks of the largest face through a video.

    Writes <stem>.csv (or another format), <stem>.overlay.mp4 and <stem>.json. Files appear when
    they are whole; files of the same name are replaced.
    """
    from facetrack.api import Outputs, track_to_files
    from facetrack.errors import FacetrackError
    from facetrack.output.base import get_format
    from facetrack.pipeline import Options
    from facetrack.trackers import TrackerOptions

    chosen = tuple(dict.fromkeys(formats or ["csv"]))
    reporter = _Reporter(str(video), json_progress, quiet)
    try:
        for name in chosen:
            get_format(name)
        options = Options(
            init=init,
            points=points,
            query_frame=query_frame,
            tracker=tracker,
            tracker_options=TrackerOptions(
                weights=tracker_weights,
                causal=causal,
                softmax_temperature=softmax_temperature,
                follow_face=follow_face,
                device=device,
                precision=precision,
            ),
            face_detector=face_detector,
        )
        outputs = Outputs(out or video.absolute().parent, chosen, overlay)
        with reporter as progress:
            report = track_to_files(video, options, outputs, progress)
    except FacetrackError as error:
        reporter.failed(error)
        raise
    reporter.done(report)


class _Reporter:
    """Says how far a run is: a bar on a terminal, JSON lines, or nothing when piped or quiet."""

    INTERVAL = 0.5

    def __init__(self, label: str, as_json: bool, quiet: bool) -> None:
        self._label, self._json = label, as_json
        self._quiet = quiet
        self._bar_wanted = not quiet and not as_json and sys.stderr.isatty()
        self._began = self._said = time.monotonic()

    def __enter__(self) -> Progress:
        if not self._bar_wanted:
            return self._step
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[fps]:.1f} fps"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task(Path(self._label).name, total=None, fps=0.0)
        self._bar.start()
        return self._step

    def __exit__(self, *_: object) -> None:
        if self._bar_wanted:
            self._bar.stop()

    def _step(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        fps = done / max(now - self._began, 1e-9)
        if self._bar_wanted:
            # Headers lie: the bar must not run past its end.
            end = None if total is None else max(total, done)
            self._bar.update(self._task, completed=done, total=end, fps=fps)
        elif self._json and now - self._said >= self.INTERVAL:
            self._said = now
            left = None if total is None else round(max(0, total - done) / fps, 1)
            self._line(event="progress", frames=done, total=total, fps=round(fps, 2), left_s=left)

    def _line(self, **content: object) -> None:
        typer.echo(json.dumps({"video": self._label, **content}))

    def failed(self, error: Exception) -> None:
        if self._json:
            self._line(event="error", message=str(error))

    def done(self, report: Report) -> None:
        if self._json:
            self._line(
                event="done",
                frames=report.frames,
                seconds=round(report.seconds, 3),
                files={kind: str(path) for kind, path in report.paths.items()},
                warnings=report.warnings,
            )
        if self._quiet:
            return
        for warning in report.warnings:
            typer.echo(f"facetrack: warning: {warning}", err=True)
        if not self._json and sys.stderr.isatty():
            fps = report.frames / report.seconds
            typer.echo(
                f"{report.frames} frames in {report.seconds:.1f} s ({fps:.1f} fps)", err=True
            )
            for path in report.paths.values():
                typer.echo(f"  {path}", err=True)
