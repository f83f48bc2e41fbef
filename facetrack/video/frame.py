"""One decoded frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Attributes:
        index: 0-based position among the decoded frames.
        time: presentation time in seconds, on the container's clock.
        image: (H, W, 3) uint8 RGB, upright (rotation applied).
        duration: seconds this frame is to be shown by the container, None where it does not say.
    """

    index: int
    time: float
    image: np.ndarray
    duration: float | None = None
