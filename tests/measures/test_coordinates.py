"""Coordinates other than pixels: what they do not depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rendered_heads as heads
from hypothesis import given
from hypothesis import strategies as st

from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.measures.coordinates import (
    check_coordinates,
    convert,
    from_normalised,
    to_frontal,
)
from facetrack.measures.face_model import load

SIZE = heads.SIZE


@given(st.integers(0, 1000), st.integers(1, 4000), st.integers(1, 4000))
def test_normalised_is_zero_to_one_and_back(seed: int, width: int, height: int) -> None:
    corners = np.array([[-0.5, -0.5], [width - 0.5, height - 0.5]])
    np.testing.assert_allclose(
        convert(corners, "normalised", (width, height), "68"), [[0, 0], [1, 1]]
    )
    xy = np.random.default_rng(seed).normal(size=(3, 1, 68, 2)) * (width, height)
    xy[0, 0, 5] = np.nan
    placed = convert(xy, "normalised", (width, height), "68")
    np.testing.assert_allclose(from_normalised(placed, (width, height)), xy, atol=1e-8)


@given(
    seed=st.integers(0, 1000),
    scale=st.floats(0.1, 10),
    angle=st.floats(-180, 180),
    shift=st.tuples(st.floats(-1000, 1000), st.floats(-1000, 1000)),
    scheme=st.sampled_from(["68", "98", "29", "19"]),
)
def test_head_does_not_depend_on_place_size_and_roll(
    seed: int, scale: float, angle: float, shift: tuple[float, float], scheme: str
) -> None:
    count = schemes.get(scheme).count
    xy = np.random.default_rng(seed).uniform(0, 500, size=(4, 2, count, 2))
    turn = np.radians(angle)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    moved = scale * xy @ matrix.T + shift
    placed = convert(xy, "head", SIZE, scheme)
    np.testing.assert_allclose(convert(moved, "head", SIZE, scheme), placed, atol=1e-6, rtol=1e-5)
    right, left = schemes.get(scheme).eye_corners or (0, 0)
    for corner, x in ((right, -0.5), (left, 0.5)):
        expected = np.broadcast_to([x, 0], (4, 2, 2))
        np.testing.assert_allclose(placed[..., corner, :], expected, atol=1e-9)


def test_head_is_unknown_without_eye_corners() -> None:
    xy = np.ones((2, 1, 68, 2))
    xy[:, :, 45, 0] = 5
    xy[0, 0, 36] = np.nan
    placed = convert(xy, "head", SIZE, "68")
    assert np.isnan(placed[0]).all()
    assert np.isfinite(placed[1]).all()
    assert np.isnan(convert(np.ones((1, 68, 2)), "head", SIZE, "68")).all(), "both in one place"


@pytest.mark.parametrize(("seed", "yaw"), [(3, 30), (11, 20), (26, 30)])
def test_frontal_of_a_turned_head_is_that_of_the_frontal_one(seed: int, yaw: float) -> None:
    """Within 1.5 % of the distance of the eyes in the mean, and 4 % at most.

    What is left is the zero of the pitch, which one view does not tell: it hardly changes in time.
    """
    face = heads.person(seed)
    straight = to_frontal(heads.tracks_of(heads.project(face, heads.turns(20, 0, 0, 0))))
    turned = heads.tracks_of(heads.project(face, heads.turns(60, yaw)))
    frontal = to_frontal(turned).xy[:, 0]
    inner = slice(17, 68)  # a turned jaw shows another line of the head
    off = np.linalg.norm(frontal[:, inner] - straight.xy[0, 0, inner], axis=-1)
    assert off.mean() < 0.015
    assert frontal[:, inner].std(0).mean() < 0.001
    assert off.max() < 0.04
    similar = convert(turned.xy[:, 0], "head", SIZE, "68")[:, inner]
    reference = convert(heads.project(face, heads.turns(20, 0, 0, 0)), "head", SIZE, "68")[0, inner]
    assert off.mean() < 0.2 * np.linalg.norm(similar - reference, axis=-1).mean()


def test_frontal_of_a_frontal_head_is_close_to_head() -> None:
    xy = heads.project(load().mean, heads.turns(20, 0, 0, 5))
    frontal = to_frontal(heads.tracks_of(xy)).xy[:, 0]
    np.testing.assert_allclose(frontal[:, 17:], convert(xy, "head", SIZE, "68")[:, 17:], atol=0.05)


def test_frontal_needs_a_pose_and_keeps_what_is_hidden() -> None:
    tracks = heads.tracks_of(heads.project(load().mean, heads.turns(30, 10)))
    tracks.visible[3, 0, 30] = False
    tracks.xy[5] = np.nan
    tracks.visible[5] = False
    frontal = to_frontal(tracks)
    assert np.isnan(frontal.xy[5]).all()
    assert not frontal.visible[5].any()
    assert np.isfinite(frontal.xy[3, 0, 30]).all()
    assert not frontal.visible[3, 0, 30]


def test_bad_input_is_one_sentence() -> None:
    tracks = heads.tracks_of(heads.project(load().mean, heads.turns(5, 0)))
    with pytest.raises(FacetrackError, match="no coordinates 'polar'; choose pixels"):
        check_coordinates("polar")
    with pytest.raises(FacetrackError, match="need the size"):
        convert(tracks.xy, "normalised", (0, 0), "68")
    with pytest.raises(FacetrackError, match="eye corners, which points-7 has not"):
        convert(np.zeros((7, 2)), "head", SIZE, "points-7")
    with pytest.raises(FacetrackError, match="Frontal coordinates need the 68 points"):
        to_frontal(replace(tracks, scheme="points-68"))
    with pytest.raises(FacetrackError, match="need the size"):
        to_frontal(replace(tracks, size=(0, 0)))
