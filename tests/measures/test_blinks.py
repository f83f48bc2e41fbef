"""Blinks of rendered faces: times, depth, sides; and what is no blink."""

from __future__ import annotations

import numpy as np
import pytest
import rendered_heads as heads

from facetrack.measures import blinks
from facetrack.measures.blinks import bridged, find_blinks
from facetrack.measures.events import Event, find_events
from facetrack.measures.face_measures import measure
from facetrack.measures.face_model import load
from facetrack.measures.summary import summarise

NOISE = 0.1
"""Noise of rendered landmarks in pixels."""


def events_of(faces: np.ndarray, yaw: float = 8.0, fps: float = 30.0) -> list[Event]:
    xy = heads.project(faces, heads.turns(len(faces), yaw))
    xy = xy + np.random.default_rng(0).normal(0, NOISE, xy.shape)
    return find_events(measure(heads.tracks_of(xy, fps), load())[0])


@pytest.mark.parametrize(
    ("fps", "closing", "opening", "phase"),
    [(24.0, 0.08, 0.2, 0.01), (30.0, 0.12, 0.25, 0.02), (50.0, 0.1, 0.15, 0.005)],
)
def test_blinks_have_the_right_times(
    fps: float, closing: float, opening: float, phase: float
) -> None:
    time = np.arange(int(2.5 * fps)) / fps
    starts = [0.6 + phase, 1.6 + phase]
    shut = np.sum([heads.blink(time, start, closing, opening) for start in starts], axis=0)
    found = events_of(heads.with_lids(heads.person(1), {"r": shut, "l": shut}), fps=fps)
    found = [event for event in found if event.kind == "blink"]
    assert [event.side for event in found] == ["r", "l"] * 2
    for event, start in zip(found[::2], starts, strict=True):
        # The cosine passes a tenth of its height after a fifth of each ramp.
        assert event.start == pytest.approx(start + 0.2 * closing, abs=1 / fps)
        assert event.peak == pytest.approx(start + closing, abs=1.01 / fps)
        assert event.duration == pytest.approx(0.8 * (closing + opening), abs=1.01 / fps)
        assert event.delay == pytest.approx(0, abs=0.5 / fps)


def test_partial_and_complete_blinks() -> None:
    time = np.arange(150) / 30
    shut = heads.blink(time, 1, 0.1, 0.2) + 0.6 * heads.blink(time, 3, 0.1, 0.2)
    found = events_of(heads.with_lids(load().mean, {"r": shut, "l": shut}))
    assert [(e.side, e.complete) for e in found] == [("r", 1), ("l", 1), ("r", 0), ("l", 0)]
    assert found[2].depth == pytest.approx(0.6, abs=0.08)
    assert [event.number for event in found] == [1, 1, 2, 2]


def test_wink_and_late_eye() -> None:
    time = np.arange(180) / 30
    right = heads.blink(time, 1, 0.1, 0.2) + heads.blink(time, 3, 0.12, 0.2)
    left = heads.blink(time, 3.05, 0.12, 0.2)
    found = events_of(heads.with_lids(load().mean, {"r": right, "l": left}))
    assert [(e.kind, e.side) for e in found] == [("wink", "r"), ("blink", "r"), ("blink", "l")]
    assert found[1].delay == pytest.approx(0.05, abs=0.02)


def test_long_wink_is_no_closure() -> None:
    shut = np.zeros(150)
    shut[40:70] = 1
    found = events_of(heads.with_lids(load().mean, {"r": 0 * shut, "l": shut}))
    assert [(event.kind, event.side) for event in found] == [("wink", "l")]


def test_long_closure_is_no_blink() -> None:
    time = np.arange(150) / 30
    shut = heads.blink(time, 1, 0.2, 0.2) * 0
    shut[40:90] = 1
    found = events_of(heads.with_lids(load().mean, {"r": shut, "l": shut}))
    assert [(event.kind, event.side) for event in found] == [("closure", "r"), ("closure", "l")]


@pytest.mark.parametrize("yaw", [0.0, 30.0])
def test_nothing_happens_on_a_face_that_keeps_still_or_turns(yaw: float) -> None:
    assert events_of(np.repeat(heads.person(2)[None], 150, axis=0), yaw) == []


