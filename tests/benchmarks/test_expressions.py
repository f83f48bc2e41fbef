"""How far landmarks stray from a mesh."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import expressions
from benchmarks.common.mesh_process import MeshProcess


@pytest.fixture
def clip():
    """20 frames of a face that turns, grows and moves, and of a mesh that goes with it."""
    random = np.random.default_rng(0)
    face, mesh = random.uniform(-50, 50, (68, 2)), random.uniform(-60, 60, (478, 2))
    face[36], face[45] = (-30, -10), (30, -10)
    points, vertices = [], []
    for t in range(20):
        angle, scale = 0.05 * t, 1 + 0.03 * t
        turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        points.append(face @ turn + 100 + t)
        vertices.append(mesh @ turn + 100 + t)
    return np.array(points), np.array(vertices)


def test_a_mesh_that_jumps_to_a_bystander_is_unknown_until_it_is_back(clip):
    _, mesh = clip
    assert np.array_equal(expressions.without_other_faces(mesh), mesh)
    jumped = mesh.copy()
    jumped[5:9] += 400
    jumped[9] = np.nan
    kept = expressions.without_other_faces(jumped)
    assert np.isnan(kept[5:10]).all()
    assert np.array_equal(kept[:5], mesh[:5])
    assert np.array_equal(kept[10:], mesh[10:])


def test_points_that_go_with_the_mesh_do_not_stray(clip):
    assert np.abs(expressions.point_drift(*clip)).max() < 1e-6


def test_what_leaves_its_place_on_the_face_strays_by_as_much(clip):
    points, mesh = clip
    points[3, 51] += (0, -6 * 1.09)  # a tenth of the eyes' distance, as large as the face is then
    off = expressions.point_drift(points, mesh)
    assert off[3, 51] == pytest.approx(10, abs=1e-6)
    off[3, 51] = 0
    assert np.abs(off).max() < 1e-6


def test_frames_without_a_mesh_do_not_count(clip):
    points, mesh = clip
    mesh[5] = np.nan
    off = expressions.point_drift(points, mesh)
    assert np.isnan(off[5]).all()
    assert np.isfinite(np.delete(off, 5, 0)).all()


def test_jitter_is_the_second_difference():
    points = np.zeros((5, 68, 2))
    points[:, 45] = (50, 0)
    points[::2, 7] = (1, 0)
    found = expressions.jitter(points)
    assert found[7] == pytest.approx(100 * 2 / 50)
    assert found[8] == 0


def blinking(points: np.ndarray, mesh: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The same, whose lids shut on the mesh, and on the points by a share of that."""
    upper, lower, _ = expressions.OPENINGS["eyes"]
    points, mesh = points.copy(), mesh.copy()
    for t in range(len(points)):
        size = np.linalg.norm(points[t, 36] - points[t, 45])
        for corner in (36, 45):
            mesh[t, expressions.MESH_VERTEX[corner]] = points[t, corner]
        gap = 0.2 * size * (1 - 0.5 * (t % 5 == 0))
        for up, low in zip(upper, lower, strict=True):
            top, bottom = expressions.MESH_VERTEX[up], expressions.MESH_VERTEX[low]
            mesh[t, bottom] = mesh[t, top] + (0, gap)
            points[t, low] = points[t, up] + (0, 0.1 * size + share * gap)
    return points, mesh


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_share_of_a_blink_that_is_followed(clip, share):
    points, mesh = blinking(*clip, share)
    mesh[7] = np.nan
    slope, correlation = expressions.compare_openings(points, mesh, "eyes")
    assert slope == pytest.approx(share, abs=1e-9)
    if share:
        assert correlation == pytest.approx(1)


def test_a_clip_in_which_nothing_opens_does_not_count(clip):
    points, mesh = clip
    for name in expressions.OPENINGS:
        assert np.isnan(expressions.compare_openings(points, mesh, name)).all()


def test_the_mesh_has_its_vertices_at_the_landmarks(clip):
    _, mesh = clip
    points = expressions.as_points(mesh)
    assert np.array_equal(points[:, 62], mesh[:, 13])
    assert np.isnan(points[:, :17]).all()


def test_what_is_kept_is_not_computed_again(tmp_path):
    keep = expressions.ArrayCache(tmp_path / "kept")
    first = keep("one", lambda: (np.arange(3), np.ones((2, 2))))
    again = keep("one", lambda: pytest.fail("computed twice"))
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a, b)
    assert len(expressions.ArrayCache(None)("one", lambda: (np.zeros(1),))) == 1


def test_methods_with_other_weights():
    ways = expressions.select_methods([Path("new.safetensors")])
    assert [way.weights for way in ways] == [None, None, None, Path("new.safetensors")]
    assert ways[3].options == expressions.METHODS[expressions.EVERY_FRAME]
    assert len({way.name for way in ways}) == len(ways)
    assert [way.name for way in expressions.select_methods([], "tapir a*")] == ["tapir alone"]


def test_a_clip_is_cut_by_its_times(clip):
    points, mesh = clip
    whole = expressions.Clip({"a": points}, mesh, np.arange(20) / 10)
    part = whole.first(1.0)
    assert len(part.points["a"]) == len(part.mesh) == len(part.times) == 10
    assert part.complete
    points[:15] = np.nan
    assert not whole.complete


FAKE = """
import struct, sys
import numpy as np
while len(head := sys.stdin.buffer.read(8)) == 8:
    height, width = struct.unpack("<II", head)
    pixels = np.frombuffer(sys.stdin.buffer.read(3 * height * width), np.uint8)
    places = [(0.5, 0.25), (pixels.max() / 255, 1.0)] if pixels.any() else []
    sys.stdout.buffer.write(struct.pack("<I", len(places)) + np.array(places, "<f8").tobytes())
    sys.stdout.buffer.flush()
"""


def test_a_mesh_in_a_process_of_its_own(tmp_path):
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable}\n{FAKE}")
    program.chmod(0o755)
    mesh = MeshProcess(program)
    frame = np.full((20, 40, 3), 255, np.uint8)
    assert np.allclose(mesh.detect(frame), [(19.5, 4.5), (39.5, 19.5)])
    assert mesh.detect(np.zeros((10, 10, 3), np.uint8)) is None
    mesh.close()


def test_an_interpreter_without_the_mesh_is_said(tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    mesh = MeshProcess(program)
    with pytest.raises(SystemExit, match="mediapipe"):
        mesh.detect(np.zeros((400, 400, 3), np.uint8))
