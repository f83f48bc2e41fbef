"""Steps over frames as a run does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from facetrack.multiface.clip import Clip
from facetrack.pipeline.chunking import Chunker
from facetrack.video.frame import Frame


def advanced(stretches: Chunker, frames: Iterable[Frame]) -> Iterator[Clip]:
    """The stretches of all frames, each when it has been stepped over."""
    for frame in [*frames, None]:
        yield from stretches.advance(frame)
