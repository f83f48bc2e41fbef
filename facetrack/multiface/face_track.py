"""One tracked face: its status, its presence, and the events that are recorded about it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from facetrack.landmarks.geometry import inside_picture, view_distance
from facetrack.multiface.appearance import AppearanceMonitor
from facetrack.multiface.clip import FOUND_VISIBLE_SHARE
from facetrack.multiface.covered_points import CoveredPoints
from facetrack.multiface.offset_correction import MAX_DETECTIONS, OffsetCorrector
from facetrack.trackers import StepResult
from facetrack.video.frame import Frame

LOST_VISIBLE_SHARE = 0.1
"""Share of a face's points below which it counts as not seen."""
LOST_AFTER_S = 1.0
"""Seconds for which a face must not be seen to be gone. Its points are then unknown rather than
stale, until FOUND_VISIBLE_SHARE of them is visible again."""
LEFT_AFTER_S = 0.2
"""The same for a face that was leaving the picture: nothing can uncover it again."""
LEAVING_SHARE = 0.1
"""Share of a face's points outside the picture from which on it is leaving."""
HIDDEN_MEMORY_S = 4.0
"""Seconds in which it is forgotten that a face was hidden."""


class PresenceFilter:
    """Decide frame by frame whether a face is still there."""

    def __init__(self) -> None:
        self._last_seen: float | None = None
        self._lost = self._leaving = False

    def gone(
        self, times: np.ndarray, visible: np.ndarray, outside: np.ndarray | None = None
    ) -> np.ndarray:
        """Return in which frames the face is gone.

        Args:
            times: (K,) seconds of the next frames.
            visible: (K, N) bool, the points that the tracker sees.
            outside: (K, N) bool, the points outside the picture; None: no point is.

        Returns:
            (K,) bool, True where the points are unknown.
        """
        gone = np.zeros(len(times), bool)
        outside = np.zeros_like(visible) if outside is None else outside
        shares = zip(times, visible.mean(-1), outside.mean(-1), strict=True)
        for k, (now, share, share_outside) in enumerate(shares):
            needed = FOUND_VISIBLE_SHARE if self._lost else LOST_VISIBLE_SHARE
            patience = LEFT_AFTER_S if self._leaving else LOST_AFTER_S
            if share >= needed or self._last_seen is None:
                self._last_seen, self._lost = float(now), False
                self._leaving = bool(share_outside >= LEAVING_SHARE)
            elif now - self._last_seen >= patience - 1e-6:
                self._lost = True
            gone[k] = self._lost
        return gone

    def apply(self, frames: Sequence[Frame], result: StepResult) -> tuple[np.ndarray, StepResult]:
        """Make the points unknown in the frames in which the face is gone.

        Returns:
            `gone` (K,) bool, and the tracker's result for the K frames: xy NaN, visible False and
            confidence 0 where a point is unknown.
        """
        outside = np.stack(
            [~inside_picture(xy, f.image) for xy, f in zip(result.xy, frames, strict=True)]
        )
        gone = self.gone(np.array([f.time for f in frames]), result.visible, outside)
        xy = np.where(gone[:, None, None], np.nan, result.xy).astype(np.float32)
        known = np.isfinite(xy).all(-1)
        confidence = np.where(known, result.confidence, 0).astype(np.float32)
        return gone, StepResult(xy, result.visible & known, confidence)

    def lose(self) -> None:
        """Mark the face as gone until it is seen again."""
        self._last_seen, self._lost = -np.inf, True


@dataclass(frozen=True)
class RedetectPolicy:
    """When to detect faces again, and how many to track.

    Attributes:
        every: frames between two detections; None: by time (`facetrack.multiface.schedule`).
        faces: largest number of faces to track; None: all.
        cuts_end: whether a cut ends the tracks of all faces.
    """

    every: int | None = None
    faces: int | None = 1
    cuts_end: bool = True


class EventReason(Enum):
    """Why an event is recorded. The values are the strings in records."""

    FOUND = "found"
    """A face was detected that is nobody known."""
    CUT = "cut"
    """A new shot began."""
    LOST = "lost"
    """Hardly a point was visible for LOST_AFTER_S."""
    RETURNED = "returned"
    """A known face was detected again."""
    SEEN_AGAIN = "seen again"
    """The tracker sees the points of a lost face again."""
    DRIFT = "drift"
    """The points had left the face and were placed again."""
    NO_FACE = "no face"
    """The points do not look like a face, and no face is detected there."""
    OTHER_PERSON = "other person"
    """The points are on another person's face."""
    UNCOVERED = "uncovered"
    """Points that were covered where the track started are visible now, and tracked from here."""
    SAME_FACE = "same face"
    """Two tracks followed the same face."""


@dataclass(frozen=True)
class Event:
    """A decision about a face, as it stands in records.

    Attributes:
        frame, time: index and seconds of the frame from which on it holds.
        face_id: the face.
        reason: value of an `EventReason`; backward passes add where it happened.
        before, after: `FaceTrack.summary` before and after the decision; None where nothing is
            known of the face.
        error: distance of tracked from detected landmarks in sizes of the face, where it decided.
    """

    frame: int
    time: float
    face_id: int
    reason: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    error: float | None = None


class FaceStatus(Enum):
    """What is known of the whereabouts of a face."""

    TRACKED = "tracked"
    """The tracker follows it."""
    CLAIMED_BACK = "claimed back"
    """It was gone, the tracker sees it again, and no detection has confirmed that yet."""
    GONE = "gone"
    """Its points are unknown."""


