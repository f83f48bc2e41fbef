"""Places of landmarks in front of the camera."""

from __future__ import annotations

import numpy as np
import pytest
import rendered_heads as heads
from hypothesis import given
from hypothesis import strategies as st

from facetrack.measures import rotations
from facetrack.measures.face_model import load
from facetrack.measures.head import places_in_camera, points_on_head, track_head
from facetrack.measures.pose import Camera, Poses


def posed(rotation: np.ndarray, translation: np.ndarray) -> Poses:
    return Poses(rotation, translation, np.zeros((len(rotation), 6)), load().mean)


@given(
    seed=st.integers(0, 1000), yaw=st.floats(-1.5, 1.5), distance=st.floats(200, 3000),
    focal=st.floats(100, 5000),
)  # fmt: skip
def test_places_are_projected_onto_the_landmarks(
    seed: int, yaw: float, distance: float, focal: float
) -> None:
    """Whatever the landmarks are, exactly."""
    xy = np.random.default_rng(seed).uniform(-500, 2000, (3, 68, 2))
    camera = Camera.of_frame((640, 480), focal)
    angles = np.array([[0.2, yaw, -0.1]] * 3)
    poses = posed(rotations.from_angles(angles), np.array([[10.0, -20.0, distance]] * 3))
    places = places_in_camera(xy, poses, camera)
    np.testing.assert_allclose(camera.project(places), xy, atol=1e-6)
    expected = (poses.rotation[0] @ poses.face.T)[2] + distance
    np.testing.assert_allclose(places[..., 2], np.broadcast_to(expected, (3, 68)))


def test_unknown_landmarks_and_poses_have_no_place() -> None:
    xy = heads.project(load().mean, heads.turns(4, 20))
    poses = posed(heads.turns(4, 20), np.array([[0.0, 0.0, 600.0]] * 4))
    xy[1, 5, 0] = np.nan
    poses.translation[2], poses.rotation[2] = np.nan, np.nan
    unknown = np.isnan(places_in_camera(xy, poses, heads.CAMERA))
    assert unknown[2].all()
    assert unknown[1, 5].all()
    assert unknown.sum() == 3 * 68 + 3


@pytest.mark.parametrize("seed", [1, 4, 11])
@pytest.mark.parametrize(("yaw", "mean", "most"), [(20, 1.5, 6), (40, 0.75, 3)])
def test_a_turned_head_of_another_person_is_recovered(
    seed: int, yaw: float, mean: float, most: float
) -> None:
    """In mm, up to the size of the person, which no view tells."""
    face, rotation = heads.person(seed), heads.turns(60, yaw)
    xy, truth = heads.project(face, rotation), heads.places(face, rotation)
    poses = track_head(xy, np.ones((60, 68), bool), heads.CAMERA, load())
    found = places_in_camera(xy, poses, heads.CAMERA)
    size = (found * truth).sum() / (found**2).sum()
    assert size == pytest.approx(1, abs=0.01)
    off = np.linalg.norm(size * found - truth, axis=-1)
    assert off.mean() < mean
    assert off.max() < most


def test_points_of_a_rigid_face_lie_at_the_same_place_on_the_head() -> None:
    """`points_on_head` cuts the same line of sight; the two differ where the face moves."""
    rotation = heads.turns(10, 25)
    xy = heads.project(load().mean, rotation)
    poses = track_head(xy, np.ones((10, 68), bool), heads.CAMERA, load())
    places = places_in_camera(xy, poses, heads.CAMERA) - poses.translation[:, None]
    on_head = np.einsum("tba,tib->tia", poses.rotation, places)
    np.testing.assert_allclose(on_head, points_on_head(xy, poses, heads.CAMERA), atol=0.3)
