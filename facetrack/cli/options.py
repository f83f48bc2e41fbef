"""Command-line options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

DetectorWeights = Annotated[
    str,
    typer.Option(
        help="Weights of the landmark detector: a name from `facetrack weights list`, a file of "
        "your own, or auto (published weights if they were fetched, otherwise the bundled ones)."
    ),
]


Flip = Annotated[
    bool,
    typer.Option(
        "--flip",
        help="Average with the prediction on the mirrored image, if the landmark detector "
        "supports it.",
    ),
]


SchemeName = Annotated[
    str | None,
    typer.Option(
        help="Landmark layout: 68 selects the 300-W points from the 98 points of WFLW. "
        "[default: the detector's own]",
        show_default=False,
    ),
]


Faces = Annotated[
    str,
    typer.Option(help="Face detector: hog, cnn, mtcnn, yunet, sfd, haar, or auto."),
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
    ),
]


Device = Annotated[str, typer.Option(help="Device for the networks: auto, cpu, cuda, cuda:1, ...")]


Precision = Annotated[
    str, typer.Option(help="Precision of the networks: auto, float32 or bfloat16.")
]


Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace whatever lies at the outputs' names, except inputs: also results of other "
        "inputs, and files that facetrack did not write.",
    ),
]


Focal = Annotated[
    float | None,
    typer.Option(
        metavar="PIXELS",
        help="Focal length of the camera, for head poses. [default: as OpenFace, 500 at 640 x 480, "
        "in proportion to the size]",
        show_default=False,
    ),
]


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors.")]


AsJson = Annotated[
    bool, typer.Option("--json", help="Print progress and results as JSON lines on stdout.")
]


def split_names(text: str) -> tuple[str, ...]:
    """Split a comma-separated option into names, without surrounding spaces and empty names."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
