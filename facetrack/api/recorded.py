"""Read the options and outputs of a run back from its record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facetrack.api.outputs import Outputs
from facetrack.detectors import DetectorOptions
from facetrack.errors import FacetrackError
from facetrack.files import closed_folder, not_found
from facetrack.formats.base import FORMATS
from facetrack.formats.earlier_runs import video_places
from facetrack.measures.lab_clock import parse_utc
from facetrack.pipeline.options import Options
from facetrack.trackers.base import TrackerOptions
from facetrack.video.image_files import is_present


def recorded_options(record: Mapping[str, Any]) -> Options:
    """Return the options of a recorded run; those that the record does not have are the defaults.

    The user's own points count as such, even where their file is gone.

    Raises:
        FacetrackError: the record holds options that do not exist.
    """
    known = record.get("options")
    known = dict(known) if isinstance(known, Mapping) else {}
    try:
        values = _fields(Options, known)
        values["detector_options"] = DetectorOptions(
            **_fields(DetectorOptions, known.get("detector_options") or {})
        )
        values["tracker_options"] = TrackerOptions(
            **_fields(TrackerOptions, known.get("tracker_options") or {})
        )
        for name in ("points", "corrections"):
            if isinstance(values.get(name), str):
                values[name] = Path(values[name])
        if isinstance(values.get("further_query_frames"), list):
            values["further_query_frames"] = tuple(values["further_query_frames"])
        return Options(**values)
    except (TypeError, ValueError, AttributeError) as error:
        raise FacetrackError(f"The record holds options of another version ({error}).") from None


def recorded_outputs(record: Mapping[str, Any], folder: Path) -> Outputs:
    """Return the outputs of a recorded run, in a folder."""
    known = record.get("options")
    known = known if isinstance(known, Mapping) else {}
    formats = tuple(name for name in known.get("formats", ()) if name in FORMATS) or ("csv",)
    utc = known.get("utc")
    values: dict[str, Any] = {
        "focal": known.get("focal"),
        "point_confidence": bool(known.get("point_confidence", False)),
        "utc": parse_utc(utc) if isinstance(utc, str) and utc != "now" else None,
        "audio_offset": known.get("audio_offset"),
    }
    if isinstance(known.get("coordinates"), str):
        values["coordinates"] = known["coordinates"]
    return Outputs(
        Path(folder),
        formats,
        overlay=known.get("overlay") is True,
        report=known.get("report") is True,
        measures=known.get("measures") is True,
        **values,
    )


def present_video(record: Mapping[str, Any], folder: Path, video: Path | None = None) -> Path:
    """Return the present path of a recorded run's video.

    Args:
        record: content of the record.
        folder: of the record, where the video may lie, too.
        video: what the user says; None for the path in the record.

    Raises:
        FacetrackError: the video is not there.
    """
    if video is not None:
        if not is_present(video):
            raise not_found(video)
        return video
    entry = record.get("input")
    entry = entry if isinstance(entry, Mapping) else {}
    places = video_places(entry, folder)
    found = next((path for path in places if is_present(path)), None)
    if found is None:
        closed = next((path for path in places if closed_folder(path) is not None), None)
        if closed is not None:
            raise not_found(closed)
        shown = entry.get("path") or "of these tracks"
        raise FacetrackError(f"The video {shown} is gone: give its present path as --video.")
    return found


def _fields(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in values.items() if name in names}
