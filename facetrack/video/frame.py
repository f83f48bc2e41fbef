"""Define a decoded frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Frame:
    """A decoded frame of a video.

    Attributes:
        index: 0-based position among the decoded frames.
        time: presentation time in seconds, on the container's clock.
        image: (H, W, 3) uint8 RGB, upright (rotation applied).
        duration: display time in seconds from the container; None if unknown.
        name: file name of the frame, if it is one of a series of images; else None.
        problem: a sentence about why the frame cannot be read, else None. `image` is then that of a
            neighbour, so that a tracker has something to see; the frame's landmarks are unknown.
    """

    index: int
    time: float
    image: np.ndarray
    duration: float | None = None
    name: str | None = None
    problem: str | None = None
