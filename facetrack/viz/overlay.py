"""Draw landmarks on an image."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

from facetrack.landmarks.schemes import Scheme

Colour = tuple[int, int, int]

# RGB, from Okabe and Ito's palette, which is distinct for all kinds of colour vision. A visible
# point ranges from orange (confidence 0) to sky blue (1); a hidden point is a reddish purple ring.
LOW_CONFIDENCE: Colour = (230, 159, 0)
HIGH_CONFIDENCE: Colour = (86, 180, 233)
HIDDEN: Colour = (204, 121, 167)
LINE: Colour = (255, 255, 255)
# Around bright markers and lines, so that they are visible on light skin and white walls, too.
OUTLINE: Colour = (0, 0, 0)

_SHIFT = 4  # fractional bits of OpenCV's fixed-point positions: sixteenths of a pixel
_RADIUS = 0.008  # radius of a marker, as a share of the face size
_MIN_RADIUS = 0.6  # pixels; the encoder loses smaller dots
_OUTLINE_RADIUS = 1.2  # pixels; an outline around smaller markers would hide the face
_OUTLINE_FACE_SIZE = 150  # pixels; lines of smaller faces have no outline
_LINES_OPACITY = 0.55


def draw_landmarks(
    image: np.ndarray,
    xy: np.ndarray,
    visible: np.ndarray,
    confidence: np.ndarray,
    scheme: Scheme,
    names: Sequence[str] | None = None,
) -> np.ndarray:
    """Draw the landmarks of all faces on a copy of the image.

    Args:
        image: (H, W, 3) uint8 RGB.
        xy: (F, N, 2) pixels, origin at the centre of the top-left pixel. Points that are NaN or
            outside the image are not drawn, nor are lines to points that are NaN or far outside.
        visible: (F, N) bool; hidden points are drawn as rings.
        confidence: (F, N) in [0, 1]; determines the colour of visible points.
        scheme: the point layout, which defines the connecting lines.
        names: names of the faces, written above them.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    canvas = np.array(image, order="C")
    for face, (face_xy, face_visible, face_confidence) in enumerate(
        zip(xy, visible, confidence, strict=True)
    ):
        known = np.isfinite(face_xy).all(-1)
        if not known.any():
            continue
        size = _face_size(face_xy[known], canvas)
        _draw_lines(
            canvas, face_xy, known & _is_drawable(face_xy, canvas), face_visible, scheme, size
        )
        if names is not None:
            _draw_name(canvas, names[face], face_xy[known], size)
        radius = max(_MIN_RADIUS, _RADIUS * size)
        inside = known & _is_inside(face_xy, canvas, radius)
        for i in np.flatnonzero(inside):
            if face_visible[i]:
                _draw_dot(canvas, face_xy[i], radius, confidence_colour(float(face_confidence[i])))
            else:
                _draw_ring(canvas, face_xy[i], radius)
    return canvas


def confidence_colour(confidence: float) -> Colour:
    """Return the RGB colour of a visible point: orange at 0, sky blue at 1; NaN counts as 0."""
    share = min(max(confidence, 0.0), 1.0) if np.isfinite(confidence) else 0.0
    red, green, blue = (
        round(low + share * (high - low))
        for low, high in zip(LOW_CONFIDENCE, HIGH_CONFIDENCE, strict=True)
    )
    return red, green, blue


def _draw_name(canvas: np.ndarray, name: str, xy: np.ndarray, size: float) -> None:
    """Write a face's name above its points (N, 2), inside the image."""
    scale = float(np.clip(size / 150, 0.4, 2.0))
    (width, height), _ = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    left = (xy[:, 0].min() + xy[:, 0].max() - width) / 2
    corner = np.array([left, xy[:, 1].min() - 0.15 * size])
    low, high = (1, height + 1), (canvas.shape[1] - width - 1, canvas.shape[0] - 2)
    position = np.round(np.maximum(np.minimum(corner, high), low)).astype(int).tolist()
    for colour, thickness in ((OUTLINE, 3), (LINE, 1)):
        cv2.putText(
            canvas, name, position, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA
        )


