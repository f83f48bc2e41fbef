"""Test the tracking of several faces in a simulated world whose faces have five points each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from stepping import step_through

from facetrack.identity.verifier import UNKNOWN_PERSON
from facetrack.multiface.appearance import AppearanceMonitor
from facetrack.multiface.association import RECOGNITION_VALID_S
from facetrack.multiface.clip import Clip
from facetrack.multiface.detection import DetectedFace
from facetrack.multiface.face_track import RedetectPolicy
from facetrack.multiface.face_tracker import GONE_KEPT_S, MAX_MISSES, MultiFaceTracker
from facetrack.multiface.schedule import DOUBT_INTERVAL_S, MAX_INTERVAL_S, MIN_INTERVAL_S
from facetrack.pipeline.chunking import CHUNK_FRAMES, Chunker
from facetrack.trackers import PointTracker, StepResult
from facetrack.video.frame import Frame

FPS = 10.0
SHAPE = np.array([[0, 0], [20, 0], [10, 10], [2, 20], [18, 20]], np.float32)


@dataclass
class World:
    """What a video shows, and what detector and tracker make of it, as functions of the frame.

    Attributes:
        people: centre of each person's face by frame; None where the person is absent.
        detected: whether the face detector finds a person in a frame.
        tracked: the tracker's offset in pixels from the truth, and the share of points that it
            sees (True: all), by person, frame in which it was started, and frame.
        covered: which points of a person something covers in a frame. A tracker that was started
            there leaves them where they were.
        cuts: first frames of shots.
        detected_in: frames in which faces were detected, in order.
        turned_in: those of them that were searched in all turns.
        starts: frames in which the tracker was started, and on whom.
    """

    people: dict[str, Callable[[int], tuple[float, float] | None]]
    detected: Callable[[str, int], bool] = lambda person, frame: True
    tracked: Callable[[str, int, int], tuple[float, float]] = lambda person, start, frame: (
        0.0,
        True,
    )
    covered: Callable[[str, int], np.ndarray] = lambda person, frame: np.zeros(5, bool)
    cuts: set[int] = field(default_factory=set)
    detected_in: list[int] = field(default_factory=list)
    turned_in: list[int] = field(default_factory=list)
    starts: list[tuple[int, str]] = field(default_factory=list)

    def points(self, person: str, frame: int) -> np.ndarray | None:
        middle = self.people[person](frame)
        return None if middle is None else SHAPE + np.float32(middle)

    def nearest(self, xy: np.ndarray, frame: int) -> str | None:
        """Return whose face the points are on."""
        for person in self.people:
            points = self.points(person, frame)
            if points is not None and np.abs(points - xy).mean() < 5:
                return person
        return None


def _number(image: np.ndarray) -> int:
    return int(image[0, 0, 0]) * 256 + int(image[0, 0, 1])


def _frame(index: int) -> Frame:
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 0, :2] = divmod(index, 256)
    return Frame(index, index / FPS, image)


class FakeLandmarker:
    def __init__(self, world: World) -> None:
        self.world = world

    def find(
        self, image: np.ndarray, max_faces: Any = None, thorough: bool = False, **rolls: Any
    ) -> list[DetectedFace]:
        frame = _number(image)
        self.world.detected_in.append(frame)
        if rolls.get("any_roll"):
            self.world.turned_in.append(frame)
        found = []
        for person in self.world.people:
            xy = self.world.points(person, frame)
            if xy is not None and self.world.detected(person, frame):
                box = np.concatenate([xy.min(0), xy.max(0)])
                score = np.linspace(0.8, 0.9, 5, dtype=np.float32)
                visible = np.where(self.world.covered(person, frame), 0.1, 0.9)
                found.append(DetectedFace(box, xy, score, visible))
        return found[:max_faces]

    def place(self, image: np.ndarray, box: np.ndarray) -> DetectedFace | None:
        return None


@dataclass
class FakeState:
    person: str | None
    start: int
    last: np.ndarray


class FakeTracker(PointTracker):
    """Tracker that follows the person it was started on, and sees no points of absent people."""

    name, window = "fake", None

    def __init__(self, world: World) -> None:
        self.world = world

    def start(self, frame: np.ndarray, points: np.ndarray) -> FakeState:
        number = _number(frame)
        person = self.world.nearest(points, number)
        self.world.starts.append((number, person or "nobody"))
        return FakeState(person, number, points)

    def step(self, state: FakeState, frames: np.ndarray) -> StepResult:
        xy, seen = [], []
        for image in frames:
            number = _number(image)
            points = None if state.person is None else self.world.points(state.person, number)
            off, visible = (0.0, False)
            if points is not None:
                assert state.person is not None
                off, visible = self.world.tracked(state.person, state.start, number)
                state.last = points
            xy.append(state.last + np.float32(off))
            if state.person is not None:
                start = self.world.points(state.person, state.start)
                left = self.world.covered(state.person, state.start)
                xy[-1] = xy[-1] if start is None else np.where(left[:, None], start, xy[-1])
            seen.append(np.arange(len(SHAPE)) < visible * len(SHAPE))
        confidence = np.ones((len(frames), len(SHAPE)), np.float32)
        return StepResult(np.array(xy), np.array(seen), confidence)

    def describe(self) -> dict[str, Any]:
        return {}


class FakeVerifier:
    """Verifier whose descriptors are names.

    Attributes:
        names: names enrolled for each face_id.
        error_of: shape error of points.
        blind: whether it cannot describe any face.
        described: frames in which it was asked for a descriptor.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.names: dict[int, set[str]] = {}
        self.error_of: Callable[[np.ndarray], float] = lambda xy: 0.0
        self.blind = False
        self.described: list[int] = []

    def shape_error(self, xy: np.ndarray, visible: np.ndarray | None = None) -> float:
        return self.error_of(xy)

    def describe(self, image: np.ndarray, xy: np.ndarray) -> Any:
        self.described.append(_number(image))
        return None if self.blind else self.world.nearest(xy, _number(image))

    def enroll(self, face_id: int, descriptor: Any) -> None:
        if descriptor is not None:
            self.names.setdefault(face_id, set()).add(descriptor)

    def enroll_face(self, face_id: int, image: np.ndarray, xy: np.ndarray) -> None:
        self.enroll(face_id, self.describe(image, xy))

    def identify(self, descriptor: Any, among: Any) -> int | None:
        return next((i for i in sorted(among) if descriptor in self.names.get(i, ())), None)

    def identify_other(self, face_id: int, descriptor: Any) -> int | None:
        if descriptor is None or face_id not in self.names or descriptor in self.names[face_id]:
            return None
        other = self.identify(descriptor, self.names)
        return UNKNOWN_PERSON if other is None else other


