"""Build the command line that repeats a run of `facetrack track` from its record."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from facetrack.defaults import INIT

VALUES: tuple[tuple[str, str, Any], ...] = (
    ("init", "--init", INIT),
    ("points", "--points", None),
    ("detector_options.weights", "--detector-weights", "auto"),
    ("scheme", "--scheme", None),
    ("query_frame", "--query-frame", None),
    ("corrections", "--corrections", None),
    ("tracker", "--tracker", "tapir"),
    ("tracker_options.weights", "--tracker-weights", "tapir-s"),
    ("tracker_options.softmax_temperature", "--softmax-temperature", None),
    ("face_detector", "--face-detector", "auto"),
    ("faces", "--faces", 1),
    ("redetect", "--redetect", "auto"),
    ("start", "--start", None),
    ("end", "--end", None),
    ("stride", "--stride", 1),
    ("fps", "--fps", None),
    ("tracker_options.device", "--device", "auto"),
    ("tracker_options.precision", "--precision", "auto"),
    ("focal", "--focal", None),
    ("coordinates", "--coordinates", "pixels"),
    ("utc", "--utc", None),
    ("audio_offset", "--audio-offset", None),
)
"""Options with a value: place in the record's options, flag, default."""
FLAGS: tuple[tuple[str, str, Any], ...] = (
    ("detector_options.flip", "--flip", True),
    ("tracker_options.causal", "--causal", True),
    ("tracker_options.causal", "--offline", False),
    ("tracker_options.follow_face", "--whole-frame", False),
    ("tracker_options.steady", "--raw", False),
    ("expressions", "--no-expressions", False),
    ("overlay", "--no-overlay", False),
    ("overlay_zoom", "--overlay-zoom", True),
    ("report", "--report", True),
    ("measures", "--measures", True),
    ("point_confidence", "--point-confidence", True),
)
"""Options without a value: place in the record's options, flag, the value that it stands for."""
REPEATED = ("detector_options.device", "detector_options.precision", "further_query_frames")
"""Options that the command line gives within others."""


def command_of(record: Mapping[str, Any]) -> str:
    """Return a command line that repeats a run, without options that have their defaults."""
    options = record["options"]
    video = _text(record["input"].get("path", ""))
    first, last = ([], ["--", video]) if video.startswith("-") else ([video], [])
    words = ["facetrack", "track", *first]
    for place, flag, default in VALUES:
        value = _value(options, place, default)
        if place == "faces" and value is None and "faces" in options:
            value = "all"
        if value in (None, default):
            continue
        text = _text(value)
        if place == "query_frame":
            text = ",".join([text, *map(_text, options.get("further_query_frames", ()))])
        words += [flag, text]
    for place, flag, chosen in FLAGS:
        words += [flag] if _value(options, place, None) is chosen else []
    formats = options.get("formats")
    if isinstance(formats, Sequence) and not isinstance(formats, str) and list(formats) != ["csv"]:
        words += [word for name in formats for word in ("--format", _text(name))]
    folder = record.get("output_folder")
    if isinstance(folder, str):
        words += ["--out", folder]
    return shlex.join([*words, *last])


def _value(options: Mapping[str, Any], place: str, missing: Any) -> Any:
    value: Any = options
    for name in place.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return missing
        value = value[name]
    return value


def _text(value: Any) -> str:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if is_whole else str(value)
