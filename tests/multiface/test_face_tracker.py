"""Who is followed, and when it is detected again: in a world of faces that are five points each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from stepping import advanced

from facetrack.identity.verifier import UNKNOWN_PERSON
from facetrack.multiface.appearance import AppearanceMonitor
from facetrack.multiface.association import RECOGNITION_VALID_S
from facetrack.multiface.clip import Clip
from facetrack.multiface.detection import DetectedFace
from facetrack.multiface.face_track import RedetectPolicy
from facetrack.multiface.face_tracker import GONE_KEPT_S, MAX_MISSES, MultiFaceTracker
from facetrack.multiface.schedule import DOUBT_INTERVAL_S, MAX_INTERVAL_S, MIN_INTERVAL_S
from facetrack.pipeline.chunking import CHUNK, Chunker
from facetrack.trackers import PointTracker, StepResult
from facetrack.video.frame import Frame

FPS = 10.0
SHAPE = np.array([[0, 0], [20, 0], [10, 10], [2, 20], [18, 20]], np.float32)


@dataclass
class World:
    """What is to be seen, by frame.

    Attributes:
        people: where the middle of each person's face is, or None where there is none.
        detected: which of them the face detector finds.
        tracked: what the tracker says, if it is not the truth: offset, and whether its points are
            seen or what share of them.
        cuts: first frames of shots.
    """

    people: dict[str, Callable[[int], tuple[float, float] | None]]
    detected: Callable[[str, int], bool] = lambda who, frame: True
    tracked: Callable[[str, int, int], tuple[float, float]] = lambda who, start, frame: (0.0, True)
    cuts: set[int] = field(default_factory=set)
    detected_in: list[int] = field(default_factory=list)
    starts: list[tuple[int, str]] = field(default_factory=list)

    def points(self, who: str, frame: int) -> np.ndarray | None:
        middle = self.people[who](frame)
        return None if middle is None else SHAPE + np.float32(middle)

    def nearest(self, xy: np.ndarray, frame: int) -> str | None:
        """Whose face the points are on."""
        for who in self.people:
            points = self.points(who, frame)
            if points is not None and np.abs(points - xy).mean() < 5:
                return who
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
        self, image: np.ndarray, max_faces: Any = None, thorough: bool = False
    ) -> list[DetectedFace]:
        frame = _number(image)
        self.world.detected_in.append(frame)
        found = []
        for who in self.world.people:
            xy = self.world.points(who, frame)
            if xy is not None and self.world.detected(who, frame):
                box = np.concatenate([xy.min(0), xy.max(0)])
                found.append(DetectedFace(box, xy, np.linspace(0.8, 0.9, 5, dtype=np.float32)))
        return found[:max_faces]

    def place(self, image: np.ndarray, box: np.ndarray) -> DetectedFace | None:
        return None


@dataclass
class Point:
    who: str | None
    start: int
    last: np.ndarray


class FakeTracker(PointTracker):
    """Stays on whom it was put, as the world has it; what is not there it does not see."""

    name, window = "fake", None

    def __init__(self, world: World) -> None:
        self.world = world

    def start(self, frame: np.ndarray, points: np.ndarray) -> Point:
        number = _number(frame)
        who = self.world.nearest(points, number)
        self.world.starts.append((number, who or "nobody"))
        return Point(who, number, points)

    def step(self, state: Point, frames: np.ndarray) -> StepResult:
        xy, seen = [], []
        for image in frames:
            number = _number(image)
            points = None if state.who is None else self.world.points(state.who, number)
            off, visible = (0.0, False)
            if points is not None:
                assert state.who is not None
                off, visible = self.world.tracked(state.who, state.start, number)
                state.last = points
            xy.append(state.last + np.float32(off))
            seen.append(np.arange(len(SHAPE)) < visible * len(SHAPE))
        confidence = np.ones((len(frames), len(SHAPE)), np.float32)
        return StepResult(np.array(xy), np.array(seen), confidence)

    def describe(self) -> dict[str, Any]:
        return {}


class FakeVerifier:
    """Knows people by name, and no face is impossible unless `odd` says so."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.names: dict[int, set[str]] = {}
        self.odd: Callable[[np.ndarray], float] = lambda xy: 0.0
        self.blind = False
        self.described: list[int] = []

    def shape_error(self, xy: np.ndarray, visible: np.ndarray | None = None) -> float:
        return self.odd(xy)

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


