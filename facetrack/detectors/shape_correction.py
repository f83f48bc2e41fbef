"""Shape correction: each landmark moves by what all landmarks of the face together imply.

Networks read each landmark from its own map. Where a map is ambiguous, as along the line of the
jaw, the other landmarks say more about the place than it does: a linear regression from the shapes
that a network places to those that were annotated learns how much. It also makes up for answers
that vary too little, such as eyes that are less open than they are. What landmarks imply depends on
how far the head is turned, so the coefficients vary with the turn, smoothly. `facetrack train
shape-correction` fits all this, and stores it in the weights file.

Shapes are compared upright and at one size and place, as in the point distribution models of
Cootes, Taylor, Cooper and Graham, "Active Shape Models - Their Training and Application", CVIU
1995.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facetrack.detectors.alignment import upright_face
from facetrack.errors import FacetrackError
from facetrack.ops.similarity import as_complex, as_xy, fit_rotation_scale

KEY = "shape_correction"
"""Metadata key of the correction in weights trained here."""
POINTS = 68
"""Number of landmarks of the layout that has a correction."""
_NUMBERS = 2 * POINTS
POWERS = 3
"""Number of powers of the turn, from the zeroth, in the coefficients."""
_INPUTS = POWERS * (_NUMBERS + 1)


class Pose(NamedTuple):
    """Place, size and roll of F faces: image xy = factor * upright xy + centre, as complex numbers.

    Attributes:
        factor, centre: (F, 1) complex.
    """

    factor: np.ndarray
    centre: np.ndarray

    def to_upright(self, xy: np.ndarray) -> np.ndarray:
        """Convert points (F, N, 2) from image pixels to the upright face's coordinates."""
        return as_xy((as_complex(xy) - self.centre) / self.factor)

    def to_image(self, xy: np.ndarray) -> np.ndarray:
        """Convert points (F, N, 2) from the upright face's coordinates to image pixels."""
        return as_xy(as_complex(xy) * self.factor + self.centre)


def find_pose(xy: np.ndarray) -> Pose:
    """Return the pose of faces (F, 68, 2) relative to an upright face whose centroid is at 0."""
    upright, places = as_complex(reference()), as_complex(xy)
    factors = np.array([fit_rotation_scale(upright, face) for face in places]).reshape(-1, 1)
    return Pose(factors, places.mean(1, keepdims=True))


def reference() -> np.ndarray:
    """Return the upright face (68, 2) with its centroid at 0, to which shapes are compared."""
    face = upright_face()
    return face - face.mean(0)


def deviations_of(upright: np.ndarray) -> np.ndarray:
    """Return how upright faces (F, 68, 2) differ from `reference`: (F, 136) x0 y0 x1 ..."""
    return (upright - reference()).reshape(len(upright), _NUMBERS)


def inputs_of(upright: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Return the inputs (F, 411) of the regression: deviations and 1, times powers of the turn.

    Args:
        upright: (F, 68, 2) upright faces.
        axis: see `ShapeCorrection`.
    """
    deviations = deviations_of(upright)
    inputs = np.concatenate([deviations, np.ones((len(upright), 1))], 1)
    # Turns beyond all that were learned from count as the furthest of these.
    turn = np.tanh(deviations @ axis)[:, None]
    return np.concatenate([inputs * turn**power for power in range(POWERS)], 1)


@dataclass(frozen=True)
class ShapeCorrection:
    """A linear regression from a placed shape to the offsets of its landmarks.

    Attributes:
        weight: (411, 136) offsets x0 y0 x1 ... in the upright face's coordinates, for each input of
            `inputs_of`.
        axis: (136,) weights of the deviations in the turn, which is about -1 to 1 from profile to
            profile.
    """

    weight: np.ndarray
    axis: np.ndarray

    def apply(self, xy: np.ndarray) -> np.ndarray:
        """Correct the landmarks (F, 68, 2) of faces, in image pixels.

        Returns:
            (F, 68, 2) float32. Faces with unknown landmarks, or without extent, stay as they are.
        """
        corrected = np.array(xy, np.float32)
        known = np.isfinite(corrected).all((1, 2)) & (np.ptp(corrected, axis=1) > 0).any(-1)
        if known.any():
            faces = corrected[known].astype(float)
            pose = find_pose(faces)
            upright = pose.to_upright(faces)
            moved = upright + (inputs_of(upright, self.axis) @ self.weight).reshape(upright.shape)
            corrected[known] = pose.to_image(moved)
        return corrected

    def write(self) -> str:
        """Return the correction as text for the metadata: float16 in base64."""
        numbers = np.concatenate([self.weight, self.axis[None]])
        return base64.b64encode(numbers.astype("<f2").tobytes()).decode("ascii")

    @staticmethod
    def read(metadata: Mapping[str, str], count: int, path: Path) -> ShapeCorrection | None:
        """Read the correction from the metadata of a weights file; None if there is none.

        Args:
            metadata: of the file.
            count: number of landmarks N.
            path: of the file, for errors.

        Raises:
            FacetrackError: the metadata contain an invalid correction, or one of another layout.
        """
        if KEY not in metadata:
            return None
        try:
            numbers = np.frombuffer(base64.b64decode(metadata[KEY], validate=True), "<f2")
            rows = numbers.reshape(_INPUTS + 1, _NUMBERS).astype(float)
        except (binascii.Error, ValueError) as error:
            raise FacetrackError(f"The shape correction inside {path} is damaged.") from error
        if count != POINTS or not np.isfinite(rows).all():
            raise FacetrackError(f"The shape correction inside {path} is damaged.")
        return ShapeCorrection(rows[:-1], rows[-1])
