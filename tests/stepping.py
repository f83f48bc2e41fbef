"""Step over frames like a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from facetrack.multiface.clip import Clip
from facetrack.pipeline.chunking import Chunker
from facetrack.video.frame import Frame


def step_through(chunker: Chunker, frames: Iterable[Frame]) -> Iterator[Clip]:
    """Yield the clips of all frames, each after its last step."""
    for frame in [*frames, None]:
        yield from chunker.advance(frame)
