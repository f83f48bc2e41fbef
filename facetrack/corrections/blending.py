"""Blend the runs between neighbouring anchors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from facetrack.corrections.displacement import face_places
from facetrack.corrections.resolve import FrameEdit
from facetrack.corrections.runs import Anchor, Run
from facetrack.corrections.smoothing import Link, smooth_offsets
from facetrack.trackers import StepResult

UNKNOWN_GROWTH = 1e7
"""Growth of the error of a point that was lost on the way: it may be anywhere on the face."""


@dataclass
class Stretch:
    """The anchors of one face between two breaks of its track.

    Attributes:
        face: face_id.
        column: its index in the tracks.
        first, last: rows.
        edits: the corrected points by row.
        anchors: by row, as far as they are placed.
        runs: by (row of the anchor, direction).
        former: digests of the tracks that the runs replace, likewise.
    """

    face: int
    column: int
    first: int
    last: int
    edits: dict[int, FrameEdit]
    anchors: dict[int, Anchor]
    runs: dict[tuple[int, int], Run]
    former: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def wanted(self, row: int, direction: int) -> int:
        """Return the number of rows wanted of a run, with the anchor's."""
        others = [r for r in self.edits if (r - row) * direction > 0]
        end = self.last if direction > 0 else self.first
        nearest = min(others, key=lambda r: abs(r - row)) if others else end
        return abs(nearest - row) + 1

    def rows_changed(self, row: int) -> tuple[int, int]:
        """Return the first and the last row that an anchor's runs may change."""
        before, after = self.wanted(row, -1), self.wanted(row, 1)
        return row - before + 1, row + after - 1


def blend(stretch: Stretch, low: int, high: int) -> Iterator[tuple[int, int, StepResult]]:
    """Yield the results of a stretch in rows [low, high], between neighbouring anchors."""
    rows = sorted(stretch.anchors)
    if not rows or low > high:
        return
    offsets = _offsets(stretch, rows)
    bounds = [stretch.first - 1, *rows, stretch.last + 1]
    for left, right in pairwise(bounds):
        begin = max(low, left if left in stretch.anchors else left + 1)
        end = min(high, right if right in stretch.anchors else right - 1)
        if begin > end:
            continue
        found = []
        if left in stretch.anchors:
            run = stretch.runs[left, 1]
            result, growth = run.estimate(end - left + 1, offsets[left])
            part = slice(begin - left, None)
            found.append((StepResult(*(values[part] for values in result)), growth[part]))
        if right in stretch.anchors:
            run = stretch.runs[right, -1]
            result, growth = run.estimate(right - begin + 1, offsets[right])
            part = slice(right - end, None)
            found.append(
                (StepResult(*(values[part][::-1] for values in result)), growth[part][::-1])
            )
        yield begin, end, found[0][0] if len(found) == 1 else _mix(found[0], found[1])


def _mix(first: tuple[StepResult, np.ndarray], second: tuple[StepResult, np.ndarray]) -> StepResult:
    """Blend two runs: each point's weight is the inverse variance of its error.

    The variance grows from 0 at the run's anchor by 1 / confidence per frame.
    """
    (one, grown), (two, grown_two) = first, second
    total = grown + grown_two
    share = np.divide(grown_two, total, out=np.full_like(total, 0.5), where=total > 0)
    share = np.where(np.isfinite(two.xy).all(-1), share, 1.0)
    share = np.where(np.isfinite(one.xy).all(-1), share, 0.0)[..., None]
    xy = np.where(share >= 1, one.xy, np.where(share <= 0, two.xy, 0))
    between = (share > 0) & (share < 1)
    xy = np.where(between, share * one.xy + (1 - share) * two.xy, xy)
    nearer = share[..., 0] >= 0.5
    return StepResult(
        xy,
        np.where(nearer, one.visible, two.visible),
        np.where(nearer, one.confidence, two.confidence),
    )


def _offsets(stretch: Stretch, rows: list[int]) -> dict[int, np.ndarray]:
    """Return the offsets of a stretch's anchors from the truth, (N,) in units of the face.

    Anchors are linked once the runs between them are complete.
    """
    count = len(stretch.anchors[rows[0]].xy)
    offsets = {row: np.zeros(count, complex) for row in rows}
    at = face_places(stretch.anchors[rows[0]].xy)
    chain = [rows[0]]
    links: list[Link] = []
    for row in [*rows[1:], -1]:
        link = None if row < 0 else _link(stretch, chain[-1], row)
        if link is not None:
            chain.append(row)
            links.append(link)
            continue
        if links:
            covariances = [stretch.anchors[r].covariance for r in chain]
            offsets |= dict(zip(chain, smooth_offsets(covariances, links, at), strict=True))
        chain, links = [row], []
    return offsets


def _link(stretch: Stretch, left: int, right: int) -> Link | None:
    """Return what the runs between two anchors say of them; None while they are not complete."""
    a, b = stretch.anchors[left], stretch.anchors[right]
    count = right - left + 1
    forwards, backwards = stretch.runs[left, 1], stretch.runs[right, -1]
    if forwards.count < count or backwards.count < count:
        return None
    none = np.zeros(len(a.xy), complex)
    ahead, growth = forwards.estimate(count, none)
    behind, growth_back = backwards.estimate(count, none)
    axis = np.array([1, 1j])
    there = (ahead.xy[-1] - b.xy) @ axis / b.pose
    here = (a.xy - behind.xy[-1]) @ axis / a.pose
    shift = np.stack([there, here])
    known = np.isfinite(shift)
    total = np.where(known, shift, 0).sum(0)
    growth = np.minimum(growth[-1], growth_back[-1]) + 1
    # A point that both runs have lost says nothing.
    growth = np.where(known.any(0), growth, UNKNOWN_GROWTH)
    return Link(total / np.maximum(known.sum(0), 1), growth)