class Cuts:
    def __init__(self, world: World) -> None:
        self.world = world

    def is_cut(self, image: np.ndarray) -> bool:
        return _number(image) in self.world.cuts


class Run:
    """What came of a world's frames."""

    def __init__(
        self,
        world: World,
        frames: int,
        policy: RedetectPolicy | None = None,
        verifier: FakeVerifier | None = None,
        never: bool = False,
        begin: tuple[str, ...] = ("ann",),
    ) -> None:
        tracker: Any = FakeTracker(world)
        finder: Any = None if never else FakeLandmarker(world)
        seen_as: Any = None if never else verifier or FakeVerifier(world)
        self.tracker = MultiFaceTracker(tracker, finder, seen_as, policy or RedetectPolicy())
        self.tracker.begin(_frame(0), [world.points(who, 0) for who in begin])  # type: ignore[misc]
        self.rows: list[dict[int, Any]] = []
        clips = Chunker(self.tracker, None if never else Cuts(world), None)  # type: ignore[arg-type]
        for clip in advanced(clips, map(_frame, range(frames))):
            self.rows += clip.rows

    def known(self, face_id: int) -> list[int]:
        """Frames in which a face has points."""
        return [
            i
            for i, row in enumerate(self.rows)
            if face_id in row and np.isfinite(row[face_id][0]).all()
        ]

    def xy(self, face_id: int, frame: int) -> np.ndarray:
        found: np.ndarray = self.rows[frame][face_id][0]
        return found

    @property
    def events(self) -> list[tuple[int, int, str]]:
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


def test_nothing_happens_while_all_is_well() -> None:
    world = World({"ann": lambda frame: (50 + frame, 50)})
    run = Run(world, 200)
    assert run.events == []
    assert run.known(0) == list(range(200))
    # Looks become rarer: after one second, two, four and so on.
    gaps = np.diff([0, *world.detected_in]) / FPS
    assert gaps[0] == pytest.approx(MIN_INTERVAL_S, abs=0.8)
    assert gaps[-1] == pytest.approx(MAX_INTERVAL_S, abs=0.8)


def test_every_n_frames_looks_so_often() -> None:
    world = World({"ann": _still(50)})
    Run(world, 160, RedetectPolicy(every=16))
    assert (np.diff(world.detected_in) == 16).all()


def test_never_looks_never() -> None:
    world = World({"ann": lambda f: None if 20 <= f < 60 else (50, 50)}, cuts={30})
    run = Run(world, 100, never=True)
    assert world.detected_in == []
    # The tracker's second of patience goes by before the points are given up.
    assert run.known(0) == [*range(29), *range(60, 100)]
    assert [(f, r) for f, _, r in run.events] == [(29, "lost"), (60, "seen again")]


def test_a_cut_ends_the_face_at_once() -> None:
    world = World({"ann": lambda f: (50, 50) if f < 21 else None}, cuts={21})
    run = Run(world, 60)
    assert run.known(0) == list(range(21))
    assert run.events == [(21, 0, "cut")]


def test_the_same_person_after_a_cut_keeps_the_id() -> None:
    world = World({"ann": lambda f: (50, 50) if f < 21 else (300, 80)}, cuts={21})
    run = Run(world, 60)
    assert run.known(0) == list(range(60))
    assert [r for _, _, r in run.events] == ["cut", "returned"]
    np.testing.assert_allclose(run.xy(0, 21), SHAPE + [300, 80])


def test_another_person_after_a_cut_is_another_id() -> None:
    people = {
        "ann": lambda f: (50, 50) if f < 21 or f >= 40 else None,
        "bob": lambda f: (60, 50) if 21 <= f < 40 else None,
    }
    run = Run(World(people, cuts={21, 40}), 60)  # type: ignore[arg-type]
    assert run.known(0) == [*range(21), *range(40, 60)]
    assert run.known(1) == list(range(21, 40))


def test_one_face_a_frame_is_followed_by_default() -> None:
    world = World({"ann": _still(50), "bob": _still(300)})
    run = Run(world, 100)
    assert all(set(row) == {0} for row in run.rows)


def test_a_face_that_comes_after_a_search_is_found_in_its_first_frame() -> None:
    world = World({"ann": lambda f: (50, 50) if f < 10 or f >= 37 else None}, cuts={10})
    run = Run(world, 60)
    assert run.known(0) == [*range(10), *range(37, 60)]
    assert (37, 0, "returned") in run.events


