"""Training of the part networks and of the filter."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import few_faces
import numpy as np
import pytest
import ring_faces
import torch
from safetensors.numpy import load_file
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.trackers.expression.corrector import ExpressionNetwork
from facetrack.trackers.expression.face_parts import EYE, FACE_PARTS, MOUTH, PATCH_LAYOUTS
from facetrack.trackers.expression.part_filter import PartObservation, QueryReference
from facetrack.training import part_clips, part_filter, parts
from facetrack.training.part_pictures import (
    MESH_LANDMARKS,
    Bank,
    build_banks,
    read_faces,
    sample,
)
from facetrack.training.part_sequences import MOVING_POINTS, SLIDING_POINTS, Sequences
from facetrack.training.signals import Random

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return ring_faces.make(tmp_path_factory.mktemp("faces"))


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    few_faces.allow(monkeypatch, 2, 6)
    monkeypatch.setattr(parts, "NUM_MEASURED", 8)
    monkeypatch.setattr(part_filter, "NUM_HELD_OUT_CLIPS", 1)
    monkeypatch.setattr(part_filter, "CLIPS_PER_FILE", 1)
    monkeypatch.setattr(part_clips, "FRAMES", 6)


@pytest.fixture
def labelled(faces, tmp_path):
    """Return a table of two faces with the labels of a mesh."""
    with np.load(faces / "landmarks68.npz") as data:
        names, points = data["names"][:2], data["points"][:2].copy()
    unknown = np.setdiff1d(np.arange(68), MESH_LANDMARKS)
    points[:, unknown] = 0
    path = tmp_path / "labelled.npz"
    np.savez(path, names=np.array([str(faces / n) for n in names]), points=points)
    return path


def test_a_bright_dot_appears_at_its_landmarks_position(tmp_path):
    """Each face has one bright dot, at one landmark."""
    ring_faces.make(tmp_path, 1)
    with np.load(tmp_path / "landmarks68.npz") as data:
        name, points = str(data["names"][0]), data["points"][0].astype(float)
    size = cv2.imread(str(tmp_path / name)).shape[:2]
    for landmark, layout in ((39, EYE), (54, MOUTH)):
        image = np.full((*size, 3), 20, np.uint8)
        place = points[landmark]
        cv2.circle(image, tuple(round(float(v)) for v in place), 3, (255, 255, 255), -1)
        path = tmp_path / f"{landmark}.png"
        cv2.imwrite(str(path), image)
        face = read_faces(tmp_path, [name])._replace(paths=[path])
        which = "eye" if layout is EYE else "mouth"
        bank = Bank(*(x[:1] for x in build_banks(face, CPU)[which]))  # of eyes, the right one
        drawn = sample(bank, layout, 30, Random(4, CPU), degraded=False)
        index = 8 if layout is EYE else 6
        found = 0
        for picture, positions in zip(drawn.pictures, drawn.positions, strict=True):
            grey = picture.mean(0) - 0.12
            bright = grey.clamp_min(0) ** 2
            x, y = (positions[index] * layout.px_per_unit).tolist()
            at = np.array([x + layout.width / 2, y + layout.height / 2])
            if (
                bright.max() < 0.2
                or (at < 6).any()
                or (at > (layout.width - 6, layout.height - 6)).any()
            ):
                continue  # outside the patch, or near its edge
            rows, columns = torch.meshgrid(*map(torch.arange, grey.shape), indexing="ij")
            centre = [float((bright * i).sum() / bright.sum()) + 0.5 for i in (columns, rows)]
            np.testing.assert_allclose(centre, at, atol=2.0)
            found += 1
        assert found > 3


def test_landmarks_without_mesh_labels_are_not_known(faces, labelled):
    bank = build_banks(read_faces(faces, [], labelled), CPU)
    for name, part in (("eye", FACE_PARTS[0]), ("mouth", FACE_PARTS[2])):
        wanted = np.isin(part.points, [i for i in MESH_LANDMARKS if i != 8])
        assert (bank[name].known.numpy() == wanted).all()
    assert build_banks(read_faces(faces, ["000.jpg"]), CPU)["eye"].known.all()


def test_shut_eyes_with_mesh_labels_are_left_out(faces, labelled):
    with np.load(labelled) as data:
        names, points = data["names"], data["points"].copy()
    points[0, [40, 41]] = points[0, [38, 37]]  # the right eye of the first face
    np.savez(labelled, names=names, points=points)
    bank = build_banks(read_faces(faces, [], labelled), CPU)
    assert len(bank["eye"].pictures) == 2 * len(names) - 1
    assert len(bank["mouth"].pictures) == len(names)


def test_without_animation_landmarks_are_those_of_the_photograph(faces):
    bank = build_banks(read_faces(faces, ["000.jpg"]), CPU)["mouth"]
    gap = np.linalg.norm(bank.landmarks[0, 66] - bank.landmarks[0, 62]) / float(bank.unit[0])
    drawn = sample(bank, MOUTH, 12, Random(2, CPU), degraded=False, animated=False)
    shape = (drawn.positions[:, 18] - drawn.positions[:, 14]).norm(dim=-1)
    corners = (drawn.positions[:, 6] - drawn.positions[:, 0]).norm(dim=-1)
    assert torch.allclose(shape / corners, (shape / corners)[:1].expand(12), atol=1e-4)
    assert gap >= 0


def test_the_same_seed_draws_the_same_patches(faces):
    names = ["000.jpg", "001.jpg"]
    drawn_from = build_banks(read_faces(faces, names), CPU)
    for name, layout in PATCH_LAYOUTS.items():
        first, second = (sample(drawn_from[name], layout, 20, Random(2, CPU)) for _ in range(2))
        assert torch.equal(first.pictures, second.pictures)
        assert torch.equal(first.positions, second.positions)
        assert first.pictures.shape == (20, 3, layout.height, layout.width)


def _run(*arguments):
    result = CliRunner().invoke(app, ["train", "expressions", *map(str, arguments)])
    assert result.exit_code == 0, result.output


def test_the_commands_train_weights_for_a_tracker(faces, labelled, tmp_path):
    one, two = tmp_path / "parts", tmp_path / "filter"
    _run("--arch", "parts", "--faces", faces, "--labelled", labelled, "--out", one,
         "--steps", 2, "--batch", 4)  # fmt: skip
    _run("--arch", "filter", "--faces", faces, "--parts", one / "parts.safetensors",
         "--out", two, "--clips", 10, "--steps", 2, "--batch", 2)  # fmt: skip
    record = [json.loads(line) for line in (two / "log.jsonl").read_text().splitlines()][-1]
    assert set(record["held_out"]) == {
        f"{kind} {method}" for kind in PATCH_LAYOUTS for method in ("tracker", "network", "filter")
    }
    network = ExpressionNetwork(str(two / "expressions.safetensors"))
    patches = [np.zeros((p.layout.height, p.layout.width, 3), np.uint8) for p in FACE_PARTS]
    detections = network.detect([patches, patches])
    assert [len(face) for face in detections] == [3, 3]
    assert detections[0][2].positions.shape == (MOUTH.num_points,)
    for folder in ("clips", "held-out"):
        shutil.copytree(two / folder, tmp_path / "third" / folder)
    first = two / "expressions.safetensors"
    _run("--arch", "filter", "--faces", faces, "--parts", one / "parts.safetensors", "--kinds",
         "eye", "--start-from", first, "--out", tmp_path / "third", "--clips", 10, "--steps", 2,
         "--batch", 2)  # fmt: skip
    before, after = map(load_file, (first, tmp_path / "third" / "expressions.safetensors"))
    changed = {
        name.split(".")[1] for name in before if not np.array_equal(before[name], after[name])
    }
    assert changed == {"eye"}


def test_a_filter_needs_networks(faces, tmp_path):
    arguments = ["train", "expressions", "--arch", "filter", "--faces", str(faces)]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
    assert result.exit_code
    assert "--parts" in result.output


def test_clips_are_recorded_once(faces, tmp_path):
    part_filter.record_clips(Path(faces), tmp_path, 1, 1, held_out=False)
    clips = part_clips.read(tmp_path)
    assert clips.tracked.shape == (1, 6, 68, 2)
    assert clips.eyes.shape == (1, 6, 2, EYE.height, EYE.width, 3)
    assert np.isfinite(clips.truth[0, 0]).all()
    files = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    part_filter.record_clips(Path(faces), tmp_path, 1, 1, held_out=False)  # exist already
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == files


def _moving_parts(name: str, count: int = 200) -> Sequences:
    """Return parts (count, 3 frames) whose points are all tracked exactly, and detected 0.1 off."""
    points = PATCH_LAYOUTS[name].num_points
    path = torch.tensor([0.0, 0.2, 0.4])[None, :, None, None].expand(count, 3, points, 2)
    sure = torch.full((count, 3, points), 0.1)
    observation = PartObservation(path, path + 0.1, sure, sure, torch.zeros(count, 3, 2))
    zeros = torch.zeros(count, points, 2)
    return Sequences(QueryReference(zeros, zeros, zeros[..., 0]), observation, path, sure)


@pytest.mark.parametrize("name", ["eye", "mouth"])
def test_a_share_of_clips_resembles_real_video(name):
    batch = _moving_parts(name)
    drawn = part_filter.augment(batch, name, Random(0, CPU)).observation
    real = (drawn.spread[:, 0, 0] < 0.0999).numpy()
    assert abs(real.mean() - part_filter.REAL_SHARE[name]) < 0.1
    for given, made in zip(batch.observation, drawn, strict=True):
        torch.testing.assert_close(made[~real], given[~real], atol=1e-6, rtol=1e-4)
    moved = drawn.tracked[real]
    points = np.arange(PATCH_LAYOUTS[name].num_points)
    lost = moved[:, :, MOVING_POINTS[name], 1]
    followed = lost[:, 2] / 0.4
    assert 0.1 < followed.mean() < 0.4
    assert 0.3 < (followed.abs() < 0.1).all(1).float().mean() < 0.7  # does not follow at all
    assert followed[followed.mean(1) > 0.2].std(1).mean() > 0.05  # each point by another share
    assert (lost[:, 0] == 0).all()
    # Even so it does not stand still.
    assert lost[:, 1:].abs().amin() > 0
    kept = np.setdiff1d(points, MOVING_POINTS[name])
    torch.testing.assert_close(moved[:, :, kept, 1], batch.target[real][:, :, kept, 1])
    kept = np.setdiff1d(points, SLIDING_POINTS[name])
    torch.testing.assert_close(moved[:, :, kept, 0], batch.target[real][:, :, kept, 0])
    if SLIDING_POINTS[name]:
        assert moved[:, 2, SLIDING_POINTS[name], 0].mean() < 0.3
    error = (drawn.detected - batch.target)[real].abs().mean((1, 2, 3))
    assert error.median() < 0.06
    assert (drawn.confidence[real] < batch.observation.confidence[real]).all()
