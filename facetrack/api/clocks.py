"""Find the clocks of the laboratory for a run: those given, those recorded, those of the video."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from facetrack.api.outputs import Outputs
from facetrack.errors import FacetrackError
from facetrack.measures.lab_clock import LabClock, parse_utc
from facetrack.tracks import Tracks
from facetrack.video.audio import audio_start
from facetrack.video.reader import VideoInfo

AUTO = "auto"
"""Audio offset that is read from the video."""


def clock_of_run(video: Path, info: VideoInfo, outputs: Outputs) -> LabClock | None:
    """Return the clocks that a run of `track` writes; None if it writes none.

    Raises:
        FacetrackError: the start of the sound is to be read, and cannot.
    """
    if outputs.utc is None and outputs.audio_offset is None:
        return None
    offset = outputs.audio_offset
    if isinstance(offset, str):
        offset = audio_start(video)
    # Of a live source, the time of its first frame comes later.
    utc = None if isinstance(outputs.utc, str) else outputs.utc
    return LabClock(utc, info.start_time, offset)


def clock_of_saved_run(
    tracks: Tracks,
    video: Path,
    record: Mapping[str, Any],
    utc: datetime | None = None,
    audio_offset: float | str | None = None,
) -> LabClock | None:
    """Return the clocks for the measures of a saved run; None if there are none.

    Args:
        tracks: of the run.
        video: the tracked video.
        record: content of its record; empty without one.
        utc: UTC at the start of the file; None for what the record says.
        audio_offset: timestamp at which the sound starts, or AUTO; None for what the record says.

    Raises:
        FacetrackError: the start of the file or of the sound is not known.
    """
    known = record.get("clock")
    known = known if isinstance(known, Mapping) else {}
    recorded = known.get("utc_at_start")
    if utc is None and isinstance(recorded, str):
        utc = parse_utc(recorded)
    audio = known.get("audio_start") if audio_offset in (None, AUTO) else audio_offset
    if audio_offset == AUTO and not isinstance(audio, int | float):
        audio = audio_start(video)
    if utc is None and audio is None:
        return None
    return LabClock(
        utc,
        0.0 if utc is None else _start(tracks, record),
        float(audio) if isinstance(audio, int | float) else None,
    )


def _start(tracks: Tracks, record: Mapping[str, Any]) -> float:
    """Return the timestamp at which the file starts."""
    entry = record.get("input")
    start = entry.get("start_time") if isinstance(entry, Mapping) else None
    if isinstance(start, int | float):
        return float(start)
    if tracks.first_frame == 0:
        return float(tracks.time[0])
    raise FacetrackError(
        "The record does not say when the video starts, and its first frame was not tracked: track "
        "the video again with --utc."
    )
