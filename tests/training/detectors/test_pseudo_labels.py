"""Pseudo-labels: where networks agree, and only there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.detectors import pipnet_meanface
from facetrack.detectors.base import Landmarks
from facetrack.detectors.crops import hog_box
from facetrack.errors import FacetrackError
from facetrack.face_detectors import FaceBoxes
from facetrack.landmarks import schemes
from facetrack.training.detectors import pseudo_labels
from facetrack.training.detectors.data import PSEUDO_SIDE, load_pseudo_labelled
from facetrack.training.detectors.pseudo_labels import Teacher, agree, label_faces

FACE = pipnet_meanface.read("data_300W") * 120 + 40
UNIT = float(np.linalg.norm(FACE[36] - FACE[45]))
MARGIN = 50


class Finder:
    """Finds the face in pictures that are not black."""

    name = "finder"

    def detect(self, image: np.ndarray) -> FaceBoxes:
        found = int(image.max() > 10)
        box = (hog_box(FACE) + MARGIN)[None]
        return FaceBoxes(box[:found].astype(np.float32), np.ones(found, np.float32))

    def describe(self) -> dict[str, Any]:
        return {}


class Member:
    """Places the face exactly, but for an offset of some points; it knows the mirror image."""

    name, scheme = "member", "68"

    def __init__(self, points: slice, offset: float) -> None:
        self.points, self.offset = points, offset

    def detect_many(self, images: list[np.ndarray], boxes: list[np.ndarray]) -> list[Landmarks]:
        answers = []
        for image, box in zip(images, boxes, strict=True):
            xy = FACE + MARGIN
            xy[self.points] += self.offset * UNIT
            if image[0, 0, 0] < image[0, -1, 0]:  # pictures are brighter at the left
                xy = schemes.get("68").mirror(xy, image.shape[1])
            assert len(box) == 1
            inside = (box[0, :2] < xy.mean(0)).all() and (box[0, 2:] > xy.mean(0)).all()
            assert inside
            answers.append(Landmarks(xy[None].astype(np.float32), np.ones((1, 68), np.float32)))
        return answers

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        return self.detect_many([image], [boxes])[0]

    def describe(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    image = np.linspace(200, 60, 200).astype(np.uint8)[None, :, None].repeat(200, 0).repeat(3, 2)
    cv2.imwrite(str(folder / "one.png"), image)
    cv2.imwrite(str(folder / "more" / "two.jpg"), image)
    cv2.imwrite(str(folder / "no_face.png"), image * 0)
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture(autouse=True)
def _finder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pseudo_labels.face_detectors, "create", lambda _: Finder())


def test_points_on_which_the_networks_disagree_have_no_label(
    pictures: Path, tmp_path: Path
) -> None:
    teacher = Teacher((Member(slice(0, 5), 0.2), Member(slice(0, 5), -0.2)))
    assert label_faces([pictures], teacher, tmp_path / "out") == (2, 4)
    with np.load(tmp_path / "out" / "landmarks68.npz") as data:
        labelled, names = data["labelled"], data["names"]
    assert not labelled[:, :5].any()
    assert labelled[:, 5:].all()
    assert {str(n).split("_", 1)[1] for n in names} == {"one.jpg", "two.jpg"}
    faces = load_pseudo_labelled(tmp_path / "out", "68", torch.device("cpu"))
    assert faces.pictures.shape == (2, 3, PSEUDO_SIDE, PSEUDO_SIDE)
    shape = faces.points[0].numpy()
    scale = np.ptp(shape[5:], axis=0).max() / np.ptp(FACE[5:], axis=0).max()
    np.testing.assert_allclose(
        shape[5:] - shape[5:].mean(0), (FACE[5:] - FACE[5:].mean(0)) * scale, atol=0.2
    )


def test_labels_of_another_tool_count_as_one_view_more(pictures: Path, tmp_path: Path) -> None:
    teacher = Teacher((Member(slice(0, 0), 0.0),))
    other = FACE.copy()
    other[:5, 0] += 0.06 * UNIT
    other[10, 0] += 0.2 * UNIT
    names = [str(pictures / "more" / "two.jpg"), str(pictures / "unknown.jpg")]
    np.savez(tmp_path / "labels.npz", names=np.array(names), points=np.array([other, other * 0]))
    out = tmp_path / "out"
    assert label_faces([pictures], teacher, out, labels=tmp_path / "labels.npz") == (2, 4)
    with np.load(out / "landmarks68.npz") as data:
        sure = dict(zip((str(n)[7:] for n in data["names"]), data["labelled"], strict=True))
        points = dict(zip((str(n)[7:] for n in data["names"]), data["points"], strict=True))
    assert sure["one.jpg"].all()
    assert list(np.flatnonzero(~sure["two.jpg"])) == [10]
    # A third of the way, since the teacher's two views agree.
    scale = np.ptp(points["one.jpg"], axis=0)[1] / np.ptp(FACE, axis=0)[1]
    moved = (points["two.jpg"] - points["two.jpg"][20]) - (
        points["one.jpg"] - points["one.jpg"][20]
    )
    np.testing.assert_allclose(moved[:5, 0] / scale, 0.02 * UNIT, atol=0.3)


def test_labels_that_are_none_are_refused(pictures: Path, tmp_path: Path) -> None:
    teacher = Teacher((Member(slice(0, 0), 0.0),))
    for name, arrays in (
        ("a", {"names": np.array(["x"])}),
        ("b", {"names": np.array(["x"]), "points": np.zeros((2, 68, 2))}),
    ):
        np.savez(tmp_path / f"{name}.npz", **arrays)
        with pytest.raises(FacetrackError, match=f"{name}.npz"):
            label_faces([pictures], teacher, tmp_path / "out", labels=tmp_path / f"{name}.npz")
    with pytest.raises(FacetrackError, match="does not hold names and points"):
        label_faces([pictures], teacher, tmp_path / "out", labels=pictures / "broken.jpg")


def test_faces_on_which_the_networks_disagree_are_left_out(pictures: Path, tmp_path: Path) -> None:
    teacher = Teacher((Member(slice(0, 40), 0.2), Member(slice(0, 40), -0.2)))
    with pytest.raises(FacetrackError, match="agree on no face"):
        label_faces([pictures], teacher, tmp_path / "out")


def test_nothing_of_the_users_is_replaced(pictures: Path, tmp_path: Path) -> None:
    teacher = Teacher((Member(slice(0, 0), 0.0),))
    with pytest.raises(FacetrackError, match="not empty"):
        label_faces([pictures], teacher, pictures)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FacetrackError, match="no pictures"):
        label_faces([tmp_path / "empty"], teacher, tmp_path / "out")


def test_agreement_is_measured_in_the_size_of_the_face() -> None:
    away = np.zeros_like(FACE)
    away[10, 0] = 0.03 * UNIT
    assert agree(np.stack([FACE + away, FACE - away])).all()
    away[10, 0] = 0.04 * UNIT
    sure = agree(np.stack([FACE + away, FACE - away]))
    assert list(np.flatnonzero(~sure)) == [10]
    big = np.stack([FACE + away, FACE - away]) * 7
    assert list(np.flatnonzero(~agree(big))) == [10]
    assert not agree(np.full((2, 68, 2), np.nan)).any()


@pytest.mark.parametrize(
    ("names", "message"), [("", "detector"), ("none", "none"), ("star=missing.pt", "missing.pt")]
)
def test_unusable_teachers_are_refused(names: str, message: str, pictures: Path) -> None:
    command = ["train", "pseudo-labels", str(pictures), "--out", "x", "--detectors", names]
    result = CliRunner().invoke(app, command)
    assert result.exit_code != 0
    assert message in result.output