def test_a_lost_face_is_forgotten_and_found_by_the_detector() -> None:
    world = World(
        {"ann": lambda f: None if 20 <= f < 120 else (50, 50)},
        tracked=lambda who, start, f: (0.0, f < 20 or start >= 100),
    )
    run = Run(world, 160)
    assert run.known(0)[:29] == list(range(29))
    assert 29 not in run.known(0)
    assert run.known(0)[-1] == 159
    assert [r for _, _, r in run.events] == ["lost", "returned"]
    assert run.known(0)[29] <= 120 + 8


def test_a_tracker_that_claims_a_face_on_a_wall_is_not_believed() -> None:
    """It loses her for 30 frames, and then says that it sees her where no face is found."""
    world = World(
        {"ann": _still(50)},
        detected=lambda who, f: f < 20,
        tracked=lambda who, start, f: (0.0, f < 20 or f >= 50),
    )
    run = Run(world, 80)
    assert run.known(0) == list(range(29))


def test_a_tracker_that_sees_the_face_again_is_believed_where_a_face_is() -> None:
    world = World(
        {"ann": _still(50)},
        detected=lambda who, f: not 15 <= f < 48,
        tracked=lambda who, start, f: (0.0, not 20 <= f < 50),
    )
    run = Run(world, 100)
    assert run.events == [(29, 0, "lost"), (55, 0, "seen again")]
    assert run.known(0) == [*range(29), *range(50, 100)]
    assert len(world.starts) == 1


def test_a_tracker_that_went_to_somebody_else_is_not_believed() -> None:
    """Where she was lost, the tracker finds her points on another's face."""
    people = {
        "ann": lambda f: (50, 50) if f < 20 else None,
        "bob": lambda f: (250, 50) if f >= 30 else None,
    }
    world = World(people)  # type: ignore[arg-type]
    tracker_sees_bob = FakeTracker.step

    class Deceived(FakeTracker):
        def step(self, state: Point, frames: np.ndarray) -> StepResult:
            if state.who == "ann" and _number(frames[0]) >= 40:
                state.who = "bob"
            return tracker_sees_bob(self, state, frames)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{__name__}.FakeTracker", Deceived)
        run = Run(world, 80)
    assert max(run.known(0)) < 30
    assert run.known(1)


def test_somebody_else_in_ones_place_is_noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bob takes Ann's place in frame 13, and the tracker stays where it is."""
    change_appearance(monkeypatch, 13)
    world = World(
        {
            "ann": lambda f: (50, 50) if f < 13 else None,
            "bob": lambda f: None if f < 13 else (50, 50),
        }
    )
    world.tracked = lambda who, start, f: (0.0, True)
    run = Run(world, 32)
    assert run.events == [(15, 0, "other person"), (15, 1, "found")]
    assert run.known(0) == list(range(13))
    assert run.known(1) == list(range(13, 32))
    assert [len(row) for row in run.rows] == [1] * 32


def test_points_that_are_placed_again_are_watched_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was last seen at their old place is another picture, but nothing has jumped."""
    watched: dict[int, list[int]] = {}

    def first_change(self: AppearanceMonitor, images: Any, xy: np.ndarray) -> None:
        watched.setdefault(id(self), []).extend(map(_number, images))

    monkeypatch.setattr(AppearanceMonitor, "first_change", first_change)
    world = World(
        {"ann": _still(50)}, tracked=lambda who, start, f: (8.0 if start == 0 else 0.0, True)
    )
    ((frame, _, reason),) = Run(world, 60).events
    assert reason == "drift"
    before, after = watched.values()
    assert before[-1] >= frame == after[0]


def test_drift_is_mended_after_two_looks() -> None:
    world = World(
        {"ann": _still(50)}, tracked=lambda who, start, f: (8.0 if start == 0 else 0.0, True)
    )
    run = Run(world, 60)
    (frame, _, reason), *rest = run.events
    assert (reason, rest) == ("drift", [])
    first, second = world.detected_in[:2]
    assert frame == second
    assert (second - first) / FPS == pytest.approx(DOUBT_INTERVAL_S, abs=0.8)
    # Back to the beginning of the clip at whose end it was found out.
    since = frame // CHUNK * CHUNK
    np.testing.assert_allclose(run.xy(0, since - 1), SHAPE + [58, 58])
    for k in range(since, frame + 1):
        np.testing.assert_allclose(run.xy(0, k), SHAPE + [50, 50])
    (event,) = run.tracker.events
    assert event.error is not None
    assert event.error > 0.1


@pytest.mark.parametrize("never", [False, True])
def test_detections_that_agree_correct_the_points_gently(never: bool) -> None:
    """The tracker is half a pixel off: less than what counts as drift."""
    world = World({"ann": _still(50)}, tracked=lambda who, start, f: (0.5 if f else 0.0, True))
    run = Run(world, 400, never=never)
    assert run.events == []
    off = np.array([run.xy(0, f)[0, 0] - 50 for f in range(400)])
    assert (off[1:8] == 0.5).all()
    assert off[-1] == pytest.approx(0.5 if never else 0.0, abs=0.02)
    assert np.abs(np.diff(off[1:])).max() < 0.03


@pytest.mark.parametrize(("doubt", "believed"), [(0.5, True), (1.5, False)])
def test_a_covered_face_is_placed_again_only_by_a_sure_detection(
    doubt: float, believed: bool
) -> None:
    """What covers the face spoils a detection as well: the tracker's guess is the better one."""
    world = World({"ann": _still(50)}, tracked=lambda who, start, f: (3.0, start > 0 or f == 0))
    verifier = FakeVerifier(world)
    verifier.odd = lambda xy: doubt
    run = Run(world, 9, verifier=verifier)
    assert world.detected_in
    assert run.events == ([(world.detected_in[0], 0, "drift")] if believed else [])