class FakeCutDetector:
    """Cut detector that knows the world's cuts."""

    def __init__(self, world: World) -> None:
        self.world = world

    def is_cut(self, image: np.ndarray) -> bool:
        return _number(image) in self.world.cuts


class Run:
    """Track a world's frames.

    Args:
        world: the world.
        frames: number of frames.
        policy: of detections; by default one face, at intervals in seconds.
        verifier: by default a `FakeVerifier`.
        redetect: whether faces are detected again.
        begin: people person are tracked from the first frame on.

    Attributes:
        tracker: the tracker under test.
        rows: one row for each frame.
    """

    def __init__(
        self,
        world: World,
        frames: int,
        policy: RedetectPolicy | None = None,
        verifier: FakeVerifier | None = None,
        redetect: bool = True,
        begin: tuple[str, ...] = ("ann",),
    ) -> None:
        tracker: Any = FakeTracker(world)
        landmarker: Any = FakeLandmarker(world) if redetect else None
        fake_verifier: Any = (verifier or FakeVerifier(world)) if redetect else None
        self.tracker = MultiFaceTracker(
            tracker, landmarker, fake_verifier, policy or RedetectPolicy()
        )
        self.tracker.begin(
            _frame(0),
            [world.points(person, 0) for person in begin],  # type: ignore[misc]
            [np.where(world.covered(person, 0), 0.1, 0.9) for person in begin],
        )
        self.rows: list[dict[int, Any]] = []
        clips = Chunker(self.tracker, FakeCutDetector(world) if redetect else None, None)  # type: ignore[arg-type]
        for clip in step_through(clips, map(_frame, range(frames))):
            self.rows += clip.rows

    def known(self, face_id: int) -> list[int]:
        """Return the frames in which a face has points."""
        return [
            i
            for i, row in enumerate(self.rows)
            if face_id in row and np.isfinite(row[face_id][0]).all()
        ]

    def xy(self, face_id: int, frame: int) -> np.ndarray:
        """Return a face's points (5, 2) in a frame."""
        xy: np.ndarray = self.rows[frame][face_id][0]
        return xy

    @property
    def events(self) -> list[tuple[int, int, str]]:
        """Frame, face_id and reason of each event."""
        return [(e.frame, e.face_id, e.reason) for e in self.tracker.events]


