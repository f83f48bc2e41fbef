"""Steps over frames as a run does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from facetrack.decode import Frame
from facetrack.people import Stretch
from facetrack.stretches import Stretches


def advanced(stretches: Stretches, frames: Iterable[Frame]) -> Iterator[Stretch]:
    """The stretches of all frames, each when it has been stepped over."""
    for frame in [*frames, None]:
        yield from stretches.advance(frame)
