"""Draws landmarks on a picture; encoding the pictures is another module's work."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

from facetrack.landmarks.schemes import Scheme

Colour = tuple[int, int, int]

# RGB, from Okabe and Ito's palette, which every kind of colour vision can tell apart. A visible
# point runs from orange (confidence 0) to sky blue (1); a hidden one is a hollow reddish purple.
UNSURE: Colour = (230, 159, 0)
SURE: Colour = (86, 180, 233)
HIDDEN: Colour = (204, 121, 167)
LINE: Colour = (255, 255, 255)
# Around everything bright, so that it shows on light skin and in front of a white wall too.
EDGE: Colour = (0, 0, 0)

_SHIFT = 4  # OpenCV draws at fixed-point positions, here sixteenths of a pixel
_RADIUS = 0.008  # of a marker, as a share of the face's size
_MIN_RADIUS = 0.6  # pixels; a smaller dot fades away in the encoder
_EDGE_RADIUS = 1.2  # pixels; around a smaller marker an edge would hide the face
_EDGE_SIZE = 150  # pixels; the same for the lines of a face of that size
_LINES_OPACITY = 0.55


def draw(
    image: np.ndarray,
    xy: np.ndarray,
    visible: np.ndarray,
    confidence: np.ndarray,
    scheme: Scheme,
    names: Sequence[str] | None = None,
) -> np.ndarray:
    """The picture with the landmarks of its faces drawn on it.

    Args:
        image: (H, W, 3) uint8 RGB, left as it is.
        xy: (F, N, 2) pixels, origin at the centre of the top-left pixel; a point that is NaN or
            off the picture is left out, and so is a line to a point that is NaN or far off.
        visible: (F, N) bool; a hidden point is drawn as a ring.
        confidence: (F, N) in [0, 1]; colours the visible points.
        scheme: the layout, which says what to join.
        names: of the faces, written above them.

    Returns:
        (H, W, 3) uint8 RGB, a copy.
    """
    canvas = np.array(image, order="C")
    for face, (face_xy, face_visible, face_confidence) in enumerate(
        zip(xy, visible, confidence, strict=True)
    ):
        known = np.isfinite(face_xy).all(-1)
        if not known.any():
            continue
        size = _face_size(face_xy[known], canvas)
        _draw_lines(canvas, face_xy, known & _near(face_xy, canvas), face_visible, scheme, size)
        if names is not None:
            _write(canvas, names[face], face_xy[known], size)
        radius = max(_MIN_RADIUS, _RADIUS * size)
        inside = known & _inside(face_xy, canvas, radius)
        for i in np.flatnonzero(inside):
            if face_visible[i]:
                _dot(canvas, face_xy[i], radius, confidence_colour(float(face_confidence[i])))
            else:
                _ring(canvas, face_xy[i], radius)
    return canvas


def confidence_colour(confidence: float) -> Colour:
    """The RGB colour of a visible point: orange at 0, sky blue at 1; NaN counts as 0."""
    share = min(max(confidence, 0.0), 1.0) if np.isfinite(confidence) else 0.0
    red, green, blue = (
        round(unsure + share * (sure - unsure)) for unsure, sure in zip(UNSURE, SURE, strict=True)
    )
    return red, green, blue


def _write(canvas: np.ndarray, name: str, xy: np.ndarray, size: float) -> None:
    """A face's name above its points (N, 2), inside the picture."""
    scale = float(np.clip(size / 150, 0.4, 2.0))
    (width, height), _ = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    left = (xy[:, 0].min() + xy[:, 0].max() - width) / 2
    corner = np.array([left, xy[:, 1].min() - 0.15 * size])
    low, high = (1, height + 1), (canvas.shape[1] - width - 1, canvas.shape[0] - 2)
    at = np.round(np.maximum(np.minimum(corner, high), low)).astype(int).tolist()
    for colour, thickness in ((EDGE, 3), (LINE, 1)):
        cv2.putText(
            canvas, name, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA
        )


def _face_size(xy: np.ndarray, canvas: np.ndarray) -> float:
    """The longer side, in pixels, of the box around most of the (N, 2) points."""
    shorter = min(canvas.shape[:2])
    # Percentiles, so that one point gone astray does not swell every marker.
    low, high = np.percentile(xy.astype(np.float64), (5, 95), axis=0)
    size = float((high - low).max())
    # One point has no size; a quarter of the picture is what a face often takes.
    return min(size, shorter) if size > 0 else shorter / 4


def _inside(xy: np.ndarray, canvas: np.ndarray, margin: float) -> np.ndarray:
    """(N,) bool: within `margin` pixels of the picture; False for NaN."""
    height, width = canvas.shape[:2]
    return np.asarray(((xy >= -margin) & (xy <= np.array([width, height]) - 1 + margin)).all(-1))


def _near(xy: np.ndarray, canvas: np.ndarray) -> np.ndarray:
    """(N,) bool: close enough for a line from the picture to be drawn; False for NaN.

    OpenCV cuts a line at the border, but its fixed-point numbers overflow far outside.
    """
    return _inside(xy, canvas, float(max(canvas.shape[:2])))


def _fixed(xy: np.ndarray) -> tuple[int, int]:
    # Plain numbers: called for every point, where NumPy would take most of the drawing's time.
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
    # Blended only where the face is: a whole 4k picture for every face would be slow.
    height, width = canvas.shape[:2]
    ends = xy[sorted({i for segment in segments for i in segment})]
    low = np.clip(np.floor(ends.min(0)).astype(int) - 3 * thickness, 0, (width, height))
    high = np.clip(np.ceil(ends.max(0)).astype(int) + 3 * thickness + 1, 0, (width, height))
    part = canvas[low[1] : high[1], low[0] : high[0]]
    if not part.size:
        return
    drawn = part.copy()
    passes = (
        [(EDGE, thickness + 2), (LINE, thickness)] if size >= _EDGE_SIZE else [(LINE, thickness)]
    )
    for colour, thick in passes:
        for a, b in segments:
            shade = HIDDEN if colour is LINE and not (visible[a] and visible[b]) else colour
            cv2.line(
                drawn, _fixed(xy[a] - low), _fixed(xy[b] - low), shade, thick, cv2.LINE_AA, _SHIFT
            )
    cv2.addWeighted(drawn, _LINES_OPACITY, part, 1 - _LINES_OPACITY, 0, dst=drawn)
    part[:] = drawn


def _dot(canvas: np.ndarray, xy: np.ndarray, radius: float, colour: Colour) -> None:
    centre = _fixed(xy)
    if radius >= _EDGE_RADIUS:
        edge = radius + max(0.6, 0.3 * radius)
        cv2.circle(canvas, centre, round(edge * 2**_SHIFT), EDGE, -1, cv2.LINE_AA, _SHIFT)
    cv2.circle(canvas, centre, round(radius * 2**_SHIFT), colour, -1, cv2.LINE_AA, _SHIFT)


def _ring(canvas: np.ndarray, xy: np.ndarray, radius: float) -> None:
    # A ring needs a pixel more than a dot, or it has no hole.
    centre, outer = _fixed(xy), round(max(1.0, 1.25 * radius) * 2**_SHIFT)
    thickness = max(1, round(radius / 2))
    if radius >= 2 * _EDGE_RADIUS:  # an edge on both sides would fill the hole of a smaller one
        cv2.circle(canvas, centre, outer, EDGE, thickness + 2, cv2.LINE_AA, _SHIFT)
    cv2.circle(canvas, centre, outer, HIDDEN, thickness, cv2.LINE_AA, _SHIFT)
