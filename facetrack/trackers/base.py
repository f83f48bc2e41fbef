"""The interface of all point trackers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from facetrack.detectors.base import LandmarkDetector
from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import FaceDetector


class StepResult(NamedTuple):
    """Positions of N points in K frames.

    Attributes:
        xy: (K, N, 2) float32 pixels of the frame, origin at the centre of the top-left pixel;
            NaN where unknown.
        visible: (K, N) bool.
        confidence: (K, N) float32 in [0, 1].
    """

    xy: np.ndarray
    visible: np.ndarray
    confidence: np.ndarray


class PointTracker(ABC):
    """Propagates points from one frame through the frames that follow.

    A tracker streams: everything it remembers is in a state, whose size does not depend on the
    number of frames. Frames may be fed in reverse order; a tracker cannot tell.

    Attributes:
        name: The name on the command line.
        window: None for a causal tracker. A tracker that also uses later frames has
            `(length, overlap)`: it is fed windows of `length` frames that share `overlap` frames
            with the window before, and its results are joined in the middle of the overlap.
    """

    name: str
    window: tuple[int, int] | None = None

    @abstractmethod
    def start(self, frame: np.ndarray, points: np.ndarray) -> Any:
        """Return a new state that follows `points`.

        Args:
            frame: (H, W, 3) uint8 RGB.
            points: (N, 2) pixels of `frame`, origin at the centre of the top-left pixel.
        """

    @abstractmethod
    def step(self, state: Any, frames: np.ndarray) -> StepResult:
        """Track the points of `state` through consecutive frames; update `state` in place.

        Feed the frame that was given to `start` first, like any other.

        Args:
            frames: (K, H, W, 3) uint8 RGB.
        """

    def step_many(self, states: Sequence[Any], frames: np.ndarray) -> list[StepResult]:
        """Step several states (one per face, say) through the same frames.

        Trackers that can share work between states override this method.

        Args:
            frames: (K, H, W, 3) uint8 RGB.
        """
        return [self.step(state, frames) for state in states]

    def take_warnings(self) -> list[str]:
        """Return the warnings since the last call, one sentence each."""
        return []

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return the record's entry for this tracker: options, device, weights, SHA-256."""


@dataclass(frozen=True)
class TrackerOptions:
    """User options of trackers; each tracker uses those that apply to it.

    Attributes:
        weights: registered name ("tapir-s"), "auto" or path of a checkpoint.
        causal: None decides by the registry's entry; for the user's own files that do not record
            it, by the file's name.
        softmax_temperature: None means the checkpoint's own.
        follow_face: track in a window around the face (causal TAPIR networks).
        steady: smooth the points by optical flow (causal TAPIR networks).
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: "auto", "float32" or "bfloat16".
    """

    weights: str = "tapir-s"
    causal: bool | None = None
    softmax_temperature: float | None = None
    follow_face: bool = True
    steady: bool = True
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        temperature = self.softmax_temperature
        if temperature is not None and not (math.isfinite(temperature) and temperature > 0):
            raise FacetrackError(f"The softmax temperature must be above 0, not {temperature:g}.")


Detectors = Callable[[], tuple[LandmarkDetector, FaceDetector]]
"""Creates the landmark and the face detector, for trackers that need them."""


def wrapped_trackers(tracker: PointTracker) -> Iterator[PointTracker]:
    """Yield a tracker, the one that it wraps as its `tracker`, and so on."""
    inner: Any = tracker
    while isinstance(inner, PointTracker):
        yield inner
        inner = getattr(inner, "tracker", None)
