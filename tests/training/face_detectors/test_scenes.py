"""Scenes: faces lie where their boxes and points say, and what is not a picture is said."""

from __future__ import annotations

from pathlib import Path

import cv2
import dotted_faces
import few_faces
import numpy as np
import pytest

from facetrack.detectors.crops import hog_box
from facetrack.errors import FacetrackError
from facetrack.training.face_detectors import scenes

GREY = 90


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    backgrounds = tmp_path_factory.mktemp("backgrounds")
    for i in range(12):
        cv2.imwrite(str(backgrounds / f"{i:02d}.png"), np.full((60, 80, 3), GREY + i, np.uint8))
    return dotted_faces.write(tmp_path_factory.mktemp("faces")), backgrounds


@pytest.fixture(autouse=True)
def _few_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    few_faces.allow(monkeypatch, 3, 8)


def marked_source() -> scenes.Source:
    """A white face picture with one red dot on each of the five points, on black."""
    base = np.array([[80.0, 100.0], [150.0, 100.0]])
    points = np.random.default_rng(1).uniform(60, 190, (1, 68, 2))
    points[0, 36:42], points[0, 42:48] = base
    points[0, [30, 48, 54]] = [[115, 140], [90, 175], [140, 175]]
    picture = np.full((256, 256, 3), 255, np.uint8)
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]
    for (x, y), colour in zip([*base, *points[0, [30, 48, 54]]], colours, strict=True):
        cv2.circle(picture, (int(x), int(y)), 12, colour, -1)
    return scenes.Source(scenes.Faces(picture[None], points), [np.zeros((480, 640, 3), np.uint8)])


def test_points_are_where_the_picture_shows_them() -> None:
    """Also of mirrored faces, whose left eye is the other one."""
    source, random, seen = marked_source(), np.random.default_rng(4), 0
    orders = set()
    for _ in range(20):
        scene = scenes.draw_scene(source, random)
        for box, points in zip(scene.boxes, scene.points, strict=True):
            if box[2] - box[0] < 60 or (points < 8).any() or (points > [632, 472]).any():
                continue
            x, y = np.floor(points).astype(int).T
            colours = [tuple(c) for c in (scene.image[y, x] > 127) * 255]
            plain = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]
            swapped = [plain[i] for i in scenes.FIVE_SWAP]
            assert colours in (plain, swapped)
            orders.add(colours == plain)
            assert points[0, 0] < points[1, 0]  # the eye on the image's left comes first
            seen += 1
    assert seen > 10
    assert orders == {True, False}


def test_points_are_exact_to_a_fraction_of_a_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "MAX_FACES", 1)
    monkeypatch.setattr(scenes, "BOX_SIDES", (150.0, 240.0))
    source, random, away = marked_source(), np.random.default_rng(0), []
    for _ in range(20):
        scene = scenes.draw_scene(source, random)
        blue = (scene.image.astype(int) @ [-1, -1, 1]).clip(0)
        if len(scene.points) and blue.any():
            y, x = np.indices(blue.shape)
            middle = np.array([(x * blue).sum(), (y * blue).sum()]) / blue.sum() + 0.5
            away.append(np.abs(middle - scene.points[0, 2]).max())
    assert len(away) > 8
    assert np.median(away) < 0.2


def test_boxes_are_those_of_the_landmarks() -> None:
    source, random = marked_source(), np.random.default_rng(0)
    expected = hog_box(source.faces.points[0])
    for _ in range(10):
        scene = scenes.draw_scene(source, random)
        sides = scene.boxes[:, 2] - scene.boxes[:, 0]
        if len(sides):
            # A turn changes the landmarks' extent a little.
            assert sides.min() > 0.7 * scenes.BOX_SIDES[0]
            assert sides.max() < 1.4 * scenes.BOX_SIDES[1]
        np.testing.assert_allclose(scene.boxes[:, 3] - scene.boxes[:, 1], sides)
        assert (scene.pasted[:, 2] - scene.pasted[:, 0] > sides).all()
    assert expected[2] > expected[0]


def test_pasted_pictures_do_not_overlap() -> None:
    random = np.random.default_rng(2)
    for _ in range(15):
        pasted = scenes.draw_scene(marked_source(), random).pasted
        for i, a in enumerate(pasted):
            for b in pasted[:i]:
                assert (a[:2] >= b[2:]).any() or (b[:2] >= a[2:]).any()


def test_some_scenes_have_no_face_and_show_the_photograph() -> None:
    random, source = np.random.default_rng(0), marked_source()
    drawn = [scenes.draw_scene(source, random) for _ in range(40)]
    faceless = [scene for scene in drawn if not len(scene.boxes)]
    assert 4 < len(faceless) < 30
    assert all(not scene.image.any() for scene in faceless)


def test_faces_and_photographs_are_held_out(folders: tuple[Path, Path]) -> None:
    training, held_out = scenes.load_sources(*folders)
    assert (len(training.faces.pictures), len(held_out.faces.pictures)) == (5, 3)
    values = [sorted(int(b.mean()) - GREY for b in s.backgrounds) for s in (training, held_out)]
    assert values == [[i for i in range(12) if i % 10], [0, 10]]


def test_bad_backgrounds_are_said(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match="is not a folder: --backgrounds needs photographs"):
        scenes.load_sources(folders[0], tmp_path / "nowhere")
    with pytest.raises(FacetrackError, match="is a folder without images"):
        scenes.load_sources(folders[0], tmp_path)
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(FacetrackError, match=r"a\.png cannot be read as a picture"):
        scenes.load_sources(folders[0], tmp_path)


def test_few_faces_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match="needs more than 3"):
        scenes.load_sources(tmp_path, folders[1])
