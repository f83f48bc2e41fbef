"""Test the tracking of several faces in a simulated world whose faces have five points each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from face_world import (
    FPS,
    SHAPE,
    FakeState,
    FakeTracker,
    FakeVerifier,
    Run,
    World,
    frame_number,
    make_frame,
    still,
)
from stepping import step_through

from facetrack.multiface.appearance import AppearanceMonitor
from facetrack.multiface.association import RECOGNITION_VALID_S
from facetrack.multiface.clip import Clip
from facetrack.multiface.face_track import RedetectPolicy
from facetrack.multiface.face_tracker import GONE_KEPT_S, MAX_MISSES
from facetrack.multiface.schedule import DOUBT_INTERVAL_S, MAX_INTERVAL_S, MIN_INTERVAL_S
from facetrack.pipeline.chunking import CHUNK_FRAMES, Chunker
from facetrack.trackers import StepResult


def change_appearance(monkeypatch: pytest.MonkeyPatch, frame: int) -> None:
    """Make every face's surroundings change in one frame."""
    monkeypatch.setattr(
        AppearanceMonitor,
        "first_change",
        lambda self, images, xy: next(
            (k for k, image in enumerate(images) if frame_number(image) == frame), None
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
    world = World({"ann": still(50)})
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
    world = World({"ann": still(50), "bob": still(300)})
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
        {"ann": still(50)},
        detected=lambda person, f: f < 20,
        tracked=lambda person, start, f: (0.0, f < 20 or f >= 50),
    )
    run = Run(world, 80)
    assert run.known(0) == list(range(29))


def test_a_claim_with_a_detection_is_confirmed() -> None:
    world = World(
        {"ann": still(50)},
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
            if state.person == "ann" and frame_number(frames[0]) >= 40:
                state.person = "bob"
            return original_step(self, state, frames)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("face_world.FakeTracker", SwitchingTracker)
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
        watched.setdefault(id(self), []).extend(map(frame_number, images))

    monkeypatch.setattr(AppearanceMonitor, "first_change", first_change)
    world = World(
        {"ann": still(50)}, tracked=lambda person, start, f: (8.0 if start == 0 else 0.0, True)
    )
    ((frame, _, reason),) = Run(world, 60).events
    assert reason == "drift"
    before, after = watched.values()
    assert before[-1] >= frame == after[0]


def test_two_detections_correct_drift() -> None:
    world = World(
        {"ann": still(50)}, tracked=lambda person, start, f: (8.0 if start == 0 else 0.0, True)
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
    world = World({"ann": still(50)}, tracked=lambda person, start, f: (0.5 if f else 0.0, True))
    run = Run(world, 400, redetect=redetect)
    assert run.events == []
    off = np.array([run.xy(0, f)[0, 0] - 50 for f in range(400)])
    assert (off[1:8] == 0.5).all()
    assert off[-1] == pytest.approx(0.0 if redetect else 0.5, abs=0.15)
    assert np.abs(np.diff(off[1:])).max() < 0.05


@pytest.mark.parametrize(("shape_error", "believed"), [(0.5, True), (1.5, False)])
def test_only_a_reliable_detection_restarts_a_covered_face(
    shape_error: float, believed: bool
) -> None:
    """What covers the face spoils an implausible detection, too."""
    world = World({"ann": still(50)}, tracked=lambda person, start, f: (3.0, start > 0 or f == 0))
    verifier = FakeVerifier(world)
    verifier.error_of = lambda xy: shape_error
    run = Run(world, 9, verifier=verifier)
    assert world.detected_in
    assert run.events == ([(world.detected_in[0], 0, "drift")] if believed else [])


def test_an_implausible_detection_does_not_move_the_points() -> None:
    world = World({"ann": still(50)}, tracked=lambda person, start, f: (8.0 if f else 0.0, True))
    verifier = FakeVerifier(world)
    verifier.error_of = lambda xy: 9.0 if abs(float(xy[0, 0]) - 50) < 1 else 0.0
    assert Run(world, 100, verifier=verifier).events == []


def test_implausible_points_without_detections_are_dropped() -> None:
    world = World({"ann": still(50)}, detected=lambda person, f: f < 20)
    verifier = FakeVerifier(world)
    run = Run(world, 20, verifier=verifier)
    verifier.error_of = lambda xy: 50.0
    for clip in step_through(Chunker(run.tracker, None, None), map(make_frame, range(20, 80))):
        run.rows += clip.rows
    assert run.events[-1][2] == "no face"
    assert max(run.known(0)) < 79
    detected_in = [f for f in world.detected_in if f >= 20]
    assert detected_in.index(run.events[-1][0]) + 1 == MAX_MISSES


@pytest.mark.filterwarnings("error")
def test_no_landmarks_are_placed_in_an_unknown_box() -> None:
    """A tracker that detects in every frame may know no point of a face."""
    world = World(
        {"ann": still(50)},
        detected=lambda person, f: f < 20,
        tracked=lambda person, start, f: (0.0 if f < 20 else np.nan, f < 20),
    )
    boxes: list[np.ndarray] = []
    run = Run(world, 20, verifier=FakeVerifier(world))
    run.tracker._landmarker.place = lambda image, box: boxes.append(box)
    for clip in step_through(Chunker(run.tracker, None, None), map(make_frame, range(20, 80))):
        run.rows += clip.rows
    assert all(np.isfinite(box).all() for box in boxes)
    assert max(run.known(0)) == 19


def test_a_plausible_face_without_detections_is_kept() -> None:
    world = World({"ann": still(50)}, detected=lambda person, f: f < 20)
    assert Run(world, 200).known(0) == list(range(200))


class TestSeveralFaces:
    def test_newcomers_get_new_face_ids(self) -> None:
        people = {
            "ann": still(50),
            "bob": lambda f: (150, 50) if f >= 30 else None,
            "eve": lambda f: (250, 50) if f >= 60 else None,
        }
        run = Run(World(people), 150, RedetectPolicy(faces=None))  # type: ignore[arg-type]
        assert run.known(0) == list(range(150))
        assert [(i, r) for _, i, r in run.events] == [(1, "found"), (2, "found")]
        assert run.known(2)[-1] == 149

    def test_no_more_faces_than_the_policy_allows(self) -> None:
        people = {person: still(100.0 * i) for i, person in enumerate(("ann", "bob", "eve"))}
        run = Run(World(people), 80, RedetectPolicy(faces=2), begin=("ann", "bob"))  # type: ignore[arg-type]
        assert {i for row in run.rows for i in row} == {0, 1}

    def test_face_ids_survive_a_crossing(self) -> None:
        """Two people pass each other, and their tracks change over."""
        people = {"ann": lambda f: (50 + 2 * f, 50), "bob": lambda f: (250 - 2 * f, 50)}
        world = World(people)  # type: ignore[arg-type]
        step = FakeTracker.step

        class Swapping(FakeTracker):
            def step(self, state: FakeState, frames: np.ndarray) -> StepResult:
                if frame_number(frames[0]) >= 48 and state.start == 0:
                    state.person = {"ann": "bob", "bob": "ann"}[str(state.person)]
                    state.start = -1
                return step(self, state, frames)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("face_world.FakeTracker", Swapping)
            run = Run(world, 150, RedetectPolicy(faces=2), begin=("ann", "bob"))
        for face_id, person in enumerate(("ann", "bob")):
            np.testing.assert_allclose(run.xy(face_id, 149), world.points(person, 149))
        assert "other person" in {r for _, _, r in run.events}

    def test_a_returning_person_keeps_the_face_id(self) -> None:
        people = {
            "ann": still(50),
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
        people = {"ann": still(50), "bob": lambda f: (150, 50) if f < 20 else None}
        run = Run(World(people), 150, RedetectPolicy(faces=None), begin=("ann", "bob"))  # type: ignore[arg-type]
        rows_of_bob = [i for i, row in enumerate(run.rows) if 1 in row]
        assert rows_of_bob[-1] / FPS == pytest.approx(2.9 + GONE_KEPT_S, abs=1.0)

    def test_duplicate_tracks_are_merged(self) -> None:
        people = {"ann": still(50), "bob": lambda f: (max(50.0, 150 - 2.0 * f), 50)}
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
    clip = Clip.of([make_frame(i) for i in range(4)], 1, 4)
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
        {"ann": still(50), "bob": lambda f: (200, 50) if f >= 26 else None},
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

    run = Run(World({"ann": still(50)}, tracked=tracked), 60, RedetectPolicy(every=8))
    assert run.events == [(23, 0, "drift")]
    off = [float(run.xy(0, k)[0, 0]) - 50 for k in range(32)]
    assert off[:24] == [0.0] * 20 + [0.5] * 4
    assert all(0.2 < later <= 0.5 for later in off[24:])  # detections correct them gently


def test_a_replacing_face_is_not_tracked_back_before_the_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change_appearance(monkeypatch, 13)
    world = World(
        {"ann": lambda f: (50, 50) if f < 13 else None, "bob": still(50)},
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
        detected_in, described = self.described(World({"ann": still(50)}))
        assert np.diff(detected_in).max() <= MIN_INTERVAL_S * FPS + 8
        gaps = np.diff(described) / FPS
        assert gaps.min() >= RECOGNITION_VALID_S
        assert gaps.max() <= RECOGNITION_VALID_S + 2 * MIN_INTERVAL_S

    def test_overlapping_faces_are_described_at_every_detection(self) -> None:
        detected_in, described = self.described(World({"ann": still(50), "bob": still(68)}))
        assert described == [n for n in detected_in for _ in range(2)]

    @pytest.mark.parametrize(
        ("tracked", "count"), [((0.0, 0.4), 4), ((0.9, 1.0), 1)], ids=["hidden", "beside"]
    )
    def test_a_hidden_or_displaced_face_is_described_at_every_detection(
        self, tracked: tuple[float, float], count: int
    ) -> None:
        world = World(
            {"ann": still(50)}, tracked=lambda person, start, f: tracked if f > 70 else (0.0, 1.0)
        )
        detected_in, described = self.described(world)
        # Until what it is displaced by has been learned.
        after = [n for n in detected_in if n > 70]
        assert [n for n in described if n > 70][:count] == after[:count]


def test_a_face_recognised_elsewhere_takes_its_track_along() -> None:
    """The tracker claims to see the points where the face no longer is."""
    world = World({"ann": lambda f: (50, 50) if f < 18 else (250, 50)})
    step = FakeTracker.step

    class Forgetful(FakeTracker):
        def step(self, state: FakeState, frames: np.ndarray) -> StepResult:
            if state.start == 0 and frame_number(frames[0]) >= 16:
                shape = (len(frames), len(SHAPE))
                xy = np.broadcast_to(SHAPE + np.float32([50, 50]), (*shape, 2))
                return StepResult(xy, np.ones(shape, bool), np.ones(shape, np.float32))
            return step(self, state, frames)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("face_world.FakeTracker", Forgetful)
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


def test_a_surprising_detection_corrects_its_clip_and_is_checked_soon() -> None:
    """The points slip by less than what counts as drift."""
    world = World({"ann": still(50)}, tracked=lambda person, start, f: (1.2 * (f > 100), True))
    run = Run(world, 300)
    assert run.events == []
    first, second = [frame for frame in world.detected_in if frame > 100][:2]
    assert second - first < MIN_INTERVAL_S * FPS
    off = [abs(float(run.xy(0, frame)[0, 0]) - 50) for frame in range(300)]
    assert off[first - 8] == pytest.approx(1.2)
    assert off[first] < 1.0  # corrected already, since the clip can be
    assert off[second] < off[first] < off[first - 3] < 1.2
    assert max(np.diff(world.detected_in[-3:])) > 1.5 * MIN_INTERVAL_S * FPS
