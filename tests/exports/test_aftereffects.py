"""Keyframe data for After Effects."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facetrack.errors import FacetrackError
from facetrack.exports.aftereffects import write
from facetrack.exports.base import Source

HEAD = [
    "Adobe After Effects 8.0 Keyframe Data",
    "",
    re.compile(r"\tUnits Per Second\t[\d.]+"),
    "\tSource Width\t640",
    "\tSource Height\t480",
    "\tSource Pixel Aspect Ratio\t1",
    "\tComp Pixel Aspect Ratio\t1",
    "",
]


def blocks_of(path: Path) -> dict[str, np.ndarray]:
    """Parse keyframe data by its grammar: the rows of each property."""
    lines = path.read_bytes().decode("ascii").split("\r\n")
    assert "\n" not in "".join(lines)
    for line, expected in zip(lines, HEAD, strict=False):
        assert (
            re.fullmatch(expected, line) if isinstance(expected, re.Pattern) else line == expected
        )
    assert lines[-3:] == ["", "End of Keyframe Data", ""]
    blocks: dict[str, np.ndarray] = {}
    for text in "\n".join(lines[len(HEAD) : -2]).strip("\n").split("\n\n"):
        name, columns, *rows = text.split("\n")
        assert columns.startswith("\tFrame\t")
        assert all(row.count("\t") == columns.count("\t") for row in rows)
        blocks[name] = np.array([row.strip("\t").split("\t") for row in rows], float)
    return blocks


def rate_of(path: Path) -> float:
    match = re.search(r"Units Per Second\t([\d.]+)", path.read_text())
    assert match is not None
    return float(match[1])


def test_trackers_hold_all_points_at_their_true_times(source: Source, tmp_path: Path) -> None:
    assert write(tmp_path, source) == []
    tracks, path = source.tracks, tmp_path / "a b.ae.txt"
    blocks = blocks_of(path)
    assert len(blocks) == 2 * 68 * 3
    name = "Motion Trackers\tTracker #1\tTrack Point #31"
    centre = blocks[f"{name}\tFeature Center"]
    np.testing.assert_allclose(centre[:, 0] / rate_of(path), tracks.time, atol=2e-5)
    np.testing.assert_allclose(centre[:, 1:], tracks.xy[:, 0, 30] + 0.5, atol=1e-3)
    np.testing.assert_array_equal(blocks[f"{name}\tAttach Point"], centre)
    np.testing.assert_allclose(
        blocks[f"{name}\tConfidence"][:, 1], 100 * tracks.confidence[:, 0, 30], rtol=1e-3
    )


def test_unknown_points_have_no_keyframe(source: Source, tmp_path: Path) -> None:
    write(tmp_path, source)
    block = blocks_of(tmp_path / "a b.ae.txt")[
        "Motion Trackers\tTracker #2\tTrack Point #1\tFeature Center"
    ]
    assert len(block) == len(source.tracks) - 10
    assert np.isfinite(block).all()


def test_constant_rate_has_whole_frames(free_source: Source, tmp_path: Path) -> None:
    write(tmp_path, free_source)
    text = (tmp_path / "free.ae.txt").read_text()
    assert "\tUnits Per Second\t25\n" in text
    assert "\n\t1\t" in text
    assert "\n\t1.0" not in text


def test_positions_of_chosen_points(source: Source, tmp_path: Path) -> None:
    chosen = replace(source, settings={"points": [30, 8]})
    write(tmp_path, chosen)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"a b.face_{face}.point_{point}.ae.txt" for face in (0, 3) for point in (30, 8))
    ]
    (block,) = blocks_of(tmp_path / "a b.face_0.point_8.ae.txt").items()
    assert block[0] == "Transform\tPosition"
    np.testing.assert_allclose(block[1][:, 1:3], source.tracks.xy[:, 0, 8] + 0.5, atol=1e-3)
    assert (block[1][:, 3] == 0).all()


def test_points_that_do_not_exist_are_refused(source: Source, tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match="no point 68; the points are 0 to 67"):
        write(tmp_path, replace(source, settings={"points": [68]}))
