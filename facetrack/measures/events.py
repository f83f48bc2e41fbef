"""Find the events of a face: blinks, winks, closures of the eyes, and openings of the mouth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from facetrack.measures.blinks import (
    COMPLETE,
    MIN_OTHER_OPENING,
    Dip,
    bridged,
    find_blinks,
)
from facetrack.measures.face_measures import FaceMeasures
from facetrack.measures.smoothing import runs_of

MAX_DOWN_SECONDS = 0.5
"""Longest time for which the lids are down by half or more in a blink; a closure lasts longer. Lids
often take long to open fully, so the whole duration does not tell the two apart."""
MOUTH_PROMINENCE = 4.0
"""Least height of an opening of the mouth above the lower of its two sides, in % of the
inter-ocular distance."""
MOUTH_EDGE = 0.1
"""Share of its height above the low on that side at which an opening begins or ends."""
MAX_MOUTH_SECONDS = 1.0
"""Longest cycle of opening and closing that counts as one of speech."""


@dataclass(frozen=True)
class Event:
    """An event.

    Attributes:
        face_id: whose it is.
        kind: "blink" (both eyes, or the only one that is seen), "wink" (one eye while the other
            stays open), "closure" (a long blink, see MAX_DOWN_SECONDS), or "mouth_opening"
            (one cycle of opening and closing).
        side: "r" or "l" for the eye; "" for the mouth.
        number: the events of both eyes of one blink have the same number, from 1.
        start, peak, end: seconds.
        peak_frame: index in the decoded video.
        depth: what the eye lost at the peak, as a share of the opening around it; of the mouth its
            opening in % of the inter-ocular distance.
        complete: whether less than 0.3 of the open eye is left; None for the mouth.
        delay: by how many seconds the left eye is later than the right at the peak; None if only
            one eye is known.
    """

    face_id: int
    kind: str
    side: str
    number: int
    start: float
    peak: float
    end: float
    peak_frame: int
    depth: float
    complete: bool | None
    delay: float | None

    @property
    def duration(self) -> float:
        """Seconds from start to end."""
        return self.end - self.start


def find_events(face: FaceMeasures) -> list[Event]:
    """Return the events of a face, sorted by start; the right eye of a blink comes first."""
    found = [*_of_eyes(face), *_of_mouth(face)]
    first: dict[tuple[bool, int], float] = {}
    for event in found:
        key = (event.side == "", event.number)
        first[key] = min(event.start, first.get(key, event.start))
    return sorted(found, key=lambda event: first[event.side == "", event.number])


def _of_eyes(face: FaceMeasures) -> Iterator[Event]:
    lids = {side: bridged(face.lids[side], face.time) for side in "rl"}
    pairs = find_blinks(face.lids["r"], face.lids["l"], face.time)
    for number, pair in enumerate(pairs, start=1):
        dips = {side: dip for side, dip in zip("rl", pair, strict=True) if dip is not None}
        longest = max(_seconds_down(lids[side], face.time, dip) for side, dip in dips.items())
        peak = next(iter(dips.values())).peak
        others = [face.lids[side][peak] for side in "rl" if side not in dips]
        kind = "closure" if longest > MAX_DOWN_SECONDS else "blink"
        if any(opening >= MIN_OTHER_OPENING for opening in others):
            kind = "wink"
        delay = None
        if len(dips) == 2:
            later, earlier = (_peak_time(lids[side], face.time, dips[side]) for side in "lr")
            delay = later - earlier
        for side, dip in dips.items():
            yield Event(
                face_id=face.face_id,
                kind=kind,
                side=side,
                number=number,
                start=dip.start,
                peak=float(face.time[dip.peak]),
                end=dip.end,
                peak_frame=int(face.frames[dip.peak]),
                depth=dip.depth,
                complete=dip.lowest < COMPLETE,
                delay=delay,
            )


def _seconds_down(lids: np.ndarray, time: np.ndarray, dip: Dip) -> float:
    """Return for how long the opening is below the middle between level and lowest value.

    Args:
        lids: (T,) openings of the eye, as `bridged` returns them.
        time: (T,) seconds.
        dip: of the openings.
    """
    rows = np.arange(dip.first, dip.last + 1)
    below = rows[lids[rows] < (dip.lowest + dip.level) / 2]
    if not len(below):
        return 0.0
    # Half of the intervals on either side, as the crossings lie between frames.
    before, after = max(below[0] - 1, 0), min(below[-1] + 1, len(time) - 1)
    inside = time[below[-1]] - time[below[0]]
    return float((inside + time[after] - time[before]) / 2)


def _peak_time(lids: np.ndarray, time: np.ndarray, dip: Dip) -> float:
    """Return the time of a dip's lowest place, between frames: that of its lower half's centre."""
    rows = np.arange(dip.first, dip.last + 1)
    values = lids[rows]
    below = np.clip((dip.lowest + dip.level) / 2 - values, 0, None)
    total = below.sum()
    return float((below * time[rows]).sum() / total) if total > 0 else float(time[dip.peak])


def _of_mouth(face: FaceMeasures) -> Iterator[Event]:
    from scipy.signal import find_peaks

    opening = bridged(face.values["mouth_open"], face.time)
    number = 0
    for run in runs_of(np.isfinite(opening)):
        part, clock = opening[run], face.time[run]
        peaks, found = find_peaks(part, prominence=MOUTH_PROMINENCE)
        for peak, left, right in zip(peaks, found["left_bases"], found["right_bases"], strict=True):
            start = _side(part, clock, int(peak), range(int(peak) - 1, int(left) - 1, -1))
            end = _side(part, clock, int(peak), range(int(peak) + 1, int(right) + 1))
            if end - start > MAX_MOUTH_SECONDS:
                continue
            number += 1
            yield Event(
                face_id=face.face_id,
                kind="mouth_opening",
                side="",
                number=number,
                start=start,
                peak=float(clock[peak]),
                end=end,
                peak_frame=int(face.frames[run][peak]),
                depth=float(part[peak]),
                complete=None,
                delay=None,
            )


def _side(values: np.ndarray, time: np.ndarray, peak: int, rows: range) -> float:
    """Return the time at which an opening of the mouth ends on one side of its peak.

    That is where MOUTH_EDGE of its height is left over the nearest low on that side. A mouth that
    stays shut has no single low, and its noise must not decide how long it was open.

    Args:
        values: (T,) openings.
        time: (T,) seconds.
        peak: row of the peak.
        rows: the rows on that side, from the peak to where a low may be.
    """
    low = values[peak]
    for row in rows:
        if values[row] > low + MOUTH_PROMINENCE / 2:
            break
        low = min(low, values[row])
    edge = low + MOUTH_EDGE * (values[peak] - low)
    inside = peak
    for row in rows:
        if values[row] <= edge:
            share = (values[inside] - edge) / max(values[inside] - values[row], 1e-9)
            return float(time[inside] + share * (time[row] - time[inside]))
        inside = row
    return float(time[inside])
