"""Convert landmarks from pixels to coordinates that compare between videos and people.

- `pixels`: to the right and down from the centre of the top-left pixel.
- `normalised`: 0 is the left or upper edge of the picture, 1 the right or lower edge.
- `head`: place, size and roll are taken out. The origin is the middle between the outer eye
  corners, the unit is their distance in that frame, and the x axis runs from the subject's right
  eye to the left one.
- `frontal`: the whole pose is taken out, yaw and pitch included, with the person's 3-D face
  (`facetrack.measures.head`). Origin and axes are those of `head`, on the person's 3-D face. The
  unit is the person's inter-ocular distance, the same in all frames.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.measures import face_model
from facetrack.measures.face_measures import inter_ocular_distance, map_to_68, points_68
from facetrack.measures.face_model import OUTER_EYE_CORNERS, SCHEME
from facetrack.measures.head import choose_camera, points_on_head, track_head
from facetrack.measures.pose import check_focal
from facetrack.tracks import Tracks

PIXELS = "pixels"
COORDINATES = (PIXELS, "normalised", "head", "frontal")
DIGITS = {PIXELS: 3, "normalised": 7, "head": 5, "frontal": 5}
"""Decimals in files: about a thousandth of a pixel, or less."""
DESCRIPTIONS = {
    "normalised": {
        "origin": "upper left corner of the picture",
        "unit": "width of the picture for x, height for y",
    },
    "head": {
        "origin": "middle between the outer eye corners",
        "unit": "distance of the outer eye corners in the frame",
    },
    "frontal": {
        "origin": "middle between the outer eye corners of the person's 3-D face",
        "unit": "inter-ocular distance of the person",
    },
}
"""Entries of the record."""


def check_coordinates(name: str) -> None:
    """Raise FacetrackError if there are no coordinates of this name."""
    if name not in COORDINATES:
        raise FacetrackError(f"There are no coordinates {name!r}; choose {', '.join(COORDINATES)}.")


def check_scheme(name: str, scheme: str) -> None:
    """Refuse a layout that has no such coordinates.

    Raises:
        FacetrackError: it lacks eye corners, or for `frontal` the 68 points.
    """
    if name == "head" and schemes.get(scheme).eye_corners is None:
        raise FacetrackError(
            f"Head coordinates need a layout with eye corners, which {scheme} has not."
        )
    if name == "frontal":
        map_to_68(scheme, "Frontal coordinates")


def coordinates_record(name: str) -> dict[str, Any]:
    """Return the entry of a record for coordinates in a table; nothing for pixels."""
    if name == PIXELS:
        return {}
    return {"csv_coordinates": {"name": name, **DESCRIPTIONS[name]}}


def column_prefix(name: str) -> str:
    """Return the beginning of the names of the columns of x and y, such as "head_"."""
    return "" if name == PIXELS else f"{name}_"


def convert(xy: np.ndarray, name: str, size: tuple[int, int], scheme: str) -> np.ndarray:
    """Convert points to coordinates other than `frontal`.

    Args:
        xy: (..., N, 2) pixels, NaN where unknown.
        name: of the coordinates.
        size: (width, height) of the frames; needed for `normalised`.
        scheme: the point layout.

    Returns:
        (..., N, 2) float64.

    Raises:
        FacetrackError: the layout has no eye corners, or the size is not known.
    """
    xy = np.asarray(xy, np.float64)
    if name == "normalised":
        if min(size) < 1:
            raise FacetrackError("Normalised coordinates need the size of the frames.")
        return np.asarray((xy + 0.5) / size)
    if name == "head":
        return _to_head(xy, scheme)
    return xy


def from_normalised(xy: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels of normalised points (..., 2)."""
    return np.asarray(np.asarray(xy, np.float64) * size - 0.5)


def _to_head(xy: np.ndarray, scheme: str) -> np.ndarray:
    check_scheme("head", scheme)
    corners = schemes.get(scheme).eye_corners or (0, 0)
    right, left = (xy[..., corner, :] for corner in corners)
    along = left - right
    square = (along**2).sum(-1)[..., None]
    along = np.where(square > 0, along, np.nan) / np.where(square > 0, square, 1)
    off = xy - ((right + left) / 2)[..., None, :]
    x = (off * along[..., None, :]).sum(-1)
    y = off[..., 1] * along[..., None, 0] - off[..., 0] * along[..., None, 1]
    return np.stack([x, y], axis=-1)


def to_frontal(tracks: Tracks, focal: float | None = None) -> Tracks:
    """Return the 68 points of tracks in frontal coordinates, NaN where the pose is not known.

    Args:
        tracks: of the whole video, in a layout that has the 68 points.
        focal: focal length in pixels; None for OpenFace's rule.

    Raises:
        FacetrackError: the layout lacks the 68 points, or the size of the frames is not known.
    """
    xy, seen = points_68(tracks, "Frontal coordinates")
    if min(tracks.size) < 1:
        raise FacetrackError("Frontal coordinates need the size of the frames.")
    check_focal(focal)
    model = face_model.load()
    camera = choose_camera(xy, seen, tracks.size, focal, model)
    placed = np.full(xy.shape, np.nan)
    for face in range(xy.shape[1]):
        poses = track_head(xy[:, face], seen[:, face], camera, model)
        if not poses.known.any():
            continue
        places = points_on_head(xy[:, face], poses, camera)[..., :2]
        corners = poses.face[list(OUTER_EYE_CORNERS), :2]
        unit = inter_ocular_distance(places, seen[:, face], poses)
        if not np.isfinite(unit):  # they are never seen together
            unit = float(np.linalg.norm(corners[0] - corners[1]))
        origin = corners.mean(0)
        placed[:, face] = (places - origin) / unit
    index = map_to_68(tracks.scheme)
    known = np.isfinite(placed).all(-1)
    return replace(
        tracks,
        xy=np.where(known[..., None], placed, np.nan),
        visible=tracks.visible[:, :, index] & known,
        confidence=tracks.confidence[:, :, index],
        scheme=SCHEME,
    )
