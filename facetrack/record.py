"""The record of a run: a JSON file to interpret the tracks and to repeat the run."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np

from facetrack.files import atomic_path
from facetrack.tracks import COORDINATE_ORIGIN

# Packages that several distributions provide, by preference.
_DISTRIBUTIONS = {
    "facetrack": ("facetrack",),
    "numpy": ("numpy",),
    "torch": ("torch",),
    "opencv": (
        "opencv-python",
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
    "dlib": ("dlib-bin", "dlib"),
}


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` atomically as UTF-8 JSON with sorted keys.

    NumPy scalars, arrays and paths become plain JSON values.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot represent.
        TypeError: a value has no JSON form.
        FacetrackError: the file cannot be written.
    """
    text = json.dumps(
        content,
        indent=2,
        sort_keys=True,
        ensure_ascii=False,
        allow_nan=False,
        default=_plain,
    )
    with atomic_path(Path(path)) as temporary:
        # Bytes of a file name that are not UTF-8 are lone surrogates in Python: write \udcXX.
        temporary.write_bytes((text + "\n").encode("utf-8", "backslashreplace"))


def is_track_record(content: Any) -> bool:
    """Return True for the content of a record of `facetrack track`."""
    return isinstance(content, dict) and all(
        isinstance(content.get(part), dict) for part in ("versions", "input", "options", "tracker")
    )


def record_beside(table: Path) -> Path:
    """Return where the record of a table lies."""
    # Not with_suffix: a stem may contain a dot.
    return table.with_name(table.name.removesuffix(table.suffix) + ".json")


def recorded_size(content: Mapping[str, Any]) -> tuple[int, int]:
    """Return the size (width, height) of the frames in a record; (0, 0) if it has none."""
    entry = content["input"]
    width, height = entry.get("width"), entry.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else (0, 0)


def recorded_focal(content: Mapping[str, Any]) -> float | None:
    """Return the focal length in pixels that was given to a recorded run; None if none was."""
    options = content.get("options")
    focal = options.get("focal") if isinstance(options, Mapping) else None
    if isinstance(focal, int | float) and 0 < focal < math.inf:
        return float(focal)
    return None


def environment() -> dict[str, Any]:
    """Return versions, platform and conventions, on which results depend beside the options.

    No package is imported for it. The version of a package that is not installed is None.
    """
    versions: dict[str, str | None] = {
        name: next(filter(None, map(_version, names)), None)
        for name, names in _DISTRIBUTIONS.items()
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        # Includes the build, e.g. +cu126.
        versions["torch"] = str(torch.__version__)
    versions["python"] = platform.python_version()
    versions["ffmpeg"] = _ffmpeg_version()
    return {
        "versions": versions,
        "platform": platform.platform(),
        "frame_base": 0,
        "coordinate_origin": COORDINATE_ORIGIN,
        "units": {"coordinates": "pixels", "timestamp": "seconds", "confidence": "0 to 1"},
    }


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _ffmpeg_version() -> str | None:
    try:
        return str(imageio_ffmpeg.get_ffmpeg_version())
    except (OSError, RuntimeError):
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
