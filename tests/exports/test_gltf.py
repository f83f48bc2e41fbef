"""glTF of moving heads."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facetrack.errors import FacetrackError
from facetrack.exports.base import Source
from facetrack.exports.gltf import write

FLIP = np.diag([1.0, -1.0, -1.0])


class Glb:
    """The content of a .glb file, read by the grammar of the format."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        magic, version, length = struct.unpack("<4sII", data[:12])
        assert (magic, version, length) == (b"glTF", 2, len(data))
        chunks, at = {}, 12
        while at < len(data):
            size, kind = struct.unpack("<I4s", data[at : at + 8])
            assert size % 4 == 0
            chunks[kind] = data[at + 8 : at + 8 + size]
            at += 8 + size
        assert list(chunks) == [b"JSON", b"BIN\0"]
        self.content: dict[str, Any] = json.loads(chunks[b"JSON"])
        self._buffer = chunks[b"BIN\0"]
        assert self.content["buffers"] == [{"byteLength": len(self._buffer)}]

    def array(self, index: int) -> np.ndarray:
        accessor = self.content["accessors"][index]
        view = self.content["bufferViews"][accessor["bufferView"]]
        raw = self._buffer[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        kind = {5126: "<f4", 5123: "<u2"}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        values = np.frombuffer(raw, kind).reshape(-1, width)
        assert len(values) == accessor["count"]
        if "min" in accessor:
            assert accessor["min"] == values.min(0).tolist()
            assert accessor["max"] == values.max(0).tolist()
        return values

    def channel(self, node: str, path: str) -> tuple[np.ndarray, np.ndarray, str]:
        animation = self.content["animations"][0]
        for channel in animation["channels"]:
            target = channel["target"]
            if (self.content["nodes"][target["node"]]["name"], target["path"]) == (node, path):
                sampler = animation["samplers"][channel["sampler"]]
                values = self.array(sampler["output"])
                return self.array(sampler["input"])[:, 0], values, sampler["interpolation"]
        raise KeyError(node)


@pytest.fixture
def glb(source: Source, tmp_path: Path) -> Glb:
    write(tmp_path, source)
    return Glb(tmp_path / "a b.glb")


def test_heads_move_by_their_poses_at_their_true_times(glb: Glb, source: Source) -> None:
    poses = source.measured.faces[0].poses
    time, moves, _ = glb.channel("face_0", "translation")
    np.testing.assert_allclose(time, source.tracks.time, atol=1e-6)
    np.testing.assert_allclose(moves, poses.translation @ FLIP / 1000, atol=1e-6)
    _, turns, _ = glb.channel("face_0", "rotation")
    expected = FLIP @ poses.rotation @ FLIP
    np.testing.assert_allclose(Rotation.from_quat(turns).as_matrix(), expected, atol=1e-6)
    assert ((turns[1:] * turns[:-1]).sum(1) > 0).all(), "no flips between neighbours"


def test_camera_sees_the_points_where_they_are(glb: Glb, source: Source) -> None:
    perspective = glb.content["cameras"][0]["perspective"]
    places = glb.array(glb.content["meshes"][0]["primitives"][0]["attributes"]["POSITION"])
    _, moves, _ = glb.channel("face_0", "translation")
    _, turns, _ = glb.channel("face_0", "rotation")
    seen = Rotation.from_quat(turns[7]).apply(places) + moves[7]
    focal = 240 / np.tan(perspective["yfov"] / 2)
    pixels = np.stack([seen[:, 0], -seen[:, 1]], 1) * focal / -seen[:, 2:] + (319.5, 239.5)
    assert np.abs(pixels - source.tracks.xy[7, 0])[27:36].max() < 2


def test_faces_are_hidden_where_there_is_no_pose(glb: Glb, source: Source) -> None:
    time, shown, interpolation = glb.channel("face_3", "scale")
    assert interpolation == "STEP"
    assert shown[:, 0].tolist() == [1, 0, 1]
    np.testing.assert_allclose(time, source.tracks.time[[0, 50, 60]], atol=1e-6)
    assert len(glb.channel("face_3", "translation")[0]) == len(source.tracks) - 10


def test_triangles_look_at_the_camera(glb: Glb) -> None:
    primitive = glb.content["meshes"][0]["primitives"][0]
    places = glb.array(primitive["attributes"]["POSITION"])
    corners = glb.array(primitive["indices"]).reshape(-1, 3)
    first, second, third = (places[corners[:, k]] for k in range(3))
    assert (np.cross(second - first, third - first)[:, 2] > 0).all()


def test_times_too_near_for_float32_are_refused(source: Source, tmp_path: Path) -> None:
    time = 1e6 + np.arange(len(source.tracks)) * 1e-3
    with pytest.raises(FacetrackError, match="too near"):
        write(tmp_path, Source(replace(source.tracks, time=time), "a"))


def test_pygltflib_and_trimesh_open_it(source: Source, tmp_path: Path) -> None:
    pygltflib = pytest.importorskip("pygltflib")
    trimesh = pytest.importorskip("trimesh")
    write(tmp_path, source)
    path = str(tmp_path / "a b.glb")
    assert [node.name for node in pygltflib.GLTF2().load(path).nodes][1:] == ["face_0", "face_3"]
    assert sorted(trimesh.load(path).geometry) == ["face_0", "face_3"]
