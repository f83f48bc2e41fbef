"""`facetrack track` of one video."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from facetrack.api.outputs import Outputs
    from facetrack.cli.reporter import Reporter
    from facetrack.pipeline.options import Options


def track_one(
    video: Path,
    options: Options,
    outputs: Outputs,
    out: Path | None,
    reporter: Reporter,
    resume: bool,
    overwrite: bool,
) -> None:
    """Track one video and report the result; exit with code 130 if it was interrupted."""
    from facetrack.api.corrected_run import with_corrections
    from facetrack.api.track import track_to_files
    from facetrack.video.video_names import others_in_images

    outputs = dataclasses.replace(outputs, folder=out or video.absolute().parent)
    options = with_corrections(options, video, outputs.folder)
    with reporter:
        result = track_to_files(
            video,
            options,
            outputs,
            reporter.step,
            reporter.started,
            keep=True,
            resume=resume,
            partial=True,
            on_backward_progress=reporter.back,
            overwrite=overwrite,
            loading=reporter.loading,
        )
    speed = result.frames / result.seconds
    reporter.done(
        f"{result.frames} frames in {result.seconds:.1f} s ({speed:.1f} fps)",
        result.paths,
        result.warnings,
        frames=result.frames,
        seconds=round(result.seconds, 3),
        **({"left_out": others_in_images(video)} if os.path.isdir(video) else {}),
    )
    if result.interrupted:
        typer.echo(
            f"facetrack: interrupted; the files hold the first {result.frames} frames. Run the "
            "same command with --resume to continue.",
            err=True,
        )
        raise typer.Exit(130)
