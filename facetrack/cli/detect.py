"""`facetrack detect IMAGE...`."""

from __future__ import annotations

from typing import Annotated

import typer

from facetrack.cli import choices, many_inputs
from facetrack.cli.options import (
    AsJson,
    Coordinates,
    DetectorWeights,
    Device,
    Faces,
    Flip,
    LandmarkDetector,
    Overwrite,
    PointConfidence,
    Precision,
    Quiet,
    SchemeName,
)
from facetrack.cli.output_folder import folder_option, output_folder
from facetrack.cli.reporter import Reporter
from facetrack.defaults import INIT


def detect(
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE", help="Image files, folders of images, or patterns."),
    ],
    init: LandmarkDetector = INIT,
    detector_weights: DetectorWeights = "auto",
    flip: Flip = False,
    scheme: SchemeName = None,
    box: Annotated[
        str | None,
        typer.Option(
            metavar="X0,Y0,X1,Y1",
            help="Box of the face, from brows to chin, if there is only one image: x0,y0,x1,y1 in "
            "pixels (0,0 is the centre of the top-left pixel). [default: detect the faces]",
            show_default=False,
        ),
    ] = None,
    faces: Annotated[
        str,
        typer.Option(
            metavar="WHICH",
            help="Faces to process: largest or all.",
            autocompletion=choices.completing(("largest", "all")),
        ),
    ] = "largest",
    face_detector: Faces = "auto",
    out: Annotated[str, folder_option()] = ".",
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="Output format: csv (always written) or pts (one file per image); may be "
            "repeated.",
            autocompletion=choices.completing(choices.IMAGE_FORMATS),
        ),
    ] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Draw the landmarks on a copy of each image.")
    ] = False,
    coordinates: Coordinates = "pixels",
    point_confidence: PointConfidence = False,
    overwrite: Overwrite = False,
    device: Device = "auto",
    precision: Precision = "auto",
    json_progress: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Detect the facial landmarks in still images.

    Writes landmarks.csv and landmarks.json, and on request <stem>.pts and <stem>.overlay.png for
    each image. All files appear together at the end, and replace those of an earlier run on the
    same images. An image that cannot be read has an empty row and does not
    stop the rest; the exit code is then 2. Coordinates refer to the upright image: the camera's
    rotation flag is applied.
    """
    from facetrack.api.detect import ImageOutputs, detect_to_files
    from facetrack.detectors import DetectorOptions
    from facetrack.errors import FacetrackError
    from facetrack.images.pipeline import ImageOptions

    reporter = Reporter({"out": out}, "images", "images_per_second", json_progress, quiet)
    try:
        detectors = choices.LANDMARK_DETECTORS
        choices.check_parts(init, None, face_detector, None, device, inits=detectors)
        folder = output_folder(out, images)
        options = ImageOptions(
            init=init,
            detector_options=DetectorOptions(detector_weights, device, flip, precision),
            scheme=scheme,
            face_detector=face_detector,
            faces=faces,
            box=None if box is None else _box(box),
        )
        chosen = tuple(dict.fromkeys(["csv", *(formats or [])]))
        outputs = ImageOutputs(folder, chosen, overlay, coordinates, point_confidence)
        with reporter:
            result = detect_to_files(
                images,
                options,
                outputs,
                reporter.step,
                reporter.started,
                overwrite,
                reporter.loading,
            )
    except FacetrackError as error:
        reporter.failed(error)
        raise
    reporter.done(
        f"{_count(result.faces, 'face')} in {_count(result.images, 'image')}, "
        f"{result.seconds:.1f} s",
        result.paths,
        result.warnings,
        images=result.images,
        faces=result.faces,
        seconds=round(result.seconds, 3),
        failed={str(path): why for path, why in result.failed.items()},
        left_out=result.left_out,
    )
    many_inputs.end(result.interrupted, result.images, result.failed, "images")


def _box(text: str) -> tuple[float, float, float, float]:
    """Parse --box into x0, y0, x1, y1 in pixels."""
    from facetrack.errors import FacetrackError

    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise FacetrackError(f"--box takes four numbers x0,y0,x1,y1, not '{text}'.") from None
    return x0, y0, x1, y1


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
