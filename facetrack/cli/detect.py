"""`facetrack detect IMAGE...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facetrack.cli.options import (
    AsJson,
    DetectorWeights,
    Device,
    Faces,
    Flip,
    Precision,
    Quiet,
    SchemeName,
)
from facetrack.cli.reporter import Reporter
from facetrack.defaults import INIT


def detect(
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE", help="Image files, folders of images, or patterns."),
    ],
    init: Annotated[
        str, typer.Option(help="What places the points: ert, pipnet, fan, star or heatmap1d.")
    ] = INIT,
    detector_weights: DetectorWeights = "auto",
    flip: Flip = False,
    scheme: SchemeName = None,
    box: Annotated[
        str | None,
        typer.Option(
            help="Of the face in the one image, x0,y0,x1,y1 in pixels (0,0 is the centre of the "
            "top-left pixel), from brows to chin. [default: faces are looked for]",
            show_default=False,
        ),
    ] = None,
    faces: Annotated[str, typer.Option(help="largest, or all.")] = "largest",
    face_detector: Faces = "auto",
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path(),
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", help="csv (always written) or pts (a file an image); may be repeated."
        ),
    ] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Draw the landmarks on a copy of each image.")
    ] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    json_progress: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Place the landmarks of the faces in still images.

    Writes landmarks.csv and landmarks.json, and for each image <stem>.pts and <stem>.overlay.png
    where they are asked for; files of the same name are replaced. An image that cannot be read
    keeps none of the others from being done; the exit code is then 2. Pixels are those of the
    upright image: the camera's rotation flag is applied.
    """
    from facetrack.api.detect import ImageOutputs, detect_to_files, failed_sentence
    from facetrack.detectors import DetectorOptions
    from facetrack.errors import FacetrackError
    from facetrack.images.pipeline import ImageOptions

    reporter = Reporter({"out": str(out)}, "images", "images_per_second", json_progress, quiet)
    try:
        options = ImageOptions(
            init=init,
            detector_options=DetectorOptions(detector_weights, device, flip, precision),
            scheme=scheme,
            face_detector=face_detector,
            faces=faces,
            box=None if box is None else _box(box),
        )
        outputs = ImageOutputs(out, tuple(dict.fromkeys(["csv", *(formats or [])])), overlay)
        with reporter:
            report = detect_to_files(images, options, outputs, reporter.step, reporter.started)
    except FacetrackError as error:
        reporter.failed(error)
        raise
    reporter.done(
        f"{report.faces} faces in {report.images} images, {report.seconds:.1f} s",
        report.paths,
        report.warnings,
        images=report.images,
        faces=report.faces,
        seconds=round(report.seconds, 3),
        failed={str(path): why for path, why in report.failed.items()},
    )
    if report.failed:
        raise FacetrackError(failed_sentence(report.failed, report.images + len(report.failed)))


def _box(text: str) -> tuple[float, float, float, float]:
    from facetrack.errors import FacetrackError

    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise FacetrackError(f"--box takes four numbers x0,y0,x1,y1, not '{text}'.") from None
    return x0, y0, x1, y1
