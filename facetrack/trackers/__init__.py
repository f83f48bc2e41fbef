"""Point trackers (stage 2): propagate points from one frame through the others."""

from __future__ import annotations

from facetrack.trackers.base import PointTracker, StepResult, TrackerOptions

__all__ = ["PointTracker", "StepResult", "TrackerOptions"]
