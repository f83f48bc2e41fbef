"""Head poses of heads whose pose is known."""

from __future__ import annotations

import numpy as np
import pytest
import rendered_heads as heads
from hypothesis import given, settings
from hypothesis import strategies as st

from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.measures import rotations
from facetrack.measures.face_model import load
from facetrack.measures.head import choose_camera, points_on_head, smooth_poses, track_head
from facetrack.measures.person import fit_each, fit_person
from facetrack.measures.pose import Camera, check_focal, estimate

ALL = np.ones((1, 68), bool)


@given(
    st.floats(-40, 40),
    st.floats(-75, 75),
    st.floats(-180, 180),
    st.floats(-150, 150),
    st.floats(-100, 100),
    st.floats(300, 3000),
)
@settings(max_examples=30, deadline=None)
def test_pose_of_a_known_face_is_exact(
    pitch: float, yaw: float, roll: float, x: float, y: float, z: float
) -> None:
    face = load().mean
    rotation = rotations.from_angles(np.radians([[pitch, yaw, roll]]))
    place = np.array([[x, y, z]])
    xy = heads.CAMERA.project(np.einsum("tab,ib->tia", rotation, face) + place[:, None])
    found = estimate(xy, ALL, heads.CAMERA, face)
    assert rotations.angle_between(rotation, found.rotation)[0] < 0.01
    np.testing.assert_allclose(found.translation, place, rtol=1e-3, atol=0.05)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("yaw", [30.0, 60.0])
def test_pose_of_an_unknown_person(seed: int, yaw: float) -> None:
    """Within 1.5 degrees in the median to 45 degrees of yaw, 3 beyond; noise of half a pixel."""
    rotation = heads.turns(80, yaw)
    xy = heads.project(heads.person(seed), rotation)
    xy = xy + np.random.default_rng(seed).normal(0, 0.5, xy.shape)
    off = rotations.angle_between(
        rotation, track_head(xy, np.ones(xy.shape[:2], bool), heads.CAMERA, load()).rotation
    )
    beyond = np.abs(np.degrees(rotations.to_angles(rotation)[:, 1])) > 45
    assert np.median(off[~beyond]) < 1.5
    assert off.max() < 5
    if beyond.any():
        assert np.median(off[beyond]) < 3


def test_face_never_flips() -> None:
    """Poses of single frames with much noise are not turned to the other side."""
    random = np.random.default_rng(0)
    angles = random.uniform((-25, -50, -40), (25, 50, 40), (300, 3))
    rotation = rotations.from_angles(np.radians(angles))
    xy = heads.project(load().mean, rotation)
    xy = xy + random.normal(0, 2.0, xy.shape)
    found = estimate(xy, np.ones(xy.shape[:2], bool), heads.CAMERA, load().mean)
    assert found.known.all()
    assert rotations.angle_between(rotation, found.rotation).max() < 20


def test_still_head_does_not_jitter() -> None:
    rotation = np.repeat(heads.turns(9, 30)[2:3], 150, axis=0)
    xy = heads.CAMERA.project(heads.person(1) @ rotation[0].T + (0, 0, 600.0))[None]
    xy = xy + np.random.default_rng(0).normal(0, 0.3, (150, 68, 2))
    poses = track_head(xy, np.ones((150, 68), bool), heads.CAMERA, load())
    assert np.degrees(poses.angles).std(0).max() < 0.1


def test_smoothing_does_not_lag() -> None:
    """A nod keeps its time and its size."""
    time = np.arange(150) / 30
    pitch = 10 * np.exp(-(((time - 2.5) / 0.25) ** 2))
    rotation = rotations.from_angles(np.radians(np.stack([pitch, 0 * pitch, 0 * pitch], -1)))
    xy = heads.project(load().mean, rotation)
    xy = xy + np.random.default_rng(0).normal(0, 0.3, xy.shape)
    raw = estimate(xy, np.ones(xy.shape[:2], bool), heads.CAMERA, load().mean)
    found = np.degrees(smooth_poses(raw).angles[:, 0])
    assert abs(time[found.argmax()] - 2.5) <= 1 / 30
    assert found.max() - np.median(found) == pytest.approx(10, abs=0.7)
    assert np.abs(found - pitch).mean() < np.abs(np.degrees(raw.angles[:, 0]) - pitch).mean() / 1.5


def test_hidden_and_wrong_points_do_not_count() -> None:
    rotation = heads.turns(40, 25)
    face = load().mean
    xy = heads.project(face, rotation)
    seen = np.ones(xy.shape[:2], bool)
    xy[:, 48:68] += 60
    seen[:, 48:68] = False
    xy[:, [17, 39, 33]] += (25, -10)  # seen, but wrong
    found = estimate(xy, seen, heads.CAMERA, face)
    assert np.median(rotations.angle_between(rotation, found.rotation)) < 1


def test_too_few_points_and_no_faces_have_no_pose() -> None:
    xy = heads.project(load().mean, heads.turns(3, 10))
    seen = np.ones(xy.shape[:2], bool)
    seen[0, 27:48] = False
    xy[1] = np.nan
    xy[2] = np.random.default_rng(0).uniform(0, 400, (68, 2))
    found = estimate(xy, seen, heads.CAMERA, load().mean)
    assert not found.known.any()
    face, poses = fit_person(xy, seen, heads.CAMERA, load())
    assert not poses.known.any()
    np.testing.assert_array_equal(face, load().mean)