def _still(x: float, y: float = 50.0) -> Callable[[int], tuple[float, float]]:
    return lambda frame: (x, y)


def change_appearance(monkeypatch: pytest.MonkeyPatch, frame: int) -> None:
    """Make every face's surroundings change in one frame."""
    monkeypatch.setattr(
        AppearanceMonitor,
        "first_change",
        lambda self, images, xy: next(
            (k for k, image in enumerate(images) if _number(image) == frame), None
        ),
    )


def test_covered_points_are_taken_up_where_they_are_seen() -> None:
    hand = np.array([False, False, False, True, True])
    world = World(
        {"ann": lambda frame: (50 + frame, 50)},
        covered=lambda person, frame: hand & (frame < 30),
    )
    run = Run(world, 80)
    assert [(face, reason) for _, face, reason in run.events] == [(0, "uncovered")]
    taken = run.events[0][0]
    assert 30 <= taken < 30 + 2 * FPS
    for frame, row in enumerate(run.rows):
        xy, visible, confidence = row[0]
        assert np.abs(xy - world.points("ann", frame)).max() < 0.01
        assert visible[:3].all()
        assert (confidence[3:] < 0.5).all() == (not visible[3:].any())
    seen = [bool(row[0][1][3:].all()) for row in run.rows]
    # Back to the first frame of the clip in which they were taken up.
    first = seen.index(True)
    assert taken - CHUNK_FRAMES < first <= taken
    assert all(seen[first:])


def test_intervals_grow_while_detections_confirm_the_tracker() -> None:
    world = World({"ann": lambda frame: (50 + frame, 50)})
    run = Run(world, 200)
    assert run.events == []
    assert run.known(0) == list(range(200))
    # The interval doubles from one second on.
    gaps = np.diff([0, *world.detected_in]) / FPS
    assert gaps[0] == pytest.approx(MIN_INTERVAL_S, abs=0.8)
    assert gaps[-1] == pytest.approx(MAX_INTERVAL_S, abs=0.8)


def test_policy_of_every_n_frames_detects_every_n_frames() -> None:
    world = World({"ann": _still(50)})
    Run(world, 160, RedetectPolicy(every=16))
    assert (np.diff(world.detected_in) == 16).all()


def test_without_landmarker_nothing_is_detected() -> None:
    world = World({"ann": lambda f: None if 20 <= f < 60 else (50, 50)}, cuts={30})
    run = Run(world, 100, redetect=False)
    assert world.detected_in == []
    # The face counts as gone after it has not been seen for a second.
    assert run.known(0) == [*range(29), *range(60, 100)]
    assert [(f, r) for f, _, r in run.events] == [(29, "lost"), (60, "seen again")]


def test_a_cut_ends_a_track_at_once() -> None:
    world = World({"ann": lambda f: (50, 50) if f < 21 else None}, cuts={21})
    run = Run(world, 60)
    assert run.known(0) == list(range(21))
    assert run.events == [(21, 0, "cut")]


def test_a_person_keeps_the_face_id_after_a_cut() -> None:
    world = World({"ann": lambda f: (50, 50) if f < 21 else (300, 80)}, cuts={21})
    run = Run(world, 60)
    assert run.known(0) == list(range(60))
    assert [r for _, _, r in run.events] == ["cut", "returned"]
    np.testing.assert_allclose(run.xy(0, 21), SHAPE + [300, 80])


