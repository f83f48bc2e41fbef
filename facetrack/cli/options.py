"""Command-line options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

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


Precision = Annotated[str, typer.Option(help="Of networks: auto, float32 or bfloat16.")]


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]


AsJson = Annotated[
    bool, typer.Option("--json", help="Progress and results as JSON lines on stdout.")
]


def names_in(text: str) -> tuple[str, ...]:
    """What a comma-separated option names."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
