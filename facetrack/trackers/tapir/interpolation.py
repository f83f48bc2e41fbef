"""Show a network some frames of a calm face only, and interpolate between them.

In a frame that the network does not see, the points of a face that moves slowly are nearly on the
lines between their places before and after. Optical flow from the frame after leads closer. The
other corrections follow in every frame: those of `flow_smoothing`, and for eyes and lips those of
`facetrack.trackers.expression`. So a frame of a calm face takes little more than half of the time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from facetrack.trackers.tapir.face_window import Window
from facetrack.trackers.tapir.flow_smoothing import View, flow
from facetrack.trackers.tapir.output import VISIBLE_PROBABILITY, Output

STRIDE = 2
"""Frames from one that the network sees to the next."""
MAX_RESIDUAL = 3.0
"""Mean difference of the patches in grey levels from which on the flow to a frame that the network
did not see is not trusted. With 10, points jitter a fifth more in pictures of a bad camera."""


def choose_frames(count: int) -> np.ndarray:
    """Return which of `count` frames the network sees: every STRIDE-th, up to the last one."""
    return np.arange(count - 1, -1, -STRIDE)[::-1].copy()


def interpolate(before: Output, output: Output, shown: np.ndarray, count: int) -> Output:
    """Return the output for all frames.

    Args:
        before: of the last frames before the first one, of which the last is used.
        output: of the frames that the network saw; positions in the same coordinates.
        shown: (K,) indices of these frames, rising, up to `count` - 1.
        count: number of frames.
    """
    known = np.concatenate([[-1], shown])
    frames = np.arange(count)
    after = np.searchsorted(known, frames)
    share = (frames - known[after - 1]) / (known[after] - known[after - 1])
    filled = []
    for values in Output.concatenate([before.last(1), output]).by_frame():
        shares = share.astype(values.dtype).reshape(-1, *(1,) * (values.ndim - 1))
        filled.append(values[after - 1] + shares * (values[after] - values[after - 1]))
    return Output.of_frames(filled)


def follow_flow_back(
    output: Output, shown: np.ndarray, frames: np.ndarray, window: Window, crops: np.ndarray
) -> Output:
    """Move interpolated points to where the flow from the next frame leads, as far as it is sure.

    Args:
        output: of all frames, in their raster coordinates.
        shown: indices of the frames that the network saw, the last one included.
        frames: (T, H, W, 3) uint8 RGB.
        window: the part in use.
        crops: (T, h, w, 3) of it.
    """
    tracks = np.moveaxis(output.tracks, -2, 0).copy()
    seen = np.moveaxis(output.visibility, -1, 0) > VISIBLE_PROBABILITY
    views = [View.of(frame, window, crop) for frame, crop in zip(frames, crops, strict=True)]
    for t in np.setdiff1d(np.arange(len(frames)), shown)[::-1]:
        use = seen[t] & seen[t + 1]
        if not use.any():
            continue
        place = views[t + 1].to_view(tracks[t + 1][use])
        flowed, residual = flow(views[t + 1].grey, views[t].grey, place)
        trust = np.clip(1 - residual / MAX_RESIDUAL, 0, 1)[:, None]
        step = views[t].to_frame(np.where(trust > 0, flowed, 0)) - tracks[t][use]
        tracks[t][use] += np.where(trust > 0, trust * step, 0)
    return replace(output, tracks=np.moveaxis(tracks, 0, -2))