def test_an_impossible_detection_does_not_move_the_points() -> None:
    world = World({"ann": _still(50)}, tracked=lambda who, start, f: (8.0 if f else 0.0, True))
    verifier = FakeVerifier(world)
    verifier.odd = lambda xy: 9.0 if abs(float(xy[0, 0]) - 50) < 1 else 0.0
    assert Run(world, 100, verifier=verifier).events == []


def test_points_that_are_no_face_and_have_none_are_dropped() -> None:
    world = World({"ann": _still(50)}, detected=lambda who, f: f < 20)
    verifier = FakeVerifier(world)
    run = Run(world, 20, verifier=verifier)
    verifier.odd = lambda xy: 50.0
    for clip in advanced(Chunker(run.tracker, None, None), map(_frame, range(20, 80))):
        run.rows += clip.rows
    assert run.events[-1][2] == "no face"
    assert max(run.known(0)) < 79
    looks = [f for f in world.detected_in if f >= 20]
    assert looks.index(run.events[-1][0]) + 1 == MAX_MISSES


@pytest.mark.filterwarnings("error")
def test_a_face_of_which_no_point_is_known_is_dropped_without_a_look_at_nowhere() -> None:
    """A detector on every frame knows nothing where it finds nothing."""
    world = World(
        {"ann": _still(50)},
        detected=lambda who, f: f < 20,
        tracked=lambda who, start, f: (0.0 if f < 20 else np.nan, f < 20),
    )
    asked: list[np.ndarray] = []
    run = Run(world, 20, verifier=FakeVerifier(world))
    run.tracker._landmarker.place = lambda image, box: asked.append(box)
    for clip in advanced(Chunker(run.tracker, None, None), map(_frame, range(20, 80))):
        run.rows += clip.rows
    assert all(np.isfinite(box).all() for box in asked)
    assert max(run.known(0)) == 19


def test_a_face_is_not_dropped_only_because_no_detector_finds_it() -> None:
    world = World({"ann": _still(50)}, detected=lambda who, f: f < 20)
    assert Run(world, 200).known(0) == list(range(200))


