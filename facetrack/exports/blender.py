"""Write a Python script that adds tracked faces to a scene of Blender."""

from __future__ import annotations

import base64
import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.exports.base import Source
from facetrack.exports.space import Z_UP, Axes, heads_of, places_of_points, quaternions
from facetrack.files import atomic_path

SUFFIX = ".blender.py"
AXES = Axes(Z_UP, 1e-3)
_TEMPLATE = Path(__file__).with_name("blender_script.txt")


def write(folder: Path, source: Source) -> list[str]:
    """Write `<stem>.blender.py`; see `facetrack.exports.base.Write`."""
    tracks = source.tracks
    if min(tracks.size) < 1:
        raise FacetrackError("Blender's camera needs the size of the frames, which is not known.")
    clock, camera = source.clock, source.camera
    names = [source.face_name(index) for index in range(len(tracks.face_id))]
    data: dict[str, Any] = {}
    heads = heads_of(source) if source.has_poses else [None] * len(names)
    for index, (name, head) in enumerate(zip(names, heads, strict=True)):
        poses = None if head is None else head.poses
        places = AXES.place(places_of_points(source, index, camera, poses))
        data[f"{name} places"] = _packed(places)
        data[f"{name} visible"] = _packed(tracks.visible[:, index])
        data[f"{name} confidence"] = _packed(tracks.confidence[:, index])
        if poses is not None and poses.known.any():
            turns = np.full((len(tracks), 4), np.nan)
            turns[poses.known] = quaternions(AXES.rotation(poses.rotation[poses.known]))
            data[f"{name} head"] = _packed(AXES.place(poses.translation))
            data[f"{name} turn"] = _packed(turns)
    settings = {
        "name": f"facetrack {source.stem}",
        "video": os.path.abspath(source.video) if source.video else "",
        "size": list(tracks.size),
        "focal": camera.focal,
        "rate": clock.rate,
        "is_constant": clock.is_constant,
        "frames": (np.round(clock.frames, 4) + 1).tolist(),
        "faces": names,
    }
    template = _TEMPLATE.read_text(encoding="utf-8")
    before, rest = template.split("@SETTINGS@")
    middle, after = rest.split("@DATA@")
    script = f"{before}{_literal(settings)}{middle}{_literal(data)}{after}"
    with atomic_path(folder / f"{source.stem}{SUFFIX}") as temporary:
        temporary.write_text(script, encoding="ascii", newline="\n")
    return []


def _packed(values: np.ndarray) -> dict[str, Any]:
    raw = np.ascontiguousarray(values, "<f4").tobytes()
    text = base64.b64encode(zlib.compress(raw, 6)).decode()
    return {"shape": list(values.shape), "data": text}


def _literal(content: Any) -> str:
    """Return a Python literal of JSON text; names of files cannot end it."""
    return ascii(json.dumps(content, ensure_ascii=True, allow_nan=False))
