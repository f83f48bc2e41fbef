"""Smooth a tracker's points with optical flow, without lag and without drift.

A network that locates each point anew has a little noise in every frame. Optical flow from frame to
frame has almost none, but its errors add up, and an object that covers a point drags it along. So
each point is propagated by flow (Lucas-Kanade) and then moved a small share of the way to the
network's position. The share grows with the distance between the two and with the residual of the
flow, up to the whole way. Hidden points keep the network's position.

The network's positions are first aligned with the query frame's picture (`template_alignment`).

In a whole frame, points may belong to any object. There, flow alone propagates the points that the
network does not recognise, as long as its residual is small.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from facetrack.trackers.tapir.config import RESOLUTION
from facetrack.trackers.tapir.face_window import Window
from facetrack.trackers.tapir.template_alignment import TemplateAligner

# The numbers were chosen on rendered clips of held-out faces (window of 256 pixels, face of about
# 150), clean and with a bad camera.
PATCH_PX = 25
"""Side in pixels of the patch whose flow is computed. With 21, the jitter is 4 % larger and the
error 1 % smaller; with 31, the error is 2 % larger and the jitter 4 % smaller."""
PYRAMID_LEVELS = 2
"""Pyramid levels above the picture itself."""
ITERATIONS, EPSILON = 15, 0.02
"""Steps per level, at most, and pixels of a step below which to stop."""
MAX_FRAME_SIDE = 640
"""Pixels of the longer side to which whole frames are scaled down."""
NETWORK_SHARE = 0.2
"""Share of the way to the network's position where the residual is zero."""
MAX_RESIDUAL = 10.0
"""Mean difference of the patches in grey levels over which the share rises by 1."""
MAX_RESIDUAL_SHARE = 0.7
"""Limit of the share as far as it depends on the residual."""
AGREE_PX, DISAGREE_PX = 1.0, 3.0
"""Pixels between flow and network: below the first both may be right, beyond the second the flow is
wrong."""
MAX_CARRY_RESIDUAL = 10.0
"""Grey levels beyond which flow no longer propagates an unrecognised point in a whole frame."""


