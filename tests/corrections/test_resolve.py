"""Corrections of whole faces, and the sorting of corrected points, without any tracker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from known_points import tracks_at

from facetrack.corrections.correction import ABSENT, PERSON, START, Correction
from facetrack.corrections.resolve import Placement, resolve, segment_of, split_rows
from facetrack.errors import FacetrackError
from facetrack.tracks import Tracks

FRAMES, POINTS = 30, 4


def tracks_of(*present: Sequence[range], **changes: object) -> Tracks:
    """Tracks of a face per argument, in these rows; point n of face f is at (100 f + n, t)."""
    xy = np.full((FRAMES, len(present), POINTS, 2), np.nan, np.float32)
    for face, parts in enumerate(present):
        for rows in parts:
            for t in rows:
                xy[t, face] = [(100 * face + n, t) for n in range(POINTS)]
    return tracks_at(xy, f"points-{POINTS}", (640, 480), **changes)


def alone() -> Tracks:
    """One face in all frames."""
    return tracks_of([range(FRAMES)])


def pair() -> Tracks:
    """Two faces in all frames."""
    return tracks_of([range(FRAMES)], [range(FRAMES)])


def solve(tracks: Tracks, *corrections: Correction, splits=None, placements=()):
    return resolve(tracks, corrections, splits or split_rows(tracks, []), placements)


def points(frame: int, face: int = 0, count: int = POINTS) -> list[Correction]:
    return [Correction(frame, face, n, 10 + n, 20) for n in range(count)]


def owners(tracks: Tracks, face: int) -> list[int | None]:
    """By row, the face that the points of a face_id once belonged to; None where it is absent."""
    x = tracks.xy[:, tracks.face_id.tolist().index(face), 0, 0]
    return [None if np.isnan(value) else int(value) // 100 for value in x]


# ---------------------------------------------------------------- points


def test_corrected_points_are_sorted_by_face_and_row() -> None:
    tracks = tracks_of([range(FRAMES)], [range(FRAMES)], first_frame=100, stride=5)
    found = solve(
        tracks,
        Correction(110, 1, 3, 1, 2),
        Correction(105, 1, 0, 3, 4, hidden=True),
        Correction(110, 1, 2, 5, 6),
        Correction(110, 0, START),
    )
    assert found.warnings == []
    assert sorted(found.edits) == [0, 1]
    assert list(found.edits[1]) == [1, 2], "in order of rows"
    assert found.edits[1][2].points == {3: (1, 2), 2: (5, 6)}
    assert found.edits[1][2].hidden == set()
    assert found.edits[1][1].hidden == {0}
    assert not found.edits[1][1].is_start
    assert found.edits[0][2].is_start
    target = found.edits[1][2].target(POINTS)
    np.testing.assert_array_equal(target, [[np.nan] * 2, [np.nan] * 2, [5, 6], [1, 2]])
    np.testing.assert_array_equal(found.tracks.xy, tracks.xy)


def test_a_point_that_comes_to_light_is_no_longer_hidden() -> None:
    hidden, seen = Correction(3, 0, 2, 1, 1, hidden=True), Correction(3, 0, 2, 1, 1)
    assert solve(alone(), hidden).edits[0][3].hidden == {2}
    assert solve(alone(), hidden, seen).edits[0][3].hidden == set()


@pytest.mark.parametrize("frame", [99, 101, 250, 0])
def test_frames_that_are_not_tracked_are_said_once(frame: int) -> None:
    tracks = tracks_of([range(FRAMES)], first_frame=100, stride=5)
    found = solve(tracks, *points(frame))
    assert found.edits == {}
    assert found.warnings == [f"Frame {frame} of a correction is not among those tracked."]


def test_a_point_of_another_layout_is_refused() -> None:
    with pytest.raises(FacetrackError, match="names point 4, and the tracks have 4"):
        solve(alone(), Correction(3, 0, POINTS, 1, 1))


def test_tracks_given_are_left_alone() -> None:
    tracks = pair()
    before = tracks.xy.copy()
    solve(tracks, Correction(5, 0, PERSON, 1), Correction(9, 1, ABSENT), *points(3))
    np.testing.assert_array_equal(tracks.xy, before)
    assert tracks.visible.all()


# ---------------------------------------------------------------- where no face is


def test_few_points_start_no_face() -> None:
    tracks = tracks_of([range(10)])
    found = solve(tracks, *points(15, count=2))
    assert found.edits == {}
    (warning,) = found.warnings
    assert warning.startswith("Face 0 is not tracked in frame 15: correct at least 3 of its points")


def test_three_points_start_a_face_where_it_is_absent() -> None:
    found = solve(tracks_of([range(10)]), *points(15, count=3))
    assert found.warnings == []
    assert found.edits[0][15].is_start
    assert not solve(alone(), *points(15, count=3)).edits[0][15].is_start


def test_a_new_face_is_added_with_the_cuts_of_the_others() -> None:
    tracks = pair()
    events = [
        {"frame": 12, "reason": "cut", "face_id": None},
        {"frame": 20, "reason": "returned", "face_id": 0},
    ]
    found = solve(tracks, *points(15, face=7), splits=split_rows(tracks, events))
    assert found.tracks.face_id.tolist() == [0, 1, 7]
    assert np.isnan(found.tracks.xy[:, 2]).all()
    assert found.splits[7] == {12}
    assert found.splits[0] == {12, 20}
    assert found.edits[7][15].is_start


# ---------------------------------------------------------------- persons


def test_from_a_frame_on_two_faces_change_over() -> None:
    found = solve(pair(), Correction(12, 0, PERSON, 1))
    assert owners(found.tracks, 0) == [0] * 12 + [1] * 18
    assert owners(found.tracks, 1) == [1] * 12 + [0] * 18
    assert found.splits == {0: {12, 30}, 1: {12, 30}}


def test_faces_change_over_to_the_end_of_the_track_only() -> None:
    tracks = tracks_of([range(18), range(22, 30)], [range(FRAMES)])
    found = solve(tracks, Correction(12, 0, PERSON, 1)).tracks
    assert owners(found, 0) == [0] * 12 + [1] * 6 + [None] * 4 + [0] * 8
    assert owners(found, 1) == [1] * 12 + [0] * 6 + [1] * 12
    cut = solve(pair(), Correction(12, 0, PERSON, 1), splits={0: {20}, 1: set()}).tracks
    assert owners(cut, 0) == [0] * 12 + [1] * 8 + [0] * 10


def test_a_face_is_a_person_who_was_never_seen() -> None:
    found = solve(alone(), Correction(12, 0, PERSON, 5))
    assert found.tracks.face_id.tolist() == [0, 5]
    assert owners(found.tracks, 0) == [0] * 12 + [None] * 18
    assert owners(found.tracks, 5) == [None] * 12 + [0] * 18
    assert not found.tracks.visible[12:, 0].any()
    assert (found.tracks.confidence[:12, 1] == 0).all()


def test_who_is_already_that_person_stays() -> None:
    found = solve(pair(), Correction(12, 0, PERSON, 0))
    np.testing.assert_array_equal(found.tracks.xy, pair().xy)
    assert found.splits == {0: set(), 1: set()}


def test_changing_over_twice_is_as_it_was() -> None:
    found = solve(pair(), Correction(12, 0, PERSON, 1), Correction(20, 0, PERSON, 1)).tracks
    assert owners(found, 0) == [0] * 12 + [1] * 8 + [0] * 10
    assert owners(found, 1) == [1] * 12 + [0] * 8 + [1] * 10


def test_corrected_points_go_with_their_face_as_it_was_called_then() -> None:
    rename = Correction(12, 0, PERSON, 1)
    before = solve(pair(), *points(15, face=0), *points(5, face=0), rename)
    assert {face: list(rows) for face, rows in before.edits.items()} == {0: [5], 1: [15]}
    after = solve(pair(), rename, *points(15, face=0))
    assert {face: list(rows) for face, rows in after.edits.items()} == {0: [15]}
    both = solve(pair(), Correction(15, 0, 0, 1, 1), Correction(15, 1, 0, 2, 2), rename)
    assert both.edits[0][15].points == {0: (2, 2)}
    assert both.edits[1][15].points == {0: (1, 1)}


# ---------------------------------------------------------------- absences


@pytest.mark.parametrize(
    ("end", "others", "rows"),
    [
        (None, (), range(10, 30)),
        (14, (), range(10, 15)),
        (99, (), range(10, 30)),
        (None, points(20), range(10, 20)),
        (14, points(20), range(10, 15)),
        (10, (), range(10, 11)),
    ],
)
def test_where_there_is_no_such_face(
    end: int | None, others: list[Correction], rows: range
) -> None:
    found = solve(alone(), Correction(10, 0, ABSENT, end), *others)
    assert [t for t, owner in enumerate(owners(found.tracks, 0)) if owner is None] == list(rows)
    assert not found.tracks.visible[rows, 0].any()
    assert (found.tracks.confidence[rows, 0] == 0).all()
    assert list(found.edits.get(0, {})) == [row.frame for row in others[:1]]


def test_a_face_is_absent_to_the_end_of_its_track_or_shot() -> None:
    tracks = tracks_of([range(18), range(22, 30)])
    found = solve(tracks, Correction(10, 0, ABSENT))
    assert owners(found.tracks, 0) == [0] * 10 + [None] * 12 + [0] * 8
    cut = solve(alone(), Correction(10, 0, ABSENT), splits={0: {20}})
    assert owners(cut.tracks, 0) == [0] * 10 + [None] * 10 + [0] * 10


def test_points_where_the_face_is_absent_do_not_count_unless_they_start_it() -> None:
    absent = Correction(10, 0, ABSENT, 20)
    assert 15 not in solve(alone(), *points(15), *points(5), absent).edits[0]
    started = solve(alone(), *points(15), Correction(15, 0, START), absent)
    assert started.edits[0][15].is_start
    assert started.edits[0][15].points[2] == (12, 20)


def test_points_that_do_not_count_where_the_face_is_absent_are_said() -> None:
    absent = Correction(10, 0, ABSENT, 20)
    (warning,) = solve(alone(), *points(15), *points(5), absent).warnings
    assert warning == (
        "Corrected points of face 0 in frame 15 do not count: another correction says that the "
        "face is not there."
    )
    rows = [row for t in (19, 11, 12, 13, 21, 15) for row in points(t)]
    (warning,) = solve(alone(), absent, *rows).warnings
    assert "points of face 0 in frames 11 to 13, 15, 19 do not count" in warning
    here = Correction(3, 1, ABSENT)
    (warning,) = solve(pair(), absent, *points(12), *points(3, face=1), here).warnings
    assert "of face 0 in frame 12 and of face 1 in frame 3 do not count" in warning
    started = [*points(15), Correction(15, 0, START)]
    for others in ([], points(9), points(21), started, points(15, face=1)):
        assert solve(pair(), absent, *others).warnings == []


def test_a_long_list_of_frames_is_cut() -> None:
    absent = Correction(1, 0, ABSENT, 29)
    rows = [row for t in range(1, 30, 2) for row in points(t)]
    (warning,) = solve(alone(), absent, *rows).warnings
    assert "in frames 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23 and 3 more do not count" in warning


def test_an_absence_goes_with_its_face_as_it_was_called_then() -> None:
    """Made before the change, it concerns the other name; made after it, this one."""
    absent, rename = Correction(15, 0, ABSENT, 17), Correction(12, 0, PERSON, 1)
    before = solve(pair(), absent, rename).tracks
    assert owners(before, 0) == [0] * 12 + [1] * 18
    assert owners(before, 1) == [1] * 12 + [0] * 3 + [None] * 3 + [0] * 12
    after = solve(pair(), rename, absent).tracks
    assert owners(after, 0) == [0] * 12 + [1] * 3 + [None] * 3 + [1] * 12
    assert owners(after, 1) == [1] * 12 + [0] * 18
    of_other = solve(pair(), replace(absent, face=1), rename).tracks
    assert owners(of_other, 0) == [0] * 12 + [1] * 3 + [None] * 3 + [1] * 12


def test_an_absence_is_parted_where_its_face_gets_another_name() -> None:
    tracks = tracks_of([range(20), range(22, 30)], [range(FRAMES)])
    absent = Correction(10, 0, ABSENT, 25)
    found = solve(tracks, absent, Correction(12, 0, PERSON, 1)).tracks
    assert owners(found, 0) == [0] * 10 + [None] * 2 + [1] * 8 + [None] * 6 + [0] * 4
    assert owners(found, 1) == [1] * 12 + [None] * 8 + [1] * 10
    open_end = solve(pair(), Correction(15, 0, ABSENT), Correction(12, 0, PERSON, 1)).tracks
    assert owners(open_end, 0) == [0] * 12 + [1] * 18
    assert owners(open_end, 1) == [1] * 12 + [0] * 3 + [None] * 15


# ---------------------------------------------------------------- placements


def test_what_a_detector_placed_starts_a_face() -> None:
    xy = np.arange(2.0 * POINTS).reshape(POINTS, 2)
    placement = Placement(15, 3, xy, np.ones(POINTS, bool))
    found = solve(alone(), placements=[placement])
    assert found.tracks.face_id.tolist() == [0, 3]
    assert found.edits[3][15].placement is placement
    assert found.edits[3][15].is_start
    corrected = solve(alone(), Correction(15, 3, 1, 9, 9), placements=[placement])
    assert corrected.warnings == [], "no three points are needed"
    assert corrected.edits[3][15].points == {1: (9, 9)}


# ---------------------------------------------------------------- splits


def test_tracks_begin_anew_at_these_events() -> None:
    tracks = tracks_of([range(FRAMES)], [range(FRAMES)], first_frame=100, stride=5)
    events = [
        {"frame": 110, "face_id": 0, "reason": "found"},
        {"frame": 120, "face_id": 1, "reason": "returned, by its appearance"},
        {"frame": 130, "face_id": 0, "reason": "other person"},
        {"frame": 140, "face_id": None, "reason": "cut"},
        {"frame": 150, "face_id": 1, "reason": "found, on the way back"},
        {"frame": 160, "face_id": 0, "reason": "drift"},
        {"frame": 170, "face_id": 9, "reason": "found"},
        {"frame": None, "face_id": 0, "reason": "found"},
        {"face_id": 0},
    ]
    assert split_rows(tracks, events) == {0: {2, 6, 8}, 1: {4, 8, 11}}


@given(
    present=st.lists(st.booleans(), min_size=1, max_size=30),
    splits=st.sets(st.integers(-3, 33)),
)
def test_segments_part_the_rows(present: list[bool], splits: set[int]) -> None:
    """Each row lies in one; within it the face is there or not, and no track begins."""
    here = np.array(present)
    for row in range(len(here)):
        first, last = segment_of(here, splits, row)
        assert 0 <= first <= row <= last < len(here)
        assert (here[first : last + 1] == here[row]).all()
        assert not splits & set(range(first + 1, last + 1))
        assert {segment_of(here, splits, other) for other in (first, last)} == {(first, last)}
        if last + 1 < len(here):
            assert here[last + 1] != here[row] or last + 1 in splits
