"""Test point layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes

FIXED = [schemes.get(name) for name in schemes.names()]


def _face(text: str) -> np.ndarray:
    return np.array([pair.split(",") for pair in text.split()], float)


# Rough (x, y) of a frontal face: only left, right, above and below matter.
COFW_FACE = _face(
    "9,15 93,15 40,15 62,15 23,10 23,14 78,10 78,14 17,24 86,24 38,24 65,24 28,20 28,27 "
    "75,20 75,27 28,23 75,23 38,49 66,49 52,47 52,54 32,66 73,66 52,63 52,66 52,70 52,75 "
    "52,95"
)
AFLW_FACE = _face(
    "25,23 34,21 43,23 56,23 65,20 75,22 29,32 36,31 42,32 58,32 65,31 71,31 40,53 50,51 "
    "60,53 38,69 50,70 63,69 51,93"
)


@pytest.mark.parametrize("scheme", FIXED, ids=lambda s: s.name)
class TestFixedScheme:
    def test_name_is_the_count(self, scheme: schemes.Scheme) -> None:
        assert scheme.name == str(scheme.count) == str(len(scheme.swap))

    def test_regions_partition_the_points(self, scheme: schemes.Scheme) -> None:
        listed = [i for region in scheme.regions.values() for i in region]
        assert sorted(listed) == list(range(scheme.count))

    def test_lines_join_points_of_known_regions(self, scheme: schemes.Scheme) -> None:
        for line in scheme.lines:
            assert line.region in scheme.regions
            assert set(line.indices) <= set(range(scheme.count))
            assert set(scheme.regions[line.region]) <= set(line.indices)

    def test_swap_is_an_involution(self, scheme: schemes.Scheme) -> None:
        swap = np.array(scheme.swap)
        assert (swap[swap] == np.arange(scheme.count)).all()

    def test_swap_exchanges_right_and_left_regions(self, scheme: schemes.Scheme) -> None:
        for region, indices in scheme.regions.items():
            other = region.replace("right_", "left_") if region[0] == "r" else region
            other = other.replace("left_", "right_") if region[0] == "l" else other
            assert {scheme.swap[i] for i in indices} == set(scheme.regions[other])

    def test_swap_exchanges_the_eye_corners(self, scheme: schemes.Scheme) -> None:
        assert scheme.eye_corners is not None
        right, left = scheme.eye_corners
        assert scheme.swap[right] == left

    def test_swap_keeps_the_lines(self, scheme: schemes.Scheme) -> None:
        def segments(mirrored: bool) -> set[frozenset[int]]:
            pairs = set()
            for line in scheme.lines:
                ends = line.indices[1:] + line.indices[: int(line.closed)]
                for a, b in zip(line.indices, ends, strict=False):
                    pairs.add(frozenset(scheme.swap[i] if mirrored else i for i in (a, b)))
            return pairs

        assert segments(mirrored=True) == segments(mirrored=False)


def _asymmetry(scheme: schemes.Scheme, face: np.ndarray) -> float:
    """Return the mean distance between a face and its mirror image, over the face's width."""
    width = np.ptp(face[:, 0])
    mirrored = scheme.mirror(face, width=0)
    mirrored += face.mean(0) - mirrored.mean(0)
    return float(np.linalg.norm(mirrored - face, axis=1).mean() / width)


@pytest.mark.parametrize(("name", "face"), [("29", COFW_FACE), ("19", AFLW_FACE)])
def test_mirrored_face_keeps_its_shape(name: str, face: np.ndarray) -> None:
    assert _asymmetry(schemes.get(name), face) < 0.02


@pytest.fixture(scope="module")
def faces68(shared_data: Path) -> np.ndarray:
    with np.load(shared_data / "faces68_train" / "landmarks68.npz") as archive:
        return archive["points"]


def _mean_face(faces: np.ndarray) -> np.ndarray:
    centred = faces - faces.mean(1, keepdims=True)
    return (centred / centred.std((1, 2), keepdims=True)).mean(0)


def test_mean_annotated_face_is_symmetric_under_the_swap(faces68: np.ndarray) -> None:
    assert _asymmetry(schemes.get("68"), _mean_face(faces68)) < 0.02


def test_every_pair_of_the_swap_is_necessary(faces68: np.ndarray) -> None:
    """Replacing any pair of the swap by the identity makes the mean face less symmetric."""
    scheme = schemes.get("68")
    face = _mean_face(faces68)
    right = _asymmetry(scheme, face)
    for i, j in enumerate(scheme.swap):
        if i < j:
            swap = list(scheme.swap)
            swap[i], swap[j] = i, j
            wrong = schemes.Scheme(**{**scheme.__dict__, "swap": tuple(swap)})
            assert _asymmetry(wrong, face) > right


@given(width=st.integers(1, 4096), seed=st.integers(0, 2**16))
def test_mirroring_twice_is_the_identity(width: int, seed: int) -> None:
    xy = np.random.default_rng(seed).uniform(0, width, (2, 98, 2))
    wflw = schemes.get("98")
    np.testing.assert_allclose(wflw.mirror(wflw.mirror(xy, width), width), xy, atol=1e-9)


def test_mirror_moves_the_first_pixel_to_the_last() -> None:
    free = schemes.free_scheme(1)
    assert free.mirror(np.array([[0.0, 7.0]]), width=100).tolist() == [[99.0, 7.0]]


def test_98_to_68_picks_points_of_the_same_region() -> None:
    wflw, ibug = schemes.get("98"), schemes.get("68")
    for region, indices in ibug.regions.items():
        picked = [schemes.MAP_98_TO_68[i] for i in indices]
        assert set(picked) <= set(wflw.regions[region])


def test_98_to_68_commutes_with_the_swap() -> None:
    """Mirroring and mapping commute, for the brows too: their upper edges mirror as iBUG's do."""
    wflw, ibug = schemes.get("98"), schemes.get("68")
    mapped = schemes.MAP_98_TO_68
    assert [wflw.swap[mapped[i]] for i in range(68)] == [mapped[ibug.swap[i]] for i in range(68)]


def test_98_to_68_values() -> None:
    xy = np.arange(98 * 2, dtype=float).reshape(1, 98, 2)
    mapped = schemes.map_98_to_68(xy)
    assert mapped.shape == (1, 68, 2)
    # Chin, inner end of the right brow, tip of the nose, eye corners, last of the inner lips.
    assert (mapped[0, [8, 21, 30, 36, 45, 67], 0] / 2).tolist() == [16, 37, 54, 60, 72, 95]


def test_98_to_68_refuses_other_counts() -> None:
    with pytest.raises(ValueError, match="98 points"):
        schemes.map_98_to_68(np.zeros((68, 2)))


@pytest.mark.parametrize(("n", "name"), [(68, "68"), (98, "98"), (29, "29"), (5, "points-5")])
def test_for_count(n: int, name: str) -> None:
    assert schemes.for_count(n).name == name


@given(st.integers(1, 10_000))
def test_free_layout_has_a_name(n: int) -> None:
    free = schemes.free_scheme(n)
    assert schemes.get(free.name) == free
    assert free.count == n
    assert free.lines == ()


@pytest.mark.parametrize("name", ["67", "", "points-", "points--3", "points-x", "points-٣"])
def test_unknown_name(name: str) -> None:
    with pytest.raises(FacetrackError, match="no point layout"):
        schemes.get(name)


@pytest.mark.parametrize("n", [0, -1])
def test_no_points(n: int) -> None:
    with pytest.raises(FacetrackError, match="at least one point"):
        schemes.free_scheme(n)
