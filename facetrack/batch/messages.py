"""Messages about a video while it is tracked and at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

INTERVAL = 0.5
"""Seconds between two messages about a video's progress."""

Status = Literal["done", "skipped", "failed", "not reached"]


@dataclass(frozen=True)
class Outcome:
    """The outcome of one video.

    Attributes:
        status: "failed" comes with a `message`; "not reached" if the batch was interrupted.
        frames: number of rows per face; None if not known.
        seconds: wall-clock time; None if the video was not tracked in this run.
        message: the reason of a failure, in a sentence.
        traceback: of an internal error of facetrack, otherwise empty.
        warnings: sentences.
        version: of the facetrack that wrote the files.
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
    """A video's models are loaded.

    Attributes:
        parts: description of each model, by kind.
    """

    parts: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Progressed:
    """Progress of a video.

    Attributes:
        done: number of finished frames.
        total: roughly the number of frames; None if not known.
    """

    done: int
    total: int | None


Message = Started | Progressed | Outcome
