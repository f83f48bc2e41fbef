"""The sidecar JSON: enough to understand the tracks and to run the job again."""

from __future__ import annotations

import importlib.metadata
import json
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

# A package may come under several names on the index.
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
    """Write `content` as UTF-8 JSON, keys sorted, whole or not at all.

    Numpy scalars and arrays and paths are written as JSON's own types.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot say.
        TypeError: a value has no JSON form.
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
        # A file name that is not UTF-8 reaches Python as lone surrogates; as \udcXX they survive.
        temporary.write_bytes((text + "\n").encode("utf-8", "backslashreplace"))


def environment() -> dict[str, Any]:
    """What the result depends on beside the options: versions, platform, conventions.

    Nothing is imported for it: a version is None where the package is not installed.
    """
    versions: dict[str, str | None] = {
        name: next(filter(None, map(_version, names)), None)
        for name, names in _DISTRIBUTIONS.items()
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        # Says the build too, e.g. +cu126.
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
