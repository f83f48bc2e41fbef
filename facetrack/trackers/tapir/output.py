"""What a TAPIR network says of a chunk of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from facetrack.trackers.tapir.config import RESOLUTION
from facetrack.trackers.tapir.face_window import Window

VISIBLE_PROBABILITY = 0.5
"""Probability above which a point counts as visible."""


@dataclass(frozen=True)
class Output:
    """Points of a chunk of frames; `...` is nothing, or (G,) for groups of points.

    Attributes:
        tracks: (..., N, T, 2) xy in the video's pixels, TAPIR's raster: origin at the CORNER of
            the top-left pixel.
        occlusion, expected_dist: (..., N, T) logits.
        unrefined_tracks, unrefined_visibility: `tracks` and `visibility` before the occlusion head
            corrected them. They locate a face better: where little of it is visible, all of its
            points are doubtful.
    """

    tracks: np.ndarray
    occlusion: np.ndarray
    expected_dist: np.ndarray
    unrefined_tracks: np.ndarray
    unrefined_visibility: np.ndarray

    @staticmethod
    def concatenate(parts: Sequence[Output]) -> Output:
        """Join consecutive chunks along T."""
        if len(parts) == 1:
            return parts[0]
        joined = {}
        for field in fields(Output):
            axis = -2 if field.name.endswith("tracks") else -1
            joined[field.name] = np.concatenate([getattr(p, field.name) for p in parts], axis)
        return Output(**joined)

    def last(self, count: int) -> Output:
        """Return the last `count` frames."""
        parts = {}
        for field in fields(Output):
            values = getattr(self, field.name)
            is_track = field.name.endswith("tracks")
            parts[field.name] = values[..., -count:, :] if is_track else values[..., -count:]
        return Output(**parts)

    def moved(self, window: Window) -> Output:
        """Return positions of a window's crop of RESOLUTION pixels in its frame's coordinates."""
        tracks, unrefined = (
            window.to_frame(xy, RESOLUTION) for xy in (self.tracks, self.unrefined_tracks)
        )
        return replace(self, tracks=tracks, unrefined_tracks=unrefined)

    def __iter__(self) -> Any:
        return iter((self.tracks, self.occlusion, self.expected_dist))

    @property
    def visibility(self) -> np.ndarray:
        """(..., N, T) probability that the point is visible and its position right."""
        return 1 / ((1 + np.exp(self.occlusion)) * (1 + np.exp(self.expected_dist)))
