"""Events in noisy signals of rendered faces: openings of the mouth, long blinks, winks."""

from __future__ import annotations

import numpy as np
import pytest
import rendered_heads as heads

from facetrack.measures.events import Event, find_events
from facetrack.measures.face_measures import measure
from facetrack.measures.face_model import load
from facetrack.measures.summary import summarise

FPS = 30.0


def events_of(faces: np.ndarray, noise: float, fps: float = FPS) -> list[Event]:
    """Return the events of faces (T, 68, 3) with a noise of landmarks in pixels."""
    xy = heads.project(faces, heads.turns(len(faces), 3))
    xy = xy + np.random.default_rng(0).normal(0, noise, xy.shape)
    return find_events(measure(heads.tracks_of(xy, fps), load())[0])


def lids(shut: dict[str, np.ndarray], noise: float = 0.1, fps: float = FPS) -> list[Event]:
    return events_of(heads.with_lids(load().mean, shut), noise, fps)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("seconds", [0.3, 0.4, 0.7])
def test_a_mouth_that_opens_now_and_then_is_counted(noise: float, seconds: float) -> None:
    time = np.arange(int(20 * FPS)) / FPS
    starts = np.arange(1.5, 19, 4)
    gap = np.zeros(len(time))
    for start in starts:
        phase = np.clip((time - start) / seconds, 0, 1)
        gap += 10 * (1 - np.cos(2 * np.pi * phase)) / 2
    faces = np.repeat(load().mean[None], len(time), axis=0)
    faces[:, [65, 66, 67], 1] += gap[:, None]
    found = [event for event in events_of(faces, noise) if event.kind == "mouth_opening"]
    assert len(found) == len(starts)
    for event, start in zip(found, starts, strict=True):
        assert event.peak == pytest.approx(start + seconds / 2, abs=2.5 / FPS)
        # The cosine passes a tenth of its height after a tenth of its time.
        assert event.start == pytest.approx(start + 0.1 * seconds, abs=3 / FPS)
        assert event.duration == pytest.approx(0.8 * seconds, abs=4 / FPS)


def test_a_mouth_that_stays_open_is_no_opening_of_speech() -> None:
    faces = np.repeat(load().mean[None], 240, axis=0)
    faces[60:150, [65, 66, 67], 1] += 10
    assert events_of(faces, 0.1) == []


@pytest.mark.parametrize("fps", [25.0, 60.0])
@pytest.mark.parametrize("seconds", [0.3, 0.5, 0.6, 0.7, 0.9])
def test_lids_that_stay_down_for_a_while_are_found_in_both_eyes(fps: float, seconds: float) -> None:
    time = np.arange(int(16 * fps)) / fps
    shut = np.zeros(len(time))
    for start in np.arange(1.5, 15, 2.5):
        shut[(time >= start) & (time < start + seconds)] = 1
    found = lids({"r": shut, "l": shut}, 0.3, fps)
    assert [event.side for event in found] == ["r", "l"] * 6
    assert {event.kind for event in found} <= {"blink", "closure"}
    for event in found:
        assert event.duration == pytest.approx(seconds, abs=2.5 / fps)


@pytest.mark.parametrize(("narrowed", "kind"), [(0.0, "wink"), (0.15, "wink"), (0.3, "wink")])
def test_a_wink_is_told_from_a_blink_although_the_other_eye_narrows(
    narrowed: float, kind: str
) -> None:
    time = np.arange(150) / FPS
    dip = heads.blink(time, 1, 0.12, 0.2) + heads.blink(time, 3, 0.12, 0.2)
    found = lids({"r": dip, "l": narrowed * dip})
    assert [(event.kind, event.side) for event in found] == [(kind, "r")] * 2


def test_a_blink_of_which_one_eye_shuts_only_halfway_is_a_blink() -> None:
    time = np.arange(90) / FPS
    dip = heads.blink(time, 1, 0.12, 0.2)
    found = lids({"r": dip, "l": 0.6 * dip})
    assert [(event.kind, event.side) for event in found] == [("blink", "r"), ("blink", "l")]


def test_a_pause_of_the_clock_is_not_watched() -> None:
    time = np.arange(300) / FPS
    shut = np.sum([heads.blink(time, start, 0.1, 0.2) for start in (1, 4, 7)], axis=0)
    xy = heads.project(heads.with_lids(load().mean, {"r": shut, "l": shut}), heads.turns(300, 10))
    tracks = heads.tracks_of(xy)
    tracks.time[150:] += 600
    face = measure(tracks, load())[0]
    summary = summarise(face, find_events(face))
    assert summary["seconds_with_eyes"] == pytest.approx(10, abs=0.2)
    assert summary["events"]["blink"]["per_minute"] == pytest.approx(18, rel=0.03)


def test_rates_of_the_mouth_refer_to_the_time_in_which_it_is_seen() -> None:
    time = np.arange(300) / FPS
    gap = np.sum([heads.blink(time, start, 0.15, 0.15) for start in (1, 4, 7)], axis=0)
    faces = np.repeat(load().mean[None], 300, axis=0)
    faces[:, 65:68, 1] += 10 * gap[:, None]
    tracks = heads.tracks_of(heads.project(faces, heads.turns(300, 10)))
    tracks.visible[150:, :, 36:48] = False  # the eyes are covered, as by sunglasses
    face = measure(tracks, load())[0]
    summary = summarise(face, find_events(face))
    assert summary["seconds_with_eyes"] == pytest.approx(5, abs=0.2)
    assert summary["seconds_with_mouth"] == pytest.approx(10, abs=0.2)
    assert summary["events"]["mouth_opening"]["per_minute"] == pytest.approx(18, rel=0.03)


@pytest.mark.parametrize("zoom", [1.16, 1.375, 2.2])
def test_a_cut_to_another_distance_is_not_smoothed(zoom: float) -> None:
    faces = np.repeat(load().mean[None], 240, axis=0)
    xy = heads.project(faces, heads.turns(240, 3))
    centre = xy[0].mean(0)
    near = np.arange(240) // 60 % 2 == 1
    xy[near] = centre + zoom * (xy[near] - centre)
    xy = xy + np.random.default_rng(0).normal(0, 0.2, xy.shape)
    width = measure(heads.tracks_of(xy), load())[0].values["mouth_width"]
    at_cuts = np.concatenate([width[cut - 3 : cut + 3] for cut in (60, 120, 180)])
    usual = np.nanmedian(width)
    assert np.abs(at_cuts - usual).max() < 0.05 * usual
