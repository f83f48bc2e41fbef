"""The way from the query frame back to the first: where it is, and how its frames count."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from facetrack.multiface.face_track import Event
from facetrack.multiface.face_tracker import MultiFaceTracker
from facetrack.pipeline.chunking import Chunker
from facetrack.video.frame import Frame


@dataclass
class BackwardPass:
    """The frames before the query frame, which are met from there to the first. Their points are
    known from the last to the first, and given from the first to the last.

    Attributes:
        count: how many there are.
        known: of how many the points are known.
        given: how many have been given.
        scene, stretches: what meets them, in mirrored frames; None when it is done. Before the
            frames that are known then there is nobody.
    """

    count: int
    scene: MultiFaceTracker | None = None
    stretches: Chunker | None = None
    known: int = 0
    given: int = 0

    @property
    def nobody(self) -> int:
        """How many of the first frames show nobody; once it is done."""
        return self.count - self.known

    def end(self) -> list[Event]:
        """It is done; returns what was decided, in the order of the frames."""
        assert self.scene is not None
        events = [
            dataclasses.replace(
                event,
                frame=-event.frame,
                time=-event.time,
                reason=f"{event.reason}, on the way back",
            )
            for event in reversed(self.scene.events)
        ]
        self.scene = self.stretches = None
        return events


def time_reversed(frame: Frame) -> Frame:
    """As it is met on the way back, where frames and time count upwards, too; or as it was."""
    return dataclasses.replace(frame, index=-frame.index, time=-frame.time)
