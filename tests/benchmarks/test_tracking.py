"""The benchmark's figures: a perfect tracker, one that never moves, one without answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from drawn_faces import drawn_face

from benchmarks.accuracy import tracking
from benchmarks.common.tracking_figures import COLUMNS, Tally, markdown

SIZE = (640, 480)
SPEED = 4.0


@pytest.fixture
def truth() -> SimpleNamespace:
    """20 frames of a face that goes to the right; a quarter of the points hidden from frame 10."""
    start = drawn_face()
    xy = start + np.arange(20)[:, None, None] * np.array([SPEED, 0])
    visible = np.ones(xy.shape[:2], bool)
    visible[10:, :17] = False
    return SimpleNamespace(xy=xy, visible=visible, interocular=np.full(20, 80.0), cut_out=False)


def tally(truth: SimpleNamespace, xy: np.ndarray, seen: np.ndarray) -> dict[str, float]:
    made = Tally(SIZE)
    made.add(xy, seen, truth, seconds=2.0)
    return made.figures()


def test_a_perfect_tracker_has_no_error(truth: SimpleNamespace) -> None:
    figures = tally(truth, truth.xy, truth.visible)
    for key in ("nrmse", "nrmse_all", "hidden", "failure_rate", "jitter", "lag", "unanswered"):
        assert figures[key] == pytest.approx(0, abs=1e-9), key
    for key in ("occlusion_accuracy", "average_jaccard", "delta_avg"):
        assert figures[key] == 1, key
    assert figures["fps"] == 10


def test_a_tracker_that_never_moves(truth: SimpleNamespace) -> None:
    still = np.repeat(truth.xy[:1], 20, 0)
    figures = tally(truth, still, np.ones_like(truth.visible))
    behind = 100 * SPEED * np.arange(1, 20) / 80
    weights = truth.visible[1:].sum(1)
    assert figures["nrmse"] == pytest.approx(np.average(behind, weights=weights))
    assert figures["nrmse_all"] == pytest.approx(behind.mean())
    assert figures["hidden"] == pytest.approx(behind[9:].mean())
    assert figures["failure_rate"] == pytest.approx(100 * 17 / 19)  # 5 % and 10 % are not above
    assert figures["lag"] == pytest.approx(-np.average(behind[:-1], weights=weights[:-1]))
    assert figures["jitter"] == pytest.approx(0, abs=1e-9)
    assert figures["occlusion_accuracy"] == pytest.approx(1 - 10 * 17 / (19 * 68))


def test_the_first_frame_does_not_count(truth: SimpleNamespace) -> None:
    xy = truth.xy.copy()
    xy[0] += 50
    assert tally(truth, xy, truth.visible)["nrmse"] == pytest.approx(0, abs=1e-9)


def test_no_answer_is_a_failure_and_not_an_error(truth: SimpleNamespace) -> None:
    xy, seen = truth.xy.copy(), truth.visible.copy()
    xy[5:7], seen[5:7] = np.nan, False
    figures = tally(truth, xy, seen)
    assert figures["nrmse"] == pytest.approx(0, abs=1e-9)
    assert figures["failure_rate"] == pytest.approx(100 * 2 / 19)
    assert figures["unanswered"] == pytest.approx(100 * 2 / 19)
    assert figures["average_jaccard"] < 1


def test_cut_out_heads_are_told_apart(truth: SimpleNamespace) -> None:
    made = Tally(SIZE)
    made.add(truth.xy + np.array([0.8, 0]), truth.visible, truth, 1.0)
    truth.cut_out = True
    made.add(truth.xy + np.array([2.4, 0]), truth.visible, truth, 1.0)
    figures = made.figures()
    assert figures["nrmse_photograph"] == pytest.approx(1)
    assert figures["nrmse_cut_out"] == pytest.approx(3)
    assert figures["nrmse"] == pytest.approx(2)


def test_trembling_is_jitter(truth: SimpleNamespace) -> None:
    xy = truth.xy + np.where(np.arange(20) % 2, 0.2, -0.2)[:, None, None] * np.array([0, 1])
    assert tally(truth, xy, truth.visible)["jitter"] == pytest.approx(100 * 0.8 / 80)


def test_unknown_truth_does_not_count(truth: SimpleNamespace) -> None:
    truth.xy[:, 30] = np.nan
    truth.visible[:, 30] = False
    xy = np.nan_to_num(truth.xy, nan=-999.0)
    figures = tally(truth, xy, truth.visible | True)
    assert figures["nrmse"] == pytest.approx(0, abs=1e-9)
    assert figures["occlusion_accuracy"] == pytest.approx(1 - 10 * 17 / (19 * 67))


def test_the_table_has_a_column_a_tracker() -> None:
    row = dict.fromkeys(COLUMNS, 1.0) | {"speed_to_lk": None}
    text = markdown({"clean": {"lk": row, "static": row}}, {"bear": {"lk": 71.26}})
    lines = text.splitlines()
    assert lines[:3] == ["| clean | lk | static |", "|---|---:|---:|", "| NRMSE % | 1.00 | 1.00 |"]
    assert "| speed / lk | - | - |" in lines
    assert "| bear | 71.3 |" in lines


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three schematic faces painted with noise."""
    rng = np.random.default_rng(0)
    names = [f"{i}.png" for i in range(3)]
    np.savez(tmp_path / "landmarks68.npz", names=names, points=np.stack([drawn_face()] * 3))
    for name in names:
        coarse = rng.integers(30, 255, (70, 70, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / name), cv2.resize(coarse, (352, 352)))
    return tmp_path