def _face_size(xy: np.ndarray, canvas: np.ndarray) -> float:
    """Return the longer side, in pixels, of the box around most of the points (N, 2)."""
    shorter = min(canvas.shape[:2])
    # Percentiles, so that a single outlier does not enlarge all markers.
    low, high = np.percentile(xy.astype(np.float64), (5, 95), axis=0)
    size = float((high - low).max())
    # A single point has no size: assume a face of a quarter of the image.
    return min(size, shorter) if size > 0 else shorter / 4


def _is_inside(xy: np.ndarray, canvas: np.ndarray, margin: float) -> np.ndarray:
    """Return (N,) bool: True within `margin` pixels of the image; False for NaN."""
    height, width = canvas.shape[:2]
    return np.asarray(((xy >= -margin) & (xy <= np.array([width, height]) - 1 + margin)).all(-1))


def _is_drawable(xy: np.ndarray, canvas: np.ndarray) -> np.ndarray:
    """Return (N,) bool: True where lines to the point can be drawn; False for NaN.

    OpenCV clips lines at the border, but its fixed-point numbers overflow far outside.
    """
    return _is_inside(xy, canvas, float(max(canvas.shape[:2])))


def _fixed_point(xy: np.ndarray) -> tuple[int, int]:
    # Python numbers, because NumPy would take most of the drawing time here.
    x, y = xy.tolist()
    return round(x * 2**_SHIFT), round(y * 2**_SHIFT)


def _draw_lines(
    canvas: np.ndarray,
    xy: np.ndarray,
    drawable: np.ndarray,
    visible: np.ndarray,
    scheme: Scheme,
    size: float,
) -> None:
    segments = [
        (a, b)
        for line in scheme.lines
        for a, b in pairwise(line.indices + line.indices[:1] if line.closed else line.indices)
        if drawable[a] and drawable[b]
    ]
    if not segments:
        return
    thickness = max(1, round(size / 400))
    # Blend only the region of the face: blending a whole 4k frame for every face would be slow.
    height, width = canvas.shape[:2]
    endpoints = xy[sorted({i for segment in segments for i in segment})]
    low = np.clip(np.floor(endpoints.min(0)).astype(int) - 3 * thickness, 0, (width, height))
    high = np.clip(np.ceil(endpoints.max(0)).astype(int) + 3 * thickness + 1, 0, (width, height))
    region = canvas[low[1] : high[1], low[0] : high[0]]
    if not region.size:
        return
    drawn = region.copy()
    passes = [(LINE, thickness)]
    if size >= _OUTLINE_FACE_SIZE:
        passes.insert(0, (OUTLINE, thickness + 2))
    for colour, width_px in passes:
        for a, b in segments:
            line_colour = HIDDEN if colour is LINE and not (visible[a] and visible[b]) else colour
            start, end = _fixed_point(xy[a] - low), _fixed_point(xy[b] - low)
            cv2.line(drawn, start, end, line_colour, width_px, cv2.LINE_AA, _SHIFT)
    cv2.addWeighted(drawn, _LINES_OPACITY, region, 1 - _LINES_OPACITY, 0, dst=drawn)
    region[:] = drawn


def _draw_dot(canvas: np.ndarray, xy: np.ndarray, radius: float, colour: Colour) -> None:
    centre = _fixed_point(xy)
    if radius >= _OUTLINE_RADIUS:
        outline = radius + max(0.6, 0.3 * radius)
        cv2.circle(canvas, centre, round(outline * 2**_SHIFT), OUTLINE, -1, cv2.LINE_AA, _SHIFT)
    cv2.circle(canvas, centre, round(radius * 2**_SHIFT), colour, -1, cv2.LINE_AA, _SHIFT)


def _draw_ring(canvas: np.ndarray, xy: np.ndarray, radius: float) -> None:
    # A ring must be larger than a dot, or it has no hole.
    centre, outer = _fixed_point(xy), round(max(1.0, 1.25 * radius) * 2**_SHIFT)
    thickness = max(1, round(radius / 2))
    if radius >= 2 * _OUTLINE_RADIUS:  # an outline would fill the hole of a smaller ring
        cv2.circle(canvas, centre, outer, OUTLINE, thickness + 2, cv2.LINE_AA, _SHIFT)
    cv2.circle(canvas, centre, outer, HIDDEN, thickness, cv2.LINE_AA, _SHIFT)
