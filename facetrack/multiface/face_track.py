"""What is known of the faces that are followed through a video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from facetrack.multiface.appearance import AppearanceMonitor
from facetrack.multiface.clip import FOUND_SHARE
from facetrack.multiface.offset_correction import OffsetCorrector
from facetrack.trackers import StepResult
from facetrack.video.frame import Frame

LOST_SHARE = 0.1
LOST_AFTER = 1.0
"""A face of which less than LOST_SHARE of the points has been seen for LOST_AFTER seconds is gone:
its points are unknown, not stale, until FOUND_SHARE of them is seen again."""


class PresenceFilter:
    """Whether the face is still there, frame by frame."""

    def __init__(self) -> None:
        self._last_seen: float | None = None
        self._lost = False

    def gone(self, times: np.ndarray, visible: np.ndarray) -> np.ndarray:
        """times (K,), visible (K, N) -> (K,) bool, True where the points are unknown."""
        out = np.zeros(len(times), bool)
        for k, (now, share) in enumerate(zip(times, visible.mean(-1), strict=True)):
            if share >= (FOUND_SHARE if self._lost else LOST_SHARE) or self._last_seen is None:
                self._last_seen, self._lost = float(now), False
            elif now - self._last_seen >= LOST_AFTER - 1e-6:
                self._lost = True
            out[k] = self._lost
        return out

    def apply(self, frames: Sequence[Frame], result: StepResult) -> tuple[np.ndarray, StepResult]:
        """A tracker's answer (K, N) for K frames, unknown where the face is gone; and `gone`."""
        gone = self.gone(np.array([f.time for f in frames]), result.visible)
        xy = np.where(gone[:, None, None], np.nan, result.xy).astype(np.float32)
        known = np.isfinite(xy).all(-1)
        confidence = np.where(known, result.confidence, 0).astype(np.float32)
        return gone, StepResult(xy, result.visible & known, confidence)

    def lose(self) -> None:
        """It is known to be gone."""
        self._last_seen, self._lost = -np.inf, True


@dataclass(frozen=True)
class RedetectPolicy:
    """When to detect again, and how many faces there are to be.

    Attributes:
        every: frames between two looks; None: by time, as LOOKS says.
        faces: how many to follow; None: all.
        cuts_end: whether nobody is followed over a cut.
    """

    every: int | None = None
    faces: int | None = 1
    cuts_end: bool = True


@dataclass(frozen=True)
class Event:
    """A decision about a face.

    Attributes:
        frame, time: from where on it counts.
        face_id: whose.
        reason: "found", "cut", "lost", "returned" (by a detection), "seen again" (by the tracker),
            "drift", "no face", "other person" or "same face" (two followed one).
        before, after: share of the points that were seen, and their box x0 y0 x1 y1 in pixels;
            None where nothing is known.
        error: distance of the tracked from the detected landmarks in sizes of the face, where
            that decided.
    """

    frame: int
    time: float
    face_id: int
    reason: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    error: float | None = None


@dataclass
class FaceTrack:
    """One face that is followed.

    Attributes:
        face_id: who it is.
        state: the tracker's.
        presence: whether its points are seen.
        xy, visible: (N, 2), (N,) when it was last there.
        gone: whether its points are unknown now.
        since: time from when on it is gone.
        back: row of the present stretch from where the tracker claims to see it again.
        doubts, misses, strange: looks in a row that disagreed, that found nothing, that saw
            someone else.
        fusion: what later detections correct its points by; None where there are none.
        place: what was last seen where it is.
        jumped: row of the present stretch from where something else is seen there.
        recognised: time when it was last told from others by its looks.
    """

    face_id: int
    state: Any
    presence: PresenceFilter = field(default_factory=PresenceFilter)
    xy: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    visible: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    gone: bool = False
    since: float = 0.0
    back: int | None = None
    doubts: int = 0
    misses: int = 0
    strange: int = 0
    fusion: OffsetCorrector | None = None
    place: AppearanceMonitor = field(default_factory=AppearanceMonitor)
    jumped: int | None = None
    recognised: float = -np.inf

    @property
    def absent(self) -> bool:
        """Whether it is gone, or is back by the tracker's word alone."""
        return self.gone or self.back is not None

    @property
    def uncertain(self) -> bool:
        """Whether it should be looked for at once."""
        return self.back is not None or self.jumped is not None

    @property
    def well_known(self) -> bool:
        """Whether nothing speaks against its being who it was at the last look."""
        return not (self.absent or self.uncertain or self.strange or self.doubts or self.misses)

    def summary(self) -> dict[str, Any] | None:
        """How it was last, for an Event."""
        known = self.xy[np.isfinite(self.xy).all(-1)]
        if not len(known):
            return None
        box = [*known.min(0).tolist(), *known.max(0).tolist()]
        return {"seen": round(float(self.visible.mean()), 3), "box": [round(v, 1) for v in box]}
