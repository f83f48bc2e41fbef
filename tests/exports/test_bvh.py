"""BVH of head poses."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from facetrack.exports.base import Source
from facetrack.exports.bvh import write

FLIP = np.diag([1.0, -1.0, -1.0])
GRAMMAR = re.compile(
    r"HIERARCHY\nROOT (?P<name>\w+)\n\{\n\tOFFSET [\d. -]+\n"
    r"\tCHANNELS 6 Xposition Yposition Zposition Xrotation Yrotation Zrotation\n"
    r"\tEnd Site\n\t\{\n\t\tOFFSET [\d. -]+\n\t\}\n\}\n"
    r"MOTION\nFrames: (?P<count>\d+)\nFrame Time: (?P<step>[\d.]+)\n(?P<rows>(?:[\d. -]+\n)+)"
)


def read(path: Path) -> tuple[float, np.ndarray]:
    match = GRAMMAR.fullmatch(path.read_text())
    assert match is not None
    rows = np.array([row.split() for row in match["rows"].splitlines()], float)
    assert len(rows) == int(match["count"])
    return float(match["step"]), rows


def rotations_of(rows: np.ndarray) -> np.ndarray:
    return Rotation.from_euler("XYZ", rows[:, 3:], degrees=True).as_matrix()


def test_poses_at_a_constant_rate(source: Source, tmp_path: Path) -> None:
    even = Source(replace(source.tracks, time=np.arange(len(source.tracks)) / 30), "a")
    write(tmp_path, even)
    step, rows = read(tmp_path / "a.face_0.bvh")
    poses = even.measured.faces[0].poses
    assert step == pytest.approx(1 / 30)
    np.testing.assert_allclose(rows[:, :3], poses.translation @ FLIP / 10, atol=1e-4)
    np.testing.assert_allclose(rotations_of(rows), FLIP @ poses.rotation @ FLIP, atol=1e-5)


def test_variable_rate_is_resampled_at_true_times(source: Source, tmp_path: Path) -> None:
    write(tmp_path, source)
    step, rows = read(tmp_path / "a b.face_0.bvh")
    time, poses = source.tracks.time, source.measured.faces[0].poses
    assert step == pytest.approx(np.median(np.diff(time)), rel=1e-3)
    times = time[0] + step * np.arange(len(rows))
    assert abs(times[-1] - time[-1]) <= step
    expected = np.interp(times, time, poses.translation[:, 0] / 10)
    np.testing.assert_allclose(rows[:, 0], expected, atol=1e-3)


def test_gaps_are_reported(source: Source, tmp_path: Path) -> None:
    warnings = write(tmp_path, source)
    assert len(warnings) == 1
    assert "face_3 has no head pose in 10 of 90 frames" in warnings[0]
    assert np.isfinite(read(tmp_path / "a b.face_3.bvh")[1]).all()
