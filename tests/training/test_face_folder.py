"""Folders of annotated faces: what is wrong with one is said in one sentence."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import ring_faces
import torch

from facetrack.errors import FacetrackError
from facetrack.training import face_folder, textures
from facetrack.training.detectors import data


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return ring_faces.make(tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.jpg"))


def test_pictures_that_are_not_square_are_named(faces: Path) -> None:
    cv2.imwrite(str(faces / "003.jpg"), np.zeros((60, 90, 3), np.uint8))
    sentence = r"003\.jpg has 90 x 60 pixels: trainings need square"
    with pytest.raises(FacetrackError, match=sentence):
        textures.load_faces(faces, names(faces))
    with pytest.raises(FacetrackError, match=sentence):
        data.load(faces, "68", torch.device("cpu"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(30)])
def test_damaged_tables_are_named(faces: Path, content: bytes) -> None:
    (faces / "landmarks68.npz").write_bytes(content)
    with pytest.raises(FacetrackError, match=r"landmarks68\.npz does not hold names and points"):
        textures.load_faces(faces, names(faces))


def test_arrays_that_are_no_table_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.zeros((2, 68, 2)))
    with pytest.raises(FacetrackError, match=r"labels\.npy does not hold names and points"):
        face_folder.read_labels(tmp_path / "labels.npy", 68)


def test_faces_without_all_landmarks_are_named(faces: Path) -> None:
    with np.load(faces / "landmarks68.npz") as table:
        known, points = table["names"], table["points"].copy()
    points[2, 5] = np.nan
    np.savez(faces / "landmarks68.npz", names=known, points=points)
    with pytest.raises(FacetrackError, match=r"002\.jpg has no landmarks"):
        textures.load_faces(faces, names(faces))


def test_a_small_table_that_describes_much_is_refused(tmp_path: Path) -> None:
    points = np.zeros((150_000, 68, 2), np.float32)
    np.savez_compressed(tmp_path / "table.npz", names=np.full(len(points), "a"), points=points)
    with pytest.raises(FacetrackError, match="does not hold"):
        face_folder.read_labels(tmp_path / "table.npz", 68)