class TestSeveral:
    def test_all_are_followed_and_newcomers_get_new_ids(self) -> None:
        people = {
            "ann": _still(50),
            "bob": lambda f: (150, 50) if f >= 30 else None,
            "eve": lambda f: (250, 50) if f >= 60 else None,
        }
        run = Run(World(people), 150, RedetectPolicy(faces=None))  # type: ignore[arg-type]
        assert run.known(0) == list(range(150))
        assert [(i, r) for _, i, r in run.events] == [(1, "found"), (2, "found")]
        assert run.known(2)[-1] == 149

    def test_no_more_than_asked_for(self) -> None:
        people = {who: _still(100.0 * i) for i, who in enumerate(("ann", "bob", "eve"))}
        run = Run(World(people), 80, RedetectPolicy(faces=2), begin=("ann", "bob"))  # type: ignore[arg-type]
        assert {i for row in run.rows for i in row} == {0, 1}

    def test_ids_survive_a_crossing(self) -> None:
        """They pass each other, and the trackers change over."""
        people = {"ann": lambda f: (50 + 2 * f, 50), "bob": lambda f: (250 - 2 * f, 50)}
        world = World(people)  # type: ignore[arg-type]
        step = FakeTracker.step

        class Swapping(FakeTracker):
            def step(self, state: Point, frames: np.ndarray) -> StepResult:
                if _number(frames[0]) >= 48 and state.start == 0:
                    state.who = {"ann": "bob", "bob": "ann"}[str(state.who)]
                    state.start = -1
                return step(self, state, frames)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"{__name__}.FakeTracker", Swapping)
            run = Run(world, 150, RedetectPolicy(faces=2), begin=("ann", "bob"))
        for face_id, who in enumerate(("ann", "bob")):
            np.testing.assert_allclose(run.xy(face_id, 149), world.points(who, 149))
        assert "other person" in {r for _, _, r in run.events}

    def test_who_comes_back_is_known(self) -> None:
        people = {
            "ann": _still(50),
            "bob": lambda f: None if 20 <= f < 140 else (150 if f < 20 else 350, 50),
        }
        world = World(people, tracked=lambda who, s, f: (0.0, who == "ann" or s >= 100 or f < 20))  # type: ignore[arg-type]
        run = Run(world, 220, RedetectPolicy(faces=None), begin=("ann", "bob"))
        assert {i for row in run.rows for i in row} == {0, 1}
        assert (run.events[-1][1], run.events[-1][2]) == (1, "returned")
        assert run.known(1)[-1] == 219

    def test_a_lost_face_leaves_no_rows_after_a_while(self) -> None:
        people = {"ann": _still(50), "bob": lambda f: (150, 50) if f < 20 else None}
        run = Run(World(people), 150, RedetectPolicy(faces=None), begin=("ann", "bob"))  # type: ignore[arg-type]
        rows_of_bob = [i for i, row in enumerate(run.rows) if 1 in row]
        assert rows_of_bob[-1] / FPS == pytest.approx(2.9 + GONE_KEPT_S, abs=1.0)

    def test_two_that_follow_one_become_one(self) -> None:
        people = {"ann": _still(50), "bob": lambda f: (max(50.0, 150 - 2.0 * f), 50)}
        world = World(people, detected=lambda who, f: who == "ann")  # type: ignore[arg-type]
        run = Run(world, 120, RedetectPolicy(faces=None), begin=("ann", "bob"))
        assert (run.events[-1][1], run.events[-1][2]) == (1, "same face")
        assert 1 not in run.rows[-1]


def test_looks_that_do_not_tell_go_by_the_place() -> None:
    world = World(
        {"ann": lambda f: None if 20 <= f < 40 else (50, 50)},
        tracked=lambda who, start, f: (0.0, f < 20 or start > 20),
    )
    verifier = FakeVerifier(world)
    verifier.blind = True
    run = Run(world, 80, verifier=verifier)
    assert {i for row in run.rows for i in row} == {0}
    assert run.known(0)[-1] == 79


def test_stretch_forgets_from_a_row_on() -> None:
    clip = Clip.of([_frame(i) for i in range(4)], 1, 4)
    for row in clip.rows:
        row[0] = (np.ones((2, 2)), np.ones(2, bool), np.ones(2))
    clip.clear_points(0, 1)
    known = [bool(np.isfinite(row[0][0]).all()) for row in clip.rows]
    assert known == [True, False, False]


class TestFoundElsewhere:
    """She moves away at once, the tracker sees nothing, and she is found where she went."""

    @staticmethod
    def run(seen: Callable[[int], bool] = lambda frame: True, **more: Any) -> tuple[Run, int]:
        """`seen`: in which frames the tracker sees her there, once it knows where."""
        world = World(
            {"ann": lambda f: (50, 50) if f < 18 else (200, 50)},
            tracked=lambda who, start, f: (0.0, f < 18 or (start >= 18 and seen(f))),
            **more,
        )
        run = Run(world, 60)
        (frame, _, reason) = run.events[0]
        assert reason == "drift"
        return run, frame

    def test_she_is_followed_back_to_where_she_was_lost(self) -> None:
        run, frame = self.run()
        # The clip in which it was found out begins at the last multiple of CHUNK.
        assert frame == 23
        assert run.known(0) == list(range(60))
        np.testing.assert_allclose(run.xy(0, 17), SHAPE + [50, 50])
        np.testing.assert_allclose(run.xy(0, 18), SHAPE + [200, 50])

    def test_where_the_tracker_does_not_see_her_there_nothing_is_known(self) -> None:
        run, _ = self.run(lambda f: f >= 21)
        assert run.known(0) == [*range(18), *range(21, 60)]


