"""What is told of a video while it is tracked, and in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

INTERVAL = 0.5
"""Seconds between two words about a video's progress."""

Status = Literal["done", "skipped", "failed", "not reached"]


@dataclass(frozen=True)
class Outcome:
    """What came of one video.

    Attributes:
        status: "failed" has a `message`; "not reached" is left of an interrupted batch.
        frames: rows a face has; None where it is not known.
        seconds: wall-clock time; None of what was not tracked now.
        message: why it failed, in a sentence.
        traceback: of an error of facetrack itself, else empty.
        version: of the facetrack that made the files.
    """

    status: Status
    frames: int | None = None
    seconds: float | None = None
    message: str = ""
    traceback: str = ""
    warnings: list[str] = field(default_factory=list)
    version: str | None = None


@dataclass(frozen=True)
class Started:
    """A video's parts are made; what each says of itself, by kind."""

    parts: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Progressed:
    """So many frames are done, of about so many."""

    done: int
    total: int | None


Message = Started | Progressed | Outcome
