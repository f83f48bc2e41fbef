"""Steps over frames as a run does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from facetrack.multiface.face_track import Stretch
from facetrack.pipeline.chunking import Stretches
from facetrack.video.decoder import Frame


def advanced(stretches: Stretches, frames: Iterable[Frame]) -> Iterator[Stretch]:
    """The stretches of all frames, each when it has been stepped over."""
    for frame in [*frames, None]:
        yield from stretches.advance(frame)