def test_the_command_measures_the_baselines(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = tracking.VARIANTS["clean"].__class__(frames=10)
    monkeypatch.setitem(tracking.VARIANTS, "clean", short)
    out = {kind: folder / f"out.{kind}" for kind in ("json", "markdown")}
    command = ["tracking.py", "--faces", str(folder), "--every-face", "--clips", "1"]
    command += ["--variants", "clean", "--trackers", "lk,static", "--strips", str(folder / "s")]
    command += ["--json", str(out["json"]), "--markdown", str(out["markdown"])]
    monkeypatch.setattr(sys, "argv", command)
    assert tracking.main() == 0
    report = json.loads(out["json"].read_text())
    rows = report["results"]["clean"]
    assert rows["lk"]["nrmse"] < 2 < rows["static"]["nrmse"]
    assert rows["lk"]["hidden"] is None  # nothing is: no figure, and no NaN in the file
    assert rows["lk"]["speed_to_lk"] == 1
    assert report["trackers"]["lk"]["name"] == "lk"
    assert out["markdown"].read_text().startswith("| clean |")
    assert (folder / "s" / "clean-0.png").is_file()
    assert "static" in capsys.readouterr().out


def test_joints_of_animals(tmp_path: Path) -> None:
    joints = np.array([[100.0, 100], [200, 150], [300, 200]], np.float32)
    writer = cv2.VideoWriter(
        str(tmp_path / "dog.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, (480, 480)
    )
    for _ in range(6):
        writer.write(np.full((480, 480, 3), 90, np.uint8))
    writer.release()
    xy = np.full((6, 3, 2), np.nan, np.float32)
    xy[1], xy[3], xy[5] = joints, joints + 5, joints + np.array([[0, 0], [0, 9], [6, 6]])
    visible = np.isfinite(xy).all(-1)
    visible[3, 2] = False
    np.savez(tmp_path / "dog.npz", xy=xy, visible=visible, annotated=visible.any(1))
    shares = tracking.run_badja(tmp_path, {"static": tracking.Static()})
    # Frame 1 is where they start; of the five marks after it the second of frame 5 is too far,
    # and the third is 8.5 px away.
    assert shares == {"dog": {"static": pytest.approx(100 * 3 / 5)}}
