"""Measures of rendered faces: symmetry, palsy, units, validity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rendered_heads as heads
from hypothesis import given, settings
from hypothesis import strategies as st

from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.measures.face_measures import MEASURES, NAMES, POSE, measure, velocity
from facetrack.measures.face_model import load

ASYMMETRIES = ("eye_asymmetry", "lip_corner_asymmetry", "brow_asymmetry")
LIDS = [(list(heads.UPPER_LIDS[side]), list(heads.LOWER_LIDS[side])) for side in "rl"]


def values_of(xy: np.ndarray, fps: float = 30.0) -> dict[str, np.ndarray]:
    return measure(heads.tracks_of(xy, fps), load())[0].values


@given(st.integers(0, 50), st.floats(-30, 30))
@settings(max_examples=6, deadline=None)
def test_symmetric_faces_are_symmetric_at_any_yaw(seed: int, yaw: float) -> None:
    values = values_of(heads.project(heads.person(seed), heads.turns(60, yaw)))
    for name in ASYMMETRIES:
        valid = values[name][np.isfinite(values[name])]
        assert len(valid) > 30
        assert np.abs(valid).max() < 0.01, name


@pytest.mark.parametrize("yaw", [-25.0, 25.0])
def test_eyes_are_symmetric_where_lids_lie_in_front_of_the_model(yaw: float) -> None:
    """Upper lids that stand out more than in any face of the model, and lean outwards."""
    face = heads.person(5)
    face[[37, 38], :] += (-1.5, 0, -4)
    face[[43, 44], :] += (1.5, 0, -4)
    asymmetry = values_of(heads.project(face, heads.turns(60, yaw)))["eye_asymmetry"]
    assert np.isfinite(asymmetry).sum() > 30
    assert np.nanmax(np.abs(asymmetry)) < 0.004


def test_mirrored_halves_are_symmetric() -> None:
    """A face whose left half is the mirror image of its right half in the picture."""
    xy = heads.project(heads.person(3), heads.turns(20, 0, 0, 0))
    mirrored = schemes.get("68").mirror(xy, 640)
    values = values_of((xy + mirrored) / 2)
    for name in ASYMMETRIES:
        np.testing.assert_allclose(values[name], 0, atol=0.01)


@given(st.integers(0, 50), st.floats(-25, 25))
@settings(max_examples=5, deadline=None)
def test_one_sided_palsy_is_recovered(seed: int, yaw: float) -> None:
    """A mouth corner hangs by 6 mm, a brow by 5, a lid by a third; found within a tenth."""
    face = heads.person(seed)
    palsy = face.copy()
    palsy[48, 1] += 6
    palsy[17:22, 1] += 5
    palsy[37:39] += (face[[41, 40]] - face[37:39]) / 3
    eyes = face[[36, 39, 42, 45], 1].mean()
    corners, brows = (
        palsy[[48, 54], 1] - eyes,
        eyes - np.array([palsy[17:22, 1].mean(), palsy[22:27, 1].mean()]),
    )
    gaps = [(palsy[lower, 1] - palsy[upper, 1]).mean() for upper, lower in LIDS]
    values = values_of(heads.project(palsy, heads.turns(60, yaw)))
    for name, (right, left) in (("lip_corner", corners), ("brow", brows), ("eye", gaps)):
        expected = (right - left) / (right + left)
        found = np.nanmedian(values[f"{name}_asymmetry"])
        assert found == pytest.approx(expected, rel=0.1), name


def test_distances_are_shares_of_the_distance_of_the_eyes() -> None:
    """They do not depend on the distance of the head, and have the right size."""
    face = load().mean
    for distance in (400.0, 1200.0):
        values = values_of(heads.project(face, heads.turns(60, 20), distance))
        width = np.linalg.norm(face[48, :2] - face[54, :2]) / 0.9
        np.testing.assert_allclose(values["mouth_width"], width, rtol=0.02)
        eyes = face[[36, 39, 42, 45], 1].mean()
        height = (eyes - face[17:22, 1].mean()) / 0.9
        np.testing.assert_allclose(values["brow_r"], height, rtol=0.02)
        assert (values["lip_corner_l"] > 0).all()


def test_share_of_open_is_one_when_open_and_zero_when_shut() -> None:
    shut = np.where(np.arange(60) % 10 == 5, 1.0, 0.0)
    faces = heads.with_lids(load().mean, {"r": shut, "l": 0 * shut})
    values = values_of(heads.project(faces, heads.turns(60, 10)))
    np.testing.assert_allclose(values["eye_r_open"][shut == 0], 1, atol=0.03)
    np.testing.assert_allclose(values["eye_r_open"][shut == 1], 0, atol=0.05)
    np.testing.assert_allclose(values["eye_l_open"], 1, atol=0.03)


def test_measures_need_seen_points_and_a_pose_in_range() -> None:
    tracks = heads.tracks_of(heads.project(load().mean, heads.turns(90, 70)))
    tracks.visible[3, 0, 61] = False
    tracks.visible[4, 0, 20] = False
    face = measure(tracks, load())[0]
    values, yaw = face.values, np.degrees(face.values["pose_Ry"])
    assert np.isnan(values["mouth_open"][3])
    assert np.isfinite(values["mouth_width"][3])
    assert np.isnan(values["brow_r"][4])
    assert np.isfinite(values["brow_l"][4])
    assert np.isnan(values["brow_asymmetry"][4])
    turned, far = np.abs(yaw) > 31, np.abs(yaw) > 46
    assert np.isnan(values["brow_asymmetry"][turned]).all()
    assert np.isnan(values["eye_r"][far]).all()
    assert np.isfinite(values["pose_Tz"]).all()
    assert np.isfinite(values["eye_r"][np.abs(yaw) < 40]).all()


def test_unknown_face_has_no_measures() -> None:
    tracks = heads.tracks_of(np.full((5, 68, 2), np.nan))
    values = measure(tracks, load())[0].values
    assert set(values) == set(NAMES)
    assert len(NAMES) == len(MEASURES)
    assert all(np.isnan(array).all() for array in values.values())
    assert all(name in NAMES for name in POSE)


def test_layout_of_98_points_is_read_as_its_68() -> None:
    xy = heads.project(load().mean, heads.turns(30, 10))
    wide = np.full((30, 98, 2), np.nan, np.float32)
    wide[:, list(schemes.index_map("98", "68"))] = xy
    tracks = heads.tracks_of(xy)
    big = replace(
        tracks,
        xy=wide[:, None],
        visible=np.isfinite(wide[:, None, :, 0]),
        confidence=np.ones((30, 1, 98), np.float32),
        scheme="98",
    )
    first, second = (measure(t, load())[0].values for t in (tracks, big))
    for name in NAMES:
        np.testing.assert_array_equal(first[name], second[name])


def test_bad_input_is_one_sentence() -> None:
    tracks = heads.tracks_of(heads.project(load().mean, heads.turns(5, 0)))
    with pytest.raises(FacetrackError, match="size of the frames"):
        measure(replace(tracks, size=(0, 0)), load())
    with pytest.raises(FacetrackError, match="68 points"):
        measure(replace(tracks, scheme="points-68"), load())
    with pytest.raises(FacetrackError, match="focal length"):
        measure(tracks, load(), focal=-5)


@given(st.lists(st.floats(0.005, 0.2), min_size=3, max_size=30), st.floats(-50, 50))
def test_velocity_uses_the_true_times(steps: list[float], slope: float) -> None:
    time = np.cumsum(steps)
    found = velocity(slope * time + 3, time)
    np.testing.assert_allclose(found[1:-1], slope, atol=1e-6 * (1 + abs(slope)))
    assert np.isnan(found[[0, -1]]).all()
