"""Further query frames: whose the detected faces are."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from known_points import tracks_at

from facetrack.corrections.placements import find_placements
from facetrack.corrections.resolve import Placement
from facetrack.errors import FacetrackError
from facetrack.multiface.detection import DetectedFace
from facetrack.tracks import Tracks
from facetrack.video.frame import Frame

SHAPE = np.array([(0.0, 0), (40, 0), (40, 40), (0, 40), (20, 20)])
FRAMES = 40
HERE, THERE, ELSEWHERE = (30.0, 30.0), (160.0, 40.0), (90.0, 160.0)


def tracks_of(
    *faces: tuple[tuple[float, float], range], first_frame: int = 0, stride: int = 1
) -> Tracks:
    """Tracks of faces that stay at a place, in some rows."""
    xy = np.full((FRAMES, len(faces), len(SHAPE), 2), np.nan, np.float32)
    for column, (place, rows) in enumerate(faces):
        xy[rows, column] = SHAPE + place
    return tracks_at(xy, "points-5", (320, 240), first_frame=first_frame, stride=stride)


def found(place: tuple[float, float], visible: np.ndarray | None = None) -> DetectedFace:
    return DetectedFace(np.zeros(4), SHAPE + place, np.ones(len(SHAPE)), visible)


class Video:
    """Frames, and the faces that are found in each."""

    video = Path("clip.mp4")

    def __init__(self, faces: dict[int, list[DetectedFace]]) -> None:
        self.faces, self.asked = faces, []

    def frame(self, index: int) -> Frame:
        return Frame(index, index / 25, np.full((2, 2, 3), index, np.uint8))

    def find(self, image: np.ndarray, max_faces: int | None, thorough: bool) -> list[DetectedFace]:
        index = int(image[0, 0, 0])
        self.asked.append((index, max_faces, thorough))
        return self.faces.get(index, [])[:max_faces]


def query(*places: tuple[float, float], frame: int = 0) -> SimpleNamespace:
    """The first query frame."""
    return SimpleNamespace(
        frame=SimpleNamespace(index=frame),
        placed=[SHAPE + place for place in places],
        visibilities=[None] * len(places),
    )


def find(tracks: Tracks, faces: dict[int, list[DetectedFace]], max_faces=None, first=None):
    video = Video(faces)
    query_frame = query(HERE) if first is None else first
    made = find_placements(tracks, query_frame, sorted(faces), video, video, max_faces)
    assert video.asked == [(frame, max_faces, True) for frame in sorted(faces)]
    return made


def owners(placements: list[Placement]) -> list[tuple[int, int, tuple[float, float]]]:
    """Row, face and place of each."""
    return [(p.row, p.face, (float(p.xy[0, 0]), float(p.xy[0, 1]))) for p in placements]


ALWAYS = range(FRAMES)


def test_the_first_query_frame_is_a_placement_too() -> None:
    assert owners(find(tracks_of((HERE, ALWAYS)), {})) == [(0, 0, HERE)]


def test_a_face_is_the_tracked_one_at_its_place() -> None:
    tracks = tracks_of((HERE, ALWAYS), (THERE, ALWAYS))
    near = (THERE[0] + 8, THERE[1] - 5)
    made = find(tracks, {20: [found(near), found(HERE)]}, first=query(HERE, THERE))
    assert owners(made) == [(0, 0, HERE), (0, 1, THERE), (20, 1, near), (20, 0, HERE)]
    assert made[2].xy.dtype == np.float32


def test_the_nearer_of_two_tracked_faces_is_chosen_and_none_twice() -> None:
    beside = (HERE[0] + 25, HERE[1])
    tracks = tracks_of((HERE, ALWAYS), (beside, ALWAYS))
    made = find(tracks, {20: [found((beside[0] - 5, beside[1])), found((HERE[0] + 15, HERE[1]))]})
    assert [(p.row, p.face) for p in made[1:]] == [(20, 1), (20, 0)]


def test_a_face_where_none_is_tracked_is_one_that_is_absent_or_new() -> None:
    tracks = tracks_of((HERE, ALWAYS), (THERE, range(10)))
    made = find(tracks, {20: [found(ELSEWHERE), found(HERE), found(THERE)]})
    assert [(p.row, p.face) for p in made[1:]] == [(20, 1), (20, 0), (20, 2)]


def test_two_new_faces_of_a_frame_have_numbers_of_their_own() -> None:
    made = find(tracks_of((HERE, ALWAYS)), {20: [found(THERE), found(ELSEWHERE)]})
    assert [(p.row, p.face) for p in made[1:]] == [(20, 1), (20, 2)]


def test_of_one_followed_face_another_person_is_not_taken() -> None:
    tracks = tracks_of((HERE, range(30)))
    assert owners(find(tracks, {20: [found(THERE)]}, max_faces=1)) == [(0, 0, HERE)]
    gone = find(tracks, {35: [found(THERE)]}, max_faces=1)
    assert owners(gone) == [(0, 0, HERE), (35, 0, THERE)], "it is not tracked there"


@pytest.mark.parametrize(
    ("probability", "hidden"), [(None, []), (np.array([1, 0.5, 0.49, 0, 1]), [2, 3])]
)
def test_landmarks_are_visible_where_nothing_covers_them(probability, hidden) -> None:
    made = find(tracks_of((HERE, ALWAYS)), {20: [found(HERE, probability)]})
    assert np.flatnonzero(~made[-1].visible).tolist() == hidden


def test_rows_are_those_of_the_tracked_frames() -> None:
    tracks = tracks_of((HERE, ALWAYS), first_frame=10, stride=5)
    made = find(tracks, {30: [found(HERE)]}, first=query(HERE, frame=15))
    assert [p.row for p in made] == [1, 4]


@pytest.mark.parametrize("frame", [31, 5, 240])
def test_frames_that_are_not_tracked_are_refused(frame: int) -> None:
    tracks = tracks_of((HERE, ALWAYS), first_frame=10, stride=5)
    with pytest.raises(FacetrackError, match=f"Frame {frame} is not among those tracked"):
        find(tracks, {frame: [found(HERE)]}, first=query(HERE, frame=10))


def test_a_frame_without_a_face_is_refused() -> None:
    with pytest.raises(FacetrackError, match=r"No face was found in frame 20 of clip\.mp4"):
        find(tracks_of((HERE, ALWAYS)), {20: []})
