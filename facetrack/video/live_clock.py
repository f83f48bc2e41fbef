"""Give the frames of a live source times that start at zero and rise."""

from __future__ import annotations

from facetrack.video.live_decoder import Arrival

MAX_DEVIATION = 5.0
"""Seconds by which the source's clock may disagree with the clock of this machine between two
frames. More is a clock that was set, or that starts again."""
_FALLBACK_STEP = 0.04


class LiveClock:
    """Turns the times that a source states into seconds since its first frame.

    The source's own steps are kept. Where its clock jumps, starts again or says nothing, the step
    is the time that passed here.

    Args:
        is_paced: True if frames arrive as they are recorded; False if they arrive as fast as they
            are read, e.g. from a pipe, so that the clock of this machine says nothing.

    Attributes:
        first_restart: number of the first frame at which the source's clock did not continue; None
            without one.
    """

    def __init__(self, is_paced: bool) -> None:
        self._is_paced = is_paced
        self._last: Arrival | None = None
        self._time = 0.0
        self._offset: float | None = None
        self.first_restart: int | None = None

    def forget_restarts(self) -> None:
        """Forget the restarts so far, e.g. while a connection settles."""
        self.first_restart = None

    def reconnected(self) -> None:
        """Note that the source's clock may start anywhere with the next frame."""
        self._offset = None

    def time(self, number: int, arrival: Arrival) -> float:
        """Return the time of the next frame, in seconds since the first.

        Args:
            number: of the frame, to name it in a warning.
            arrival: the frame.
        """
        last, stated = self._last, arrival.stamp.time
        self._last = arrival
        if last is None:
            self._offset = None if stated is None else -stated
            return self._time
        passed = arrival.at - last.at if self._is_paced else 0.0
        step = max(passed, 0.001) if self._is_paced else last.stamp.duration or _FALLBACK_STEP
        if stated is not None and self._offset is not None:
            own = stated + self._offset - self._time
            if own > 0 and (not self._is_paced or abs(own - passed) <= MAX_DEVIATION):
                self._time += own
                return self._time
            if self.first_restart is None:
                self.first_restart = number
        self._time += step
        if stated is not None:
            self._offset = self._time - stated
        return self._time
