"""Calibrated scores: of landmarks scored 0.9, nine in ten lie near their true places.

Networks are sure of themselves in ways of their own: heat maps are narrow, or sums are large. A
logistic regression maps that to the probability that a landmark is exact (Platt, "Probabilistic
Outputs for Support Vector Machines", 1999). It is fitted to faces of all poses and qualities by
`facetrack train scores`, and stored in the weights file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.files import parse_json

KEY = "scores"
"""Metadata key of the calibration in weights trained here."""
EXACT = 0.05
"""Distance from the true place, in distances of the outer eye corners, up to which a landmark
counts as exact."""
_LEAST = 1e-3


@dataclass(frozen=True)
class ScoreCalibration:
    """Maps a network's own scores to probabilities.

    Attributes:
        slope: factor on the log odds of the network's own score.
        offsets: (N,) log odds to add, for each landmark.
    """

    slope: float
    offsets: np.ndarray

    def apply(self, score: np.ndarray) -> np.ndarray:
        """Return probabilities (..., N) float32 for scores (..., N) in [0, 1]; 0 stays 0."""
        odds = self.slope * log_odds(score) + self.offsets
        return np.where(score > 0, 1 / (1 + np.exp(-odds)), 0).astype(np.float32)

    def write(self) -> str:
        """Return the calibration as text for the metadata."""
        values = [round(float(value), 4) for value in self.offsets]
        return json.dumps({"slope": round(self.slope, 4), "offsets": values})

    @staticmethod
    def read(metadata: Mapping[str, str], count: int, path: Path) -> ScoreCalibration | None:
        """Read the calibration from the metadata of a weights file; None if there is none.

        Args:
            metadata: of the file.
            count: number of landmarks N.
            path: of the file, for errors.

        Raises:
            FacetrackError: the metadata contain an invalid calibration.
        """
        if KEY not in metadata:
            return None
        try:
            content = parse_json(metadata[KEY])
            slope, offsets = float(content["slope"]), np.asarray(content["offsets"], float)
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise FacetrackError(f"The scores' calibration inside {path} is damaged.") from error
        if offsets.shape != (count,) or not np.isfinite(offsets).all() or not 0 < slope < 1e3:
            raise FacetrackError(f"The scores' calibration inside {path} is damaged.")
        return ScoreCalibration(slope, offsets)


def log_odds(score: np.ndarray) -> np.ndarray:
    """Return the log odds of scores in [0, 1], which are kept away from 0 and 1."""
    inside = np.clip(np.asarray(score, float), _LEAST, 1 - _LEAST)
    return np.asarray(np.log(inside / (1 - inside)))