def flow(before: np.ndarray, now: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the Lucas-Kanade flow of points.

    Args:
        before, now: (H, W) uint8 pictures.
        xy: (N, 2) float32 pixels in `before`, origin at the centre of the top-left pixel, finite.

    Returns:
        (N, 2) float32 positions in `now`, and (N,) residuals: the mean difference between the
        patches in grey levels, inf where there is no flow.
    """
    flowed, found, residual = cv2.calcOpticalFlowPyrLK(
        before,
        now,
        np.float32(xy).reshape(-1, 1, 2),
        None,  # type: ignore[call-overload]
        winSize=(PATCH_PX, PATCH_PX),
        maxLevel=PYRAMID_LEVELS,
        criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, EPSILON),
    )
    return flowed.reshape(-1, 2), np.where(found.reshape(-1) > 0, residual.reshape(-1), np.inf)


def blend(flowed: np.ndarray, residual: np.ndarray, network: np.ndarray) -> np.ndarray:
    """Blend the positions of flow and network.

    Args:
        flowed, network: (N, 2) pixels.
        residual: (N,) grey levels, from `flow`.

    Returns:
        (N, 2) pixels.
    """
    distance = np.linalg.norm(network - flowed, axis=-1)
    share = np.clip(NETWORK_SHARE + residual / MAX_RESIDUAL, 0, MAX_RESIDUAL_SHARE)
    share = share + (1 - share) * np.clip((distance - AGREE_PX) / (DISAGREE_PX - AGREE_PX), 0, 1)
    share = np.where(np.isfinite(residual), share, 1.0)[:, None]
    return network * share + flowed * (1 - share)


class View(NamedTuple):
    """A grey picture of a window of a frame, or of all of it.

    Attributes:
        grey: (h, w) uint8.
        window: the part of the frame that it shows; None for all.
        scale: (2,) its pixels per pixel of the frame, for whole frames.
    """

    grey: np.ndarray
    window: Window | None
    scale: np.ndarray

    @staticmethod
    def of(frame: np.ndarray, window: Window | None, shown: np.ndarray | None = None) -> View:
        """Return the view of a frame (H, W, 3) uint8 RGB.

        Args:
            window: the part to show; None for all, scaled to at most MAX_FRAME_SIDE.
            shown: the window's crop, if it exists already.
        """
        height, width = frame.shape[:2]
        if window is not None:
            part = window.crop(frame, RESOLUTION) if shown is None else shown
            scale = np.ones(2)
        else:
            ratio = min(1.0, MAX_FRAME_SIDE / max(height, width))
            size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
            part = frame
            if size != (width, height):
                part = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            scale = np.array(size) / (width, height)
        return View(cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY), window, scale)

    def to_view(self, raster: np.ndarray) -> np.ndarray:
        """Convert the frame's raster coordinates (N, 2) to pixels of the view, by pixel centres."""
        if self.window is not None:
            return self.window.to_crop(raster, RESOLUTION) - 0.5
        return raster * self.scale - 0.5

    def to_frame(self, xy: np.ndarray) -> np.ndarray:
        """Convert pixels of the view (N, 2) to the frame's raster coordinates."""
        if self.window is not None:
            return self.window.to_frame(xy + 0.5, RESOLUTION)
        return (xy + 0.5) / self.scale


class FlowSmoother:
    """Smooths the points of a stream frame by frame.

    Args:
        frame: (H, W, 3) uint8 RGB, the query frame.
        raster: (N, 2) query points in it, raster coordinates.
        window: the part of it that shows the face. None for all: flow alone then propagates points
            that the network does not recognise.
    """

    def __init__(self, frame: np.ndarray, raster: np.ndarray, window: Window | None) -> None:
        # The stream may not begin at the query frame: no flow leads into its first frame.
        self._frame, self._raster = frame, raster
        self._carry = window is None
        query = View.of(frame, window)
        self._aligner = TemplateAligner(query.grey, query.to_view(raster))
        self._followed = np.zeros(len(raster), bool)  # visible, or propagated since
        self._window: Window | None = None
        self._view: View | None = None

    def step(
        self,
        frame: np.ndarray,
        window: Window | None,
        raster: np.ndarray,
        seen: np.ndarray,
        shown: np.ndarray | None = None,
    ) -> np.ndarray:
        """Smooth the points of the next frame.

        Args:
            frame: (H, W, 3) uint8 RGB.
            window: the part of it in use; None for all.
            raster: (N, 2) the network's positions, raster coordinates.
            seen: (N,) bool, the points that the network recognises.
            shown: the window's crop of the frame, if it exists already.

        Returns:
            (N, 2) float64 raster coordinates.
        """
        smoothed = np.array(raster, np.float64)
        followed = seen.copy()
        propagated = self._followed & np.isfinite(self._raster).all(-1)
        if not self._carry:
            propagated &= seen
        now: View | None = None
        if seen.any() or propagated.any():
            now = View.of(frame, window, shown)
            aligned = self._aligner.align(now.grey, now.to_view(smoothed), seen)
            smoothed[seen] = now.to_frame(aligned[seen])
        if now is not None and propagated.any():
            before = self._view
            if before is None or window != self._window:
                before = View.of(self._frame, window)
            flowed, residual = flow(before.grey, now.grey, before.to_view(self._raster[propagated]))
            network = now.to_view(smoothed[propagated])
            alone = (~seen[propagated] & (residual <= MAX_CARRY_RESIDUAL))[:, None]
            blended = np.where(seen[propagated, None], blend(flowed, residual, network), network)
            smoothed[propagated] = now.to_frame(np.where(alone, flowed, blended))
            followed[propagated] |= alone[:, 0]
        self._frame, self._raster, self._followed = frame, smoothed, followed
        self._window, self._view = window, now
        return smoothed
