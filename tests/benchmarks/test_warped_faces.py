"""The benchmark's clips: what is drawn is where the truth says, and the same every time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_faces import drawn_face

from benchmarks.clips import warped_faces
from benchmarks.clips.face_motion import map_at, smallest_area
from benchmarks.clips.warped_faces import VARIANTS, Clip, Variant, make_clip
from benchmarks.common import heldout
from benchmarks.common.heldout import Face, Faces
from facetrack.errors import FacetrackError

SHORT = Variant(frames=12, liveliness=1.5, zoom=0.2)
GROUND = 40


def make(image: np.ndarray, variant: Variant = SHORT, seed: int = 3) -> Clip:
    """A clip of a schematic face over a plain background."""
    face = Face(image, drawn_face())
    other = Face(np.full((352, 352, 3), 200, np.uint8), drawn_face())
    background = np.full((352, 352, 3), GROUND, np.uint8)
    return Clip(face, background, other, variant, np.random.default_rng(seed), cut_out=False)


def plain() -> np.ndarray:
    return np.full((352, 352, 3), GROUND, np.uint8)


@pytest.mark.parametrize(
    ("landmark", "talking"),
    [*((k, False) for k in (8, 19, 30, 36, 48, 57, 66)), (8, True), (30, True), (57, True)],
)
def test_a_dot_at_a_landmark_is_drawn_where_the_truth_says(landmark: int, talking: bool) -> None:
    image = plain().astype(float)
    y, x = np.mgrid[:352, :352]
    centre = drawn_face()[landmark]
    dot = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * 1.6**2))
    image += 200 * dot[..., None]
    clip = make(np.round(image).astype(np.uint8), replace(SHORT, talking=talking))
    misses = []
    for t in range(0, clip.frames, 4):
        bright = clip.render(t).astype(float)[..., 1] - GROUND
        rows, columns = np.mgrid[: bright.shape[0], : bright.shape[1]]
        if talking:  # the teeth are bright too
            x, y = clip.xy[t, landmark]
            bright[np.hypot(columns - x, rows - y) > 6] = 0
        bright = np.clip(bright - 0.5 * bright.max(), 0, None)  # its core: a warp bends the rest
        found = [(axis * bright).sum() / bright.sum() for axis in (columns, rows)]
        misses.append(np.linalg.norm(found - clip.xy[t, landmark]))
    assert max(misses) < 0.2


def test_the_truth_leads_back_to_the_landmarks() -> None:
    clip = make(plain())
    for t, lattice in enumerate(clip._lattices):
        known = np.isfinite(clip.xy[t]).all(-1)
        back = map_at(lattice, clip.xy[t][known])[0]
        miss = np.linalg.norm(back - clip._points[known], axis=-1) / clip._unit * clip._zoom[t]
        assert miss.max() < 0.05
    assert np.isfinite(clip.xy).mean() > 0.99


def test_the_face_moves_and_deforms() -> None:
    clip = make(plain())
    motion = np.diff(clip.xy, axis=0)
    assert np.linalg.norm(motion.mean(1), axis=-1).mean() > 0.5
    shapes = clip.xy / clip.interocular[:, None, None]
    shapes = shapes - shapes.mean(1, keepdims=True)
    left = []
    for shape in shapes:  # what no similarity explains
        a = shapes[0] @ [1, 1j]
        b = shape @ [1, 1j]
        left.append(np.abs(b - (a.conj() @ b) / (a.conj() @ a) * a).mean())
    assert max(left) > 0.01


def test_a_landmark_is_visible_unless_something_is_drawn_over_it() -> None:
    image = plain()
    image[..., 1] = 255
    variant = Variant(frames=24, occluders="once")
    clip = make(image, variant)
    occluders, checked = clip.occluders, 0
    for t in range(clip.frames):
        clip.occluders = occluders
        covered = clip.render(t).astype(int)
        clip.occluders = []
        changed = np.abs(covered - clip.render(t)).sum(-1)
        for point, visible in zip(clip.xy[t], clip.visible[t], strict=True):
            x, y = np.round(point).astype(int)
            near = changed[y - 3 : y + 4, x - 3 : x + 4]
            if near.min() > 60 or near.max() == 0:  # elsewhere an edge runs through
                assert visible == (near.max() == 0)
                checked += not visible
    assert checked > 20


def test_a_landmark_outside_the_frame_is_not_visible() -> None:
    clip = make(plain(), Variant(frames=40, interocular=330))
    outside = ((clip.xy < -1) | (clip.xy > (640, 480))).any(-1)
    assert outside.any()
    assert not clip.visible[outside].any()


def test_a_landmark_beyond_the_photograph_is_unknown() -> None:
    image = plain()
    image[240:] = 0  # the crop reaches beyond its photograph: the chin is not there
    clip = make(image)
    # The picture fades into the background over some pixels before its edge.
    gone, there = drawn_face()[:, 1] > 222, drawn_face()[:, 1] < 200
    assert np.isnan(clip.xy[:, gone]).all()
    assert np.isfinite(clip.xy[:, there]).mean() > 0.99
    assert not clip.visible[:, gone].any()


@pytest.mark.parametrize("roll", [0.0, 60.0])
def test_a_head_rolls_by_as_much_as_asked_for_in_the_middle(roll: float) -> None:
    clip = make(plain(), Variant(frames=20, liveliness=0.2, roll=roll))
    eyes = clip.xy[:, 45] - clip.xy[:, 36]
    turned = np.degrees(np.arctan2(eyes[:, 1], eyes[:, 0]))
    assert abs(turned[10] - turned[0]) == pytest.approx(roll, abs=8)
    assert abs(turned[-1] - turned[0]) < 8 + 0.2 * roll


def test_every_landmark_is_visible_in_the_first_frame() -> None:
    for seed in range(2):
        assert make(plain(), Variant(frames=20, occluders="once"), seed).visible[0].all()


def test_an_occluder_comes_rests_and_goes() -> None:
    hidden = ~make(plain(), Variant(occluders="once")).visible
    share = hidden.mean(1)
    assert share[:5].max() == 0
    assert share[15:40].max() > 0.1
    assert share[-3:].max() == 0


def test_a_small_face_has_the_size_that_was_asked_for() -> None:
    clip = make(plain(), Variant(frames=8, interocular=25))
    assert 20 < clip.interocular.mean() < 30


def test_a_fold_is_seen() -> None:
    x = np.linspace(0, 10, 11)
    field = np.zeros((11, 11, 2))
    assert smallest_area(field, 1.0) == pytest.approx(1)
    field[..., 0] = np.where(x > 5, -1.5 * (x - 5), 0)  # backwards beyond the middle
    assert smallest_area(field, 1.0) < 0


def test_chunks_are_all_frames_in_order() -> None:
    clip = make(plain())
    chunks = list(clip.chunks(8))
    assert [len(c) for c in chunks] == [8, 4]
    np.testing.assert_array_equal(np.concatenate(chunks)[9], clip.render(9))


def test_a_bad_camera_leaves_the_truth_alone() -> None:
    good = make(plain(), Variant(frames=6))
    bad = make(plain(), Variant(frames=6, bad_camera=True))
    np.testing.assert_array_equal(good.xy, bad.xy)
    assert np.abs(good.render(3).astype(int) - bad.render(3)).mean() > 1


def test_motion_blur_moves_nothing() -> None:
    frame = np.zeros((61, 61, 3), np.uint8)
    cv2.circle(frame, (30, 30), 6, (250, 250, 250), -1)
    blurred = warped_faces._motion_blur(frame, np.array([7.3, -4.1])).astype(float)[..., 0]
    rows, columns = np.mgrid[:61, :61]
    centre = [(axis * blurred).sum() / blurred.sum() for axis in (columns, rows)]
    assert centre == pytest.approx([30, 30], abs=0.05)
    assert blurred.max() < 250 or (blurred > 10).sum() > (frame[..., 0] > 10).sum()


def test_every_variant_is_as_long_as_it_says() -> None:
    assert {name: v.frames for name, v in VARIANTS.items()} == {
        "clean": 60,
        "occluded": 60,
        "hard": 60,
        "long": 600,
        "small": 60,
        "calm": 60,
        "calm-occluded": 60,
        "calm-hard": 60,
        "calm-long": 600,
        "calm-talking": 60,
        "calm-rolling": 60,
        "real": 60,
    }


@pytest.mark.parametrize("variant", ["occluded", "hard"])
def test_a_seed_gives_the_same_clip(
    shared_data: Path, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VARIANTS, variant, replace(VARIANTS[variant], frames=12))
    faces = Faces(shared_data / "faces68_train")
    one, two, other = (make_clip(faces, variant, 4, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.xy, two.xy)
    # Frames may be drawn in any order.
    two.render(11)
    np.testing.assert_array_equal(one.render(7), two.render(7))
    assert not np.array_equal(one.render(7), other.render(7))


def test_the_held_out_list_is_what_training_keeps_out(shared_data: Path) -> None:
    from facetrack.training.textures import split_names

    names = sorted(p.name for p in (shared_data / "faces68_train").glob("*.jpg"))
    assert heldout.HELD_OUT.read_text().split() == split_names(names)[1]


def test_only_held_out_faces_are_used(shared_data: Path) -> None:
    held_out = set(heldout.HELD_OUT.read_text().split())
    assert set(Faces(shared_data / "faces68_train").names) == held_out


def test_a_folder_of_other_faces_needs_to_be_asked_for(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(3)]
    np.savez(tmp_path / "landmarks68.npz", names=names, points=np.stack([drawn_face()] * 3))
    for name in names:
        cv2.imwrite(str(tmp_path / name), plain())
    with pytest.raises(FacetrackError, match="--every-face"):
        Faces(tmp_path)
    assert Faces(tmp_path, every=True)[4].image.shape == (352, 352, 3)


def test_a_folder_without_landmarks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match=r"landmarks68\.npz"):
        Faces(tmp_path)
