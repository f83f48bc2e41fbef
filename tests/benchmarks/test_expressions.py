"""How far landmarks stray from a mesh."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy import expressions


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


def test_points_that_go_with_the_mesh_do_not_stray(clip):
    assert np.abs(expressions.strays(*clip)).max() < 1e-6


def test_what_leaves_its_place_on_the_face_strays_by_as_much(clip):
    points, mesh = clip
    points[3, 51] += (0, -6 * 1.09)  # a tenth of the eyes' distance, as large as the face is then
    off = expressions.strays(points, mesh)
    assert off[3, 51] == pytest.approx(10, abs=1e-6)
    off[3, 51] = 0
    assert np.abs(off).max() < 1e-6


def test_frames_without_a_mesh_do_not_count(clip):
    points, mesh = clip
    mesh[5] = np.nan
    off = expressions.strays(points, mesh)
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
            mesh[t, expressions.KNOWN[corner]] = points[t, corner]
        gap = 0.2 * size * (1 - 0.5 * (t % 5 == 0))
        for up, low in zip(upper, lower, strict=True):
            top, bottom = expressions.KNOWN[up], expressions.KNOWN[low]
            mesh[t, bottom] = mesh[t, top] + (0, gap)
            points[t, low] = points[t, up] + (0, 0.1 * size + share * gap)
    return points, mesh


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_share_of_a_blink_that_is_followed(clip, share):
    points, mesh = blinking(*clip, share)
    mesh[7] = np.nan
    slope, correlation = expressions.followed(points, mesh, "eyes")
    assert slope == pytest.approx(share, abs=1e-9)
    if share:
        assert correlation == pytest.approx(1)


def test_a_clip_in_which_nothing_opens_does_not_count(clip):
    points, mesh = clip
    for name in expressions.OPENINGS:
        assert np.isnan(expressions.followed(points, mesh, name)).all()
