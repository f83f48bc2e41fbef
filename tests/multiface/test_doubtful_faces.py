"""Test what happens to things that may be no face: a wall, a hand, an ear."""

from __future__ import annotations

import numpy as np
from face_world import Run, World, still

from facetrack.multiface.face_track import RedetectPolicy

WALL, ANN = "wall", "ann"


def world(**more: object) -> World:
    """A wall that the detector doubts, and a person who comes in frame 30."""
    people = {WALL: still(50), ANN: lambda frame: (250, 50) if frame >= 30 else None}
    return World(people, trusted=lambda who, frame: 0.2 if who == WALL else 1.0, **more)  # type: ignore[arg-type]


def test_what_may_be_no_face_is_followed_with_little_confidence() -> None:
    run = Run(world(), 25, begin=(WALL,))
    for row in run.rows[1:]:
        np.testing.assert_allclose(row[0][2], 0.2)


def test_a_certain_face_takes_the_place_of_a_doubtful_one() -> None:
    run = Run(world(), 80, begin=(WALL,))
    assert tuple(reason for _, _, reason in run.events) == ("no face", "found")
    assert run.known(1)[0] in range(30, 45)
    np.testing.assert_allclose(run.rows[79][1][2], 1)
    assert 0 not in run.rows[79]


def test_doubtful_faces_are_not_taken_up() -> None:
    run = Run(world(), 25, RedetectPolicy(every=5, faces=None), begin=())
    assert run.known(0) == []
    several = Run(world(), 80, RedetectPolicy(every=5, faces=None), begin=())
    assert {i for row in several.rows for i in row} == {0}


def test_a_certain_face_is_kept_beside_another() -> None:
    people = {"bob": still(50), ANN: lambda frame: (250, 50) if frame >= 30 else None}
    run = Run(World(people), 80, begin=("bob",))  # type: ignore[arg-type]
    assert run.known(0) == list(range(80))


def test_a_doubtful_detection_does_not_move_the_points() -> None:
    drifting = World(
        {ANN: still(50)},
        trusted=lambda who, frame: 1.0 if frame == 0 else 0.3,
        tracked=lambda who, start, frame: (8.0 if start == 0 and frame > 10 else 0.0, True),
    )
    assert Run(drifting, 80).events == []


def test_a_confirmed_face_is_trusted() -> None:
    at_first = World({ANN: still(50)}, trusted=lambda who, frame: 0.3 if frame < 5 else 1.0)
    run = Run(at_first, 60)
    np.testing.assert_allclose(run.rows[3][0][2], 0.3)
    np.testing.assert_allclose(run.rows[59][0][2], 1)
