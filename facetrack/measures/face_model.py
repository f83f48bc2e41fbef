"""The 3-D face to which landmarks are fitted: a mean face and the ways in which people differ.

The model is fitted to annotated faces by `facetrack.training.shape3d`. Its axes are those of a
camera that the face looks into, as in OpenFace: x to the right of the image, y down, z away from
the camera. Its unit is the millimetre of a mean adult face.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.files import parse_json
from facetrack.landmarks import schemes
from facetrack.weights import resolve

PART = "shape3d"
SCHEME = "68"
OUTER_EYE_CORNERS = (36, 45)
EYE_CORNER_DISTANCE = 90.0
"""Distance between the outer eye corners of the mean face in mm. Farkas, Anthropometry of the Head
and Face (1994), gives 91 mm for men and 88 mm for women."""
ZERO_TILT = 7.5
"""Pitch convention, in degrees: in the zero position the mouth corners are nearer to the camera
than the outer eye corners by the tangent of this angle times their vertical distance. So a pitch of
0 means the same as in OpenFace, whose mean face has this tilt."""
SIDES = np.array([-1.0, 1.0, 1.0])
"""Factors that mirror a face."""


@dataclass(frozen=True)
class Face3d:
    """A symmetric mean face and symmetric modes of variation.

    Attributes:
        mean: (68, 3) mm; the centre of its points is 0.
        modes: (K, 68, 3) mm for one standard deviation among people.
        noise: (68,) standard deviation of each coordinate that the modes leave, in mm.
    """

    mean: np.ndarray
    modes: np.ndarray
    noise: np.ndarray

    def face(self, coefficients: np.ndarray) -> np.ndarray:
        """Return the face (68, 3) with coefficients (K,), in standard deviations."""
        result: np.ndarray = self.mean + np.tensordot(coefficients, self.modes, 1)
        return result


@functools.cache
def load(weights: str = "auto") -> Face3d:
    """Load the model that comes with facetrack, or one of `facetrack train shape3d`.

    Args:
        weights: "auto", a name of `facetrack.weights`, or the path of a file.

    Raises:
        FacetrackError: there is no such file, or it holds no 3-D face.
    """
    return read(resolve(PART, weights).path)


def read(path: Path) -> Face3d:
    """Read a model from a safetensors file.

    Raises:
        FacetrackError: the file cannot be read, or holds something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            arrays: dict[str, Any] = {
                name: file.get_tensor(name).astype(float) for name in ("mean", "modes", "noise")
            }
            parse_json((file.metadata() or {})["face3d"])
        model = Face3d(**arrays)
        count = schemes.get(SCHEME).count
        shapes = model.mean.shape == (count, 3) and model.modes.shape[1:] == (count, 3)
        finite = all(np.isfinite(value).all() for value in arrays.values())
        if not (shapes and finite and model.noise.shape == (count,) and (model.noise > 0).all()):
            raise ValueError("not a 3-D face")
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise FacetrackError(
            f"{path} is not a 3-D face: train one with facetrack train shape3d."
        ) from error
    return model


def symmetric(points: np.ndarray) -> np.ndarray:
    """Return the symmetric part of faces (..., 68, 3): the mean of each and its mirror image."""
    swap = list(schemes.get(SCHEME).swap)
    result: np.ndarray = (points + points[..., swap, :] * SIDES) / 2
    return result


def tilt_of(mean: np.ndarray) -> float:
    """Return the tilt of a face (68, 3) in radians; see ZERO_TILT."""
    eyes, mouth = mean[list(OUTER_EYE_CORNERS)].mean(0), mean[[48, 54]].mean(0)
    return float(np.arctan2(eyes[2] - mouth[2], mouth[1] - eyes[1]))
