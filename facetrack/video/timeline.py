"""Repair the times of frames so that they rise strictly.

Containers hold times that do not rise: joined recordings start their clock again, 33-bit clocks
wrap, and transmission errors give a frame or two a time that is hours away. The times of a few
consecutive frames tell these apart. Each frame either keeps its time, or its time is wrong, or the
clock starts again with it, and each of the latter two has a cost. The explanation of the next
frames with the lowest cost is used. It leaves good times as they are, to the last bit, and also
pauses: the clock jumps forwards and stays there.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

LOOKAHEAD = 8
"""Maximum number of frames that are compared with each other."""
_WRONG_COST = 1.0
"""Cost of a time that is wrong."""
_RESTART_COST = 6.5
"""Cost of a clock that starts again: up to six wrong times in a row are rather wrong times."""
_LEAP_COST = 2.5
"""Cost of a time more than LEAP ahead: one or two such times at the end are rather wrong."""
LEAP = 600.0
"""Seconds."""
_MAX_LEAP = 2**32 / 90_000
"""Seconds, half a round of a 33-bit clock. In a longer leap the clock goes back, and ffmpeg takes
it for one that wrapped."""
_USUAL_STEPS = 4.0
"""Steps up to this multiple of the usual step need no comparison."""
_FALLBACK_STEP = 0.04
_MIN_STEP = 1e-6
"""Seconds between two frames, at least, where times are estimated: rounding would lose a vanishing
step."""
_FIRST_NEEDED = 2
"""Number of later frames that show whether the time of the first frame is wrong."""
_MAX_FAULTS = 1000


class Mark(NamedTuple):
    """What the container says of a frame; time and duration are None if it does not state them."""

    frame: int
    time: float | None
    duration: float | None


class Moment(NamedTuple):
    """The final time of a frame.

    Attributes:
        frame: index of the frame.
        time: seconds.
        is_original: True if this is the container's time.
    """

    frame: int
    time: float
    is_original: bool


@dataclass(frozen=True)
class Fault:
    """A wrong time in the container.

    Attributes:
        index: the frame.
        stated: its time in the container.
        previous: final time of the frame before; None for the first frame.
        restart: True if the clock starts again, False if only this time is wrong.
    """

    index: int
    stated: float
    previous: float | None
    restart: bool


class Timeline:
    """Give frames their final times: push each frame's mark, get those that are certain.

    Nearly always, the time of a frame is certain when the next is pushed.

    Args:
        step: seconds between frames according to the header; None if unknown.
        lookahead: maximum number of frames whose times are uncertain.

    Attributes:
        faults: the first wrong times.
        num_faults: number of all of them.
    """

    def __init__(self, step: float | None = None, lookahead: int = LOOKAHEAD) -> None:
        self.faults: list[Fault] = []
        self.num_faults = 0
        self._header_step = step
        self._lookahead = max(2, lookahead)
        self._waiting: deque[Mark] = deque()
        self._time: float | None = None
        self._offset = 0.0
        self._steps: deque[float] = deque(maxlen=15)

    def push(self, mark: Mark) -> Iterator[Moment]:
        """Yield the moments that are certain now."""
        self._waiting.append(mark)
        yield from self._decide(ended=False)

    def close(self) -> Iterator[Moment]:
        """Yield all remaining moments: there are no more frames."""
        yield from self._decide(ended=True)

    def _decide(self, ended: bool) -> Iterator[Moment]:
        while self._waiting and (ended or len(self._waiting) > self._needed):
            if self._is_usual():
                yield self._keep(self._waiting.popleft())
            elif ended or len(self._waiting) >= self._lookahead:
                yield self._explain()
            else:
                return

    # --------------------------------------------------------------- frames one by one

    @property
    def _needed(self) -> int:
        """Number of later frames without which the time of a frame is not certain."""
        return min(1 if self._time is not None else _FIRST_NEEDED, self._lookahead - 1)

    def _is_usual(self) -> bool:
        """Return True if the steps to the first waiting frame, and from it, are ordinary."""
        mark = self._waiting[0]
        if mark.time is None:
            return False
        limit = _USUAL_STEPS * max(self._step(mark), mark.duration or 0.0)
        times = [] if self._time is None else [self._time - self._offset]
        following = itertools.islice(self._waiting, 1 + self._needed)
        times += [later.time for later in following if later.time is not None]
        return all(0 < b - a <= limit for a, b in itertools.pairwise(times))

    def _keep(self, mark: Mark) -> Moment:
        assert mark.time is not None
        time = mark.time + self._offset
        if self._time is not None:
            self._steps.append(time - self._time)
        self._time = time
        return Moment(mark.frame, time, not self._offset)

    def _step(self, mark: Mark) -> float:
        """Return the usual interval between frames in seconds."""
        if self._steps:
            step = median(self._steps)
        else:
            step = mark.duration or self._header_step or _FALLBACK_STEP
        return max(step, _MIN_STEP)

    # --------------------------------------------------------------- several frames together

    def _explain(self) -> Moment:
        """Decide on the first waiting frame by the best explanation of all."""
        window = tuple(itertools.islice(self._waiting, self._lookahead))
        mark = self._waiting.popleft()
        step = self._step(mark)
        search = _Search(window, step)
        kept = search.best(self._time, self._offset)
        if mark.time is not None and kept and kept[0].position == 0:
            if kept[0].offset != self._offset:
                self._fault(mark, restart=True)
                self._offset = kept[0].offset
            return self._keep(mark)
        if mark.time is not None:
            self._fault(mark, restart=False)
        return self._estimate(mark, step, window, kept)

    def _estimate(
        self, mark: Mark, step: float, window: Sequence[Mark], kept: list[_Kept]
    ) -> Moment:
        """Estimate the time of a frame whose own is wrong or missing, from its neighbours."""
        if mark.time is None and mark.duration:
            step = max(mark.duration, _MIN_STEP)
        following = kept[0] if kept else None
        if self._time is None:
            time = 0.0
            if following is not None:
                time = following.time - sum(
                    max(m.duration or step, _MIN_STEP) for m in window[: following.position]
                )
        else:
            time = self._time + step
            if following is not None:
                limit = (following.time - self._time) / (following.position + 1)
                time = self._time + min(step, limit)
        self._time = time
        return Moment(mark.frame, time, False)

    def _fault(self, mark: Mark, restart: bool) -> None:
        assert mark.time is not None
        self.num_faults += 1
        if len(self.faults) < _MAX_FAULTS:
            self.faults.append(Fault(mark.frame, mark.time, self._time, restart))


class _Kept(NamedTuple):
    """A frame of the window whose time is kept: position, final time, offset of its clock."""

    position: int
    time: float
    offset: float


class _Search:
    """Search for the explanation of the times of a window with the lowest cost."""

    def __init__(self, window: Sequence[Mark], step: float) -> None:
        self._window, self._step = window, step
        self._cost = float("inf")
        self._best: list[_Kept] = []

    def best(self, time: float | None, offset: float) -> list[_Kept]:
        """Return the frames whose times are kept, in order.

        Args:
            time: final time of the frame before the window; None: there is none.
            offset: offset of the clock there.
        """
        self._extend(0, time, 0, offset, 0.0, True, [])
        return self._best

    def _extend(
        self,
        position: int,
        time: float | None,
        skipped: int,
        offset: float,
        cost: float,
        may_restart: bool,
        kept: list[_Kept],
    ) -> None:
        """Explain the frames from `position`; `skipped` frames since `time` are not kept."""
        if cost >= self._cost:
            return
        if position == len(self._window):
            self._cost, self._best = cost, kept
            return
        stated = self._window[position].time
        if stated is None:
            self._extend(position + 1, time, skipped + 1, offset, cost, may_restart, kept)
            return
        own = stated + offset
        if time is None or _MIN_STEP * skipped < own - time <= _MAX_LEAP:
            leaps = time is not None and own - time > LEAP + self._step * (skipped + 1)
            more = [*kept, _Kept(position, own, offset)]
            price = cost + (_LEAP_COST if leaps else 0.0)
            self._extend(position + 1, own, 0, offset, price, may_restart, more)
        price = cost + _WRONG_COST
        self._extend(position + 1, time, skipped + 1, offset, price, may_restart, kept)
        if may_restart and time is not None:
            own = time + self._step * (skipped + 1)
            more = [*kept, _Kept(position, own, own - stated)]
            price = cost + _RESTART_COST
            self._extend(position + 1, own, 0, own - stated, price, False, more)
