"""`facetrack evaluate` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from facetrack.cli import app
from facetrack.landmarks.point_files import write_pts


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", *words])


@pytest.fixture
def sources(tmp_path: Path) -> tuple[str, str]:
    """Predictions 5 % off for two faces and one that is nowhere else; ground truth of three."""
    truth = np.random.default_rng(0).uniform(20, 300, (3, 68, 2)).round(2)
    truth[:, 36], truth[:, 45] = (100, 100), (200, 100)
    names = np.array(["a.jpg", "b.jpg", "c.jpg"])
    np.savez(tmp_path / "landmarks68.npz", names=names, points=truth)
    folder = tmp_path / "predicted"
    folder.mkdir()
    for name, xy in zip(("a", "b", "stranger"), truth, strict=True):
        write_pts(folder / f"{name}.pts", xy + (3, 4))
    return str(folder), str(tmp_path / "landmarks68.npz")


def test_the_table_says_all(sources: tuple[str, str]) -> None:
    result = run(*sources)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "2 faces, iBUG / 300-W"
    assert "  NME, eye corners      5.000 %" in lines
    assert "  failure rate at 10 %  0.000 %" in lines
    assert any(line.split() == ["left_eye", "5.000", "%"] for line in lines)
    assert "only in the predictions: 1 (stranger)" in lines
    assert "only in the ground truth: 1 (c)" in lines


def test_faces_without_eye_corners_are_said(sources: tuple[str, str]) -> None:
    with np.load(sources[1]) as data:
        names, points = data["names"], data["points"].copy()
    points[0, 45] = np.nan
    np.savez(sources[1], names=names, points=points)
    assert "1 faces have no annotated outer eye corners" in run(*sources).stdout


def test_json_holds_the_figures(sources: tuple[str, str]) -> None:
    message = json.loads(run(*sources, "--json").stdout)
    assert message["nme_ic"] == pytest.approx(5, abs=1e-3)
    assert message["faces"] == 2
    assert message["only_predicted"] == message["only_annotated"] == 1
    assert len(message["regions"]) == 9


def test_the_curve_is_written(sources: tuple[str, str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "curve.svg"
    result = run(*sources, "--curve", str(path))
    assert result.exit_code == 0, result.output
    assert "<svg" in path.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "There is no nowhere"),
        (["predicted", "--curve", "curve.pdf"], ".png or .svg"),
    ],
)
def test_bad_input_is_one_sentence_and_code_2(
    words: list[str], message: str, sources: tuple[str, str]
) -> None:
    predicted, truth = sources
    given = [predicted if w == "predicted" else w for w in words]
    result = run(given[0], truth, *given[1:])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
