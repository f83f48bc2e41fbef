"""Training of the network of head poses: the labels are the poses of the faces."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import few_faces
import numpy as np
import pytest
import ring_faces
import torch
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.detectors.alignment import FaceFrame
from facetrack.detectors.crops import SIZE
from facetrack.errors import FacetrackError
from facetrack.head_pose.estimator import HeadPoseEstimator
from facetrack.head_pose.network import SIDE
from facetrack.head_pose.picture_pose import PicturePoses, from_numbers, to_numbers
from facetrack.measures import face_model, rotations
from facetrack.training import pose
from facetrack.training.signals import Random

CPU = torch.device("cpu")
PICTURE = 160


def seen_from_afar(angles: np.ndarray, scale: float, place: float) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (B, 68, 2) of the generic face with angles (B, 3) in degrees, and the numbers."""
    rotation = rotations.from_angles(np.radians(angles))
    poses = PicturePoses(rotation, np.full((len(angles), 2), place), np.full(len(angles), scale))
    return poses.project(face_model.load().mean), to_numbers(poses, [pose.CROP] * len(angles))


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of noise with the landmarks of the generic face."""
    folder, random = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    names = [f"{i:03d}.jpg" for i in range(6)]
    for name in names:
        image = cv2.resize(random.integers(0, 255, (20, 20, 3)).astype(np.uint8), (PICTURE,) * 2)
        cv2.imwrite(str(folder / name), image)
    angles = random.uniform(-1, 1, (6, 3)) * (10, 12, 15)
    points = seen_from_afar(angles, 0.55, PICTURE / 2)[0].astype(np.float32)
    np.savez(folder / "landmarks68.npz", names=np.array(names), points=points)
    return folder


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    few_faces.allow(monkeypatch, 2, 6)
    for name in ("POOL", "HELD_OUT_POOL", "MEASURED_CROPS"):
        monkeypatch.setattr(pose, name, 24)


def test_landmarks_give_the_pose_at_any_roll_and_yaw():
    angles = np.array([(0, 0, 0), (10, -30, 5), (-15, 60, -20), (5, 85, 0), (10, 20, 170)])
    points, numbers = seen_from_afar(angles, 0.9, 120.0)
    found = pose.pose_of_landmarks(points, np.ones((len(angles), 68), bool))
    turns = [rotations.from_vector(x[:, :3]) for x in (found, numbers)]
    # The points are seen from afar, and the labels count them as seen from a metre.
    assert rotations.angle_between(*turns).max() < 3
    assert np.abs(found - numbers)[:, 3:].max() < 0.03


def test_hidden_landmarks_do_not_count():
    points, numbers = seen_from_afar(np.array([(0, 40, 0)]), 0.9, 127.5)
    seen = np.ones((1, 68), bool)
    seen[0, 42:48] = False
    points[0, 42:48] += 30
    found = pose.pose_of_landmarks(points, seen)
    turns = [rotations.from_vector(x[:, :3]) for x in (found, numbers)]
    assert rotations.angle_between(*turns)[0] < 3


def test_what_is_no_face_has_no_pose():
    noise = np.random.default_rng(0).uniform(0, SIZE, (1, 68, 2))
    assert np.isnan(pose.pose_of_landmarks(noise, np.ones((1, 68), bool))).all()


def test_faces_of_the_pool_turn_up_to_profile(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pose, "VIEWS", dataclasses.replace(pose.VIEWS, turned=1.0))
    pool = pose.draw_pool(faces, 60, CPU)
    assert 50 < len(pool.pictures) == len(pool.poses) <= 60
    assert pool.pictures.shape[1:] == (3, pose.POOL_SIDE, pose.POOL_SIDE)
    turned = rotations.sideways(pool.poses.rotation)
    assert turned.max() > 70
    assert (turned < 40).any()
    # The points of the generic face in these poses are the faces' own, but for those it hides.
    away = np.linalg.norm(
        pool.poses.project(face_model.load().mean)[:, 27:31] - pool.points.numpy()[:, 27:31],
        axis=-1,
    )
    assert np.median(away) < 1.5


def test_the_poses_of_copies_follow_the_copies(faces: Path) -> None:
    """A dot on the right eye of each face lies in its copies where their poses put that eye."""
    pool, eye = pose.draw_pool(faces, 12, CPU), 36
    points = pool.poses.project(face_model.load().mean)[:, eye]
    pictures = np.zeros((len(points), pose.POOL_SIDE, pose.POOL_SIDE, 3), np.uint8)
    for picture, (x, y) in zip(pictures, points, strict=True):
        across = (np.arange(pose.POOL_SIDE) - x)[None] ** 2
        down = (np.arange(pose.POOL_SIDE) - y)[:, None] ** 2
        picture[:] = (255 * np.exp(-(across + down) / 8))[..., None]
    dotted = pool._replace(pictures=torch.from_numpy(pictures).permute(0, 3, 1, 2))
    ranges = dataclasses.replace(pose.RANGES, spoilt=0.0, ended=0.0)
    crops = pose.draw_crops(dotted, 40, Random(4, CPU), ranges)
    crop = FaceFrame(np.full(2, (SIDE - 1) / 2), SIDE, 0.0)
    poses = from_numbers(crops.numbers.numpy().astype(float), [crop] * 40)
    placed = poses.project(face_model.load().mean)
    mirrored = 0
    for picture, face in zip(crops.pictures[:, 0].numpy(), placed, strict=True):
        weight = picture / picture.sum()
        seen = np.array([(weight.sum(0) * np.arange(SIDE)).sum(), weight.sum(1) @ np.arange(SIDE)])
        if not (seen > 6).all() or not (seen < SIDE - 7).all():
            continue
        # In a mirrored copy, the dot is on the other eye.
        away = np.linalg.norm(face[[eye, 45]] - seen, axis=1)
        assert away.min() < 0.7
        mirrored += int(away.argmin())
    assert 5 < mirrored < 35


def test_copies_are_perturbed_and_repeatable(faces: Path) -> None:
    pool = pose.draw_pool(faces, 12, CPU)
    first, again, other = (pose.draw_crops(pool, 40, Random(seed, CPU)) for seed in (1, 1, 2))
    assert first.pictures.shape == (40, 3, SIDE, SIDE)
    assert torch.equal(first.numbers, again.numbers)
    assert torch.equal(first.pictures, again.pictures)
    assert not torch.equal(first.numbers, other.numbers)
    assert float(first.numbers[:, 2].abs().max()) > np.radians(25)  # rolled
    assert float(first.numbers[:, 3].std()) > 0.05  # off the middle
    assert float(first.numbers[:, 5].std()) > 0.08  # of other sizes


def test_landmarks_of_no_face_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pose, "VIEWS", dataclasses.replace(pose.VIEWS, turned=0.0))
    with pytest.raises(FacetrackError, match="no head pose"):
        pose.draw_pool(ring_faces.make(tmp_path), 6, CPU)


def test_the_command_trains_weights_that_load(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = ["train", "pose", "--faces", str(faces), "--out", str(out), "--batch", "6"]
    done = CliRunner().invoke(app, [*command, "--steps", "2", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    record = json.loads((out / "log.jsonl").read_text().splitlines()[-1])["held_out"]
    assert record["median degrees"] > 0
    assert {"place", "size"} <= set(record)
    estimator = HeadPoseEstimator(str(out / "pose.safetensors"), "cpu")
    found = estimator.estimate(np.zeros((99, 99, 3), np.uint8), np.array([[9, 9, 90, 90]]))
    assert found.known.all()
    again = CliRunner().invoke(app, [*command, "--steps", "3", "--device", "cpu", "--resume"])
    assert again.exit_code == 0, again.output
    assert json.loads((out / "log.jsonl").read_text().splitlines()[-1])["step"] == 3


def test_the_network_learns(faces: Path, tmp_path: Path) -> None:
    """On one batch again and again, the loss falls."""
    recipe = pose.PoseRecipe(steps=12, batch=6, warm_up_steps=1, clip_norm=1.0)
    run = pose._Run(faces, recipe, tmp_path, 0, CPU)
    losses = []
    for _ in range(12):
        loss, parts = run.losses(Random(0, CPU), 0.0)
        run.optimizer.zero_grad()
        loss.backward()
        run.optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert set(parts) == {"rotation", "place", "size"}
