"""Heads of known pose and expression, as tracks; used by the tests of measures."""

from __future__ import annotations

import numpy as np

from facetrack.measures import rotations
from facetrack.measures.face_model import load
from facetrack.measures.person import aligned
from facetrack.measures.pose import Camera
from facetrack.tracks import Tracks

SIZE = (640, 480)
CAMERA = Camera.of_frame(SIZE)
UPPER_LIDS, LOWER_LIDS = {"r": (37, 38), "l": (43, 44)}, {"r": (41, 40), "l": (47, 46)}


def person(seed: int) -> np.ndarray:
    """A symmetric face (68, 3) in the zero pose that is not the model's mean."""
    model = load()
    random = np.random.default_rng(seed)
    face = model.face(random.normal(size=len(model.modes))) * (1, 1, random.uniform(0.9, 1.1))
    return aligned(face, model.mean)


def turns(count: int, yaw: float, pitch: float = 8.0, roll: float = 5.0) -> np.ndarray:
    """Rotations (count, 3, 3) that sweep to these angles in degrees."""
    phase = np.linspace(0, 2 * np.pi, count)
    angles = np.stack([pitch * np.sin(2 * phase), yaw * np.sin(phase), roll * np.cos(phase)], -1)
    return rotations.from_angles(np.radians(angles))


def project(faces: np.ndarray, rotation: np.ndarray, distance: float = 600.0) -> np.ndarray:
    """Pixels (T, 68, 2) of faces (68, 3) or (T, 68, 3) that are turned and moved."""
    return CAMERA.project(places(faces, rotation, distance))


def places(faces: np.ndarray, rotation: np.ndarray, distance: float = 600.0) -> np.ndarray:
    """Places (T, 68, 3) in mm in the camera's axes of the points of `project`."""
    faces = np.broadcast_to(faces, (len(rotation), 68, 3))
    moved = np.stack([np.linspace(-20, 30, len(rotation))] * 3, -1) * (1, 0.5, 1)
    turned: np.ndarray = np.einsum("tab,tib->tia", rotation, faces)
    return turned + moved[:, None] + (0, 0, distance)


def tracks_of(xy: np.ndarray, fps: float = 30.0) -> Tracks:
    """Tracks of one face (T, 68, 2) that is fully seen."""
    shape = (len(xy), 1, 68)
    return Tracks(
        xy=xy[:, None].astype(np.float32),
        visible=np.ones(shape, bool),
        confidence=np.ones(shape, np.float32),
        time=np.arange(len(xy)) / fps,
        face_id=np.zeros(1, np.int64),
        scheme="68",
        size=SIZE,
    )


def with_lids(face: np.ndarray, shut: dict[str, np.ndarray]) -> np.ndarray:
    """Faces (T, 68, 3) whose upper lids come down by a share of the eye's opening (T,), by side."""
    count = len(next(iter(shut.values())))
    faces = np.repeat(face[None], count, axis=0)
    for side, share in shut.items():
        for upper, lower in zip(UPPER_LIDS[side], LOWER_LIDS[side], strict=True):
            faces[:, upper] += share[:, None] * (face[lower] - face[upper])
    return faces


def blink(time: np.ndarray, start: float, closing: float, opening: float) -> np.ndarray:
    """Share of closing (T,) of a blink that starts at a time; cosine ramps."""
    down = np.clip((time - start) / closing, 0, 1)
    up = np.clip((time - start - closing) / opening, 0, 1)
    return (1 - np.cos(np.pi * down)) / 2 - (1 - np.cos(np.pi * up)) / 2
