"""The mean of two landmark networks, STAR and FAN, whose errors partly cancel.

Both draw heat maps, but learn by different losses and read their maps in different ways, so part of
what each gets wrong is its own. The mean of networks is an old way to a smaller error (Hansen and
Salamon, "Neural Network Ensembles", IEEE TPAMI 1990).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from facetrack.detectors.base import DetectorOptions, LandmarkDetector, Landmarks
from facetrack.detectors.fan import Fan
from facetrack.detectors.star import Star
from facetrack.errors import FacetrackError
from facetrack.weights import ResolvedWeights, resolve

NAME = "star+fan"
JOINT = "+"
"""Between the names of the weights and between their digests."""


class StarFan:
    """The mean landmarks and the mean scores of STAR and FAN."""

    name, scheme = NAME, "68"

    def __init__(self, options: DetectorOptions) -> None:
        """
        Raises:
            FacetrackError: `options` name weights, or those of a network are missing or unusable.
        """
        star, fan = (
            replace(options, weights=found.weights.name if found.weights else str(found.path))
            for found in resolve_both(options.weights)
        )
        self._members: tuple[LandmarkDetector, ...] = (Star(star), Fan(fan))

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        """Detect landmarks as `LandmarkDetector.detect`."""
        return self.detect_many([image], [boxes])[0]

    def detect_many(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[Landmarks]:
        """Detect landmarks as `LandmarkDetector.detect_many`."""
        found = [member.detect_many(images, boxes) for member in self._members]
        return [_mean(answers) for answers in zip(*found, strict=True)]

    def describe(self) -> dict[str, Any]:
        """Describe both networks for the record."""
        star, fan = described = [member.describe() for member in self._members]
        joint = {
            key: JOINT.join(str(each[key]) for each in described) for key in ("weights", "sha256")
        }
        both = {
            key: star[key] if star[key] == fan[key] else f"{star[key]}; {fan[key]}"
            for key in star
            if key in fan
        }
        if any(each.get("noncommercial") for each in described):
            both["noncommercial"] = True
        return {**both, "name": self.name, **joint}


def resolve_both(choice: str = "auto") -> tuple[ResolvedWeights, ResolvedWeights]:
    """Choose the weights of STAR and of FAN, of 68 points.

    Raises:
        FacetrackError: `choice` is not "auto", or a network's weights are missing.
    """
    if choice != "auto":
        raise FacetrackError(
            f"{NAME} takes the weights of its two networks as they are: leave out "
            "--detector-weights, or choose one network."
        )
    return resolve("star", scheme=StarFan.scheme), resolve("fan", scheme=StarFan.scheme)


def sha256_of_both(choice: str = "auto") -> str:
    """Return the digests of the weights that would be used now, as `StarFan.describe` has them."""
    return JOINT.join(found.describe()["sha256"] for found in resolve_both(choice))


def _mean(answers: Sequence[Landmarks]) -> Landmarks:
    """Return the mean landmarks; unknown, with score 0, where a network has no estimate."""
    xy = np.array([answer.xy for answer in answers], np.float32).mean(0)
    score = np.array([answer.score for answer in answers], np.float32).mean(0)
    return Landmarks(xy, np.where(np.isfinite(xy).all(-1), score, np.float32(0)))
