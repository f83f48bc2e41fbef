"""Create point trackers by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from facetrack.errors import FacetrackError
from facetrack.suggestions import did_you_mean
from facetrack.trackers.base import Detectors, PointTracker, TrackerOptions

if TYPE_CHECKING:
    from facetrack.weights import ResolvedWeights

# Each tracker is imported when it is created: PyTorch takes more than a second.


def _tapir(options: TrackerOptions, detectors: Detectors) -> PointTracker:
    from facetrack.runtime.device import choose_device, choose_precision
    from facetrack.trackers.tapir import TAPIR
    from facetrack.trackers.tapir.tracker import TapirTracker
    from facetrack.weights import resolve

    found = resolve("tapir", options.weights)
    known = found.weights
    causal = options.causal
    if causal is None and known is not None:
        causal = known.options.get("causal")
    device = choose_device(options.device)
    tapir = TAPIR.from_checkpoint(
        found.path,
        causal=causal,
        softmax_temperature=options.softmax_temperature,
        device=device,
        precision=choose_precision(
            options.precision, device, trained_for_it=known is not None and known.bundled
        ),
    )
    return TapirTracker(tapir, options.follow_face, found.path, known, options.steady)


def _lucas_kanade(options: TrackerOptions, detectors: Detectors) -> PointTracker:
    from facetrack.trackers.lk import LucasKanadeTracker

    return LucasKanadeTracker()


def _per_frame(options: TrackerOptions, detectors: Detectors) -> PointTracker:
    from facetrack.trackers.per_frame import PerFrameTracker

    return PerFrameTracker(*detectors())


def heatmap1d_weights(choice: str) -> ResolvedWeights:
    """Resolve the refinement's weights; the default choice, which is TAPIR's, means "auto"."""
    from facetrack.weights import resolve

    return resolve("heatmap1d-time", "auto" if choice == TrackerOptions.weights else choice)


def _heatmap1d(options: TrackerOptions, detectors: Detectors) -> PointTracker:
    from facetrack.detectors import DetectorOptions
    from facetrack.detectors.heatmap1d import Heatmap1d
    from facetrack.trackers.heatmap1d import Heatmap1dTracker, load_refinement

    # Its points are those of the 1D-heatmap detector, whichever detector placed the first points.
    chosen = DetectorOptions(device=options.device, precision=options.precision)
    detector = Heatmap1d(chosen)
    found = heatmap1d_weights(options.weights)
    refinement = load_refinement(found, detector.config.points)
    return Heatmap1dTracker(detector, refinement, detectors()[1], found)


_REGISTRY: dict[str, Callable[[TrackerOptions, Detectors], PointTracker]] = {
    "tapir": _tapir,
    "lk": _lucas_kanade,
    "per-frame": _per_frame,
    "heatmap1d": _heatmap1d,
}


def available() -> list[str]:
    """Return the names of all point trackers."""
    return list(_REGISTRY)


def create(name: str, options: TrackerOptions, detectors: Detectors) -> PointTracker:
    """Create a point tracker.

    Args:
        detectors: creates the landmark and face detectors for trackers that need them.

    Raises:
        FacetrackError: no tracker has that name, or its weights cannot be used.
    """
    if name not in _REGISTRY:
        hint = did_you_mean(name, _REGISTRY) or "."
        raise FacetrackError(
            f"There is no tracker '{name}'{hint} Choose one of: {', '.join(_REGISTRY)}."
        )
    return _REGISTRY[name](options, detectors)
