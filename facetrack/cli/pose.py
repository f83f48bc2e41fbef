"""`facetrack pose INPUT...`."""

from __future__ import annotations

from typing import Annotated

import typer

from facetrack.cli import choices, many_inputs
from facetrack.cli.options import (
    NETWORKS,
    AsJson,
    DetectorWeights,
    Device,
    Faces,
    Focal,
    LandmarkDetector,
    Overwrite,
    Quiet,
)
from facetrack.cli.output_folder import folder_option, output_folder
from facetrack.cli.reporter import Reporter
from facetrack.defaults import INIT


def pose(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT", help="Pictures and videos, folders of them, or patterns."),
    ],
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="landmarks: detect landmarks and fit a 3-D face to them; network: see the pose in "
            "the picture of the face, without landmarks.",
            autocompletion=choices.completing(choices.POSE_METHODS),
        ),
    ] = choices.POSE_METHODS[0],
    init: LandmarkDetector = INIT,
    detector_weights: DetectorWeights = "auto",
    pose_weights: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Weights of --method network: a name from `facetrack weights list`, a file of "
            "your own, or auto.",
            rich_help_panel=NETWORKS,
        ),
    ] = "auto",
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
    focal: Focal = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    json_progress: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Estimate head poses in pictures and videos, each frame by itself.

    Writes pose.csv and pose.json: a row for each face and frame, with OpenFace's pose columns. Both
    files appear together at the end, and replace those of an earlier run on the same inputs. An
    input that cannot be read does not stop the rest; the exit code is then 2. For poses over time,
    smoothed and with the face fitted to the person, use `facetrack track --measures`.
    """
    from facetrack.api.pose import pose_to_files
    from facetrack.detectors import DetectorOptions
    from facetrack.errors import FacetrackError
    from facetrack.images.poses import PoseOptions

    reporter = Reporter({"out": out}, "frames", "fps", json_progress, quiet)
    try:
        choices.check_choice("method", method, choices.POSE_METHODS)
        detectors = choices.LANDMARK_DETECTORS
        choices.check_parts(init, None, face_detector, None, device, inits=detectors)
        folder = output_folder(out, inputs)
        options = PoseOptions(
            method=method,
            init=init,
            detector_options=DetectorOptions(detector_weights, device),
            pose_weights=pose_weights,
            face_detector=face_detector,
            faces=faces,
            focal=focal,
            device=device,
        )
        with reporter:
            result = pose_to_files(
                *(inputs, options, folder, reporter.step, reporter.started),
                *(overwrite, reporter.loading),
            )
    except FacetrackError as error:
        reporter.failed(error)
        raise
    reporter.done(
        f"{result.faces} head poses in {result.frames} frames, {result.seconds:.1f} s",
        result.paths,
        result.warnings,
        frames=result.frames,
        faces=result.faces,
        seconds=round(result.seconds, 3),
        failed={str(path): why for path, why in result.failed.items()},
        left_out=result.left_out,
    )
    many_inputs.end(result.interrupted, result.inputs, result.failed, "inputs")
