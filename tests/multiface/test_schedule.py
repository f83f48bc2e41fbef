"""Test the schedule of detections."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from facetrack.multiface.face_track import FaceTrack, RedetectPolicy
from facetrack.multiface.schedule import (
    DOUBT_INTERVAL_S,
    HALF_HIDDEN_INTERVAL_S,
    MAX_INTERVAL_S,
    MIN_INTERVAL_S,
    DetectionSchedule,
)
from facetrack.video.frame import Frame

SQUARE = np.float32([[0, 0], [10, 0], [0, 10], [10, 10]])


def face(share: float = 1.0, x: float = 0.0) -> FaceTrack:
    """Create a track of which a share of the four points is visible."""
    return FaceTrack(0, None, xy=SQUARE + [x, 0], visible=np.arange(4) < share * 4)


def frame(time: float) -> Frame:
    return Frame(round(time * 20), time, np.zeros((1, 1, 3), np.uint8))


def interval(schedule: DetectionSchedule, faces: list[FaceTrack], since: float = 0.0) -> float:
    """Return the seconds from `since` to the frame in which a detection is due."""
    times = since + np.arange(1, 200) * 0.05
    return next(t for t in times if schedule.is_due(frame(t), faces)) - since


@pytest.fixture
def schedule() -> DetectionSchedule:
    schedule = DetectionSchedule(RedetectPolicy(faces=1))
    schedule.start(frame(0.0))
    return schedule


def test_interval_doubles_while_detections_confirm(schedule: DetectionSchedule) -> None:
    now, intervals = 0.0, []
    for _ in range(4):
        intervals.append(interval(schedule, [face()], now))
        now += intervals[-1]
        schedule.update(frame(now), confirmed=True)
    expected = [MIN_INTERVAL_S, 2 * MIN_INTERVAL_S, MAX_INTERVAL_S, MAX_INTERVAL_S]
    assert intervals == pytest.approx(expected)


def test_interval_is_short_after_a_doubt(schedule: DetectionSchedule) -> None:
    schedule.update(frame(0.0), confirmed=False)
    assert interval(schedule, [face()]) == pytest.approx(DOUBT_INTERVAL_S)


@pytest.mark.parametrize(
    ("faces", "expected"),
    [
        ([face(0.25)], HALF_HIDDEN_INTERVAL_S),
        ([face(0.0)], DOUBT_INTERVAL_S),
        ([face(), face(x=5)], DOUBT_INTERVAL_S),
        ([face(), face(x=50)], MIN_INTERVAL_S),
    ],
    ids=["half hidden", "hidden", "overlapping", "apart"],
)
def test_interval_depends_on_the_faces(
    schedule: DetectionSchedule, faces: list[FaceTrack], expected: float
) -> None:
    assert interval(schedule, faces) == pytest.approx(expected)


def test_a_head_in_a_new_view_is_looked_at_soon(schedule: DetectionSchedule) -> None:
    turned, moved, back = face(), face(), face()
    wide = SQUARE * np.float32([0.8, 1])
    turned.xy, turned.checked = wide, deque([SQUARE])
    moved.xy, moved.checked = SQUARE[:, ::-1] * np.float32([-3, 3]) + 70, deque([SQUARE])
    back.xy, back.checked = SQUARE, deque([SQUARE, wide])
    assert interval(schedule, [turned]) == pytest.approx(HALF_HIDDEN_INTERVAL_S)
    assert interval(schedule, [moved]) == pytest.approx(MIN_INTERVAL_S)
    assert interval(schedule, [back]) == pytest.approx(MIN_INTERVAL_S)


def test_a_claim_of_the_tracker_is_checked_at_once(schedule: DetectionSchedule) -> None:
    claimed = face()
    claimed.claimed_back_row = 0
    assert schedule.is_due(frame(0.05), [claimed])


def test_interval_in_frames() -> None:
    schedule = DetectionSchedule(RedetectPolicy(every=7))
    schedule.start(frame(0.0))
    assert interval(schedule, [face()]) == pytest.approx(7 / 20)


def test_a_lost_face_is_looked_for_whatever_the_interval() -> None:
    schedule = DetectionSchedule(RedetectPolicy(every=500))
    schedule.start(frame(0.0))
    assert interval(schedule, [face(), face(0.0)]) == pytest.approx(DOUBT_INTERVAL_S)


def test_a_search_begins_the_intervals_anew(schedule: DetectionSchedule) -> None:
    for _ in range(3):
        schedule.update(frame(0.0), confirmed=True)
    schedule.restart(frame(0.0))
    assert interval(schedule, [face()]) == pytest.approx(DOUBT_INTERVAL_S)
    schedule.update(frame(0.0), confirmed=True)
    assert interval(schedule, [face()]) == pytest.approx(MIN_INTERVAL_S)
