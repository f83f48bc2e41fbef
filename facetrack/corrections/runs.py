"""Track a face from an anchor in one direction, as far as is wanted so far."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from facetrack.corrections.frames import FrameStore
from facetrack.landmarks.geometry import face_size
from facetrack.multiface.covered_points import CoveredPoints
from facetrack.multiface.face_track import PresenceFilter
from facetrack.trackers import PointTracker, StepResult
from facetrack.video.cuts import CutDetector
from facetrack.video.frame import Frame

STEP_FRAMES = 8
"""Frames per step of the tracker."""
AGREE_FRAMES = 25
"""Consecutive frames in which a run must agree with the tracks that are there to end: the
correction has died away, and the tracks are right from there on."""
AGREE_DISTANCE = 0.01
"""Distance of points that agree, in sizes of the face."""
AGREE_SHARE = 0.3
"""The same in distances over which the points were moved at the anchor, where that is less."""
NOT_TRACKED = 1e12
"""Growth of the error in rows that are not tracked yet."""
MIN_CONFIDENCE = 0.1
"""Confidence of a point at least, for the growth of its error."""


@dataclass(frozen=True)
class Anchor:
    """The landmarks of a face in a frame that a person has corrected.

    Attributes:
        row: index of the frame's row in the tracks.
        frame: index of the frame in the video.
        xy: (N, 2) float32 pixels, finite.
        visible: (N,) bool; hidden points are carried along with the others.
        by_hand: (N,) bool, the points that were corrected.
        covariance: (2N, 2N) of the errors, in units of the face; see `displacement.Estimate`.
        pose: complex factor from units of the face to pixels.
        is_start: whether earlier tracks of the face do not count.
    """

    row: int
    frame: int
    xy: np.ndarray
    visible: np.ndarray
    by_hand: np.ndarray
    covariance: np.ndarray
    pose: complex
    is_start: bool = False


class Run:
    """One direction from an anchor; extend it step by step.

    The steps do not depend on how far the run is wanted, so that results do not, either.

    Args:
        anchor: where it starts.
        direction: 1 for forwards, -1 for backwards.
        limit: number of rows at most, with the anchor's.
        former: (limit, N, 2) tracks that the run replaces, from the anchor on in its direction; NaN
            where there are none.
        get_tracker, frames: carry the points, and read the video.
        former_visible: (limit, N) bool, which of the former points are visible; None: all that are
            known.
        former_confidence: (limit, N) of the former points; None: 1 where they are visible.

    Attributes:
        count: number of rows that are tracked, with the anchor's.
        agrees_from: number of rows after which the run agreed with the former tracks for
            AGREE_FRAMES rows, which are its last; None as long as it did not.
        is_lost: whether the face was lost, or a cut came, where there were no former tracks.
        name: distinguishes it from all other runs, of other anchors or other former tracks.
    """

    def __init__(
        self,
        anchor: Anchor,
        direction: int,
        limit: int,
        former: np.ndarray,
        get_tracker: Callable[[], PointTracker],
        frames: FrameStore,
        former_visible: np.ndarray | None = None,
        former_confidence: np.ndarray | None = None,
    ) -> None:
        known = np.isfinite(former).all(-1)
        self._former_visible = known if former_visible is None else known & former_visible
        certain = self._former_visible.astype(np.float32)
        self._former_confidence = certain if former_confidence is None else former_confidence
        self.anchor, self.direction, self.limit = anchor, direction, limit
        self.count = 0
        self.agrees_from: int | None = None
        self.is_lost = False
        self.name = ""
        self._former, self._get_tracker, self._frames = former, get_tracker, frames
        points = len(anchor.xy)
        self._xy = np.empty((limit, points, 2), np.float32)
        self._visible = np.empty((limit, points), bool)
        self._confidence = np.empty((limit, points), np.float32)
        self._agreeing = 0
        self._state: Any = None
        self._covered: CoveredPoints | None = None
        self._source: Iterator[Frame] | None = None
        self._cuts: CutDetector | None = None
        self._presence: PresenceFilter | None = None
        if not np.isfinite(former).any():
            self._cuts, self._presence = CutDetector(), PresenceFilter()

    @property
    def is_done(self) -> bool:
        """Whether no further row will follow."""
        return self.agrees_from is not None or self.is_lost or self.count >= self.limit

    @property
    def result(self) -> StepResult:
        """The rows so far, in the order of tracking."""
        rows = slice(0, self.count)
        return StepResult(self._xy[rows], self._visible[rows], self._confidence[rows])

    @cached_property
    def _tolerance(self) -> np.ndarray:
        """(N,) distances in pixels up to which points agree; inf for those not to compare."""
        anchor, former = self.anchor, self._former[0]
        if anchor.is_start or not np.isfinite(former).all():
            return np.full(len(anchor.xy), np.inf)
        moved = np.linalg.norm(anchor.xy - former, axis=-1)
        limit = AGREE_DISTANCE * face_size(anchor.xy)
        tolerance = np.minimum(limit, AGREE_SHARE * moved)
        # Points that hardly moved say nothing, unless no others were corrected.
        chosen = (anchor.by_hand & (moved > 0)) | (moved > limit)
        if not chosen.any():
            return np.full(len(moved), limit)
        return np.where(chosen, tolerance, np.inf)

    def extend(self) -> int:
        """Track one step; return the number of new rows."""
        if self.is_done:
            return 0
        if self._state is None:
            # One that was restored is tracked anew if more of it is wanted than was kept.
            self.count = self._agreeing = 0
        if self._source is None:
            self._source = self._frames.run(self.anchor.frame, self.direction)
        # The first step is one frame: what is shown first should come at once.
        length = {0: 1, 1: STEP_FRAMES - 1}.get(self.count, STEP_FRAMES)
        batch = list(itertools.islice(self._source, min(length, self.limit - self.count)))
        if not batch:
            self.limit = self.count
            return 0
        if self._state is None:
            self._begin(batch[0])
        result = self._get_tracker().step(self._state, np.stack([frame.image for frame in batch]))
        if self._covered is not None:
            result = self._covered.apply(result)
        before = self.count
        self._add(batch, result)
        if self.is_done:
            self._state = self._source = None
        return self.count - before

    def restore(self, result: StepResult, agrees_from: int | None, is_lost: bool) -> None:
        """Take the rows of a run that was kept."""
        self.count = len(result.xy)
        rows = slice(0, self.count)
        self._xy[rows], self._visible[rows], self._confidence[rows] = result
        self.agrees_from, self.is_lost = agrees_from, is_lost

    def _begin(self, frame: Frame) -> None:
        anchor = self.anchor
        self._state = self._get_tracker().start(frame.image, anchor.xy)
        if not anchor.visible.all():
            self._covered = CoveredPoints.find(anchor.xy, anchor.visible.astype(np.float32))

    def _add(self, batch: list[Frame], result: StepResult) -> None:
        for k, frame in enumerate(batch):
            if self._is_end(frame, result.visible[k]):
                self.is_lost = True
                return
            row = self.count
            self._xy[row], self._visible[row], self._confidence[row] = (part[k] for part in result)
            if row == 0:
                self._set_anchor_row()
            if frame.problem is not None:
                self._visible[row], self._confidence[row] = False, 0
            self._compare(row)
            self.count += 1
            if self.is_done:
                return

    def _set_anchor_row(self) -> None:
        anchor = self.anchor
        self._xy[0], self._visible[0] = anchor.xy, anchor.visible
        self._confidence[0][anchor.by_hand] = anchor.visible[anchor.by_hand]

    def _is_end(self, frame: Frame, visible: np.ndarray) -> bool:
        """Return whether the face is gone in a frame, where no former tracks tell."""
        if self._cuts is None or self._presence is None:
            return False
        if self._cuts.is_cut(frame.image) and self.count > 0:
            return True
        time = np.array([self.direction * frame.time])
        return bool(self._presence.gone(time, visible[None])[0])

    def _compare(self, row: int) -> None:
        """Note whether the next row agrees with the former tracks."""
        watched = np.isfinite(self._tolerance)
        distance = np.linalg.norm(self._xy[row] - self._former[row], axis=-1)
        near = distance[watched] <= self._tolerance[watched]
        self._agreeing = self._agreeing + 1 if watched.any() and near.all() else 0
        if self._agreeing >= AGREE_FRAMES:
            self.agrees_from = row + 1 - AGREE_FRAMES

    def estimate(self, count: int, offset: np.ndarray) -> tuple[StepResult, np.ndarray]:
        """Return the first rows as they count in the result, and their growth of error.

        Where the run has come to agree with the former tracks, it passes over into these. Rows that
        are not tracked yet have the former tracks.

        Args:
            count: number of rows, at most the limit.
            offset: (N,) complex offset of the anchor's points in units of the face.

        Returns:
            The rows, and (count, N) the sum over the frames since the anchor of 1 / confidence;
            NOT_TRACKED more in rows that are not tracked yet, so that another run counts there.
        """
        known = min(self.count, count)
        xy = np.array(self._former[:count], np.float64)
        visible = self._former_visible[:count].copy()
        confidence = np.asarray(np.isfinite(xy).all(-1), np.float32)
        xy[:known] = self._xy[:known]
        visible[:known], confidence[:known] = self._visible[:known], self._confidence[:known]
        if offset.any() and known:
            turn = turns(self.anchor.xy, xy[:known])
            moved = self.anchor.pose * turn[:, None] * offset
            xy[:known] += np.stack([moved.real, moved.imag], -1)
        if self.agrees_from is not None:
            rows = np.arange(known)
            share = np.clip((rows - self.agrees_from + 1) / (AGREE_FRAMES + 1), 0, 1)[:, None, None]
            former = self._former[:known]
            usable = np.isfinite(former).all((-1, -2))[:, None, None]
            xy[:known] = np.where(usable, (1 - share) * xy[:known] + share * former, xy[:known])
        growth = np.cumsum(1 / np.maximum(confidence, MIN_CONFIDENCE), axis=0)
        growth = growth - growth[:1]
        if self.agrees_from is None:
            growth[known:] += NOT_TRACKED
        confidence[known:] = self._former_confidence[known:count]
        return StepResult(xy, visible, confidence), growth


def turns(reference: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Return the complex factors (T,) that turn and scale a face (N, 2) to xy (T, N, 2).

    Points that are NaN do not count; 1 where too few are known.
    """
    known = np.isfinite(xy).all(-1)
    target = np.where(known, np.nan_to_num(xy) @ np.array([1, 1j]), 0)
    source = np.where(known, reference @ np.array([1, 1j]), 0)
    count = np.maximum(known.sum(1, keepdims=True), 1)
    target, source = (
        np.where(known, values - values.sum(1, keepdims=True) / count, 0)
        for values in (target, source)
    )
    power = (np.abs(source) ** 2).sum(1)
    product = (target * source.conj()).sum(1)
    return np.divide(product, power, out=np.ones_like(product), where=power > 0)