def test_who_is_new_is_followed_back_to_where_the_tracker_sees_them() -> None:
    """Bob comes while Ann is there, and is found late."""
    world = World(
        {"ann": _still(50), "bob": lambda f: (200, 50) if f >= 26 else None},
        detected=lambda who, f: who == "ann" or f >= 31,
    )
    run = Run(world, 60, RedetectPolicy(faces=2))
    assert run.events == [(31, 1, "found")]
    assert run.known(1) == list(range(26, 60))
    assert run.known(0) == list(range(60))


def test_nobody_is_followed_back_beside_more_than_there_may_be() -> None:
    """Ann leaves, and is on her place until she is given up; Bob, who is there, takes over."""
    world = World(
        {
            "ann": lambda f: (50, 50) if f < 29 else None,
            "bob": lambda f: (200, 50) if f >= 26 else None,
        },
        detected=lambda who, f: who == "ann" or f >= 36,
    )
    run = Run(world, 60)
    assert run.events == [(38, 0, "lost"), (39, 1, "found")]
    assert run.known(0) == list(range(38))
    assert run.known(1) == list(range(38, 60))
    assert all(len(row) <= 1 for row in run.rows)


def test_points_that_were_in_place_stay_as_they_are() -> None:
    """They drift from frame 20 on; the frames before it were good."""

    def tracked(who: str, start: int, frame: int) -> tuple[float, float]:
        if start:
            return 0.5, True
        return (8.0 if frame >= 20 else 0.0), True

    run = Run(World({"ann": _still(50)}, tracked=tracked), 60, RedetectPolicy(every=8))
    assert run.events == [(23, 0, "drift")]
    off = [float(run.xy(0, k)[0, 0]) - 50 for k in range(32)]
    assert off == [0.0] * 20 + [0.5] * 12


def test_who_takes_ones_place_is_not_followed_back_beyond_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change_appearance(monkeypatch, 13)
    world = World(
        {"ann": lambda f: (50, 50) if f < 13 else None, "bob": _still(50)},
        detected=lambda who, f: who == "ann" or f >= 13,
        tracked=lambda who, start, f: (0.0, True),
    )
    run = Run(world, 32, RedetectPolicy(faces=2))
    assert run.known(1) == list(range(13, 32))


class TestWhoIsToldFromOthers:
    """Looks every second, as there may be more faces; who it is is asked less often."""

    @staticmethod
    def asked(world: World) -> tuple[list[int], list[int]]:
        """Frames of looks, and of descriptions but for those at the beginning."""
        verifier = FakeVerifier(world)
        Run(world, 200, RedetectPolicy(faces=None), verifier, begin=tuple(world.people))
        return world.detected_in, [n for n in verifier.described if n]

    def test_those_of_whom_nothing_is_in_doubt_every_few_seconds(self) -> None:
        looks, described = self.asked(World({"ann": _still(50)}))
        assert np.diff(looks).max() <= MIN_INTERVAL_S * FPS + 8
        gaps = np.diff(described) / FPS
        assert gaps.min() >= RECOGNITION_VALID_S
        assert gaps.max() <= RECOGNITION_VALID_S + 2 * MIN_INTERVAL_S

    def test_those_who_are_side_by_side_at_every_look(self) -> None:
        looks, described = self.asked(World({"ann": _still(50), "bob": _still(68)}))
        assert described == [n for n in looks for _ in range(2)]

    @pytest.mark.parametrize("wrong", [(0.0, 0.4), (0.9, 1.0)], ids=["hidden", "beside"])
    def test_those_of_whom_little_is_seen_or_elsewhere_at_every_look(
        self, wrong: tuple[float, float]
    ) -> None:
        world = World(
            {"ann": _still(50)}, tracked=lambda who, start, f: wrong if f > 70 else (0.0, 1.0)
        )
        looks, described = self.asked(world)
        assert [n for n in described if n > 70] == [n for n in looks if n > 70]


def test_points_that_stay_behind_are_brought_to_the_face_that_is_recognised_elsewhere() -> None:
    """A tracker without a memory sees her where she no longer is."""
    world = World({"ann": lambda f: (50, 50) if f < 18 else (250, 50)})
    step = FakeTracker.step

    class Forgetful(FakeTracker):
        def step(self, state: Point, frames: np.ndarray) -> StepResult:
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
