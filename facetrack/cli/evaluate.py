"""`facetrack evaluate PREDICTIONS GROUND_TRUTH`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facetrack.cli.options import Overwrite
from facetrack.cli.printing import echo

if TYPE_CHECKING:
    from facetrack.evaluation.scores import Evaluation

_METRICS = {
    "nme_ic": ("NME, eye corners", 1, "%"),
    "nme_box": ("NME, box", 1, "%"),
    "nme_diag": ("NME, diagonal", 1, "%"),
    "fr_10": ("failure rate at 10 %", 100, "%"),
    "auc_10": ("AUC at 10 %", 1, ""),
    "auc_box_7": ("AUC, box, at 7 %", 1, ""),
}
"""Title, factor and unit of each printed metric. The factor turns a fraction into per cent."""


def evaluate(
    predictions: Annotated[
        Path,
        typer.Argument(
            help="Predicted landmarks: a CSV written by detect or track, a folder of .pts files, "
            "or a .npz."
        ),
    ],
    ground_truth: Annotated[
        Path,
        typer.Argument(
            help="Annotated landmarks: a folder of .pts files, or a .npz of names and points."
        ),
    ],
    curve: Annotated[
        Path | None,
        typer.Option(help="Draw the cumulative error curve: a .png or .svg (needs matplotlib)."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all metrics as JSON on stdout.")
    ] = False,
) -> None:
    """Compare predicted landmarks with annotated landmarks.

    Images are matched by name, without folder and extension. Frames of a video are named
    <stem>_000123, as by track --format pts. A face that the detector missed counts as failed.
    Images that only one side contains are counted separately, and so are faces whose outer eye
    corners are not annotated.
    """
    from facetrack.api.single_file import SingleFile
    from facetrack.evaluation import scores

    inputs = {"predictions": predictions, "ground truth": ground_truth}
    file = None if curve is None else SingleFile(curve, "curve", "--curve", inputs, overwrite)
    if file is not None:
        file.check()
    measured = scores.evaluate(predictions, ground_truth)
    if file is not None:
        with file.staged() as path:
            scores.plot_curve(measured, path)
    summary = measured.summary()
    if as_json:
        typer.echo(json.dumps({**summary, **({"curve": str(curve)} if curve else {})}))
        return
    _show(measured, summary)
    if curve is not None:
        echo(f"curve: {curve}")


def _show(measured: Evaluation, summary: dict[str, Any]) -> None:
    echo(f"{summary['faces']} faces, {measured.scheme.title}")
    for name, (title, factor, unit) in _METRICS.items():
        typer.echo(f"  {title:22}{_formatted(summary[name], factor, unit)}")
    if measured.regions:
        typer.echo("error by region, in % of the distance between the outer eye corners")
        for name, value in summary["regions"].items():
            typer.echo(f"  {name:22}{_formatted(value, 1, '%')}")
    if measured.without_corners:
        typer.echo(
            f"{measured.without_corners} faces have no annotated outer eye corners: they do not "
            "count where these are the unit"
        )
    if measured.failed:
        echo(
            f"{measured.failed} faces have no predicted landmarks: they count as failures, not in "
            "the means"
        )
    for side, names in (
        ("the predictions", measured.only_predicted),
        ("the ground truth", measured.only_annotated),
    ):
        if names:
            more = "" if len(names) == 1 else f" and {len(names) - 1} more"
            echo(f"only in {side}: {len(names)} ({names[0]}{more})")


def _formatted(value: float | None, factor: float, unit: str) -> str:
    return "-" if value is None else f"{value * factor:.3f}{f' {unit}' if unit else ''}"
