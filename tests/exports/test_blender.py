"""The script for Blender, run in Blender's own module where it is installed, and in a stub."""

from __future__ import annotations

import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import blender_stub
import numpy as np
import pytest
from export_sources import variant

from facetrack.errors import FacetrackError
from facetrack.exports.base import Source
from facetrack.exports.blender import write

CHECK = """
import json, runpy, sys
import bpy
from bpy_extras.object_utils import world_to_camera_view
runpy.run_path(sys.argv[1])
scene = bpy.context.scene
rate = scene.render.fps / scene.render.fps_base
found = []
for time, name in json.loads(sys.argv[2]):
    frame = 1 + time * rate
    scene.frame_set(int(frame), subframe=frame - int(frame))
    thing = bpy.data.objects[name]
    place = world_to_camera_view(scene, scene.camera, thing.matrix_world.translation)
    found.append([place.x * 640 - 0.5, (1 - place.y) * 480 - 0.5, thing.hide_viewport])
print("FOUND", json.dumps(found))
"""


def run_stub(
    path: Path, monkeypatch: pytest.MonkeyPatch, slotted: bool = False
) -> tuple[dict[str, blender_stub.Thing], object]:
    module, things, scene = blender_stub.stub(slotted)
    monkeypatch.setitem(sys.modules, "bpy", module)
    runpy.run_path(str(path))
    return things, scene


@pytest.fixture
def script(source: Source, tmp_path: Path) -> Path:
    assert write(tmp_path, source) == []
    return tmp_path / "a b.blender.py"


@pytest.mark.parametrize("slotted", [False, True], ids=["before 4.4", "since 4.4"])
def test_camera_sees_the_points_where_they_are(
    slotted: bool, script: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    things, scene = run_stub(script, monkeypatch, slotted)
    camera = things["facetrack camera"]
    assert camera.rotation_euler == (pytest.approx(np.pi / 2), 0, 0)  # type: ignore[attr-defined]
    focal = camera.data.lens / camera.data.sensor_width * 640
    for face, name in enumerate(("face_0", "face_3")):
        curves = things[f"{name}_point_30"].curves
        x, y, z = (curves["location", axis].places for axis in range(3))
        # The camera looks along +y, up is +z. Blender measures from the corner of the picture.
        right = focal * x[:, 1] / y[:, 1] + 320 - 0.5
        down = -focal * z[:, 1] / y[:, 1] + 240 - 0.5
        known = np.isfinite(source.tracks.xy[:, face, 30, 0])
        np.testing.assert_allclose(right, source.tracks.xy[known, face, 30, 0], atol=1e-2)
        np.testing.assert_allclose(down, source.tracks.xy[known, face, 30, 1], atol=1e-2)
        rate = scene.render.fps / scene.render.fps_base  # type: ignore[attr-defined]
        np.testing.assert_allclose((x[:, 0] - 1) / rate, source.tracks.time[known], atol=1e-4)


def test_heads_have_their_poses(
    script: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    things, _ = run_stub(script, monkeypatch)
    poses = source.measured.faces[0].poses
    curves = things["face_0_head"].curves
    x, y, z = (curves["location", axis].places[:, 1] for axis in range(3))
    expected = poses.translation / 1000
    np.testing.assert_allclose(np.stack([x, -z, y], 1), expected, atol=1e-5)
    w, qx, qy, qz = (curves["rotation_quaternion", axis].places[:, 1] for axis in range(4))
    # The nose of the identity points to the camera, along -y.
    nose = np.stack([-2 * (qx * qy - w * qz), -(1 - 2 * (qx**2 + qz**2)), -2 * (qy * qz + w * qx)])
    np.testing.assert_allclose(
        np.stack([nose[0], -nose[2], nose[1]], 1), -poses.rotation[:, :, 2], atol=1e-5
    )


def test_unknown_points_are_hidden_and_have_no_keyframe(
    script: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    things, _ = run_stub(script, monkeypatch)
    curves = things["face_3_point_0"].curves
    assert len(curves["location", 0].places) == len(source.tracks) - 10
    hidden = curves["hide_viewport", 0]
    assert hidden.places[:, 1].tolist() == [0, 1, 0]
    assert set(hidden.interpolation) == {0}, "not interpolated"
    np.testing.assert_allclose(
        curves['["confidence"]', 0].places[:, 1], source.tracks.confidence[:, 1, 0], atol=1e-6
    )


def test_points_without_poses_have_a_fixed_depth(
    free_source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, free_source)
    things, scene = run_stub(tmp_path / "free.blender.py", monkeypatch)
    assert "face_0_head" not in things
    places = things["face_0_point_4"].curves["location", 1].places
    assert places[:3, 0].tolist() == [1, 2, 3], "whole frames at a constant rate"
    np.testing.assert_allclose(places[:, 1], 0.6, atol=1e-6)
    assert scene.frame_end == len(free_source.tracks)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["'''\"\"\"\\", "a'); import os  #", "@DATA@", "\udcff\n"])
def test_names_of_files_are_data(
    name: str, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, variant(source, video=f"/videos/{name}"))
    path = tmp_path / "a b.blender.py"
    assert path.read_text(encoding="ascii").count("\nbuild()\n") == 1
    things, _ = run_stub(path, monkeypatch)
    assert len(things) == 2 * 69 + 1


def test_frames_of_unknown_size_are_refused(source: Source, tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match="size of the frames"):
        write(tmp_path, Source(replace(source.tracks, size=(0, 0)), "a"))


def test_blender_runs_it(script: Path, source: Source) -> None:
    pytest.importorskip("bpy")
    import json

    times = [(source.tracks.time[row], f"face_{f}_point_{n}") for row, f, n in CASES]
    ran = subprocess.run(
        [sys.executable, "-c", CHECK, str(script), json.dumps(times)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(ran.stdout.split("FOUND ")[1].splitlines()[0])
    for (row, face, point), (x, y, hidden) in zip(CASES, found, strict=True):
        index = source.tracks.face_id.tolist().index(face)
        expected = source.tracks.xy[row, index, point]
        assert hidden == np.isnan(expected).any()
        if not hidden:
            np.testing.assert_allclose((x, y), expected, atol=1e-2)


CASES = [(0, 0, 30), (7, 0, 8), (33, 3, 45), (55, 3, 30), (80, 3, 60)]
"""Row, face and point."""
