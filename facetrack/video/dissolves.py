"""Detect dissolves and fades between shots.

While one shot dissolves into another, every pixel goes from one to the other in equal steps. So a
frame within the dissolve is nearly a weighted mean of a frame before and a frame after it, with the
same weights everywhere. Moving objects and cameras do not have this property: what is between two
positions of an edge is not a mean of the two pictures. This is the idea of the double chromatic
difference (Yu, Bozdagi and Harrington, "Feature-based hierarchical video segmentation", ICIP 1997).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SPANS = (2, 4, 8, 16, 32)
"""Distances in frames of the two frames between which others are compared. A dissolve is detected
about when half of it is over, if it has at most twice as many frames as the longest span."""
MAX_PARTS = 4
"""Parts of a span between which frames are compared: quarters, but halves of the shortest span."""
MAX_RESIDUAL = 0.06
"""Share of the squared difference of two frames that may remain in the frames between the parts,
after the weighted means are subtracted. Of 120 dissolves between real clips of another place, of 8
to 50 frames, 119 have less, and so have all of 350 dissolves of 1 to 7 frames. On 6,000 frames of
real clips without a dissolve none has (benchmarks/accuracy/cuts.py)."""
MIN_STEP = 0.6
"""Least change of the weights from part to part, as a share of that of a dissolve that fills the
span."""
MIN_DIFFERENCE = 0.1
"""Difference (`cuts.frame_difference`) of the two frames above which they show different shots."""
END_FRAMES = 3
"""Consecutive frames without a dissolve after which it is over."""


class DissolveDetector:
    """Detect the middle and the end of each dissolve, frame by frame and in constant memory.

    Args:
        difference: measures how different two reduced frames are, whatever the light.
    """

    def __init__(self, difference: Callable[[np.ndarray, np.ndarray], float]) -> None:
        self._difference = difference
        self._frames: list[np.ndarray] = []
        self._frames_since: int | None = None
        self._since_end = 0

    def reset(self) -> None:
        """Forget all frames: a new shot has begun."""
        self._frames, self._frames_since, self._since_end = [], None, 0

    def is_new_shot(self, frame: np.ndarray) -> bool:
        """Return True if the new shot begins to show, and again if the old one has vanished.

        Args:
            frame: (h, w) float32, the next reduced frame.
        """
        self._frames = [*self._frames[-SPANS[-1] :], frame]
        self._since_end = min(self._since_end + 1, SPANS[-1])
        if any(self._shows_dissolve(span) for span in SPANS):
            is_first, self._frames_since = self._frames_since is None, 0
            return is_first
        if self._frames_since is None:
            return False
        self._frames_since += 1
        if self._frames_since < END_FRAMES:
            return False
        self._frames_since, self._since_end = None, 0
        return True

    def _shows_dissolve(self, span: int) -> bool:
        """Return whether the last frames, as many as the span and one, are within a dissolve."""
        if len(self._frames) <= span:
            return False
        first, last = self._frames[-1 - span], self._frames[-1]
        change = first - last
        total = float((change * change).sum())
        if total <= 0:
            return False
        # After black, a shot that has begun to show only becomes brighter.
        if first.std() < self._frames[-1 - min(span, self._since_end)].std():
            return False
        previous, parts = 1.0, min(span, MAX_PARTS)
        step, margin = MIN_STEP / parts, MIN_STEP / parts / 3
        for part in range(1, parts):
            away = self._frames[-1 - span + part * span // parts] - last
            weight = float((away * change).sum()) / total
            residual = away - weight * change
            # Also from the ends, so that a cut within the span does not count.
            if not margin < weight < previous - (step if part > 1 else margin):
                return False
            if float((residual * residual).sum()) > MAX_RESIDUAL * total:
                return False
            previous = weight
        return self._difference(first, last) > MIN_DIFFERENCE