@pytest.mark.parametrize("seed", range(3))
def test_points_are_placed_on_the_head(seed: int) -> None:
    face = heads.person(seed)
    rotation = heads.turns(90, 30)
    xy = heads.project(face, rotation)
    poses = track_head(xy, np.ones(xy.shape[:2], bool), heads.CAMERA, load())
    places = points_on_head(xy, poses, heads.CAMERA)
    spread = np.nanstd(places, axis=0)[17:, :2]
    assert spread.max() < 1.0, "points of a rigid head move on it"


@pytest.mark.parametrize("size", [(640, 480), (65, 48)])
def test_a_mirrored_picture_has_the_mirrored_pose(size: tuple[int, int]) -> None:
    camera, face = Camera.of_frame(size), load().mean
    xy = camera.project(face @ rotations.from_angles([0.1, 0.3, -0.2]).T + [40.0, 10.0, 500.0])
    mirrored = schemes.get("68").mirror(xy, size[0])
    poses = [estimate(p[None], np.ones((1, 68), bool), camera, face) for p in (xy, mirrored)]
    signs = np.array([1, -1, -1])
    np.testing.assert_allclose(poses[0].angles, poses[1].angles * signs, atol=1e-3)
    np.testing.assert_allclose(poses[0].translation * [-1, 1, 1], poses[1].translation, atol=0.1)


def test_focal_length_is_that_of_openface() -> None:
    assert Camera.of_frame((640, 480)).focal == 500
    assert Camera.of_frame((1920, 1080)).focal == pytest.approx((1500 + 1125) / 2)
    assert Camera.of_frame((640, 480), 800).focal == 800
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(FacetrackError, match="focal length"):
            check_focal(wrong)


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_vectors_and_matrices_agree(vector: list[float]) -> None:
    given_vector = np.array(vector)
    if np.linalg.norm(given_vector) < 3.1:
        matrix = rotations.from_vector(given_vector)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-9)
        np.testing.assert_allclose(rotations.to_vector(matrix), given_vector, atol=1e-6)


@given(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5), st.floats(-3, 3))
def test_angles_and_matrices_agree(x: float, y: float, z: float) -> None:
    np.testing.assert_allclose(
        rotations.to_angles(rotations.from_angles(np.array([x, y, z]))), (x, y, z), atol=1e-6
    )


def test_signs_are_those_of_openface() -> None:
    """Nose down, nose to the left of the image, forehead to the right of the image."""
    face = load().mean
    nose, forehead = face[30], face[27]
    down, left, clockwise = (rotations.from_angles(angle) for angle in np.eye(3) * 0.2)
    assert (down @ nose)[1] > nose[1]
    assert (left @ nose)[0] < nose[0]
    assert (clockwise @ forehead)[0] > forehead[0]


def test_close_ups_get_a_longer_focal_length() -> None:
    """A camera closer than 400 mm is not assumed; a given focal length is kept."""
    rotation = heads.turns(30, 15)
    seen = np.ones((30, 1, 68), bool)
    near, far = (heads.project(load().mean, rotation, z)[:, None] for z in (200.0, 900.0))
    assert choose_camera(far, seen, heads.SIZE, None, load()).focal == 500
    assert choose_camera(near, seen, heads.SIZE, None, load()).focal == pytest.approx(1000, rel=0.1)
    assert choose_camera(near, seen, heads.SIZE, 450, load()).focal == 450
    both = np.concatenate([near, far], axis=1)
    wide = np.ones((30, 2, 68), bool)
    assert choose_camera(both, wide, heads.SIZE, None, load()).focal > 900
    unknown = np.full((30, 1, 68, 2), np.nan)
    assert choose_camera(unknown, seen, heads.SIZE, None, load()).focal == 500


def test_people_in_one_view_each_have_a_face_of_their_own():
    rotation = heads.turns(6, 40.0)
    xy = np.concatenate([heads.project(heads.person(k), rotation[k : k + 1]) for k in range(6)])
    xy[4, 20:] = np.nan
    found, place = fit_each(xy, np.isfinite(xy).all(-1), heads.CAMERA, load())
    known = np.arange(6) != 4
    assert np.isnan(found[4]).all()
    assert np.isnan(place[4]).all()
    off = rotations.angle_between(found[known], rotation[known])
    generic = estimate(xy, np.isfinite(xy).all(-1), heads.CAMERA, load().mean)
    assert off.mean() < 0.9 * rotations.angle_between(generic.rotation, rotation)[known].mean()
    alone = fit_each(xy[2:3], np.ones((1, 68), bool), heads.CAMERA, load())
    assert np.allclose(alone[0][0], found[2])


def test_a_turn_to_the_side_is_the_same_at_any_roll() -> None:
    yaw = rotations.from_angles(np.radians([[0, 50, 0]]))
    for roll in (0.0, 1.0, 3.0):
        rolled = rotations.from_vector(np.array([0, 0, roll])) @ yaw
        assert rotations.sideways(rolled)[0] == pytest.approx(50)
        assert rotations.angle_between(yaw, rolled)[0] == pytest.approx(np.degrees(roll))
