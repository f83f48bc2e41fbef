"""Find blinks and closures in the openings of the eyes.

A blink is a short dip of the opening below the level around it. The level is a high percentile of
the openings within a second, so slow changes, such as looking down, are no blinks. Depths are in
shares of the person's own open eye.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facetrack.measures.smoothing import runs_of

LEVEL_SECONDS, LEVEL_PERCENTILE = 1.0, 80.0
"""Time on either side of a frame in which the level is taken, and its percentile."""
LEVEL_BATCH = 1 << 20
"""Openings whose percentiles are taken at once, which limits the memory for long videos."""
MIN_LEVEL = 0.4
"""Least level, as a share of the open eye: eyes that are hardly open do not blink visibly."""
MIN_DEPTH = 0.42
"""Share of the level by which both eyes together must dip."""
MIN_WINK_DEPTH = 0.6
"""Share of the level by which a single eye must dip while the other stays open."""
MIN_OTHER_OPENING = 0.6
"""Share of its open state above which the other eye counts as open during a wink."""
MAX_OTHER_SHARE = 0.7
"""Share of its openings around a dip to which an eye that is hardly open must fall with it."""
NOISE_FACTOR = 6.0
"""The dip must exceed the noise of the openings by this factor."""
EDGE = 0.1
"""Share of the depth at which a blink starts and ends."""
RECOVERY = 0.5
"""Share of the depth that the opening must regain on both sides."""
MAX_BLINK_SECONDS = 0.7
"""Longest blink; longer dips are closures."""
MAX_CLOSING_SECONDS = 0.35
"""Longest time from the start of a blink until its lids are down."""
MAX_GAP_SECONDS = 0.15
"""Longest time without openings that is bridged."""
COMPLETE = 0.3
"""Share of the open eye below which a blink is complete."""


@dataclass(frozen=True)
class Dip:
    """A dip of a signal.

    Attributes:
        peak: row of the lowest value.
        first, last: rows of the frames just outside the dip.
        start, end: times in seconds at which EDGE of the depth is crossed.
        lowest: lowest value.
        level: level around the dip.
    """

    peak: int
    first: int
    last: int
    start: float
    end: float
    lowest: float
    level: float

    @property
    def depth(self) -> float:
        """Share of the level that is lost at the peak."""
        return 1 - self.lowest / self.level


def find_blinks(
    right: np.ndarray, left: np.ndarray, time: np.ndarray
) -> list[tuple[Dip | None, Dip | None]]:
    """Find the dips of both eyes.

    Args:
        right, left: (T,) openings as shares of the open eye, NaN where unknown.
        time: (T,) seconds.

    Returns:
        For each event the dip of the right and of the left eye; None where an eye stays open or is
        not known. Sorted by time.
    """
    known = np.isfinite(right) & np.isfinite(left)
    both = np.where(known, (right + left) / 2, np.where(np.isfinite(right), right, left))
    eyes = [right, left]
    whole = [bridged(eye, time) for eye in eyes]  # once: a blink must not cost a look at all frames
    found: list[tuple[Dip | None, Dip | None]] = []
    for dip in find_dips(both, time, MIN_DEPTH):
        pair = [_dip_near(eye, time, dip) for eye in whole]
        pair = _without_narrowed(pair)
        dips = [eye for eye in pair if eye is not None]
        deepest = max((eye.depth for eye in dips), default=0.0)
        if len(dips) == 1 and not _is_plausible(eyes[0 if pair[1] is not None else 1], dips[0]):
            continue
        if deepest >= (MIN_DEPTH if len(dips) == 2 else MIN_WINK_DEPTH):
            found.append((pair[0], pair[1]))
    taken = [dip for pair in found for dip in pair if dip is not None]
    for index, eye in enumerate(eyes):
        for dip in find_dips(eye, time, MIN_WINK_DEPTH):
            is_new = not any(_overlap(dip, other) for other in taken)
            if is_new and _is_plausible(eyes[1 - index], dip):
                found.append((dip, None) if index == 0 else (None, dip))
                taken.append(dip)
    return sorted(found, key=lambda pair: min(dip.start for dip in pair if dip is not None))


def _without_narrowed(pair: list[Dip | None]) -> list[Dip | None]:
    """Return a pair of dips without that of an eye that is only narrowed while the other winks."""
    right, left = pair
    if right is None or left is None:
        return pair
    if (
        max(right.lowest, left.lowest) < MIN_OTHER_OPENING
        or max(right.depth, left.depth) < MIN_WINK_DEPTH
    ):
        return pair
    return [right, None] if right.lowest < left.lowest else [None, left]


def find_dips(values: np.ndarray, time: np.ndarray, min_depth: float) -> list[Dip]:
    """Find the dips of openings (T,) that are at least `min_depth` of the level deep."""
    values = bridged(values, time)
    dips: list[Dip] = []
    for run in runs_of(np.isfinite(values)):
        if run.stop - run.start < 5:
            continue
        part, clock = values[run], time[run]
        level = _level(part, clock)
        relative = np.where(level >= MIN_LEVEL, part / np.maximum(level, MIN_LEVEL), 1.0)
        threshold = max(min_depth, NOISE_FACTOR * _noise(relative))
        for low in runs_of(relative < 1 - threshold):
            dip = _dip(part, level, clock, low)
            if dip is not None and not (dips and dip.peak + run.start <= dips[-1].last):
                dips.append(_moved(dip, run.start))
    return dips


def bridged(values: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Return values (T,) with short gaps filled by straight lines."""
    known = np.isfinite(values)
    result = values.astype(float).copy()
    for gap in runs_of(~known):
        a, b = gap.start - 1, gap.stop
        if a >= 0 and b < len(values) and time[b] - time[a] <= MAX_GAP_SECONDS + 1e-9:
            result[gap] = np.interp(time[gap], [time[a], time[b]], [values[a], values[b]])
    return result


