"""Steadies a tracker's points with optical flow, without lag and without drift.

A network that finds each point anew has a little noise in every frame; optical flow from one
frame to the next has almost none, but its errors add up, and what covers a point drags it along.
So each point is carried on by flow (Lucas-Kanade) and then drawn a small share of the way to where
the network has it: the share grows with the distance between the two, and with how badly the flow
explains the picture, up to the whole way. Where a point is hidden, only the network speaks.

What the network says is first drawn to where the query frame's picture is found (`anchor`).

In a whole frame points may belong to anything. What the network does not recognise there flow alone
carries on, as long as it explains the picture.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from facetrack.trackers.tapir.config import RESOLUTION
from facetrack.trackers.tapir.face_window import Window
from facetrack.trackers.tapir.template_alignment import TemplateAligner

# Side of the patch whose flow is taken, pixels. Of 21, the jitter is 4 % larger and the error 1 %
# smaller; of 31, the error is 2 % larger and the jitter 4 % smaller.
PATCH = 25
LEVELS = 2  # pyramid levels above the picture itself
ITERATIONS, EPSILON = 15, 0.02
# Chosen on rendered clips of held-out faces (window of 256 pixels, face of about 150), clean and
# with a bad camera.
LARGEST = 640  # side to which whole frames are brought down
SHARE = 0.2  # of the way to the network's answer, where flow is perfect
RESIDUAL = 10.0  # grey levels by which a patch may differ on average before flow counts for nothing
MOST = 0.7  # of the way, for the residual's sake alone
# Pixels between flow and network: below NEAR both may be right, beyond FAR flow is wrong.
NEAR, FAR = 1.0, 3.0
# Grey levels: beyond, what carries an unseen point on in a whole frame is flow no longer.
CARRIED = 10.0


def flow(before: np.ndarray, now: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where points of one picture are in the next.

    Args:
        before, now: (H, W) uint8.
        xy: (N, 2) float32 pixels in `before`, origin at the centre of the top-left pixel, finite.

    Returns:
        (N, 2) float32 positions in `now`, and (N,) the mean difference in grey levels between the
        patches there; inf where there is no flow.
    """
    there, found, residual = cv2.calcOpticalFlowPyrLK(
        before,
        now,
        np.float32(xy).reshape(-1, 1, 2),
        None,  # type: ignore[call-overload]
        winSize=(PATCH, PATCH),
        maxLevel=LEVELS,
        criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, EPSILON),
    )
    return there.reshape(-1, 2), np.where(found.reshape(-1) > 0, residual.reshape(-1), np.inf)


def blend(there: np.ndarray, residual: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Points (N, 2) between what flow (N, 2) and the network (N, 2) say, by the residual (N,)."""
    apart = np.linalg.norm(xy - there, axis=-1)
    share = np.clip(SHARE + residual / RESIDUAL, 0, MOST)
    share = share + (1 - share) * np.clip((apart - NEAR) / (FAR - NEAR), 0, 1)
    share = np.where(np.isfinite(residual), share, 1.0)[:, None]
    return xy * share + there * (1 - share)


class View(NamedTuple):
    """A grey picture of a part of a frame.

    Attributes:
        grey: (h, w) uint8.
        window: what of the frame it shows; None for all.
        scale: (2,) its pixels in one of the frame's, where it shows all.
    """

    grey: np.ndarray
    window: Window | None
    scale: np.ndarray

    @staticmethod
    def of(frame: np.ndarray, window: Window | None, shown: np.ndarray | None = None) -> View:
        """What a window shows of frame (H, W, 3) uint8 RGB; None is the frame, LARGEST at most.
        `shown` is the window's crop, where it has been made."""
        height, width = frame.shape[:2]
        if window is not None:
            part = window.crop(frame, RESOLUTION) if shown is None else shown
            scale = np.ones(2)
        else:
            ratio = min(1.0, LARGEST / max(height, width))
            size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
            part = frame
            if size != (width, height):
                part = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            scale = np.array(size) / (width, height)
        return View(cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY), window, scale)

    def into(self, raster: np.ndarray) -> np.ndarray:
        """Raster coordinates of the frame (N, 2) -> pixels of the view, by pixel centres."""
        if self.window is not None:
            return self.window.into(raster, RESOLUTION) - 0.5
        return raster * self.scale - 0.5

    def out_of(self, xy: np.ndarray) -> np.ndarray:
        """The way back."""
        if self.window is not None:
            return self.window.out_of(xy + 0.5, RESOLUTION)
        return (xy + 0.5) / self.scale


class FlowSmoother:
    """The points of a stream, steadied frame by frame.

    Args:
        frame: (H, W, 3) uint8 RGB, the query frame.
        raster: (N, 2) the query points there, raster coordinates.
        window: the part of it that shows the face; None for all, and then flow alone carries on
            what the network does not see.
    """

    def __init__(self, frame: np.ndarray, raster: np.ndarray, window: Window | None) -> None:
        # The video's first frame may be another than the query's: nothing flows into it.
        self._frame, self._raster = frame, raster
        self._carry = window is None
        query = View.of(frame, window)
        self._anchor = TemplateAligner(query.grey, query.into(raster))
        self._followed = np.zeros(len(raster), bool)  # seen, or carried on since
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
        """The next frame's points.

        Args:
            frame: (H, W, 3) uint8 RGB.
            window: the part of it that is looked at; None for all.
            shown: the window's crop of it, where it has been made.
            raster, seen: (N, 2) raster coordinates and (N,) bool, what the network says.

        Returns:
            (N, 2) float64 raster coordinates.
        """
        steadied = np.array(raster, np.float64)
        followed = seen.copy()
        both = self._followed & np.isfinite(self._raster).all(-1)
        if not self._carry:
            both &= seen
        now: View | None = None
        if seen.any() or both.any():
            now = View.of(frame, window, shown)
            steadied[seen] = now.out_of(self._anchor.draw(now.grey, now.into(steadied), seen)[seen])
        if now is not None and both.any():
            before = self._view
            if before is None or window != self._window:
                before = View.of(self._frame, window)
            there, residual = flow(before.grey, now.grey, before.into(self._raster[both]))
            network = now.into(steadied[both])
            alone = (~seen[both] & (residual <= CARRIED))[:, None]
            blended = np.where(seen[both, None], blend(there, residual, network), network)
            steadied[both] = now.out_of(np.where(alone, there, blended))
            followed[both] |= alone[:, 0]
        self._frame, self._raster, self._followed = frame, steadied, followed
        self._window, self._view = window, now
        return steadied
