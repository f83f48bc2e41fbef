"""Training of the network that judges placed landmarks."""

from __future__ import annotations

import json
from pathlib import Path

import few_faces
import numpy as np
import pytest
import ring_faces
import torch
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.confidence.estimator import ConfidenceEstimator, mean_face_in_crop
from facetrack.confidence.network import CROP_SIZE
from facetrack.detectors.crops import SIZE
from facetrack.identity.shape_model import ShapeModel
from facetrack.training import confidence, covering
from facetrack.training.placements import misplace
from facetrack.training.signals import Random

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ring_faces.make(tmp_path_factory.mktemp("faces"))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    few_faces.allow(monkeypatch, 2, 6)
    monkeypatch.setattr(confidence, "NUM_MEASURED", 8)
    monkeypatch.setattr(confidence, "load_photographs", lambda: np.zeros((2, 3, 352, 352), "u1"))


def _mean_face(count: int, size: float = 90.0) -> torch.Tensor:
    mean = torch.from_numpy(ShapeModel.load().mean).float()
    return (mean * size + SIZE / 2).expand(count, -1, -1).clone()


def test_the_same_seed_draws_the_same_crops(faces: Path) -> None:
    source = confidence.load_source(faces, CPU)
    mean = torch.from_numpy(mean_face_in_crop(source.shape.mean)).float()
    first, second, other = (
        confidence.draw_crops(source, 8, Random(seed, CPU), mean) for seed in (1, 1, 2)
    )
    assert first.pictures.shape == (8, 3, CROP_SIZE, CROP_SIZE)
    assert torch.equal(first.pictures, second.pictures)
    assert not torch.equal(first.pictures, other.pictures)
    assert set(first.labels.unique().tolist()) <= {0.0, 1.0}


def test_covered_landmarks_are_invisible(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a black face, what is bright at a landmark was drawn over it."""
    monkeypatch.setattr(covering, "_draw_textures", lambda p, *_: torch.ones(len(p), 3, 352, 352))
    monkeypatch.setattr(covering, "MASK_CHANCE", 0.0)
    monkeypatch.setattr(covering, "SMOKE_CHANCE", 0.0)
    points = _mean_face(12) - 0.5
    black = torch.zeros(12, 3, SIZE, SIZE)
    photographs = torch.zeros(1, 3, 352, 352, dtype=torch.uint8)
    shown, visible = covering.cover(black, points, photographs, Random(4, CPU))
    inside = points.round().long()
    rows = torch.arange(12)[:, None].expand(-1, 68)
    bright = shown[rows, 0, inside[..., 1], inside[..., 0]]
    assert 0.05 < 1 - float(visible.mean()) < 0.9
    assert ((bright > 0.2) == (visible == 0)).float().mean() > 0.95


def test_a_mask_covers_mouth_and_chin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(covering, "OBJECT_CHANCES", ())
    monkeypatch.setattr(covering, "MASK_CHANCE", 1.0)
    monkeypatch.setattr(covering, "SMOKE_CHANCE", 0.0)
    points = _mean_face(4) - 0.5
    photographs = torch.zeros(1, 3, 352, 352, dtype=torch.uint8)
    _, visible = covering.cover(torch.zeros(4, 3, SIZE, SIZE), points, photographs, Random(5, CPU))
    assert not visible[:, 48:].any()
    assert not visible[:, 31:36].any()
    assert visible[:, 36:48].all()
    assert visible[:, 17:27].all()


def test_the_crop_follows_the_placed_landmarks() -> None:
    mean = torch.from_numpy(mean_face_in_crop(ShapeModel.load().mean)).float()
    placed = _mean_face(1)
    turned = placed.mean(1, keepdim=True) * 2 - placed  # upside down
    for points in (placed, turned):
        _, inside = confidence.crop_upright(torch.zeros(1, 3, SIZE, SIZE), points, mean)
        assert torch.allclose(inside[0], mean, atol=1e-2)


def test_some_placements_are_exact_and_some_are_not() -> None:
    true = _mean_face(200)
    placed = misplace(true, ShapeModel.load(), Random(6, CPU))
    unit = (true[:, 36] - true[:, 45]).norm(dim=-1)[:, None]
    exact = ((placed - true).norm(dim=-1) < confidence.EXACT * unit).float()
    assert 0.3 < float(exact.mean()) < 0.75
    by_face = exact.mean(1)
    assert (by_face > 0.95).any()
    assert (by_face < 0.05).any()
    assert ((by_face > 0.3) & (by_face < 0.7)).any()


def test_probabilities_are_measured() -> None:
    label = np.array([0.0, 0, 1, 1])
    perfect = confidence.measure_probabilities(np.array([0.1, 0.2, 0.89, 0.9]), label)
    assert (perfect["area"], perfect["share near 0.9"]) == (1.0, 1.0)
    assert confidence.measure_probabilities(np.array([0.9, 0.8, 0.2, 0.1]), label)["area"] == 0.0


def test_the_command_trains_weights_that_load(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = ["train", "confidence", "--faces", str(faces), "--out", str(out)]
    done = CliRunner().invoke(app, [*command, "--steps", "2", "--batch", "4", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    record = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    assert set(record["held_out"]) == {"exact", "visible"}
    estimator = ConfidenceEstimator(str(out / "confidence.safetensors"), "cpu")
    visible = estimator.estimate(np.zeros((99, 99, 3), np.uint8), np.random.rand(1, 68, 2) * 99)
    assert visible.visible.shape == (1, 68)
