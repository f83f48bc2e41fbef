"""Shape correction: each landmark moves by what all landmarks of the face together imply.

Networks read each landmark from its own map. Where a map is ambiguous, as along the line of the
jaw, the other landmarks say more about the place than it does: a linear regression from the shapes
that a network places to those that were annotated learns how much. It also makes up for answers
that vary too little, such as eyes that are less open than they are. A landmark that has strayed to
where the others exclude it is first put where they imply it, or it would pull them along.
`facetrack train shape-correction` fits all this, and stores it in the weights file.

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


def find_pose(xy: np.ndarray, counts: np.ndarray | None = None) -> Pose:
    """Return the pose of faces relative to an upright face whose centroid is at 0.

    Args:
        xy: (F, 68, 2) landmarks.
        counts: (68,) bool, the landmarks that tell the pose; None for all.
    """
    chosen = slice(None) if counts is None else counts
    upright, places = as_complex(reference())[chosen], as_complex(xy)[:, chosen]
    factors = np.array([fit_rotation_scale(upright, face) for face in places]).reshape(-1, 1)
    return Pose(factors, places.mean(1, keepdims=True) - factors * upright.mean())


def reference() -> np.ndarray:
    """Return the upright face (68, 2) with its centroid at 0, to which shapes are compared."""
    face = upright_face()
    return face - face.mean(0)


def inputs_of(upright: np.ndarray) -> np.ndarray:
    """Return the inputs (F, 137) of the regression: an upright face's deviations, and 1."""
    return np.concatenate([deviations_of(upright), np.ones((len(upright), 1))], 1)


def deviations_of(upright: np.ndarray) -> np.ndarray:
    """Return how upright faces (F, 68, 2) differ from `reference`: (F, 136) x0 y0 x1 ..."""
    return (upright - reference()).reshape(len(upright), _NUMBERS)


@dataclass(frozen=True)
class ShapeCorrection:
    """A linear regression from a placed shape to the offsets of its landmarks.

    Attributes:
        weight: (137, 136) offsets x0 y0 x1 ... in the upright face's coordinates, for each input of
            `inputs_of`.
        conditional: (136, 136) how far each landmark is from where the others imply it, for each
            number of `deviations_of`; the blocks (2, 2) on its diagonal are identities.
        limits: (68,) the distance from there at which a landmark has strayed, in the upright
            face's coordinates.
    """

    weight: np.ndarray
    conditional: np.ndarray
    limits: np.ndarray

    def apply(self, xy: np.ndarray) -> np.ndarray:
        """Correct the landmarks (F, 68, 2) of faces, in image pixels.

        Returns:
            (F, 68, 2) float32. Faces with unknown landmarks, or without extent, stay as they are.
        """
        corrected = np.array(xy, np.float32)
        known = np.isfinite(corrected).all((1, 2)) & (np.ptp(corrected, axis=1) > 0).any(-1)
        if known.any():
            faces = self.return_strays(corrected[known].astype(float))
            pose = find_pose(faces)
            upright = pose.to_upright(faces)
            moved = upright + (inputs_of(upright) @ self.weight).reshape(upright.shape)
            corrected[known] = pose.to_image(moved)
        return corrected

    def return_strays(self, xy: np.ndarray) -> np.ndarray:
        """Put landmarks that have strayed where the others imply them.

        The one that has strayed furthest, in units of its limit, goes first: those near it may be
        right. So it goes on until all others agree. A face of which more than half would have
        strayed is another shape than any known, and stays.

        Args:
            xy: (F, 68, 2) landmarks in image pixels.

        Returns:
            (F, 68, 2).
        """
        return np.array([self._return_strays(face) for face in xy]).reshape(xy.shape)

    def _return_strays(self, xy: np.ndarray) -> np.ndarray:
        face = xy[None]
        has_strayed = np.zeros(POINTS, bool)
        while has_strayed.sum() <= POINTS // 2:
            pose = find_pose(face, ~has_strayed)
            deviations = deviations_of(pose.to_upright(face))[0]
            if has_strayed.any():
                # Where all that have strayed agree with the others: their residuals vanish.
                numbers = np.repeat(has_strayed, 2)
                deviations[numbers] = 0
                deviations[numbers] = -np.linalg.solve(
                    self.conditional[np.ix_(numbers, numbers)],
                    self.conditional[numbers] @ deviations,
                )
                face = pose.to_image(deviations.reshape(1, POINTS, 2) + reference())
            away = np.linalg.norm((self.conditional @ deviations).reshape(POINTS, 2), axis=-1)
            excess = np.where(has_strayed, 0, away / self.limits)
            furthest = int(excess.argmax())
            if excess[furthest] <= 1:
                return np.asarray(face[0])
            has_strayed[furthest] = True
        return xy

    def write(self) -> str:
        """Return the correction as text for the metadata: float16 in base64."""
        numbers = np.concatenate([part.ravel() for part in self._parts()])
        return base64.b64encode(numbers.astype("<f2").tobytes()).decode("ascii")

    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.weight, self.conditional, self.limits

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
            rows = numbers[:-POINTS].astype(float).reshape(-1, _NUMBERS)
            weight, conditional = np.split(rows, [_NUMBERS + 1])
            limits = numbers[-POINTS:].astype(float)
            is_whole = conditional.shape == (_NUMBERS, _NUMBERS) and limits.shape == (POINTS,)
        except (binascii.Error, ValueError):
            is_whole = False
        if count != POINTS or not is_whole or not np.isfinite(numbers).all() or limits.min() <= 0:
            raise FacetrackError(f"The shape correction inside {path} is damaged.")
        return ShapeCorrection(weight, conditional, limits)