@dataclass(eq=False)
class FaceTrack:
    """One tracked face.

    Attributes:
        face_id: number of the person.
        state: the point tracker's state of this face.
        offset_corrector: corrects its points by later detections; None where there are none.
        covered: its points that were covered where the track started; None if there are none.
        trust: from 0 to 1, 1 for what surely is a face; its points' confidence is scaled by it.
        presence: decides whether it is still there.
        appearance: watches the picture around it.
        xy, visible: (N, 2) pixels and (N,) bool, in the last frame in which it was there.
        least_seen: share of its points that were visible when fewest were, of late.
        noted_at: time in seconds of the frame up to which that holds; None before the first.
        gone_since: time in seconds from which on it is gone; None while it is there.
        claimed_back_row: row of the current clip from which on the tracker sees it again, until a
            detection has confirmed or refuted that.
        appearance_changed_row: row of the current clip from which on its place shows something
            else.
        drifts, misses, mismatches: number of consecutive detections that disagreed with the
            points, found no face there, or found another person.
        recognised_at: time in seconds when its descriptor was last confirmed.
        started_xy: (N, 2) pixels, its points where the tracker started from them.
        checked: (N, 2) pixels, its points where the last detections found it, latest last.
    """

    face_id: int
    state: Any
    offset_corrector: OffsetCorrector | None = None
    covered: CoveredPoints | None = None
    trust: float = 1.0
    presence: PresenceFilter = field(default_factory=PresenceFilter)
    appearance: AppearanceMonitor = field(default_factory=AppearanceMonitor)
    xy: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    visible: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    least_seen: float = 1.0
    noted_at: float | None = None
    gone_since: float | None = None
    claimed_back_row: int | None = None
    appearance_changed_row: int | None = None
    drifts: int = 0
    misses: int = 0
    mismatches: int = 0
    recognised_at: float = -np.inf
    started_xy: np.ndarray | None = None
    checked: deque[np.ndarray] = field(default_factory=lambda: deque(maxlen=MAX_DETECTIONS))

    @property
    def turned_since_start(self) -> float:
        """By how much its view differs from that where the tracker started; 0 if unknown."""
        return self._turned_from([] if self.started_xy is None else [self.started_xy])

    @property
    def turned_since_checked(self) -> float:
        """By how much its view differs from the most similar one of `checked`; 0 if unknown.

        The view at the start counts only until the first of them: the tracker's errors are 0 there.
        """
        if not self.checked:
            return self.turned_since_start
        return self._turned_from(self.checked)

    def _turned_from(self, earlier: Iterable[np.ndarray]) -> float:
        views = [view_distance(self.xy, xy, np.ones(len(xy), bool)) for xy in earlier]
        return min((view for view in views if np.isfinite(view)), default=0.0)

    @property
    def status(self) -> FaceStatus:
        """Whether it is tracked, claimed to be back, or gone."""
        if self.gone_since is not None:
            return FaceStatus.GONE
        return FaceStatus.TRACKED if self.claimed_back_row is None else FaceStatus.CLAIMED_BACK

    @property
    def needs_detection(self) -> bool:
        """Whether faces should be detected at once, to check this one."""
        return self.claimed_back_row is not None or self.appearance_changed_row is not None

    @property
    def is_unsuspicious(self) -> bool:
        """Whether nothing suggests that the points are not on this face."""
        suspicions = self.mismatches or self.drifts or self.misses
        return self.status is FaceStatus.TRACKED and not (self.needs_detection or suspicions)

    def restart(
        self,
        placed: np.ndarray,
        state: Any,
        offset_corrector: OffsetCorrector | None,
        covered: CoveredPoints | None = None,
        trust: float = 1.0,
    ) -> None:
        """Continue from newly placed points, with everything forgotten but who and where it was."""
        fresh = FaceTrack(
            self.face_id,
            state,
            offset_corrector,
            covered,
            trust,
            xy=self.xy,
            visible=self.visible,
            started_xy=placed,
        )
        vars(self).update(vars(fresh))

    def note_visible(self, share: float, time: float) -> None:
        """Note the share of its points that are visible in the next frame, at `time` seconds."""
        seconds = 0.0 if self.noted_at is None else time - self.noted_at
        self.least_seen = min(share, self.least_seen + seconds / HIDDEN_MEMORY_S)
        self.noted_at = time

    def lose(self, time: float) -> None:
        """Mark it as gone from `time` (seconds) on."""
        self.presence.lose()
        self.gone_since, self.claimed_back_row = time, None

    def summary(self) -> dict[str, Any] | None:
        """Return how it was last seen, for an Event; None where no point is known.

        Returns:
            "seen", the share of visible points, and "box" x0 y0 x1 y1 in pixels.
        """
        known = self.xy[np.isfinite(self.xy).all(-1)]
        if not len(known):
            return None
        box = [*known.min(0).tolist(), *known.max(0).tolist()]
        return {"seen": round(float(self.visible.mean()), 3), "box": [round(v, 1) for v in box]}


def without_surplus(faces: Sequence[FaceTrack], most: int | None) -> list[FaceTrack]:
    """Return the faces without those gone for longest, as far as there are more than `most`.

    Others have taken their places, and the tracker could find them again by itself.
    """
    surplus = 0 if most is None else max(0, len(faces) - most)
    gone = [face for face in faces if face.gone_since is not None]
    dropped = sorted(gone, key=lambda face: face.gone_since or 0.0)[:surplus]
    return [face for face in faces if face not in dropped]
