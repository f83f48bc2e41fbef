"""Test people who leave the picture, and twins who pass in front of each other."""

from __future__ import annotations

import numpy as np
from face_world import FPS, SIZE, FakeState, FakeTracker, Run, World, frame_number, still

from facetrack.multiface.face_track import LEFT_AFTER_S, LOST_AFTER_S, RedetectPolicy
from facetrack.multiface.propagation import MAX_OUTSIDE, hide_outside
from facetrack.trackers import StepResult

WIDTH = SIZE[1]


def test_points_outside_the_picture_are_hidden() -> None:
    images = np.zeros((2, 100, 200, 3), np.uint8)
    xy = np.array([[[-0.5, 50], [-0.6, 50], [199.4, 0], [199.6, 0], [5, 99.6], [np.nan, 1]]] * 2)
    result = hide_outside(StepResult(xy, np.ones((2, 6), bool), np.ones((2, 6))), images)
    np.testing.assert_array_equal(result.visible[1], [True, False, True, False, False, False])
    np.testing.assert_array_equal(result.confidence[1] <= MAX_OUTSIDE, ~result.visible[1])
    np.testing.assert_array_equal(result.xy, xy)


def leave(far: float, gone: int) -> Run:
    """Follow a person who moves to x = `far` until frame 20, and cannot be seen from `gone` on."""
    world = World(
        {"ann": lambda frame: (far - 10 * max(0, 20 - frame), 50)},
        detected=lambda person, frame: frame < gone,
        tracked=lambda person, start, frame: (0.0, frame < gone),
    )
    return Run(world, 60)


def test_a_face_that_leaves_the_picture_is_gone_at_once() -> None:
    assert leave(WIDTH - 8, gone=21).known(0)[-1] == 20 + LEFT_AFTER_S * FPS - 1


def test_a_face_that_is_covered_within_the_picture_is_not() -> None:
    assert leave(WIDTH - 60, gone=21).known(0)[-1] == 20 + LOST_AFTER_S * FPS - 1


class LatchingTracker(FakeTracker):
    """A tracker that goes over to the twin in front when its own face has been hidden by it."""

    def step(self, state: FakeState, frames: np.ndarray) -> StepResult:
        results = []
        for frame in frames:
            number = frame_number(frame)
            points = {who: self.world.points(who, number) for who in ("front", "behind")}
            apart = np.abs(points["front"] - points["behind"]).mean()  # type: ignore[operator]
            if state.person == "behind" and apart < 4:
                state.person = "front"
            result = super().step(state, frame[None])
            if state.person == "behind" and apart < 12:
                result = result._replace(visible=np.arange(5)[None] < 2)
            results.append(result)
        return StepResult(*map(np.concatenate, zip(*results, strict=True)))


def cross(monkeypatch, begin: tuple[str, str]) -> Run:
    """Let twins pass: none is detected while hidden, and nobody can tell them apart."""
    people = {"front": lambda f: (50 + 2 * f, 50), "behind": lambda f: (250 - 2 * f, 50)}
    monkeypatch.setattr("face_world.FakeTracker", LatchingTracker)
    monkeypatch.setattr("face_world.FakeVerifier.identify_other", lambda self, face_id, who: None)
    identify = lambda self, who, among: min(among, default=None)  # noqa: E731
    monkeypatch.setattr("face_world.FakeVerifier.identify", identify)
    world = World(people, detected=lambda who, f: who == "front" or abs(4 * f - 200) > 30)  # type: ignore[arg-type]
    return Run(world, 100, RedetectPolicy(faces=None), begin=begin)


def test_twins_keep_their_ids_when_one_goes_behind_the_other(monkeypatch) -> None:
    for begin in (("front", "behind"), ("behind", "front")):
        run = cross(monkeypatch, begin)
        assert {i for row in run.rows for i in row} == {0, 1}
        for face_id, who in enumerate(begin):
            world_points = run.world.points(who, 99)
            np.testing.assert_allclose(run.xy(face_id, 99), world_points, atol=0.1)
        hidden = begin.index("behind")
        # It is found again soon after the two part.
        assert {60, 65, 70} <= set(run.known(hidden))
        assert (hidden, "same face") in {(face, reason) for _, face, reason in run.events}
        assert (1 - hidden, "same face") not in {(face, reason) for _, face, reason in run.events}


def test_a_detection_goes_to_the_face_that_is_seen(monkeypatch) -> None:
    run = cross(monkeypatch, ("front", "behind"))
    front = run.known(0)
    assert front == list(range(100))


def test_people_side_by_side_are_left_alone() -> None:

    run = Run(
        World({"ann": still(50), "bob": still(150)}),
        60,
        RedetectPolicy(faces=None),
        begin=("ann", "bob"),
    )
    assert run.events == []