def _level(values: np.ndarray, time: np.ndarray) -> np.ndarray:
    level = np.empty(len(values))
    first = np.searchsorted(time, time - LEVEL_SECONDS)
    frames = np.searchsorted(time, time + LEVEL_SECONDS, side="right") - first
    for count in np.unique(frames).tolist():
        rows = np.flatnonzero(frames == count)
        at_once = max(1, LEVEL_BATCH // count)
        for part in (rows[i : i + at_once] for i in range(0, len(rows), at_once)):
            around = values[first[part, None] + np.arange(count)]
            level[part] = np.percentile(around, LEVEL_PERCENTILE, axis=1)
    return level


def _noise(relative: np.ndarray) -> float:
    """Return the standard deviation of white noise, by the median second difference."""
    second = np.abs(np.diff(relative, 2))
    return float(1.4826 * np.median(second) / np.sqrt(6)) if len(second) else 0.0


def _dip(values: np.ndarray, level: np.ndarray, time: np.ndarray, low: slice) -> Dip | None:
    """Return the dip around a run of low values; None if it does not recover on both sides."""
    deepest = low.start + int(np.argmin(values[low]))
    top, bottom = float(level[deepest]), float(values[deepest])
    # While the lids stay down, the middle of that time is the peak.
    down = np.flatnonzero(values[low] <= bottom + 0.05 * (top - bottom))
    deepest = low.start + int(np.median(down))
    start = _crossing(values, time, deepest, -1, top, bottom)
    end = _crossing(values, time, deepest, 1, top, bottom)
    if start is None or end is None:
        return None
    closing = float(time[low.start + int(down[0])]) - start[1]
    if end[1] - start[1] <= MAX_BLINK_SECONDS and closing > MAX_CLOSING_SECONDS:
        return None
    return Dip(deepest, start[0], end[0], start[1], end[1], bottom, top)


def _crossing(
    values: np.ndarray, time: np.ndarray, peak: int, step: int, top: float, bottom: float
) -> tuple[int, float] | None:
    """Return the row and the time at which the opening leaves the dip on one side.

    That is where EDGE of the depth is crossed, or if the opening turns round before, its highest
    place there. None if it does not regain RECOVERY of the depth.
    """
    edge = top - EDGE * (top - bottom)
    row, highest = peak, peak
    while 0 <= row + step < len(values):
        row += step
        if values[row] >= edge:
            inside = row - step
            share = (edge - values[inside]) / max(values[row] - values[inside], 1e-9)
            return row, float(time[inside] + share * (time[row] - time[inside]))
        if values[row] > values[highest]:
            highest = row
        is_back = values[highest] - bottom >= RECOVERY * (top - bottom)
        if is_back and values[highest] - values[row] > 0.25 * (top - bottom):
            break
    if values[highest] - bottom < RECOVERY * (top - bottom):
        return None
    return highest, float(time[highest])


def _moved(dip: Dip, rows: int) -> Dip:
    return Dip(
        dip.peak + rows,
        dip.first + rows,
        dip.last + rows,
        dip.start,
        dip.end,
        dip.lowest,
        dip.level,
    )


def _dip_near(values: np.ndarray, time: np.ndarray, whole: Dip) -> Dip | None:
    """Return the dip of one eye at the time of a dip of both; None if the eye is not known.

    Args:
        values: (T,) openings of the eye, as `bridged` returns them.
        time: (T,) seconds.
        whole: the dip of both.
    """
    first, last = max(0, whole.first - 2), min(len(values), whole.last + 3)
    part = values[first:last]
    if not np.isfinite(part).all():
        return None
    clock = time[first:last]
    ends = np.concatenate([part[:3], part[-3:]])
    level = np.full(len(part), float(np.median(np.sort(ends)[-4:])))
    lowest = int(np.argmin(part))
    least = level[0] * (1 - MIN_DEPTH / 2)
    if level[0] < MIN_LEVEL or part[lowest] > least:
        return None
    # All of the time for which the lids are down, whichever of its frames noise made the lowest.
    run = next(run for run in runs_of(part <= least) if run.start <= lowest < run.stop)
    found = _dip(part, level, clock, run)
    return None if found is None else _moved(found, first)


def _is_plausible(other: np.ndarray, dip: Dip) -> bool:
    """Return whether the other eye allows a dip of one eye: it is open, unknown, or dips too.

    The lids' openings of eyes that stay nearly shut, as when looking down, are too small to tell.
    """
    around = other[dip.first : dip.last + 1]
    lowest = other[dip.peak]
    if not np.isfinite(lowest) or lowest >= MIN_OTHER_OPENING:
        return True
    return bool(lowest <= MAX_OTHER_SHARE * np.nanmax(around))


def _overlap(first: Dip, second: Dip) -> bool:
    return first.start <= second.end and second.start <= first.end