def test_looking_down_slowly_is_no_blink() -> None:
    time = np.arange(240) / 30
    shut = 0.5 * heads.blink(time, 1, 1.5, 1.5)
    assert events_of(heads.with_lids(load().mean, {"r": shut, "l": shut})) == []


def test_shortly_hidden_lids_still_blink() -> None:
    time = np.arange(120) / 30
    shut = heads.blink(time, 1.5, 0.1, 0.2)
    xy = heads.project(heads.with_lids(load().mean, {"r": shut, "l": shut}), heads.turns(120, 5))
    tracks = heads.tracks_of(xy)
    tracks.visible[46:54, 0, 36:48] = False
    face = measure(tracks, load())[0]
    assert np.isnan(face.values["eye_r"][46:54]).all()
    assert [event.side for event in find_events(face)] == ["r", "l"]


def test_openings_of_the_mouth_are_counted() -> None:
    time = np.arange(150) / 30
    face = np.repeat(load().mean[None], 150, axis=0)
    gap = 8 * (1 - np.cos(2 * np.pi * 2 * time)) / 2  # two a second
    face[:, [65, 66, 67], 1] += gap[:, None]
    found = events_of(face, 3)
    assert {event.kind for event in found} == {"mouth_opening"}
    assert len(found) in (9, 10)
    shut = np.linalg.norm(load().mean[62, :2] - load().mean[66, :2])
    assert found[3].depth == pytest.approx((shut + 8) / 0.9, rel=0.1)


def test_summary_has_rates_and_medians() -> None:
    time = np.arange(300) / 30
    shut = np.sum([heads.blink(time, start, 0.1, 0.2) for start in (1, 4, 7)], axis=0)
    xy = heads.project(heads.with_lids(load().mean, {"r": shut, "l": shut}), heads.turns(300, 10))
    face = measure(heads.tracks_of(xy), load())[0]
    summary = summarise(face, find_events(face))
    blinks = summary["events"]["blink"]
    assert (blinks["count"], blinks["complete"]) == (3, 3)
    assert blinks["per_minute"] == pytest.approx(18, rel=0.01)
    assert blinks["median_duration"] == pytest.approx(0.24, abs=0.04)
    assert summary["measures"]["eye_r_open"]["median"] == pytest.approx(1, abs=0.05)
    assert summary["measures"]["pose_Ry"]["valid"] == 1


def test_summary_of_an_unknown_face_has_no_nan() -> None:
    face = measure(heads.tracks_of(np.full((5, 68, 2), np.nan)), load())[0]
    summary = summarise(face, [])
    assert summary["inter_ocular_mm"] is None
    assert summary["events"]["blink"]["per_minute"] is None
    assert summary["measures"]["pose_Rx"] == {"valid": 0.0, "p5": None, "median": None, "p95": None}


def openings(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The opening (T,) of an eye with many blinks, at 25 frames a second."""
    time = np.arange(90 * count + 60) / 25
    shares = 1 + np.random.default_rng(0).normal(0, 0.01, len(time))
    for start in range(50, 90 * count, 90):
        shares[start : start + 7] *= (0.7, 0.3, 0.1, 0.05, 0.2, 0.5, 0.8)
    return shares, time


def test_no_blink_takes_a_look_at_all_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a video of an hour, thousands of such looks would take minutes."""
    looks: list[int] = []
    monkeypatch.setattr(
        blinks, "bridged", lambda values, time: looks.append(1) or bridged(values, time)
    )
    numbers = []
    for count in (3, 30):
        looks.clear()
        eye, time = openings(count)
        assert len(find_blinks(eye, eye, time)) == count
        numbers.append(len(looks))
    assert numbers[0] == numbers[1]


def test_the_level_is_a_percentile_of_the_second_on_either_side() -> None:
    eye, _ = openings(3)
    time = np.cumsum(np.random.default_rng(1).uniform(0.02, 0.06, len(eye)))
    wanted = [
        np.percentile(eye[np.abs(time - now) <= blinks.LEVEL_SECONDS], blinks.LEVEL_PERCENTILE)
        for now in time
    ]
    np.testing.assert_allclose(blinks._level(eye, time), wanted)
