"""Place the times of a video on the clocks of a laboratory: UTC, and the sound's own start."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np

from facetrack.errors import FacetrackError

NOW = "now"
"""Start of a live source: the clock of this computer at its first frame."""
UTC_COLUMN = "utc"
"""Column of the absolute time in tables of frames."""
_DATE = re.compile(r"\d{4}-?\d{2}-?\d{2}[T ].+", re.ASCII)
_FRACTION = re.compile(r"(?<=\d)[.,](\d+)")


@dataclass(frozen=True)
class LabClock:
    """The clocks that are known beside that of the video.

    Attributes:
        utc: UTC at the start of the file, without a time zone; None if unknown.
        start: timestamp at which the file starts, in seconds: 0 for most files.
        audio_start: timestamp at which the sound starts, in seconds; None if unknown.
    """

    utc: datetime | None = None
    start: float = 0.0
    audio_start: float | None = None

    def utc_texts(self, time: np.ndarray) -> list[str]:
        """Return the UTC of timestamps (T,) as ISO 8601 with microseconds.

        Raises:
            FacetrackError: a year is out of range.
        """
        assert self.utc is not None
        return [format_utc(_later(self.utc, moment - self.start)) for moment in time.tolist()]

    def record(self) -> dict[str, Any]:
        """Return the entry of a record."""
        return {
            "utc_at_start": None if self.utc is None else format_utc(self.utc),
            "start": round(self.start, 6),
            "audio_start": None if self.audio_start is None else round(self.audio_start, 6),
        }


def parse_utc(text: str) -> datetime:
    """Parse a date and time in ISO 8601; without an offset it is UTC.

    Returns:
        The moment in UTC, without a time zone.

    Raises:
        FacetrackError: it is none.
    """
    try:
        if not _DATE.fullmatch(text):
            raise ValueError(text)
        # Python 3.10 accepts neither Z nor fractions of other than three or six digits.
        plain = _FRACTION.sub(lambda match: f".{match[1]:0<6.6}", text.replace("Z", "+00:00"))
        moment = datetime.fromisoformat(plain)
        if moment.tzinfo is not None:
            moment = moment.astimezone(timezone.utc).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise FacetrackError(
            "--utc takes a date and time in ISO 8601, such as 2026-03-31T14:05:00.250Z, not "
            f"'{text}'."
        ) from None
    return moment


def parse_audio_offset(text: str) -> float | None:
    """Parse the offset of the sound: seconds, or "auto", which gives None.

    Raises:
        FacetrackError: it is neither.
    """
    if text == "auto":
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = float("nan")
    if not abs(seconds) < 1e9:
        raise FacetrackError(f"--audio-offset takes seconds or auto, not '{text}'.")
    return seconds


def format_utc(moment: datetime) -> str:
    """Return a moment in UTC as text, such as 2026-03-31T14:05:00.250000Z."""
    return moment.isoformat(timespec="microseconds") + "Z"


def _later(moment: datetime, seconds: float) -> datetime:
    try:
        return moment + timedelta(seconds=round(seconds, 6))
    except OverflowError:
        raise FacetrackError("--utc is too far from the present: a year is out of range.") from None
