"""Crop patches around the eyes and the mouth that follow the pose of the face.

A patch turns and grows with the face, so that little but the expression changes in it. The left
eye is mirrored, so that both eyes look alike.

Frame positions are complex numbers x + iy in pixels, origin at the centre of the top-left pixel.
Patch positions are complex numbers relative to the centre of the patch, in units of the face. One
unit is the distance between the outer eye corners in the query frame, scaled by the growth of the
face since then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from facetrack.ops.image import shrink_region
from facetrack.ops.similarity import as_complex, fit_rotation_scale

WEIGHTS_PART = "expressions"
"""`Weights.part` of the networks' weights."""
RIGID_POINTS = np.array([*range(27, 36), 36, 39, 42, 45])
"""Landmarks on the nose and the eye corners, which expressions hardly move."""


@dataclass(frozen=True)
class PatchLayout:
    """Size and landmarks of the patches of one type of part.

    Attributes:
        width, height: size in pixels.
        px_per_unit: pixels per unit of the face.
        offset_y: offset of the patch's centre from the part's centre, in units of the face,
            positive downwards.
        num_points: number of landmarks.
        upper, lower: indices, among these landmarks, of the pairs whose distance is the opening.
    """

    width: int
    height: int
    px_per_unit: float
    offset_y: float
    num_points: int
    upper: tuple[int, ...]
    lower: tuple[int, ...]


EYE = PatchLayout(64, 48, 88.0, -0.07, 11, (6, 7), (10, 9))
MOUTH = PatchLayout(72, 64, 60.0, 0.14, 29, (13, 14, 15), (19, 18, 17))
PATCH_LAYOUTS = {"eye": EYE, "mouth": MOUTH}


@dataclass(frozen=True)
class FacePart:
    """A part of the face.

    Attributes:
        layout: the layout of its patch.
        points: indices of its landmarks, in the order of the layout: brow and eyelids, or lips and
            chin.
        centre: landmarks whose mean is its centre.
        mirrored: True if its patch is mirrored.
    """

    layout: PatchLayout
    points: np.ndarray
    centre: tuple[int, int]
    mirrored: bool = False


FACE_PARTS = (
    FacePart(EYE, np.array([*range(17, 22), *range(36, 42)]), (36, 39)),
    FacePart(EYE, np.array([*range(26, 21, -1), 45, 44, 43, 42, 47, 46]), (42, 45), True),
    FacePart(MOUTH, np.array([*range(48, 68), *range(4, 13)]), (48, 54)),
)
"""Right eye, left eye, mouth."""


class FacePose(NamedTuple):
    """Rotation, size and position of a face in a frame.

    Attributes:
        axis: one unit of the face as a complex number in frame pixels, from the right to the left
            outer eye corner (rightwards in the picture).
        centres: (parts,) complex centres of the parts, frame pixels.
    """

    axis: complex
    centres: np.ndarray


class QueryFace:
    """The face in the query frame, to which the poses in later frames refer.

    Args:
        landmarks: (68, 2) its landmarks in the query frame, pixels.
    """

    def __init__(self, landmarks: np.ndarray) -> None:
        self.points = as_complex(landmarks)
        span = self.points[45] - self.points[36]
        self.unit = max(abs(span), 1e-6)
        self._span = complex(span) or 1e-6
        self._rigid_centre = self.points[RIGID_POINTS].mean()
        self._mouth_centre = self.points[list(FACE_PARTS[2].centre)].mean()

    def estimate_pose(self, xy: np.ndarray) -> FacePose:
        """Return the pose of the face whose landmarks are at `xy` (68,), complex."""
        rotation_scale = fit_rotation_scale(self.points[RIGID_POINTS], xy[RIGID_POINTS]) or 1e-6
        eyes = [xy[list(part.centre)].mean() for part in FACE_PARTS[:2]]
        # The mouth's centre comes from the rigid points: moving lips must not move their own patch.
        mouth = xy[RIGID_POINTS].mean() + rotation_scale * (self._mouth_centre - self._rigid_centre)
        return FacePose(complex(rotation_scale * self._span), np.array([*eyes, mouth]))


def frame_to_patch(part: int, pose: FacePose, xy: np.ndarray) -> np.ndarray:
    """Convert frame positions to positions in the patch of a part (index into FACE_PARTS)."""
    positions = (xy - pose.centres[part]) / pose.axis
    if FACE_PARTS[part].mirrored:
        positions = -positions.conj()
    return np.asarray(positions - 1j * FACE_PARTS[part].layout.offset_y)


def patch_to_frame(part: int, pose: FacePose, positions: np.ndarray) -> np.ndarray:
    """Convert positions in the patch of a part to frame positions."""
    from_centre = positions + 1j * FACE_PARTS[part].layout.offset_y
    if FACE_PARTS[part].mirrored:
        from_centre = -from_centre.conj()
    return np.asarray(pose.centres[part] + from_centre * pose.axis)


def crop_patches(frame: np.ndarray, pose: FacePose) -> list[np.ndarray]:
    """Crop the patches of all parts from a frame (H, W, 3).

    Outside the frame, its border pixels repeat.

    Returns:
        One patch (height, width, 3) per part.
    """
    corners = [_patch_corners(part, pose) for part in range(len(FACE_PARTS))]
    size = np.array(frame.shape[1::-1])
    last = [right + below - first for first, right, below in corners]
    all_corners = np.concatenate([*corners, last])
    low = np.array([all_corners.real.min(), all_corners.imag.min()])
    low = np.clip(np.floor(low) - 2, 0, size - 1).astype(int)
    high = np.array([all_corners.real.max(), all_corners.imag.max()])
    high = np.clip(np.ceil(high) + 3, low + 1, size).astype(int)
    shrink = min(1.0, 1.25 * EYE.px_per_unit / max(abs(pose.axis), 1.0))
    face, rate = shrink_region(frame, low, high, shrink)
    patches = []
    for part, part_corners in enumerate(corners):
        layout = FACE_PARTS[part].layout
        # Pixel centres are half a pixel from the corners of the raster.
        x = (part_corners.real - low[0] + 0.5) * rate[0] - 0.5
        y = (part_corners.imag - low[1] + 0.5) * rate[1] - 0.5
        edge = np.array([[0, 0], [layout.width, 0], [0, layout.height]], np.float32) - 0.5
        matrix = cv2.getAffineTransform(edge, np.stack([x, y], -1).astype(np.float32))
        patches.append(
            cv2.warpAffine(
                face,
                matrix,
                (layout.width, layout.height),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
        )
    return patches


def _patch_corners(part: int, pose: FacePose) -> np.ndarray:
    """Return the top-left, top-right and bottom-left corner (3,) of a patch in the frame."""
    layout = FACE_PARTS[part].layout
    half_width = layout.width / 2 / layout.px_per_unit
    half_height = layout.height / 2 / layout.px_per_unit
    return patch_to_frame(
        part,
        pose,
        np.array(
            [
                -half_width - 1j * half_height,
                half_width - 1j * half_height,
                -half_width + 1j * half_height,
            ]
        ),
    )