def test_another_person_after_a_cut_gets_another_face_id() -> None:
    people = {
        "ann": lambda f: (50, 50) if f < 21 or f >= 40 else None,
        "bob": lambda f: (60, 50) if 21 <= f < 40 else None,
    }
    run = Run(World(people, cuts={21, 40}), 60)  # type: ignore[arg-type]
    assert run.known(0) == [*range(21), *range(40, 60)]
    assert run.known(1) == list(range(21, 40))


def test_one_face_is_tracked_by_default() -> None:
    world = World({"ann": _still(50), "bob": _still(300)})
    run = Run(world, 100)
    assert all(set(row) == {0} for row in run.rows)


def test_a_search_finds_the_first_frame_of_a_face() -> None:
    world = World({"ann": lambda f: (50, 50) if f < 10 or f >= 37 else None}, cuts={10})
    run = Run(world, 60)
    assert run.known(0) == [*range(10), *range(37, 60)]
    assert (37, 0, "returned") in run.events


def test_all_turns_are_searched_now_and_then_while_no_face_is_there() -> None:
    world = World({"ann": lambda f: (50, 50) if f < 10 or f >= 110 else None}, cuts={10})
    Run(world, 200)
    assert [frame // 25 for frame in world.turned_in] == [1, 2, 3, 4]
    assert len(world.detected_in) > 3 * len(world.turned_in)


def test_a_lost_face_is_detected_when_it_returns() -> None:
    world = World(
        {"ann": lambda f: None if 20 <= f < 120 else (50, 50)},
        tracked=lambda person, start, f: (0.0, f < 20 or start >= 100),
    )
    run = Run(world, 160)
    assert run.known(0)[:29] == list(range(29))
    assert 29 not in run.known(0)
    assert run.known(0)[-1] == 159
    assert [r for _, _, r in run.events] == ["lost", "returned"]
    assert run.known(0)[29] <= 120 + 8


def test_a_claim_without_a_detection_is_refuted() -> None:
    """The tracker loses the face, and 30 frames later sees it where no face is detected."""
    world = World(
        {"ann": _still(50)},
        detected=lambda person, f: f < 20,
        tracked=lambda person, start, f: (0.0, f < 20 or f >= 50),
    )
    run = Run(world, 80)
    assert run.known(0) == list(range(29))


def test_a_claim_with_a_detection_is_confirmed() -> None:
    world = World(
        {"ann": _still(50)},
        detected=lambda person, f: not 15 <= f < 48,
        tracked=lambda person, start, f: (0.0, not 20 <= f < 50),
    )
    run = Run(world, 100)
    assert run.events == [(29, 0, "lost"), (55, 0, "seen again")]
    assert run.known(0) == [*range(29), *range(50, 100)]
    assert len(world.starts) == 1


def test_a_claim_on_another_persons_face_is_refuted() -> None:
    """The tracker finds a lost face's points on another person's face."""
    people = {
        "ann": lambda f: (50, 50) if f < 20 else None,
        "bob": lambda f: (250, 50) if f >= 30 else None,
    }
    world = World(people)  # type: ignore[arg-type]
    original_step = FakeTracker.step

    class SwitchingTracker(FakeTracker):
        def step(self, state: FakeState, frames: np.ndarray) -> StepResult:
            if state.person == "ann" and _number(frames[0]) >= 40:
                state.person = "bob"
            return original_step(self, state, frames)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{__name__}.FakeTracker", SwitchingTracker)
        run = Run(world, 80)
    assert max(run.known(0)) < 30
    assert run.known(1)


def test_another_person_at_the_same_place_is_noticed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bob takes Ann's place in frame 13, and the tracker stays at that place."""
    change_appearance(monkeypatch, 13)
    world = World(
        {
            "ann": lambda f: (50, 50) if f < 13 else None,
            "bob": lambda f: None if f < 13 else (50, 50),
        }
    )
    world.tracked = lambda person, start, f: (0.0, True)
    run = Run(world, 32)
    assert run.events == [(15, 0, "other person"), (15, 1, "found")]
    assert run.known(0) == list(range(13))
    assert run.known(1) == list(range(13, 32))
    assert [len(row) for row in run.rows] == [1] * 32


def test_a_restarted_track_has_a_new_appearance_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture around the old points must not count as a change."""
    watched: dict[int, list[int]] = {}

    def first_change(self: AppearanceMonitor, images: Any, xy: np.ndarray) -> None:
        watched.setdefault(id(self), []).extend(map(_number, images))

    monkeypatch.setattr(AppearanceMonitor, "first_change", first_change)
    world = World(
        {"ann": _still(50)}, tracked=lambda person, start, f: (8.0 if start == 0 else 0.0, True)
    )
    ((frame, _, reason),) = Run(world, 60).events
    assert reason == "drift"
    before, after = watched.values()
    assert before[-1] >= frame == after[0]


def test_two_detections_correct_drift() -> None:
    world = World(
        {"ann": _still(50)}, tracked=lambda person, start, f: (8.0 if start == 0 else 0.0, True)
    )
    run = Run(world, 60)
    (frame, _, reason), *rest = run.events
    assert (reason, rest) == ("drift", [])
    first, second = world.detected_in[:2]
    assert frame == second
    assert (second - first) / FPS == pytest.approx(DOUBT_INTERVAL_S, abs=0.8)
    # Corrected back to the first frame of the clip at whose end the drift was noticed.
    since = frame // CHUNK_FRAMES * CHUNK_FRAMES
    np.testing.assert_allclose(run.xy(0, since - 1), SHAPE + [58, 58])
    for k in range(since, frame + 1):
        np.testing.assert_allclose(run.xy(0, k), SHAPE + [50, 50])
    (event,) = run.tracker.events
    assert event.error is not None
    assert event.error > 0.1


@pytest.mark.parametrize("redetect", [True, False])
def test_agreeing_detections_correct_the_points_gently(redetect: bool) -> None:
    """The tracker is half a pixel off, which is no drift."""
    world = World({"ann": _still(50)}, tracked=lambda person, start, f: (0.5 if f else 0.0, True))
    run = Run(world, 400, redetect=redetect)
    assert run.events == []
    off = np.array([run.xy(0, f)[0, 0] - 50 for f in range(400)])
    assert (off[1:8] == 0.5).all()
    assert off[-1] == pytest.approx(0.0 if redetect else 0.5, abs=0.02)
    assert np.abs(np.diff(off[1:])).max() < 0.03


@pytest.mark.parametrize(("shape_error", "believed"), [(0.5, True), (1.5, False)])
def test_only_a_reliable_detection_restarts_a_covered_face(
    shape_error: float, believed: bool
) -> None:
    """What covers the face spoils an implausible detection, too."""
    world = World({"ann": _still(50)}, tracked=lambda person, start, f: (3.0, start > 0 or f == 0))
    verifier = FakeVerifier(world)
    verifier.error_of = lambda xy: shape_error
    run = Run(world, 9, verifier=verifier)
    assert world.detected_in
    assert run.events == ([(world.detected_in[0], 0, "drift")] if believed else [])


def test_an_implausible_detection_does_not_move_the_points() -> None:
    world = World({"ann": _still(50)}, tracked=lambda person, start, f: (8.0 if f else 0.0, True))
    verifier = FakeVerifier(world)
    verifier.error_of = lambda xy: 9.0 if abs(float(xy[0, 0]) - 50) < 1 else 0.0
    assert Run(world, 100, verifier=verifier).events == []


def test_implausible_points_without_detections_are_dropped() -> None:
    world = World({"ann": _still(50)}, detected=lambda person, f: f < 20)
    verifier = FakeVerifier(world)
    run = Run(world, 20, verifier=verifier)
    verifier.error_of = lambda xy: 50.0
    for clip in step_through(Chunker(run.tracker, None, None), map(_frame, range(20, 80))):
        run.rows += clip.rows
    assert run.events[-1][2] == "no face"
    assert max(run.known(0)) < 79
    detected_in = [f for f in world.detected_in if f >= 20]
    assert detected_in.index(run.events[-1][0]) + 1 == MAX_MISSES


@pytest.mark.filterwarnings("error")
def test_no_landmarks_are_placed_in_an_unknown_box() -> None:
    """A tracker that detects in every frame may know no point of a face."""
    world = World(
        {"ann": _still(50)},
        detected=lambda person, f: f < 20,
        tracked=lambda person, start, f: (0.0 if f < 20 else np.nan, f < 20),
    )
    boxes: list[np.ndarray] = []
    run = Run(world, 20, verifier=FakeVerifier(world))
    run.tracker._landmarker.place = lambda image, box: boxes.append(box)
    for clip in step_through(Chunker(run.tracker, None, None), map(_frame, range(20, 80))):
        run.rows += clip.rows
    assert all(np.isfinite(box).all() for box in boxes)
    assert max(run.known(0)) == 19


def test_a_plausible_face_without_detections_is_kept() -> None:
    world = World({"ann": _still(50)}, detected=lambda person, f: f < 20)
    assert Run(world, 200).known(0) == list(range(200))


class TestSeveralFaces:
    def test_newcomers_get_new_face_ids(self) -> None:
        people = {
            "ann": _still(50),
            "bob": lambda f: (150, 50) if f >= 30 else None,
            "eve": lambda f: (250, 50) if f >= 60 else None,
        }
        run = Run(World(people), 150, RedetectPolicy(faces=None))  # type: ignore[arg-type]
        assert run.known(0) == list(range(150))
        assert [(i, r) for _, i, r in run.events] == [(1, "found"), (2, "found")]
        assert run.known(2)[-1] == 149

    def test_no_more_faces_than_the_policy_allows(self) -> None:
        people = {person: _still(100.0 * i) for i, person in enumerate(("ann", "bob", "eve"))}
        run = Run(World(people), 80, RedetectPolicy(faces=2), begin=("ann", "bob"))  # type: ignore[arg-type]
        assert {i for row in run.rows for i in row} == {0, 1}

    def test_face_ids_survive_a_crossing(self) -> None:
        """Two people pass each other, and their tracks change over."""
        people = {"ann": lambda f: (50 + 2 * f, 50), "bob": lambda f: (250 - 2 * f, 50)}
        world = World(people)  # type: ignore[arg-type]
        step = FakeTracker.step

        class Swapping(FakeTracker):
            def step(self, state: FakeState, frames: np.ndarray) -> StepResult:
                if _number(frames[0]) >= 48 and state.start == 0:
                    state.person = {"ann": "bob", "bob": "ann"}[str(state.person)]
                    state.start = -1
                return step(self, state, frames)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"{__name__}.FakeTracker", Swapping)
            run = Run(world, 150, RedetectPolicy(faces=2), begin=("ann", "bob"))
        for face_id, person in enumerate(("ann", "bob")):
            np.testing.assert_allclose(run.xy(face_id, 149), world.points(person, 149))
        assert "other person" in {r for _, _, r in run.events}

    def test_a_returning_person_keeps_the_face_id(self) -> None:
        people = {
            "ann": _still(50),
            "bob": lambda f: None if 20 <= f < 140 else (150 if f < 20 else 350, 50),
        }
        world = World(
            people, tracked=lambda person, s, f: (0.0, person == "ann" or s >= 100 or f < 20)
        )  # type: ignore[arg-type]
        run = Run(world, 220, RedetectPolicy(faces=None), begin=("ann", "bob"))
        assert {i for row in run.rows for i in row} == {0, 1}
        assert (run.events[-1][1], run.events[-1][2]) == (1, "returned")
        assert run.known(1)[-1] == 219

    def test_a_lost_face_leaves_the_rows_after_a_while(self) -> None:
        people = {"ann": _still(50), "bob": lambda f: (150, 50) if f < 20 else None}
        run = Run(World(people), 150, RedetectPolicy(faces=None), begin=("ann", "bob"))  # type: ignore[arg-type]
        rows_of_bob = [i for i, row in enumerate(run.rows) if 1 in row]
        assert rows_of_bob[-1] / FPS == pytest.approx(2.9 + GONE_KEPT_S, abs=1.0)

    def test_duplicate_tracks_are_merged(self) -> None:
        people = {"ann": _still(50), "bob": lambda f: (max(50.0, 150 - 2.0 * f), 50)}
        world = World(people, detected=lambda person, f: person == "ann")  # type: ignore[arg-type]
        run = Run(world, 120, RedetectPolicy(faces=None), begin=("ann", "bob"))
        assert (run.events[-1][1], run.events[-1][2]) == (1, "same face")
        assert 1 not in run.rows[-1]


def test_faces_without_descriptors_are_identified_by_place() -> None:
    world = World(
        {"ann": lambda f: None if 20 <= f < 40 else (50, 50)},
        tracked=lambda person, start, f: (0.0, f < 20 or start > 20),
    )
    verifier = FakeVerifier(world)
    verifier.blind = True
    run = Run(world, 80, verifier=verifier)
    assert {i for row in run.rows for i in row} == {0}
    assert run.known(0)[-1] == 79


def test_clip_clears_points_from_a_row_on() -> None:
    clip = Clip.of([_frame(i) for i in range(4)], 1, 4)
    for row in clip.rows:
        row[0] = (np.ones((2, 2)), np.ones(2, bool), np.ones(2))
    clip.clear_points(0, 1)
    known = [bool(np.isfinite(row[0][0]).all()) for row in clip.rows]
    assert known == [True, False, False]


class TestDetectedElsewhere:
    """The face jumps away, the tracker sees nothing, and a detection finds the face elsewhere."""

    @staticmethod
    def run(seen: Callable[[int], bool] = lambda frame: True, **more: Any) -> tuple[Run, int]:
        """Return the run, and the frame of the detection.

        Args:
            seen: whether the tracker sees the face at its new place in a frame.
        """
        world = World(
            {"ann": lambda f: (50, 50) if f < 18 else (200, 50)},
            tracked=lambda person, start, f: (0.0, f < 18 or (start >= 18 and seen(f))),
            **more,
        )
        run = Run(world, 60)
        (frame, _, reason) = run.events[0]
        assert reason == "drift"
        return run, frame

    def test_the_face_is_tracked_back_to_where_it_was_lost(self) -> None:
        run, frame = self.run()
        # The clip of that detection begins at the last multiple of CHUNK_FRAMES.
        assert frame == 23
        assert run.known(0) == list(range(60))
        np.testing.assert_allclose(run.xy(0, 17), SHAPE + [50, 50])
        np.testing.assert_allclose(run.xy(0, 18), SHAPE + [200, 50])

    def test_points_are_unknown_where_the_tracker_sees_neither_place(self) -> None:
        run, _ = self.run(lambda f: f >= 21)
        assert run.known(0) == [*range(18), *range(21, 60)]


def test_a_new_face_is_tracked_back_as_far_as_it_is_seen() -> None:
    """Bob comes while Ann is tracked, and is detected late."""
    world = World(
        {"ann": _still(50), "bob": lambda f: (200, 50) if f >= 26 else None},
        detected=lambda person, f: person == "ann" or f >= 31,
    )
    run = Run(world, 60, RedetectPolicy(faces=2))
    assert run.events == [(31, 1, "found")]
    assert run.known(1) == list(range(26, 60))
    assert run.known(0) == list(range(60))


def test_tracking_back_respects_the_number_of_faces() -> None:
    """Ann leaves; Bob is there already, and is tracked once her track is lost."""
    world = World(
        {
            "ann": lambda f: (50, 50) if f < 29 else None,
            "bob": lambda f: (200, 50) if f >= 26 else None,
        },
        detected=lambda person, f: person == "ann" or f >= 36,
    )
    run = Run(world, 60)
    assert run.events == [(38, 0, "lost"), (39, 1, "found")]
    assert run.known(0) == list(range(38))
    assert run.known(1) == list(range(38, 60))
    assert all(len(row) <= 1 for row in run.rows)


def test_tracking_back_keeps_points_that_agree() -> None:
    """The points drift from frame 20 on, and agree with the new ones before."""

    def tracked(person: str, start: int, frame: int) -> tuple[float, float]:
        if start:
            return 0.5, True
        return (8.0 if frame >= 20 else 0.0), True

    run = Run(World({"ann": _still(50)}, tracked=tracked), 60, RedetectPolicy(every=8))
    assert run.events == [(23, 0, "drift")]
    off = [float(run.xy(0, k)[0, 0]) - 50 for k in range(32)]
    assert off == [0.0] * 20 + [0.5] * 12


def test_a_replacing_face_is_not_tracked_back_before_the_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change_appearance(monkeypatch, 13)
    world = World(
        {"ann": lambda f: (50, 50) if f < 13 else None, "bob": _still(50)},
        detected=lambda person, f: person == "ann" or f >= 13,
        tracked=lambda person, start, f: (0.0, True),
    )
    run = Run(world, 32, RedetectPolicy(faces=2))
    assert run.known(1) == list(range(13, 32))


class TestDescriptors:
    """Faces are detected every second, as more may come, but described less often."""

    @staticmethod
    def described(world: World) -> tuple[list[int], list[int]]:
        """Return the frames with detections, and those with descriptions after the first frame."""
        verifier = FakeVerifier(world)
        Run(world, 200, RedetectPolicy(faces=None), verifier, begin=tuple(world.people))
        return world.detected_in, [n for n in verifier.described if n]

    def test_an_unsuspicious_face_is_described_every_few_seconds(self) -> None:
        detected_in, described = self.described(World({"ann": _still(50)}))
        assert np.diff(detected_in).max() <= MIN_INTERVAL_S * FPS + 8
        gaps = np.diff(described) / FPS
        assert gaps.min() >= RECOGNITION_VALID_S
        assert gaps.max() <= RECOGNITION_VALID_S + 2 * MIN_INTERVAL_S

    def test_overlapping_faces_are_described_at_every_detection(self) -> None:
        detected_in, described = self.described(World({"ann": _still(50), "bob": _still(68)}))
        assert described == [n for n in detected_in for _ in range(2)]

    @pytest.mark.parametrize("tracked", [(0.0, 0.4), (0.9, 1.0)], ids=["hidden", "beside"])
    def test_a_hidden_or_displaced_face_is_described_at_every_detection(
        self, tracked: tuple[float, float]
    ) -> None:
        world = World(
            {"ann": _still(50)}, tracked=lambda person, start, f: tracked if f > 70 else (0.0, 1.0)
        )
        detected_in, described = self.described(world)
        assert [n for n in described if n > 70] == [n for n in detected_in if n > 70]


def test_a_face_recognised_elsewhere_takes_its_track_along() -> None:
    """The tracker claims to see the points where the face no longer is."""
    world = World({"ann": lambda f: (50, 50) if f < 18 else (250, 50)})
    step = FakeTracker.step

    class Forgetful(FakeTracker):
        def step(self, state: FakeState, frames: np.ndarray) -> StepResult:
            if state.start == 0 and _number(frames[0]) >= 16:
                shape = (len(frames), len(SHAPE))
                xy = np.broadcast_to(SHAPE + np.float32([50, 50]), (*shape, 2))
                return StepResult(xy, np.ones(shape, bool), np.ones(shape, np.float32))
            return step(self, state, frames)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{__name__}.FakeTracker", Forgetful)
        run = Run(world, 60)
    (frame, face_id, reason), *rest = run.events
    assert (face_id, reason, rest) == (0, "drift", [])
    np.testing.assert_allclose(run.xy(0, frame), SHAPE + [250, 50])


def test_a_lost_person_detected_on_another_track_is_tracked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bob is lost, and comes back at Ann's place while Eve comes to his old place."""
    change_appearance(monkeypatch, 48)
    people = {
        "ann": lambda f: (50, 50) if f < 48 else None,
        "bob": lambda f: (200, 50) if f < 20 else ((50, 50) if f >= 48 else None),
        "eve": lambda f: (200, 50) if f >= 48 else None,
    }
    world = World(
        people, tracked=lambda person, start, f: (0.0, start > 0 or f < 20 or person == "ann")
    )  # type: ignore[arg-type]
    run = Run(world, 80, RedetectPolicy(faces=None), begin=("ann", "bob"))
    assert (55, 0, "other person") in run.events
    assert (55, 1, "returned") in run.events
    np.testing.assert_allclose(run.xy(1, 79), SHAPE + [50, 50])
    np.testing.assert_allclose(run.xy(2, 79), SHAPE + [200, 50])
