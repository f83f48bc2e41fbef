"""What every point tracker offers to the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from facetrack.detectors.base import LandmarkDetector
from facetrack.face_detectors.base import FaceDetector


class StepResult(NamedTuple):
    """Positions of N points in K frames.

    Attributes:
        xy: (K, N, 2) float32 pixels of the frame, origin at the centre of the top-left pixel;
            NaN where the tracker has no idea.
        visible: (K, N) bool.
        confidence: (K, N) float32 in [0, 1].
    """

    xy: np.ndarray
    visible: np.ndarray
    confidence: np.ndarray


class PointTracker(Protocol):
    """Carries points from one frame through the frames that follow.

    Streaming by construction: all that is remembered is in `state`, whose size does not depend on
    how many frames have passed. Frames may be fed backwards in time; a tracker does not know.

    Attributes:
        name: as on the command line.
        window: None for a causal tracker. A tracker that looks both ways has `(length, overlap)`:
            the pipeline then feeds it stretches of `length` frames of which `overlap` are shared
            with the stretch before, and joins the answers in the middle of the overlap.
    """

    name: str
    window: tuple[int, int] | None

    def start(self, frame: np.ndarray, points: np.ndarray) -> Any:
        """Remember `points` (N, 2) of `frame` (H, W, 3) uint8 RGB; returns the state."""
        ...

    def step(self, state: Any, frames: np.ndarray) -> StepResult:
        """Find the points in `frames` (K, H, W, 3) uint8 RGB; updates `state` in place.

        The frame given to `start` is stepped over like any other: feed it first.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What the sidecar says of this tracker: options, weights and their sha256, device."""
        ...


def step_all(tracker: PointTracker, states: Sequence[Any], frames: np.ndarray) -> list[StepResult]:
    """Step several of a tracker's states through the same frames (K, H, W, 3): faces, say.

    A tracker that has work to share between them offers `step_several`, with these arguments.
    """
    if len(states) > 1 and hasattr(tracker, "step_several"):
        return list(tracker.step_several(states, frames))
    return [tracker.step(state, frames) for state in states]


@dataclass(frozen=True)
class TrackerOptions:
    """What a user may say of a tracker; each takes what concerns it.

    Attributes:
        weights: a name of facetrack's ("tapir-s"), "auto" or a checkpoint's path.
        causal: None goes by what is known of the checkpoint; for a file of the user's own that
            does not say, by its name.
        softmax_temperature: None takes the checkpoint's own.
        follow_face: track in a window around the face (causal TAPIR networks).
        steady: steady the points by optical flow (causal TAPIR networks).
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


Detectors = Callable[[], tuple[LandmarkDetector, FaceDetector]]
