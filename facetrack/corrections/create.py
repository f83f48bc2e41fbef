"""Create a corrector from a run's options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facetrack import defaults
from facetrack.corrections.anchors import AnchorPlacer
from facetrack.corrections.engine import Corrector
from facetrack.corrections.frames import FrameStore
from facetrack.detectors import DetectorOptions
from facetrack.pipeline.models import Models
from facetrack.pipeline.options import Options
from facetrack.tracks import Tracks

if TYPE_CHECKING:
    from facetrack.detectors import LandmarkDetector
    from facetrack.identity.shape_model import ShapeModel


def model_options(options: Options) -> Options:
    """Return the options of the models that track again what a run with `options` has tracked.

    The user's own points come from no detector. Where they are 68, the default one helps to correct
    them, because people place these by the same rules.
    """
    if options.points is None:
        return options
    device = options.tracker_options.device
    return replace(
        options,
        init=defaults.INIT,
        points=None,
        expressions=False,
        detector_options=DetectorOptions(device=device),
    )


def create_corrector(
    base: Tracks,
    events: Iterable[Mapping[str, Any]],
    video: Path,
    options: Options,
    models: Models | None = None,
) -> Corrector:
    """Return a corrector of a run's tracks.

    Models are loaded on first use.

    Args:
        base: the tracks before any correction.
        events: of the run's record.
        video: video file, folder or series of images.
        options: of the run.
        models: of `model_options(options)`, to use them again.

    Raises:
        FacetrackError: the video cannot be read, or is another.
    """
    models = Models(model_options(options)) if models is None else models
    scheme = base.scheme

    def detector() -> LandmarkDetector | None:
        return models.detector if scheme in ("68", "98", "29", "19") else None

    def shapes() -> ShapeModel | None:
        shared: ShapeModel | None = models.verifier_models["shapes"] if scheme == "68" else None
        return shared

    placer = AnchorPlacer(detector, shapes, lambda: models.confidence)
    frames = FrameStore(video, base, options.fps)
    return Corrector(base, events, frames, lambda: models.tracker, placer)
