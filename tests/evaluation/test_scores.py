"""Predictions against ground truth: matching, figures, and what is said of the rest."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

from facetrack.errors import FacetrackError
from facetrack.evaluation import metrics, scores
from facetrack.evaluation.scores import evaluate
from facetrack.formats.csv import CsvWriter
from facetrack.formats.npz import NpzWriter
from facetrack.formats.pts import PtsWriter
from facetrack.images.writer import header
from facetrack.landmarks import schemes
from facetrack.landmarks.point_files import write_pts
from facetrack.tracks import Tracks


def face(seed: int, points: int = 68) -> np.ndarray:
    """(points, 2) of which the 68-point eye corners are 100 pixels apart."""
    xy = np.random.default_rng(seed).uniform(20, 300, (points, 2)).round(2)
    if points == 68:
        xy[36], xy[45] = (100, 100), (200, 100)
    return xy


TRUTH = {f"face{i}": face(i) for i in range(4)}


def as_pts(folder: Path, faces: dict[str, np.ndarray]) -> Path:
    folder.mkdir()
    for name, xy in faces.items():
        write_pts(folder / f"{name}.pts", xy)
    return folder


def as_npz(path: Path, faces: dict[str, np.ndarray]) -> Path:
    names = np.array([f"{name}.jpg" for name in faces])
    np.savez(path, names=names, points=np.array(list(faces.values()), np.float32))
    return path


def as_csv(path: Path, rows: list[tuple[str, np.ndarray | None]]) -> Path:
    """As `facetrack detect` writes: None for a picture without a face."""
    count = next(len(xy) for _, xy in rows if xy is not None)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header(count))
        for name, xy in rows:
            cells = [""] * 2 * count if xy is None else [f"{v:.3f}" for v in xy.T.ravel()]
            writer.writerow([name, "" if xy is None else 0, "" if xy is None else 0.9, *cells])
    return path


def tracks(points: np.ndarray, first: int = 0) -> Tracks:
    """Of points (T, F, N, 2)."""
    shape = points.shape[:3]
    return Tracks(
        xy=points.astype(np.float32),
        visible=np.isfinite(points).all(-1),
        confidence=np.ones(shape, np.float32),
        time=np.arange(shape[0]) / 25,
        face_id=np.arange(shape[1]),
        scheme=schemes.for_count(shape[2]).name,
        size=(400, 400),
        first_frame=first,
    )


@pytest.mark.parametrize("kind", ["pts", "npz", "csv"])
def test_predictions_of_every_kind_give_the_same_figures(kind, tmp_path):
    truth = as_npz(tmp_path / "landmarks68.npz", TRUTH)
    moved = {name: xy + (3, 4) for name, xy in TRUTH.items()}
    if kind == "pts":
        predicted = as_pts(tmp_path / "predicted", moved)
    elif kind == "npz":
        predicted = as_npz(tmp_path / "predicted.npz", moved)
    else:
        rows = [(f"some/folder/{name}.png", xy) for name, xy in moved.items()]
        predicted = as_csv(tmp_path / "landmarks.csv", rows)
    measured = evaluate(predicted, truth)
    # 5 pixels of 100 between the eye corners.
    np.testing.assert_allclose(measured.nme_ic, 5, rtol=1e-4)
    assert set(measured.regions) == set(schemes.get("68").regions)
    np.testing.assert_allclose(list(measured.regions.values()), 5, rtol=1e-4)
    summary = measured.summary()
    assert summary["faces"] == 4
    assert summary["fr_10"] == 0
    assert summary["auc_10"] == pytest.approx(0.5, abs=1e-4)
    box = metrics.nme_box(np.array(list(moved.values())), np.array(list(TRUTH.values())))
    np.testing.assert_allclose(np.sort(measured.nme_box), np.sort(box), rtol=1e-4)


def test_a_region_is_blamed_for_its_own_error(tmp_path):
    moved = {name: xy.copy() for name, xy in TRUTH.items()}
    for xy in moved.values():
        xy[48:60] += (10, 0)
    measured = evaluate(as_pts(tmp_path / "p", moved), as_pts(tmp_path / "t", TRUTH))
    assert measured.regions["outer_lips"] == pytest.approx(10, rel=1e-3)
    assert sum(v > 1e-3 for v in measured.regions.values()) == 1


def test_what_is_in_one_alone_is_counted_and_not_measured(tmp_path):
    predicted = {name: TRUTH[name] for name in ("face0", "face1")} | {"stranger": face(9)}
    measured = evaluate(as_pts(tmp_path / "p", predicted), as_pts(tmp_path / "t", TRUTH))
    assert measured.names == ("face0", "face1")
    assert measured.only_predicted == ("stranger",)
    assert measured.only_annotated == ("face2", "face3")


def test_a_picture_without_a_found_face_counts_as_failed(tmp_path):
    rows = [("face0.jpg", TRUTH["face0"]), ("face1.jpg", None)]
    measured = evaluate(as_csv(tmp_path / "p.csv", rows), as_pts(tmp_path / "t", TRUTH))
    assert measured.failed == 1
    summary = measured.summary()
    assert summary["fr_10"] == 0.5
    assert summary["nme_ic"] == pytest.approx(0, abs=1e-4)


def test_faces_without_annotated_eye_corners_are_no_failures(tmp_path):
    truth = {name: xy.copy() for name, xy in TRUTH.items()}
    truth["face1"][36] = np.nan
    truth["face2"][:] = np.nan  # not annotated at all
    predicted = {name: xy + (1, 0) for name, xy in TRUTH.items()}
    predicted["face3"] = np.full((68, 2), np.nan)
    measured = evaluate(as_npz(tmp_path / "p.npz", predicted), as_npz(tmp_path / "t.npz", truth))
    summary = measured.summary()
    assert (summary["faces"], summary["failed"], summary["without_corners"]) == (3, 1, 1)
    assert summary["fr_10"] == 0.5
    assert summary["auc_10"] == pytest.approx(0.45, abs=1e-3)
    assert summary["nme_ic"] == pytest.approx(1, rel=1e-3)
    assert 0 < summary["auc_box_7"] < 2 / 3


def test_without_any_eye_corner_rates_are_unknown(tmp_path):
    truth = {name: xy.copy() for name, xy in TRUTH.items()}
    for xy in truth.values():
        xy[45] = np.nan
    measured = evaluate(as_npz(tmp_path / "p.npz", TRUTH), as_npz(tmp_path / "t.npz", truth))
    summary = measured.summary()
    assert (summary["fr_10"], summary["auc_10"], summary["auc_box_7"]) == (None, None, 1)


def test_the_nearest_of_several_faces_counts(tmp_path):
    rows = [("face0.jpg", TRUTH["face0"] + 150), ("face0.jpg", TRUTH["face0"] + (1, 0))]
    measured = evaluate(as_csv(tmp_path / "p.csv", rows), as_pts(tmp_path / "t", TRUTH))
    assert measured.nme_ic == pytest.approx([1], rel=1e-3)


def test_several_files_of_one_picture_are_its_faces(tmp_path):
    found = {"face0.0": TRUTH["face0"] + 150, "face0.1": TRUTH["face0"] + (1, 0)}
    measured = evaluate(as_pts(tmp_path / "p", found), as_pts(tmp_path / "t", TRUTH))
    assert measured.names == ("face0",)
    assert measured.nme_ic == pytest.approx([1], rel=1e-3)
    assert measured.only_predicted == ()


def test_frames_of_a_video_meet_their_pts_files(tmp_path):
    truth = np.array([face(i) for i in range(3)])[:, None]
    with PtsWriter(tmp_path / "clip_pts") as writer:
        writer.write(tracks(truth, first=7))
    predicted = truth + (1, 0)
    predicted[1] = np.nan
    with CsvWriter(tmp_path / "clip.csv") as writer:
        writer.write(tracks(predicted, first=7))
    measured = evaluate(tmp_path / "clip.csv", tmp_path / "clip_pts")
    assert measured.names == ("clip_000007", "clip_000008", "clip_000009")
    np.testing.assert_allclose(measured.nme_ic, [1, np.nan, 1], rtol=1e-3)


def test_two_files_about_one_video_meet_by_frame(tmp_path):
    truth = np.array([face(i) for i in range(3)])[:, None]
    with NpzWriter(tmp_path / "truth.npz") as writer:
        writer.write(tracks(truth))
    with CsvWriter(tmp_path / "other.csv") as writer:
        writer.write(tracks(truth + (2, 0)))
    measured = evaluate(tmp_path / "other.csv", tmp_path / "truth.npz")
    np.testing.assert_allclose(measured.nme_ic, 2, rtol=1e-3)


def test_98_points_are_compared_with_68(tmp_path):
    wide = face(3, 98)
    narrow = schemes.map_98_to_68(wide)
    measured = evaluate(
        as_pts(tmp_path / "p", {"a": wide + (0, 1)}), as_pts(tmp_path / "t", {"a": narrow})
    )
    assert measured.scheme.name == "68"
    scale = np.linalg.norm(narrow[36] - narrow[45])
    assert measured.nme_ic == pytest.approx([100 / scale], rel=1e-3)


def test_a_layout_without_eyes_is_measured_by_its_box(tmp_path):
    some = {"a": face(1, 7)}
    summary = evaluate(as_pts(tmp_path / "p", some), as_pts(tmp_path / "t", some)).summary()
    assert summary["nme_ic"] is None
    assert summary["fr_10"] is None
    assert summary["nme_box"] == 0
    assert summary["regions"] == {}


def test_curve_is_the_share_of_faces_up_to_each_error():
    errors, share = scores.cumulative(np.array([4.0, 2.0, np.nan, 30.0]), 10)
    np.testing.assert_allclose(errors, [0, 2, 4, 10])
    np.testing.assert_allclose(share, [0, 0.25, 0.5, 0.5])
    area = (np.diff(errors) * share[:-1]).sum() / 10
    assert area == pytest.approx(metrics.auc(np.array([4.0, 2.0, np.nan, 30.0]), 10))


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_curve_is_drawn(suffix, start, tmp_path):
    pytest.importorskip("matplotlib")
    measured = evaluate(as_pts(tmp_path / "p", TRUTH), as_pts(tmp_path / "t", TRUTH))
    path = tmp_path / f"curve{suffix}"
    scores.plot_curve(measured, path)
    assert path.read_bytes().startswith(start)


def test_missing_matplotlib_is_said(tmp_path, monkeypatch):
    measured = evaluate(as_pts(tmp_path / "p", TRUTH), as_pts(tmp_path / "t", TRUTH))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(FacetrackError, match=r"facetrack\[plots\]"):
        scores.plot_curve(measured, tmp_path / "curve.png")


def spoilt(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.csv"
    if kind == "missing":
        return folder / "nothing"
    if kind == "empty folder":
        path = folder / "empty"
        path.mkdir()
    elif kind == "not a source":
        path = folder / "picture.jpg"
        path.write_bytes(b"x")
    elif kind == "damaged npz":
        path = folder / "a.npz"
        path.write_bytes(b"PK\x03\x04 nonsense")
    elif kind == "foreign csv":
        path.write_text("a,b\n1,2\n")
    elif kind == "empty csv":
        path.write_text("")
    elif kind == "short row":
        path.write_text(",".join(header(68)) + "\nx.jpg,0\n")
    elif kind == "no number":
        path.write_text(",".join(header(1)) + "\nx.jpg,0,1,one,2\n")
    elif kind == "twins":
        as_csv(path, [("a/face0.jpg", TRUTH["face0"]), ("b/face0.jpg", TRUTH["face0"])])
    elif kind == "strangers":
        as_csv(path, [("stranger.jpg", TRUTH["face0"])])
    elif kind == "other layout":
        as_csv(path, [("face0.jpg", face(0, 29))])
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "There is no"),
        ("empty folder", "holds no .pts"),
        ("not a source", "neither"),
        ("damaged npz", "damaged"),
        ("foreign csv", "first row is not the header"),
        ("empty csv", "is empty"),
        ("short row", "row 2 has 2 cells"),
        ("no number", "row 2 holds no numbers"),
        ("twins", "cannot be distinguished"),
        ("strangers", "share no image"),
        ("other layout", "29 landmarks, the ground truth of 68"),
    ],
)
def test_bad_sources_get_one_sentence(kind, message, tmp_path):
    truth = as_pts(tmp_path / "truth", TRUTH)
    with pytest.raises(FacetrackError, match=message) as caught:
        evaluate(spoilt(kind, tmp_path), truth)
    assert "\n" not in str(caught.value)
