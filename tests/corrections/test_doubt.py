"""Doubtful frames are found, ranked and named."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facetrack.corrections.doubt import (
    ABSENT,
    DISAGREEMENT,
    EVENT,
    EVENT_DOUBT,
    JUMP,
    LOW_CONFIDENCE,
    NEIGHBOURS,
    REASONS,
    SHAPE,
    Doubt,
    rank_doubts,
)
from facetrack.identity.shape_model import ShapeModel
from facetrack.tracks import Tracks

FRAMES = 200
MODEL = ShapeModel.load()
MOUTH = tuple(range(48, 68))


def tracks_of(faces: int = 1, frames: int = FRAMES, **changes: object) -> Tracks:
    """Faces of 80 px that wander and turn a little, with sure points."""
    t = np.arange(frames)
    turn = np.exp(0.1j * np.sin(t / 20))
    points = 80 * turn[:, None] * (MODEL.mean @ [1, 1j])
    xy = np.stack([points.real, points.imag], -1)
    xy = xy + np.stack([300 + 2.0 * t, 200 + 10 * np.sin(t / 9)], -1)[:, None]
    shape = (frames, faces, 68)
    values = {"first_frame": 0, "stride": 1, **changes}
    return Tracks(
        xy=np.repeat(xy[:, None], faces, axis=1).astype(np.float32),
        visible=np.ones(shape, bool),
        confidence=np.full(shape, 0.9, np.float32),
        time=t / 25,
        face_id=10 + np.arange(faces),
        scheme="68",
        size=(1280, 720),
        **values,
    )


def first(tracks: Tracks, *arguments: object, **options: object) -> Doubt:
    return rank_doubts(tracks, *arguments, **options)[0]


def test_nothing_is_doubted_on_a_face_that_moves_turns_and_is_sure() -> None:
    assert rank_doubts(tracks_of(2), shapes=MODEL) == []


# ---------------------------------------------------------------- each reason


def test_a_jump_is_found_with_its_points() -> None:
    tracks = tracks_of()
    tracks.xy[90, 0, MOUTH] += (12, 0)
    worst = first(tracks)
    assert (worst.frame, worst.face) == (90, 10)
    (reason,) = worst.reasons
    assert reason.kind == JUMP
    assert set(reason.points) <= set(MOUTH)
    assert len(reason.points) == 17, "a quarter of all points at most"
    assert reason.text == "17 points jumped from one frame to the next"


def test_points_that_stay_where_they_jumped_to_are_found_at_the_jump() -> None:
    tracks = tracks_of()
    tracks.xy[90:, 0, MOUTH] += (12, 0)
    assert first(tracks).frame in (89, 90)
    assert len(rank_doubts(tracks)) == 1


def test_the_motion_of_the_whole_face_is_no_jump() -> None:
    tracks = tracks_of()
    tracks.xy[90:] += (50, 30)
    assert rank_doubts(tracks) == []


@pytest.mark.parametrize("per_frame", [1.0, 4.0])
def test_an_even_motion_of_points_is_no_jump(per_frame: float) -> None:
    """A mouth that opens: only its beginning and end change speed."""
    tracks = tracks_of()
    opening = np.clip(np.arange(FRAMES) - 80, 0, 20) * per_frame
    tracks.xy[:, 0, MOUTH, 1] += opening[:, None].astype(np.float32)
    assert all(doubt.frame not in range(82, 99) for doubt in rank_doubts(tracks))


def test_low_confidence_is_found_with_its_points() -> None:
    tracks = tracks_of()
    tracks.confidence[120:130, 0, 3:9] = 0.1
    tracks.confidence[125, 0, 3:9] = 0.02
    worst = first(tracks)
    assert (worst.frame, worst.face) == (125, 10)
    assert worst.reasons[0].kind == LOW_CONFIDENCE
    assert sorted(worst.reasons[0].points) == list(range(3, 9))
    assert worst.reasons[0].text == "the tracker is not sure of 6 points"


def test_one_unsure_point_hardly_counts() -> None:
    tracks, more = tracks_of(), tracks_of()
    tracks.confidence[120, 0, 3] = 0
    more.confidence[120, 0, :20] = 0
    assert sum(d.doubt for d in rank_doubts(tracks)) < 0.25 < first(more).doubt


def test_points_that_hardly_look_like_a_face_are_found() -> None:
    tracks = tracks_of()
    tracks.xy[60:70, 0, 17:27, 1] += 60  # the brows on the cheeks, for a while
    worst = first(tracks, shapes=MODEL)
    assert worst.frame in range(60, 70)
    assert SHAPE in [reason.kind for reason in worst.reasons]
    assert all(SHAPE not in [r.kind for r in d.reasons] for d in rank_doubts(tracks))
    named = replace(tracks, scheme="points-68")
    assert all(SHAPE not in [r.kind for r in d.reasons] for d in rank_doubts(named, shapes=MODEL))


def test_disagreement_of_both_directions_is_found() -> None:
    tracks = tracks_of(2)
    disagreement = np.full((FRAMES, 2, 68), np.nan, np.float32)
    disagreement[50:150] = 0.005
    disagreement[100, 1, 36:42] = 0.2
    (worst,) = rank_doubts(tracks, disagreement=disagreement)
    assert (worst.frame, worst.face) == (100, 11)
    assert worst.reasons[0].kind == DISAGREEMENT
    assert set(worst.reasons[0].points) == set(range(36, 42))


def test_a_missing_face_is_found_where_it_goes() -> None:
    tracks = tracks_of(2)
    tracks.xy[40:60, 0] = np.nan
    tracks.visible[40:60, 0] = False
    tracks.confidence[40:60, 0] = 0
    tracks.xy[180:, 1] = np.nan  # it does not come back
    (worst,) = rank_doubts(tracks, shapes=MODEL)
    assert (worst.frame, worst.face) == (40, 10)
    assert [reason.kind for reason in worst.reasons] == [ABSENT]
    assert worst.reasons[0].text == "the face is missing for a while"


def test_events_are_found_by_what_they_mean() -> None:
    tracks = tracks_of(2, first_frame=100, stride=5)
    events = [
        {"frame": 100 + 5 * 30, "face_id": 10, "reason": "drift, found by the detector"},
        {"frame": 100 + 5 * 90, "face_id": 11, "reason": "found"},
        {"frame": 100 + 5 * 120, "face_id": 10, "reason": "never heard of"},
        {"frame": 100 + 5 * 500, "face_id": 10, "reason": "drift"},
        {"frame": 0, "face_id": 10, "reason": "drift"},
        {"frame": None, "face_id": 10, "reason": "drift"},
        {"frame": 200, "face_id": None, "reason": "cut"},
        {"frame": 200, "face_id": 77, "reason": "drift"},
    ]
    drift, found = rank_doubts(tracks, events)
    assert (drift.frame, drift.face, drift.doubt) == (250, 10, EVENT_DOUBT["drift"])
    assert (found.frame, found.face, found.doubt) == (550, 11, EVENT_DOUBT["found"])
    assert drift.reasons[0].kind == EVENT
    assert drift.reasons[0].text == "the points had drifted off and were placed again"


# ---------------------------------------------------------------- the list


def test_the_most_doubtful_frame_is_first() -> None:
    tracks = tracks_of(2)
    for frame, confidence in ((30, 0.4), (90, 0.05), (150, 0.2)):
        tracks.confidence[frame, 1] = confidence
    found = rank_doubts(tracks)
    assert [doubt.frame for doubt in found] == [90, 150, 30]
    assert all(a.doubt > b.doubt for a, b in itertools.pairwise(found))
    assert [d.frame for d in rank_doubts(tracks, limit=2)] == [90, 150]
    assert len(rank_doubts(tracks, limit=None)) == 3


def test_reasons_add_up_as_independent_ones() -> None:
    tracks = tracks_of()
    tracks.confidence[90] = 0.3
    events = [{"frame": 90, "face_id": 10, "reason": "lost"}]
    both = first(tracks, events)
    assert [reason.kind for reason in both.reasons] == [EVENT, LOW_CONFIDENCE]
    assert both.doubt == pytest.approx(1 - (1 - 0.6) * (1 - 0.5), abs=1e-3)


def test_neighbours_with_the_same_reason_are_one_entry() -> None:
    tracks = tracks_of()
    tracks.confidence[50:60] = 0.2
    tracks.confidence[55] = 0.1
    assert [doubt.frame for doubt in rank_doubts(tracks)] == [55]
    tracks.confidence[55 + NEIGHBOURS + 1] = 0.2
    tracks.xy[57, 0, MOUTH] += (20, 0)  # for another reason
    assert {doubt.frame for doubt in rank_doubts(tracks)} == {55, 57, 55 + NEIGHBOURS + 1}


def test_corrected_frames_are_no_longer_doubted() -> None:
    tracks = tracks_of(2)
    tracks.confidence[90] = 0.1
    corrected = np.zeros(tracks.visible.shape, bool)
    corrected[90, 0, 5] = True
    (left,) = rank_doubts(replace(tracks, corrected=corrected))
    assert (left.frame, left.face) == (90, 11)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 3))
def test_any_tracks_can_be_ranked(seed: int, frames: int, faces: int) -> None:
    """Faces and points may be missing anywhere."""
    random = np.random.default_rng(seed)
    tracks = tracks_of(faces, frames)
    tracks.xy[random.random((frames, faces)) < 0.3] = np.nan
    tracks.xy[random.random((frames, faces, 68)) < 0.2] = np.nan
    tracks.confidence[:] = random.random(tracks.confidence.shape)
    found = rank_doubts(tracks, shapes=MODEL)
    doubts = [doubt.doubt for doubt in found]
    assert doubts == sorted(doubts, reverse=True)
    for doubt in found:
        assert 0 < doubt.doubt <= 1
        assert doubt.reasons
        assert {reason.kind for reason in doubt.reasons} <= set(REASONS)
        assert 0 <= doubt.frame < frames
        for reason in doubt.reasons:
            assert 0.05 <= reason.doubt <= 1
            assert all(0 <= point < 68 for point in reason.points)
