"""Write binary glTF 2.0: faces that move with their head poses, and the camera.

https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.exports.base import Source
from facetrack.exports.space import Y_UP_TO_CAMERA, Axes, posed_heads, quaternions
from facetrack.files import atomic_path
from facetrack.measures.pose import Poses
from facetrack.version import __version__

SUFFIX = ".glb"
AXES = Axes(Y_UP_TO_CAMERA, 1e-3)
_FLOAT, _UNSIGNED_SHORT = 5126, 5123
_ARRAY_BUFFER, _ELEMENT_BUFFER = 34962, 34963


def write(folder: Path, source: Source) -> list[str]:
    """Write `<stem>.glb`; see `facetrack.exports.base.Write`."""
    # Times may not be negative in glTF, and must rise as float32.
    time = source.tracks.time - min(0.0, float(source.tracks.time[0]))
    if not (np.diff(time.astype(np.float32)) > 0).all():
        raise FacetrackError(f"The frames of {source.stem} are too near in time for glTF.")
    scene = _Scene(source.stem)
    heads = posed_heads(source)
    scene.add_camera(source)
    for head in heads:
        if head.poses.known.any():
            scene.add_head(head.name, time, head.poses)
    with atomic_path(folder / f"{source.stem}{SUFFIX}") as temporary:
        temporary.write_bytes(scene.encode())
    return []


class _Scene:
    """A glTF scene in the making: its JSON and its one buffer."""

    def __init__(self, name: str) -> None:
        self._buffer = bytearray()
        self._content: dict[str, list[Any]] = {
            key: [] for key in ("nodes", "meshes", "cameras", "accessors", "bufferViews")
        }
        self._animation: dict[str, Any] = {"name": "head pose", "channels": [], "samplers": []}
        self._name = name.encode("utf-8", "backslashreplace").decode()

    def add_camera(self, source: Source) -> None:
        """Add the camera, at the origin, which looks along -z."""
        width, height = source.tracks.size
        yfov = 2 * math.atan(height / 2 / source.camera.focal)
        perspective = {"yfov": yfov, "aspectRatio": width / height, "znear": 0.01, "zfar": 100.0}
        self._content["cameras"].append({"type": "perspective", "perspective": perspective})
        self._content["nodes"].append({"name": "camera", "camera": 0})

    def add_head(self, name: str, time: np.ndarray, poses: Poses) -> None:
        """Add a face (68, 3) with its triangles, and its movements."""
        node = len(self._content["nodes"])
        self._content["nodes"].append({"name": name, "mesh": len(self._content["meshes"])})
        places = AXES.place(poses.face).astype("<f4")
        triangles = _triangles(places)
        primitive = {
            "attributes": {"POSITION": self._accessor(places, "VEC3", _ARRAY_BUFFER, True)},
            "indices": self._accessor(triangles.ravel(), "SCALAR", _ELEMENT_BUFFER),
        }
        self._content["meshes"].append({"name": name, "primitives": [primitive]})
        known = poses.known
        clock = self._accessor(time[known].astype("<f4"), "SCALAR", bounds=True)
        turns = quaternions(AXES.rotation(poses.rotation[known]))
        moves = AXES.place(poses.translation[known])
        self._move(node, "translation", clock, self._accessor(moves.astype("<f4"), "VEC3"))
        self._move(
            node, "rotation", clock, self._accessor(np.roll(turns, -1, 1).astype("<f4"), "VEC4")
        )
        # A scale of 0 hides the face where there is no pose, as the specification suggests.
        rows = np.flatnonzero(np.concatenate([[True], known[1:] != known[:-1]]))
        shown = np.repeat(known[rows, None], 3, axis=1).astype("<f4")
        steps = self._accessor(time[rows].astype("<f4"), "SCALAR", bounds=True)
        self._move(node, "scale", steps, self._accessor(shown, "VEC3"), "STEP")

    def _move(
        self, node: int, path: str, times: int, values: int, interpolation: str = "LINEAR"
    ) -> None:
        sampler = {"input": times, "output": values, "interpolation": interpolation}
        target = {"node": node, "path": path}
        number = len(self._animation["samplers"])
        self._animation["samplers"].append(sampler)
        self._animation["channels"].append({"sampler": number, "target": target})

    def _accessor(
        self, values: np.ndarray, kind: str, target: int | None = None, bounds: bool = False
    ) -> int:
        """Append an array to the buffer; return the index of its accessor."""
        self._buffer += b"\0" * (-len(self._buffer) % 4)
        raw = values.tobytes()
        view = {"buffer": 0, "byteOffset": len(self._buffer), "byteLength": len(raw)}
        self._buffer += raw
        self._content["bufferViews"].append(view if target is None else {**view, "target": target})
        entry: dict[str, Any] = {
            "bufferView": len(self._content["bufferViews"]) - 1,
            "componentType": _FLOAT if values.dtype.kind == "f" else _UNSIGNED_SHORT,
            "count": len(values),
            "type": kind,
        }
        if bounds:
            flat = values.reshape(len(values), -1)
            entry |= {"min": flat.min(0).tolist(), "max": flat.max(0).tolist()}
        self._content["accessors"].append(entry)
        return len(self._content["accessors"]) - 1

    def encode(self) -> bytes:
        """Return the file."""
        self._buffer += b"\0" * (-len(self._buffer) % 4)
        content = {
            "asset": {"version": "2.0", "generator": f"facetrack {__version__}"},
            "scene": 0,
            "scenes": [{"name": self._name, "nodes": [*range(len(self._content["nodes"]))]}],
            **self._content,
            "animations": [self._animation],
            "buffers": [{"byteLength": len(self._buffer)}],
        }
        text = json.dumps(content, allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text
        chunks += struct.pack("<I4s", len(self._buffer), b"BIN\0") + bytes(self._buffer)
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _triangles(places: np.ndarray) -> np.ndarray:
    """Return triangles (K, 3) uint16 of a face's points, counter-clockwise from the camera."""
    from scipy.spatial import Delaunay

    corners = Delaunay(places[:, :2].astype(float)).simplices
    first, second, third = (places[corners[:, k], :2] for k in range(3))
    (ax, ay), (bx, by) = (second - first).T, (third - first).T
    corners = np.where((ax * by - ay * bx > 0)[:, None], corners, corners[:, ::-1])
    return corners.astype("<u2")
