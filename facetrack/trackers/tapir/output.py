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
        kinds = zip(*(part.by_frame() for part in parts), strict=True)
        return Output.of_frames([np.concatenate(kind) for kind in kinds])

    def last(self, count: int) -> Output:
        """Return the last `count` frames."""
        return Output.of_frames([values[-count:] for values in self.by_frame()])

    def by_frame(self) -> list[np.ndarray]:
        """Return the arrays in the order of the attributes, with the axis T at the front."""
        names = (field.name for field in fields(Output))
        return [np.moveaxis(getattr(self, name), _time_axis(name), 0) for name in names]

    @staticmethod
    def of_frames(arrays: Sequence[np.ndarray]) -> Output:
        """Return the output whose `by_frame` is given."""
        names = (field.name for field in fields(Output))
        pairs = zip(names, arrays, strict=True)
        return Output(**{name: np.moveaxis(x, 0, _time_axis(name)) for name, x in pairs})

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


def _time_axis(name: str) -> int:
    return -2 if name.endswith("tracks") else -1
