"""Poses of heads in the terms of a picture, which need no camera, and in those of a camera.

In a picture a head has a rotation, a place and a size: the scaled orthographic camera. Its rotation
is relative to the line of sight. With the focal length and the centre of a pinhole camera, these
are the six degrees of freedom of `facetrack.measures.pose`.

Axes, angles and signs are those of OpenFace; see `facetrack.measures.rotations`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facetrack.detectors.alignment import FaceFrame
from facetrack.measures import rotations
from facetrack.measures.head import MIN_DISTANCE
from facetrack.measures.pose import Camera

UNIT = 100.0
"""Millimetres by whose length in sides of the crop a size is stated."""
MIRROR = np.array([1.0, -1.0, -1.0, -1.0, 1.0, 1.0])
"""Factors of the numbers of a pose in the mirrored picture."""


@dataclass(frozen=True)
class PicturePoses:
    """Poses of F heads in a picture.

    Attributes:
        rotation: (F, 3, 3) of points of the head to the axes of the line of sight.
        place: (F, 2) where the centre of the 3-D face is seen, in pixels, origin at the centre of
            the top-left pixel.
        scale: (F,) pixels per mm.
    """

    rotation: np.ndarray
    place: np.ndarray
    scale: np.ndarray

    def __len__(self) -> int:
        return len(self.scale)

    @property
    def known(self) -> np.ndarray:
        """(F,) bool: heads with a pose."""
        return np.asarray(np.isfinite(self.place).all(-1))

    def select(self, rows: Sequence[int]) -> PicturePoses:
        """Return the poses of some heads."""
        rows = list(rows)
        return PicturePoses(self.rotation[rows], self.place[rows], self.scale[rows])

    def project(self, face: np.ndarray) -> np.ndarray:
        """Return the pixels (F, N, 2) of the points (N, 3) of a face in mm."""
        turned = np.einsum("fab,nb->fna", self.rotation, face)
        return np.asarray(self.place[:, None] + self.scale[:, None, None] * turned[..., :2])

    def in_camera(self, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
        """Return rotations (F, 3, 3) and translations (F, 3) in mm, in the axes of a camera."""
        sight = camera.lines_of_sight(self.place)
        translation = sight * (camera.focal / self.scale)[:, None]
        return rotations.to_direction(sight) @ self.rotation, translation

    @classmethod
    def of_camera(
        cls, rotation: np.ndarray, translation: np.ndarray, camera: Camera
    ) -> PicturePoses:
        """Return the inverse of `in_camera`."""
        place = camera.project(translation)
        turn = rotations.to_direction(camera.lines_of_sight(place))
        scale = camera.focal / translation[:, 2]
        return cls(np.swapaxes(turn, 1, 2) @ rotation, place, scale)

    @classmethod
    def joined(cls, parts: Sequence[PicturePoses]) -> PicturePoses:
        """Return the poses of several pictures, one after the other."""
        if not parts:
            return cls(np.zeros((0, 3, 3)), np.zeros((0, 2)), np.zeros(0))
        return cls(
            np.concatenate([part.rotation for part in parts]),
            np.concatenate([part.place for part in parts]),
            np.concatenate([part.scale for part in parts]),
        )


def to_numbers(poses: PicturePoses, frames: Sequence[FaceFrame]) -> np.ndarray:
    """Return poses in the terms of crops.

    Args:
        poses: of F heads.
        frames: the square of each crop.

    Returns:
        (F, 6): the rotation vector in the axes of the crop, in radians; the place from the middle
        of the crop, in its sides; and the logarithm of the length of UNIT, in its sides.
    """
    centre, side, roll = _arrays(frames)
    back = _about_line_of_sight(-roll)
    vector = rotations.to_vector(back @ poses.rotation)
    off = np.einsum("fab,fb->fa", back[:, :2, :2], poses.place - centre) / side[:, None]
    return np.concatenate([vector, off, np.log(poses.scale * UNIT / side)[:, None]], axis=1)


def from_numbers(numbers: np.ndarray, frames: Sequence[FaceFrame]) -> PicturePoses:
    """Return the inverse of `to_numbers`."""
    centre, side, roll = _arrays(frames)
    turn = _about_line_of_sight(roll)
    rotation = turn @ rotations.from_vector(numbers[:, :3])
    off = np.einsum("fab,fb->fa", turn[:, :2, :2], numbers[:, 3:5])
    scale = np.exp(numbers[:, 5]) * side / UNIT
    return PicturePoses(rotation, centre + off * side[:, None], scale)


def _arrays(frames: Sequence[FaceFrame]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return centres (F, 2), sides (F,) and rolls (F,) of squares."""
    centre = np.array([frame.centre for frame in frames], float).reshape(-1, 2)
    return centre, np.array([f.side for f in frames], float), np.array([f.roll for f in frames])


def _about_line_of_sight(roll: np.ndarray) -> np.ndarray:
    """Return the rotations (F, 3, 3) by angles (F,), clockwise in the picture."""
    return rotations.from_vector(np.stack([0 * roll, 0 * roll, roll], -1))


def choose_camera(
    size: tuple[int, int], focal: float | None, poses: Sequence[PicturePoses]
) -> Camera:
    """Return the camera of pictures, by the rule of `facetrack.measures.head.choose_camera`.

    Args:
        size: (width, height) of the pictures.
        focal: in pixels, if known.
        poses: of each head over the pictures.
    """
    camera = Camera.of_frame(size, focal)
    scales = [float(np.median(p.scale[p.known])) for p in poses if p.known.any()]
    if focal is not None or not scales:
        return camera
    return Camera(max(camera.focal, MIN_DISTANCE * max(scales)), camera.centre)
