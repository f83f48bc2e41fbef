"""Run the network on key frames only while the face hardly moves.

Where a point of a calm face is between two frames follows from both. So the network then sees every
second frame. Between them its estimates are interpolated, and optical flow (`flow_smoothing`),
which sees every frame, moves the points as usual. The face counts as calm if hardly any point has
moved far since the key frame before, has appeared or vanished. Otherwise the frames in between are
tracked after all, from the state before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from facetrack.trackers.tapir.config import RESOLUTION
from facetrack.trackers.tapir.face_window import Window
from facetrack.trackers.tapir.predictor import TAPIR, VISIBLE_PROBABILITY, Output, StreamState

STRIDE = 2
"""Frames from one key frame to the next. Of 4, the points between them are twice as far from where
the network would see them."""
CALM_PX = 6.0
"""Pixels of the network's picture by which a calm face moves from key frame to key frame. On three
rendered clips (two calm ones, one with a hand) the error of visible points changes by +0.8 % and
-0.2 %, and the network sees 57 % and 87 % of the frames. With 12, the hand's clip has 2 % more."""
QUANTILE = 0.9
"""Share of the points that have moved by less."""
MAX_CHANGED_SHARE = 0.05
"""Share of the points that may appear or vanish from key frame to key frame."""
MIN_VISIBLE_SHARE = 0.5
"""Share of the points that must be visible: a face that the network searches is not calm."""


@dataclass
class KeyFrames:
    """Steps a stream through the frames of a window, key frames only where that suffices.

    Attributes:
        calm: whether the face was calm in the frames before.
        last: the estimates for the frame before the next, in raster coordinates of the frame; None
            before the first.
    """

    calm: bool = False
    last: Output | None = None

    def step(self, tapir: TAPIR, stream: StreamState, crops: np.ndarray, window: Window) -> Output:
        """Track through the next frames.

        Args:
            tapir: the network.
            stream: its state, updated in place.
            crops: (K, RESOLUTION, RESOLUTION, 3) uint8, the window in each frame.
            window: where the crops lie.

        Returns:
            The estimates for all K frames, in raster coordinates of the crops.
        """
        before = None if self.last is None else _mapped(self.last, window.to_crop)
        found = None
        if self.calm and before is not None and len(crops) > 1:
            found = _step_between(tapir, stream, crops, before)
        self.calm = found is not None
        if found is None:
            found = tapir.step(stream, crops)
            joined = found if before is None else Output.concatenate([before, found])
            frames = joined.occlusion.shape[-1]
            self.calm = frames > 1 and _is_calm(joined, np.ones(frames - 1))
        self.last = _mapped(found.at([-1]), window.to_frame)
        return found


def _step_between(
    tapir: TAPIR, stream: StreamState, crops: np.ndarray, before: Output
) -> Output | None:
    """Track through key frames, and interpolate; None, and the stream as it was, if not calm."""
    keys = key_frames(len(crops))
    earlier = stream.copy()
    joined = Output.concatenate([before, tapir.step(stream, crops[keys])])
    if _is_calm(joined, np.diff(keys, prepend=-1)):
        return _between(joined, np.concatenate([[-1], keys]), len(crops))
    stream.caches, stream.memory = earlier.caches, earlier.memory
    return None


def key_frames(count: int) -> np.ndarray:
    """Return the indices of the key frames among `count` frames: the last is always one.

    >>> key_frames(8).tolist(), key_frames(5).tolist()
    ([1, 3, 5, 7], [0, 2, 4])
    """
    return np.arange((count - 1) % STRIDE, count, STRIDE)


def _is_calm(output: Output, frames_apart: np.ndarray) -> bool:
    """Return whether every group of points would move little from key frame to key frame.

    Args:
        output: estimates for T frames.
        frames_apart: (T - 1,) frames from each of them to the next.
    """
    steps = np.linalg.norm(np.diff(output.unrefined_tracks, axis=-2), axis=-1)
    motion = np.quantile(steps, QUANTILE, axis=-2) / frames_apart * STRIDE
    seen = output.visibility > VISIBLE_PROBABILITY
    changed = np.diff(seen, axis=-1).mean(-2)
    return bool(
        (motion <= CALM_PX).all()
        and (changed <= MAX_CHANGED_SHARE).all()
        and (seen.mean((-2, -1)) >= MIN_VISIBLE_SHARE).all()
    )


def _between(output: Output, frames: np.ndarray, count: int) -> Output:
    """Interpolate estimates for `frames` (T,), ascending, to frames 0 to count - 1."""
    wanted = np.arange(count)
    after = np.searchsorted(frames, wanted)
    share = (wanted - frames[after - 1]) / (frames[after] - frames[after - 1])
    lower, upper = output.at(after - 1), output.at(after)
    mixed = {}
    for field in fields(Output):
        low, high = getattr(lower, field.name), getattr(upper, field.name)
        weight = share[:, None] if field.name.endswith("tracks") else share
        mixed[field.name] = (low * (1 - weight) + high * weight).astype(low.dtype)
    return Output(**mixed)


def _mapped(output: Output, convert: Callable[[np.ndarray, int], np.ndarray]) -> Output:
    """Convert the positions of an output to or from those of a window's crop."""
    tracks, unrefined = output.tracks, output.unrefined_tracks
    return replace(
        output,
        tracks=convert(tracks, RESOLUTION),
        unrefined_tracks=convert(unrefined, RESOLUTION),
    )
