"""Command-line options that several commands share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from facetrack.cli import choices
from facetrack.cli.help import GENERAL

if TYPE_CHECKING:
    from datetime import datetime

INPUT, NETWORKS, OUTPUT = "Input", "Networks", "Output"
"""Headings of groups of options in the help."""

DetectorWeights = Annotated[
    str,
    typer.Option(
        help="Weights of the landmark detector: a name from `facetrack weights list`, a file of "
        "your own, or auto (published weights if they were fetched, otherwise the bundled ones).",
        metavar="NAME",
        rich_help_panel=NETWORKS,
    ),
]


LandmarkDetector = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"Landmark detector: {choices.listed(choices.LANDMARK_DETECTORS)}.",
        autocompletion=choices.completing(choices.LANDMARK_DETECTORS),
    ),
]


Flip = Annotated[
    bool,
    typer.Option(
        "--flip",
        help="Average with the prediction on the mirrored image, if the landmark detector "
        "supports it.",
        rich_help_panel=NETWORKS,
    ),
]


SchemeName = Annotated[
    str | None,
    typer.Option(
        help="Landmark layout: 68 selects the 300-W points from the 98 points of WFLW. "
        "[default: the detector's own]",
        show_default=False,
        metavar="NAME",
        autocompletion=choices.completing(choices.SCHEMES),
        rich_help_panel=NETWORKS,
    ),
]


Faces = Annotated[
    str,
    typer.Option(
        help=f"Face detector: {choices.listed(choices.FACE_DETECTORS)}. mtcnn=FILE gives mtcnn "
        "weights of your own.",
        metavar="NAME",
        autocompletion=choices.completing(choices.FACE_DETECTORS),
        rich_help_panel=NETWORKS,
    ),
]


ImageRate = Annotated[
    str | None,
    typer.Option(
        "--fps",
        metavar="RATE",
        help="Images per second of a folder or series of images, or of the pages of a TIFF file: "
        "30, 29.97, 30000/1001, or 1/60 for one a minute. Videos and animations have their own "
        "times. [default: 25]",
        show_default=False,
        rich_help_panel=INPUT,
    ),
]


Device = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Device for the networks: auto (a CUDA GPU if there is one), cpu, cuda, cuda:1, ...",
        autocompletion=choices.completing(choices.DEVICES),
    ),
]


Precision = Annotated[
    str,
    typer.Option(
        help="Precision of the networks: auto, float32 or bfloat16.",
        metavar="NAME",
        autocompletion=choices.completing(choices.PRECISIONS),
        rich_help_panel=NETWORKS,
    ),
]


Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace whatever lies at the outputs' names, except inputs: also results of other "
        "inputs, and files that facetrack did not write.",
        rich_help_panel=OUTPUT,
    ),
]


Focal = Annotated[
    float | None,
    typer.Option(
        metavar="PIXELS",
        help="Focal length of the camera, for head poses. [default: as OpenFace, 500 at 640 x 480, "
        "in proportion to the size]",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]


Coordinates = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Coordinates of the points in the CSV: pixels, normalised (0 to 1 of width and "
        "height), head (place, size and roll taken out) or frontal (the whole pose taken out).",
        rich_help_panel=OUTPUT,
    ),
]


PointConfidence = Annotated[
    bool,
    typer.Option(
        "--point-confidence",
        help="Write the confidence of each point into the CSV (columns c_0, c_1, ...).",
        rich_help_panel=OUTPUT,
    ),
]


OverlayZoom = Annotated[
    bool,
    typer.Option(
        "--overlay-zoom",
        help="Let the overlay video follow the faces, enlarged.",
        rich_help_panel=OUTPUT,
    ),
]


Utc = Annotated[
    str | None,
    typer.Option(
        "--utc",
        metavar="START",
        help="UTC at the start of the video, such as 2026-03-31T14:05:00.250Z, to write the "
        "absolute time of each row; now for a camera: this computer's clock.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]


AudioOffset = Annotated[
    str | None,
    typer.Option(
        metavar="SECONDS",
        help="Timestamp at which the sound starts, or auto to read it from the video: events get "
        "their times in the sound, too.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]


Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print only errors.", rich_help_panel=GENERAL),
]


FrameSize = Annotated[
    str | None,
    typer.Option(
        metavar="WIDTHxHEIGHT",
        help="Size of the frames in pixels, for a .csv whose .json is missing.",
        show_default=False,
    ),
]


AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print progress and results as JSON lines on stdout.",
        rich_help_panel=GENERAL,
    ),
]


def split_names(text: str) -> tuple[str, ...]:
    """Split a comma-separated option into names, without surrounding spaces and empty names."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parse_lab_times(
    utc: str | None, audio_offset: str | None, is_live: bool, is_single: bool
) -> tuple[datetime | str | None, float | str | None]:
    """Parse --utc and --audio-offset.

    Args:
        utc, audio_offset: the options' values.
        is_live: True if the input is a live source.
        is_single: True if the input is one video.

    Raises:
        FacetrackError: a value is malformed, or does not go with the input.
    """
    from facetrack.errors import FacetrackError
    from facetrack.measures.lab_clock import NOW, parse_audio_offset, parse_utc

    if utc is not None and not (is_live or is_single):
        raise FacetrackError("--utc is the start of one video: give the videos one by one.")
    if utc == NOW and not is_live:
        raise FacetrackError("--utc now is for live sources: give the start of the video.")
    if audio_offset is not None and is_live:
        raise FacetrackError("--audio-offset does not go with live sources, which have no sound.")
    moment = utc if utc is None or utc == NOW else parse_utc(utc)
    offset = None if audio_offset is None else parse_audio_offset(audio_offset)
    return moment, "auto" if audio_offset is not None and offset is None else offset


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height, as `FrameSize` takes them."""
    from facetrack.errors import FacetrackError

    found = re.fullmatch(r"(\d{1,6})[xX](\d{1,6})", text, re.ASCII)
    if not found or not (int(found[1]) and int(found[2])):
        raise FacetrackError(f"--size takes WIDTHxHEIGHT, such as 1920x1080, not '{text}'.")
    return int(found[1]), int(found[2])
