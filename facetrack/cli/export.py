"""`facetrack export FORMAT RUN...`: a command for each format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facetrack.cli.options import AsJson, FrameSize, Overwrite, Quiet, parse_size
from facetrack.cli.output_folder import output_folder
from facetrack.cli.printing import echo
from facetrack.cli.run_options import RunFocal, RunFolder, Runs, refuse_failed, work_on_runs

if TYPE_CHECKING:
    from facetrack.api.export import Exported
    from facetrack.formats.earlier_runs import SavedRun

Points = Annotated[
    str | None,
    typer.Option(
        metavar="N,N",
        help="Write one file for each of these points (from 0) and each face, with keyframes of a "
        "layer's position, instead of trackers of all points.",
        show_default=False,
    ),
]
Subject = Annotated[
    str | None,
    typer.Option(
        metavar="LABEL",
        help="Label of the subject, of letters and digits. [default: from the file's name]",
        show_default=False,
    ),
]
Session = Annotated[
    str | None,
    typer.Option(metavar="LABEL", help="Label of the session, if any.", show_default=False),
]
Task = Annotated[str, typer.Option(metavar="LABEL", help="Label of the task.")]


def movement(
    runs: Runs,
    out: RunFolder = None,
    size: FrameSize = None,
    overwrite: Overwrite = False,
    json_progress: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write <stem>.movement.nc, a netCDF file that the package movement opens.

    It holds points, confidence and visibility of all faces.
    """
    _export("movement", runs, out, size, None, overwrite, json_progress, quiet)


def aftereffects(
    runs: Runs,
    out: RunFolder = None,
    points: Points = None,
    size: FrameSize = None,
    overwrite: Overwrite = False,
    json_progress: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write <stem>.ae.txt, keyframe data for After Effects.

    Copy the text and paste it onto the layer of the video: one tracker per face, with a track point
    per landmark.
    """
    settings = {} if points is None else {"points": _parse_points(points)}
    _export("aftereffects", runs, out, size, None, overwrite, json_progress, quiet, settings)


def bids(
    runs: Runs,
    out: RunFolder = None,
    subject: Subject = None,
    session: Session = None,
    task: Task = "face",
    focal: RunFocal = None,
    size: FrameSize = None,
    overwrite: Overwrite = False,
    json_progress: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write <stem>_bids, a BIDS dataset of motion.

    It holds points, head pose, channels and events, as .tsv with .json.
    """
    given = {"subject": subject, "session": session, "task": task}
    settings = {name: value for name, value in given.items() if value is not None}
    _export("bids", runs, out, size, focal, overwrite, json_progress, quiet, settings)


def _plain(format: str, text: str) -> Callable[..., None]:
    """Return the command of a format without options of its own."""

    def command(
        runs: Runs,
        out: RunFolder = None,
        focal: RunFocal = None,
        size: FrameSize = None,
        overwrite: Overwrite = False,
        json_progress: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        _export(format, runs, out, size, focal, overwrite, json_progress, quiet)

    command.__doc__ = text
    return command


COMMANDS: dict[str, Callable[..., None]] = {
    "movement": movement,
    "blender": _plain(
        "blender",
        "Write <stem>.blender.py, a script for Blender.\n\n"
        "It adds empties with keyframes for all points and the head, and the camera: run it in the "
        "text editor, or with blender --python.",
    ),
    "aftereffects": aftereffects,
    "gltf": _plain(
        "gltf",
        "Write <stem>.glb, glTF of the moving heads.\n\n"
        "The face of each person is animated by the head pose.",
    ),
    "bvh": _plain(
        "bvh", "Write <stem>.face_N.bvh, the head pose of each face, at a constant rate."
    ),
    "elan": _plain("elan", "Write <stem>.eaf, tiers of blinks and other events for ELAN."),
    "praat": _plain("praat", "Write <stem>.TextGrid, tiers of blinks and other events for Praat."),
    "bids": bids,
    "webvtt": _plain("webvtt", "Write <stem>.vtt, subtitles of blinks and other events."),
}
"""The commands by their names."""


def _export(
    format: str,
    names: list[Path],
    out: str | None,
    size: str | None,
    focal: float | None,
    overwrite: bool,
    json_progress: bool,
    quiet: bool,
    settings: dict[str, Any] | None = None,
) -> None:
    from facetrack.api.export import export_to_files
    from facetrack.errors import FacetrackError
    from facetrack.formats.earlier_runs import find_runs

    folder = None if out is None else output_folder(out, names)
    runs = find_runs(names, None if size is None else parse_size(size))
    places = [(folder or run.table.parent, run.stem) for run in runs]
    if len(set(places)) < len(places):
        raise FacetrackError("Two runs would write the same files: export them one by one.")

    def export(run: SavedRun) -> None:
        result = export_to_files(run, format, folder, focal, settings, overwrite)
        _print(result, json_progress, quiet)

    refuse_failed(work_on_runs(runs, export, "exported", json_progress), runs, "exported")


def _print(result: Exported, as_json: bool, quiet: bool) -> None:
    for warning in result.warnings:
        echo(f"facetrack: warning: {warning}", err=True)
    if as_json:
        import json

        line = {
            "event": "done",
            "run": str(result.run.table),
            "files": [str(path) for path in result.paths],
            "record": str(result.record),
            "warnings": result.warnings,
        }
        typer.echo(json.dumps(line))
    elif not quiet:
        for path in result.paths:
            echo(str(path))


def _parse_points(text: str) -> list[int]:
    from facetrack.cli.options import split_names
    from facetrack.errors import FacetrackError

    names = split_names(text)
    if not names or not all(name.isascii() and name.isdecimal() for name in names):
        raise FacetrackError(f"--points takes numbers of points, such as 30,36,45, not '{text}'.")
    return list(dict.fromkeys(map(int, names)))
