"""Judge how a face has rolled, from landmarks placed in crops that are turned differently.

A landmark network that was trained on upright faces is unsure of its points in a crop that shows
the face on its side or upside down, and their shape is not that of a face. Both are turned into the
log odds that a crop was upright.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from facetrack.detectors.base import LandmarkDetector
from facetrack.detectors.crops import hog_box
from facetrack.identity.shape_model import ShapeModel
from facetrack.landmarks import schemes
from facetrack.landmarks.geometry import inside_size
from facetrack.orientation.turning import (
    QUARTER,
    cut_patch,
    nearest_quarter,
    rotation,
    wrapped,
)

MAX_RESIDUAL = np.radians(25)
"""Roll that remains in a crop turned by whole quarter turns up to which it is not turned further.
Networks place landmarks there nearly as exactly; beyond 30 degrees they get worse."""
MIN_CHANGE = np.radians(5)
"""Change of the estimated roll below which landmarks are not placed again."""
MAX_ROUNDS = 3
"""Number of times that landmarks are placed again at a better roll."""
SURE = 2.0
"""Log odds from which on a crop is taken as upright without a look at other turns."""
MIN_ADVANTAGE = 1.0
"""Log odds by which another turn must exceed the given one: in doubt, faces are upright."""
MIN_COUNTED_SHARE = 0.4
"""Share of the landmarks that must lie inside the picture for those outside not to count."""
MAX_COUNTED_ERROR = 3.0
"""Shape error beyond which the log odds do not change: the shape is that of no face."""


class Calibration(NamedTuple):
    """Logistic regression of a landmark network's answer on whether its crop is upright.

    The log odds are offset + score * (mean score) - error * (shape error). Fitted to held-out faces
    of 300-W, a part of them blurred, dark, noisy, tiny or half covered, in crops turned by 0, 90,
    180 and 270 degrees, and to crops beside the face (benchmarks/accuracy/rolls.py --fit).

    Attributes:
        offset, score, error: coefficients.
        can_judge: whether the log odds tell the turns of every face apart.
    """

    offset: float
    score: float
    error: float
    can_judge: bool = True


CALIBRATIONS = {
    "star-s": Calibration(-14.7, 33.0, 2.7),
    "pipnet-s": Calibration(-28.2, 47.0, 0.5),
    "fan-s": Calibration(-11.6, 28.8, 4.4),
    "star-s+fan-s": Calibration(-13.4, 31.2, 3.7),
    "heatmap1d-s": Calibration(-20.8, 39.6, 1.1),
    "shape_predictor_68_face_landmarks.dat": Calibration(-10.8, 16.0, 0.0, can_judge=False),
}
"""By the name of the weights."""


@dataclass(frozen=True)
class TurnedPlacement:
    """Landmarks that were placed in a crop turned by a roll.

    Attributes:
        box: (4,) of the face in the picture, pixels.
        roll: by which the crop was turned back, radians.
        xy: (N, 2) landmarks in the picture, pixels.
        score: (N,) the detector's scores.
        residual: roll of the landmarks in the crop, radians.
        log_odds: that the crop was upright.
    """

    box: np.ndarray
    roll: float
    xy: np.ndarray
    score: np.ndarray
    residual: float
    log_odds: float

    @property
    def better_roll(self) -> float:
        """The roll by which to turn the crop instead; `roll` itself if that is good enough."""
        total = wrapped(self.roll + self.residual)
        if abs(wrapped(self.roll - nearest_quarter(self.roll) * QUARTER)) > 1e-6:
            return self.roll if abs(self.residual) < MIN_CHANGE else total
        quarter = wrapped(nearest_quarter(total) * QUARTER)
        return quarter if abs(wrapped(total - quarter)) <= MAX_RESIDUAL else total

    @property
    def is_settled(self) -> bool:
        """Whether the crop was surely upright, and turned well enough."""
        return self.log_odds >= SURE and abs(wrapped(self.better_roll - self.roll)) < 1e-6


class RollEstimator:
    """Places landmarks of 68 points in turned crops, and finds the turn in which a face is upright.

    Args:
        detector: places 68 points, or points that include them.
        shapes: the shape model.
        calibration: of the detector.
    """

    def __init__(
        self, detector: LandmarkDetector, shapes: ShapeModel, calibration: Calibration
    ) -> None:
        self._detector, self._shapes, self._calibration = detector, shapes, calibration
        self._indices = list(schemes.index_map(detector.scheme, "68"))

    @property
    def can_judge(self) -> bool:
        """Whether the log odds tell the turns of every face apart."""
        return self._calibration.can_judge

    def rate(
        self,
        xy: np.ndarray,
        score: np.ndarray,
        box: np.ndarray,
        roll: float,
        size: tuple[int, int],
    ) -> TurnedPlacement:
        """Judge landmarks (N, 2) with scores (N,), placed in a box (4,) turned by a roll.

        Landmarks outside the picture, whose size is (width, height), are guesses: neither their
        scores nor their places count, as long as there are MIN_COUNTED_SHARE of all inside.
        """
        if not np.isfinite(xy).all():
            return TurnedPlacement(box, roll, xy, score, 0.0, -np.inf)
        inside = inside_size(xy, size)
        if inside.mean() < MIN_COUNTED_SHARE:
            inside = np.ones(len(xy), bool)
        upright = xy[self._indices].astype(float) @ rotation(roll)
        shape_error = self._shapes.shape_error(upright, inside[self._indices])
        error = MAX_COUNTED_ERROR if np.isnan(shape_error) else float(shape_error)
        offset, of_score, of_error, _ = self._calibration
        odds = offset + of_score * float(score[inside].mean())
        odds -= of_error * min(error, MAX_COUNTED_ERROR)
        return TurnedPlacement(box, roll, xy, score, self._shapes.roll(upright), odds)

    def place(
        self, image: np.ndarray, faces: Iterable[tuple[np.ndarray, float]]
    ) -> list[TurnedPlacement]:
        """Place landmarks in crops of an image (H, W, 3), given the box (4,) and roll of each."""
        faces = list(faces)
        return [
            self.rate(xy, score, box, roll, (image.shape[1], image.shape[0]))
            for (xy, score), (box, roll) in zip(
                place_turned(self._detector, image, faces), faces, strict=True
            )
        ]

    def orient(self, image: np.ndarray, given: TurnedPlacement) -> TurnedPlacement:
        """Return the landmarks in the crop in which the face is upright.

        Args:
            image: (H, W, 3) uint8 RGB.
            given: the landmarks in the crop that is tried first.
        """
        best = given
        for turns in ((1, 2, 3), (0.5, 1.5, 2.5, 3.5)):
            if best.log_odds >= SURE:
                break
            others = [(given.box, wrapped(given.roll + turn * QUARTER)) for turn in turns]
            for other in self.place(image, others):
                lead = MIN_ADVANTAGE if best is given else 0.0
                if other.log_odds > best.log_odds + lead:
                    best = other
        for _ in range(MAX_ROUNDS):
            roll = best.better_roll
            if abs(wrapped(roll - best.roll)) < MIN_CHANGE:
                break
            (again,) = self.place(image, [(self.implied_box(best, roll), roll)])
            if again.log_odds < min(best.log_odds - MIN_ADVANTAGE, SURE):
                break
            best = again
        return best

    def implied_box(self, placed: TurnedPlacement, roll: float) -> np.ndarray:
        """Return the box (4,) in the picture that landmarks imply for a face with a roll."""
        return rolled_box(placed.xy[self._indices], roll)


def rolled_box(xy: np.ndarray, roll: float) -> np.ndarray:
    """Return the box (4,) that 68 landmarks (68, 2) imply for a face with a roll."""
    matrix = rotation(roll)
    box = hog_box(np.asarray(xy, float) @ matrix)
    centre, half = matrix @ ((box[:2] + box[2:]) / 2), (box[2:] - box[:2]).mean() / 2
    return np.concatenate([centre - half, centre + half])


def place_turned(
    detector: LandmarkDetector, image: np.ndarray, faces: Sequence[tuple[np.ndarray, float]]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Place the landmarks of faces in crops in which they are upright.

    Args:
        detector: places the landmarks.
        image: (H, W, 3) uint8 RGB.
        faces: the box (4,) and the roll of each.

    Returns:
        Landmarks (N, 2) in pixels of the image, and scores (N,), of each face.
    """
    patches = [cut_patch(image, np.asarray(box, float), roll) for box, roll in faces]
    found = detector.detect_many([p.image for p in patches], [p.box[None] for p in patches])
    return [
        (patch.to_picture(marks.xy[0]).astype(np.float32), marks.score[0])
        for patch, marks in zip(patches, found, strict=True)
    ]
