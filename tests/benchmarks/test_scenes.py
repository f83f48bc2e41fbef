"""The benchmark of scenes: what is drawn is where the truth says, and the figures count faults."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from drawn_faces import drawn_face

from benchmarks.accuracy.scenes import Figures, measure
from benchmarks.clips.scene_kinds import KINDS
from benchmarks.clips.staged_faces import HEIGHT, WIDTH, Scene, cast, dark, infrared
from benchmarks.common.heldout import Face
from facetrack.tracks import Tracks

SIDE = 352
RED, GREEN = (220, 40, 40), (40, 220, 40)


def picture(colour: tuple[int, int, int]) -> Face:
    """Return a plain picture with a white dot on each landmark."""
    image = np.full((SIDE, SIDE, 3), colour, np.uint8)
    points = drawn_face()
    for x, y in points:
        cv2.circle(image, (round(x * 16), round(y * 16)), 40, (255, 255, 255), -1, cv2.LINE_AA, 4)
    return Face(image, points)


def make(name: str) -> Scene:
    faces = [picture(RED), picture(GREEN), picture((0, 0, 0)), picture((0, 0, 0))]
    kind = KINDS[name]
    return kind.make(faces[: kind.people], np.random.default_rng(1))


@pytest.fixture(scope="module")
def crossing() -> Scene:
    return make("cross")


def perfect(scene: Scene) -> Tracks:
    """Return the tracks of a tracker that knows the truth."""
    frames = scene.frames
    return Tracks(
        xy=scene.xy.astype(np.float32),
        visible=scene.seen.copy(),
        confidence=scene.seen.astype(np.float32),
        time=np.arange(frames) / 25,
        face_id=np.arange(len(scene.names)),
        scheme="68",
        size=(WIDTH, HEIGHT),
    )


def light(frame: np.ndarray, x: float, y: float) -> int:
    return int(frame[round(y), round(x)].min())


def test_landmarks_are_drawn_where_the_truth_says(crossing: Scene) -> None:
    frame = crossing.render(0)
    for part in range(2):
        for k in (8, 30, 36, 45, 57):
            assert light(frame, *crossing.xy[0, part, k]) > 120


def test_who_is_behind_is_not_seen(crossing: Scene) -> None:
    behind, before = crossing.seen[:, 0].mean(1), crossing.seen[:, 1].mean(1)
    assert behind[0] == behind[-1] == 1
    assert behind.min() < 0.2
    assert before.min() == 1


@pytest.mark.parametrize("name", ["half out left", "half out below", "half out above"])
def test_half_of_a_face_leaves_the_picture(name: str) -> None:
    scene = make(name)
    shown = scene.seen[:, 0].mean(1)
    assert shown[0] == 1
    assert 0.2 < shown[len(shown) // 2] < 0.8


def test_weights_decide_who_is_seen_in_a_dissolve() -> None:
    scene = make("dissolve in place")
    assert scene.weight.sum(1) == pytest.approx(1)
    assert not (scene.seen[:, 0].any(-1) & scene.seen[:, 1].any(-1)).any()
    red, green = scene.render(0).mean((0, 1)), scene.render(scene.frames - 1).mean((0, 1))
    assert red[0] > red[1]
    assert green[1] > green[0]


def test_a_face_that_fades_to_black_is_seen_till_it_is_all_but_dark() -> None:
    scene = make("through black")
    red, green = scene.weight.T
    assert set(red.tolist()) == set(green.tolist()) == {0.0, 1.0}
    black = (red == 0) & (green == 0)
    assert 1 <= black.sum() <= 6
    bright = [float(scene.render(t).mean()) for t in range(scene.frames)]
    assert max(np.array(bright)[black]) < 0.06 * max(bright)
    assert scene.seen[red == 1, 0].all()


def test_somebody_too_small_to_know_is_not_asked_for() -> None:
    scene = make("comes from afar")
    eyes = np.linalg.norm(scene.xy[:, 0, 36] - scene.xy[:, 0, 45], axis=-1)
    figures = measure(perfect(scene), scene, 1)
    assert eyes.min() < 6
    assert figures.wanted == figures.found == (eyes >= 10).sum() < scene.frames


def test_a_face_that_fades_away_before_nobody_is_not_mixed() -> None:
    scene = make("dissolve to nobody")
    tracks = perfect(scene)
    tracks.visible[:] = True
    figures = measure(tracks, scene, 1)
    assert figures.in_dissolve == figures.mixed == 0
    assert figures.astray > 30
    both = make("dissolve in place")
    tracks = perfect(both)
    tracks.xy[:, 1] = np.nan
    tracks.visible[:, 0] = True
    assert measure(tracks, both, 1).mixed > 5


def test_cameras_are_dark_grey_and_noisy() -> None:
    frame = make("half out left").render(0)
    night, infra = dark(0.1, 4)(frame, 0), infrared(14)(frame, 0)
    assert night.mean() == pytest.approx(0.1 * frame.mean(), rel=0.3)
    assert (infra[..., 0] == infra[..., 2]).all()
    assert (night == dark(0.1, 4)(frame, 0)).all()
    assert (night != dark(0.1, 4)(frame, 1)).any()


def test_a_perfect_tracker_has_no_faults(crossing: Scene) -> None:
    figures = measure(perfect(crossing), crossing, None)
    assert np.concatenate(figures.errors).max() == pytest.approx(0, abs=1e-3)
    assert figures.found == figures.wanted > crossing.frames
    assert figures.astray == figures.swapped == figures.left == 0
    assert figures.unseen_as_seen == figures.seen_as_unseen == 0
    assert (figures.ids, figures.people) == (2, 2)


def test_exchanged_people_are_swapped(crossing: Scene) -> None:
    tracks = perfect(crossing)
    half = crossing.frames // 2
    for values in (tracks.xy, tracks.visible):
        values[half:] = values[half:, ::-1]
    figures = measure(tracks, crossing, None)
    assert 1.6 * half < figures.swapped <= 2 * half


def test_points_on_the_wall_are_astray(crossing: Scene) -> None:
    tracks = perfect(crossing)
    tracks.xy[:10, 0] += 200
    figures = measure(tracks, crossing, None)
    assert figures.astray == 10
    assert figures.found == figures.wanted - 10


def test_points_of_somebody_who_left_are_counted() -> None:
    scene = make("goes and comes")
    tracks = perfect(scene)
    figures = measure(tracks, scene, 1)
    gone = int((scene.xy[:, 0, :, 0].min(1) > 480).sum())
    assert gone > 20
    assert figures.left == pytest.approx(gone, abs=2)
    tracks.xy[scene.xy[:, 0, :, 0].min(1) > 479.4] = np.nan
    assert measure(tracks, scene, 1).left == 0


def test_rows_without_a_visible_point_may_be_anybodys_at_first() -> None:
    scene = make("goes and comes")
    tracks = perfect(scene)
    tracks.visible[:10] = False
    after = measure(perfect(scene), scene, 1).left
    assert measure(tracks, scene, 1).left == after
    tracks.visible[:] = False
    assert measure(tracks, scene, 1).left == after


def test_figures_of_clips_add_up(crossing: Scene) -> None:
    once, total = measure(perfect(crossing), crossing, None), Figures()
    total.add(once)
    total.add(replace(once))
    assert total.rows == 2 * once.rows
    assert len(total.cells().split("|")) == len(Figures.HEADER.split("|"))


def test_too_few_faces_are_one_sentence() -> None:
    nobody = SimpleNamespace(names=[])
    with pytest.raises(SystemExit, match="only 0 of 2 faces"):
        cast(nobody, np.random.default_rng(0), 2)  # type: ignore[arg-type]
