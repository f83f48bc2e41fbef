"""Test that each person has one face_id at a time, and that no more people are followed than asked.

The faces are those of a simulated world.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from face_world import FakeState, FakeTracker, Run, World, frame_number, still

from facetrack.multiface.face_track import RedetectPolicy
from facetrack.trackers import StepResult


def going_over(first: int, to: dict[str, str]) -> type[FakeTracker]:
    """Return a tracker whose points on one person are on another's from a frame on."""

    class Tracker(FakeTracker):
        def step(self, state: FakeState, frames: np.ndarray) -> StepResult:
            if frame_number(frames[0]) >= first and state.start == 0 and state.person in to:
                state.person, state.start = to[state.person], -1
            return super().step(state, frames)

    return Tracker


def people_in(run: Run, frame: int) -> list[tuple[float, float]]:
    """Return the distinct places of the faces in a frame, and check that no two share one."""
    known = [xy for xy, *_ in run.rows[frame].values() if np.isfinite(xy).all()]
    places = {tuple(xy.mean(0).round(1).tolist()) for xy in known}
    assert len(places) == len(known), f"two faces in one place in frame {frame}"
    return sorted(places)


def test_a_face_that_returns_late_does_not_exceed_the_number_of_faces() -> None:
    people: dict[str, Callable[[int], tuple[float, float] | None]] = {
        "ann": lambda f: (50, 50) if f < 20 or f >= 60 else None,
        "bob": still(150),
        "eve": lambda f: (300, 50) if f >= 35 else None,
    }
    world = World(people, tracked=lambda person, start, frame: (0.0, True))
    run = Run(world, 120, RedetectPolicy(faces=2), begin=("ann", "bob"))
    assert {len(people_in(run, f)) for f in range(50, 120)} == {2}
    assert "found" in [reason for _, _, reason in run.events]


def test_a_track_on_another_persons_face_leaves_it_to_that_person(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ann's points go over to bob, who takes her place."""
    people: dict[str, Callable[[int], tuple[float, float] | None]] = {
        "ann": lambda f: (50, 50) if f < 40 else None,
        "bob": lambda f: (300, 50) if f < 10 else (50, 50) if f >= 40 else None,
    }
    monkeypatch.setattr("face_world.FakeTracker", going_over(40, {"ann": "bob"}))
    run = Run(World(people), 90, RedetectPolicy(faces=None), begin=("ann", "bob"))
    assert "other person" in [reason for _, _, reason in run.events]
    for frame in range(90):
        people_in(run, frame)


@pytest.mark.parametrize("doubtful_from", [999, 111])
def test_two_tracks_that_change_over_never_show_one_person_twice(
    monkeypatch: pytest.MonkeyPatch, doubtful_from: int
) -> None:
    """One of the two detections may be too doubtful to correct the points."""
    people = {"ann": lambda f: (100 + f, 50), "bob": lambda f: (300 - f, 60)}
    world = World(
        people,
        trusted=lambda who, frame: 0.9 if who == "bob" and frame >= doubtful_from else 1.0,
        tracked=lambda who, start, frame: (0.0, 0.6 if who == "bob" else True),
    )
    swapping = going_over(96, {"ann": "bob", "bob": "ann"})
    monkeypatch.setattr("face_world.FakeTracker", swapping)
    run = Run(world, 190, RedetectPolicy(faces=2), begin=("ann", "bob"))
    assert [reason for _, _, reason in run.events] == ["other person"] * 2
    for frame in range(190):
        assert len(people_in(run, frame)) == 2


def test_points_that_a_correction_moves_out_of_the_picture_are_hidden() -> None:
    world = World({"ann": lambda f: (-1.0, 50)}, tracked=lambda who, start, frame: (0.7, True))
    run = Run(world, 120)
    xy, visible, confidence = (np.stack([row[0][k] for row in run.rows]) for k in range(3))
    outside = xy[..., 0] < -0.5
    assert outside.any()
    assert not visible[outside].any()
    assert (confidence[outside] < 0.5).all()
