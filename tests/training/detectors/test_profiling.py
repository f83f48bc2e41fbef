"""Faces turned out of plane: landmarks stay on what they mark, and follow a solid head."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from facetrack.detectors import alignment
from facetrack.measures import face_model, rotations
from facetrack.training.detectors import augment, profiling
from facetrack.training.detectors.data import Faces
from facetrack.training.signals import Random

CPU = torch.device("cpu")
SIZE = 300
INNER = slice(17, 68)


def face(yaw: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """The mean face (68, 2), turned, in a picture of SIZE pixels."""
    rotation = rotations.from_angles(np.array([0.0, yaw, 0.0]))
    points = (face_model.load().mean @ rotation.T)[:, :2]
    turn = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    return points @ turn.T + SIZE / 2


@pytest.fixture(scope="module")
def profiles() -> profiling.Profiles:
    return profiling.Profiles(np.stack([face(), face(roll=0.5), face(yaw=0.15)]), CPU)


def turned_by(profiles: profiling.Profiles, yaw: float, which: int = 0) -> profiling.Turn:
    depths = profiling.Depths(*(value[which : which + 1] for value in profiles.depths))
    points = torch.from_numpy([face(), face(roll=0.5), face(yaw=0.15)][which]).float()[None]
    frames = profiles.frames[which : which + 1]
    at = profiling.to_frame(points, frames)
    return profiling.turn_faces(depths, at, torch.tensor([yaw]))


def test_no_turn_changes_nothing(profiles):
    turn = turned_by(profiles, 0.0)
    axis = (torch.arange(profiling.GRID) + 0.5) / profiling.GRID - 0.5
    step = profiling.EXTENT / profiling.GRID
    assert (turn.source - axis * profiling.EXTENT).abs().max() < step
    assert not turn.hidden.any()
    expected = profiling.to_frame(torch.from_numpy(face()).float()[None], profiles.frames[:1])
    assert (turn.points - expected).abs().max() < 1e-5


@pytest.mark.parametrize("degrees", [-60, -30, 30, 60])
def test_landmarks_follow_a_solid_head(profiles, degrees):
    """Those of the eyes, nose and mouth go where the 3-D face says."""
    yaw = math.radians(degrees)
    turn = turned_by(profiles, yaw)
    found = profiling.from_frame(turn.points, profiles.frames[:1])[0].numpy()
    expected = face(yaw)
    unit = np.linalg.norm(face()[36] - face()[45])
    off = (found - found[INNER].mean(0)) - (expected - expected[INNER].mean(0))
    assert np.abs(off[INNER]).max() < 0.03 * unit


@pytest.mark.parametrize("side", [-1, 1])
def test_a_profile_hides_its_far_eye_and_shows_the_near_one(profiles, side):
    turn = turned_by(profiles, side * math.radians(75))
    hidden = turn.hidden[0]
    # A positive yaw turns the face to the left of the image, where its right eye is.
    far, near = (slice(36, 42), slice(42, 48))[::side]
    assert hidden[far].float().mean() > 0.6
    assert not hidden[near].any()
    assert not hidden[:17].any()


def test_the_far_jaw_is_on_the_outline(profiles):
    turn = turned_by(profiles, math.radians(70))
    x = turn.points[0, :, 0]
    rows = turn.points[0, :8, 1]
    nose = turn.points[0, 27:36]
    for jaw, row in zip(x[:8], rows, strict=True):
        level = nose[(nose[:, 1] - row).abs() < 0.05]
        assert (level[:, 0] > jaw - 0.02).all()


def test_turned_pictures_show_landmarks_where_they_are(profiles):
    """Where a landmark is after a turn, the landmark of the photograph is seen."""
    known = np.stack([face(), face(roll=0.5)])
    index, yaw = torch.tensor([0, 1, 0, 1]), torch.tensor([0.6, -0.6, -0.4, 0.5])
    depths = profiling.Depths(*(value[index] for value in profiles.depths))
    frames, points = profiles.frames[index], torch.from_numpy(known).float()[index]
    turn = profiling.turn_faces(depths, profiling.to_frame(points, frames), yaw)
    moved = profiling.from_frame(turn.points, frames)
    turned = profiling.Turned(moved, turn.hidden, yaw, torch.arange(4), frames, turn.source)
    unit = np.linalg.norm(face()[36] - face()[45])
    off = (turned.carry(moved) - points).norm(dim=-1) / unit
    # The far ends of the brows are at the outline, where the picture ends.
    inner = ~turn.hidden
    inner[:, :18] = inner[:, 26] = False
    assert off[inner].median() < 0.015
    assert off[inner].max() < 0.08


def test_faces_turn_away_from_the_front_and_no_further_than_a_profile():
    yaw = torch.tensor([-0.2, 0.0, 0.2, 0.5]).repeat_interleave(300)
    drawn = profiling.draw_yaw(yaw, Random(0, CPU))
    total = yaw + drawn
    assert total.abs().max() <= math.radians(90) + 1e-5
    assert (drawn[:300] < 0).all()
    assert (drawn[600:900] > 0).all()
    assert (drawn[900:] == 0).all()
    assert 100 < (drawn[300:600] > 0).sum() < 200


def test_a_share_of_the_crops_is_turned(profiles):
    known = np.stack([face(), face(roll=0.5), face(yaw=0.15)])
    pictures = torch.randint(0, 255, (3, 3, SIZE, SIZE), dtype=torch.uint8)
    faces = Faces(pictures, torch.from_numpy(known).float(), torch.ones(3, 68))
    source = augment.Source.of(faces, alignment.align, torch.arange(68))
    ranges = augment.Augmentation(turned=0.5, lids=0, lips=0, spoilt=0)
    views = augment.sample_clear(source, 24, Random(0, CPU), ranges)
    assert 2 < views.hidden.any(1).sum() < 18
    same = augment.sample_clear(source, 24, Random(0, CPU), ranges)
    assert torch.equal(views.pictures, same.pictures)
    none = augment.sample_clear(
        source, 8, Random(0, CPU), augment.Augmentation(turned=0, lids=0, lips=0)
    )
    assert not none.hidden.any()
