"""Assemble the rows of a clip into chunks of tracks."""

from __future__ import annotations

from dataclasses import dataclass

from facetrack.tracks import Tracks
from facetrack.video.frame import Frame


@dataclass(frozen=True)
class Chunk:
    """Consecutive frames and what was found in them (one row a frame).

    Attributes:
        again: it is of a run that was ended; `frames` may then be left out.
    """

    frames: list[Frame]
    tracks: Tracks
    again: bool = False
