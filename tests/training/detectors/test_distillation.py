"""Trained networks teach others: half of the way from the annotation to what they find."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import dotted_faces
import few_faces
import numpy as np
import pytest
import torch
from tiny_networks import tiny
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.detectors.base import Landmarks
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.training.detectors.data import load, load_held_out, names_of
from facetrack.training.detectors.distillation import SHARE, teach
from facetrack.training.detectors.pseudo_labels import Teacher
from facetrack.training.detectors.train import DetectorRun, Recipe, train

CPU = torch.device("cpu")
SIDE = 256


class Member:
    """Places the middle of a face's box at the right place, and all other points with it."""

    name, scheme = "member", "68"

    def __init__(self, blind: bool = False) -> None:
        self.blind, self.seen = blind, 0

    def detect_many(self, images: list[np.ndarray], boxes: list[np.ndarray]) -> list[Landmarks]:
        self.seen += len(images)
        xy = [np.repeat((box[0, :2] + box[0, 2:])[None] / 2, 68, 0) for box in boxes]
        xy = [each * np.nan if self.blind else each for each in xy]
        return [Landmarks(np.float32(each)[None], np.ones((1, 68), np.float32)) for each in xy]

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        return self.detect_many([image], [boxes])[0]

    def describe(self) -> dict[str, Any]:
        return {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dotted_faces.write(tmp_path_factory.mktemp("faces"))


@pytest.fixture(autouse=True)
def _few_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    few_faces.allow(monkeypatch, 3, 8)


def test_landmarks_move_towards_the_teachers(folder: Path) -> None:
    faces = load(folder, "68", CPU, SIDE)
    lines: list[str] = []
    taught = teach(faces, Teacher((Member(),)), lines.append)
    assert taught.pictures is faces.pictures
    before, after = faces.points.double().numpy(), taught.points.double().numpy()
    # The teacher answers with one place a face; what remains of the face is (1 - SHARE) of it.
    spread = before - before.mean(1, keepdims=True)
    np.testing.assert_allclose(
        after - after.mean(1, keepdims=True), (1 - SHARE) * spread, atol=1e-3
    )
    low, high = before.min(1), before.max(1)
    assert (after.mean(1) > low).all()
    assert (after.mean(1) < high).all()
    assert not lines


def test_annotations_stay_where_the_teachers_find_no_face(folder: Path) -> None:
    faces = load(folder, "68", CPU, SIDE)
    taught = teach(faces, Teacher((Member(blind=True),)))
    torch.testing.assert_close(taught.points, faces.points)


def test_held_out_faces_are_never_shown_to_the_teachers(folder: Path, tmp_path: Path) -> None:
    member = Member()
    recipe = Recipe(steps=1, batch=2, workers=1, save_minutes=1e9, warm_up_steps=1)
    build = functools.partial(tiny, "star")
    train("star", recipe, folder, tmp_path, CPU, build=build, teacher=Teacher((member,)))
    known, held_out = names_of(folder, "68")
    assert held_out
    assert member.seen == 2 * len(known)  # plain and mirrored
    plain = load(folder, "68", CPU, SIDE).points
    taught = plain + 3
    run = DetectorRun(build, folder, None, recipe, tmp_path, 0, CPU, taught=taught)
    torch.testing.assert_close(run.faces.points, taught)
    for part in run.parts:
        torch.testing.assert_close(part.source.faces.points, taught)
    assert run.held_out is not None
    np.testing.assert_array_equal(run.held_out.points, load_held_out(folder, "68").points)


def test_teachers_of_another_layout_are_refused(folder: Path, tmp_path: Path) -> None:
    faces = tmp_path / "faces98"
    faces.mkdir()
    with np.load(folder / "landmarks68.npz") as data:
        names = data["names"]
    for name in names:
        (faces / str(name)).write_bytes((folder / str(name)).read_bytes())
    points = np.random.default_rng(0).uniform(20, 80, (len(names), schemes.get("98").count, 2))
    np.savez(faces / "landmarks98.npz", names=names, points=points.astype(np.float32))
    recipe = Recipe(steps=1)
    with pytest.raises(FacetrackError, match="68 points, not the 98"):
        train("star", recipe, faces, tmp_path / "out", CPU, "98", teacher=Teacher((Member(),)))


def test_an_unknown_teacher_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    command = ["train", "detector", "--arch", "star", "--faces", str(folder)]
    more = ["--teachers", "star,nobody", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, command + more)
    assert result.exit_code != 0
    assert "nobody" in result.output
