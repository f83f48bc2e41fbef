"""Corrections on a small video, tracked by Lucas and Kanade."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sliding

from facetrack.corrections.anchors import AnchorPlacer
from facetrack.corrections.blending import Stretch
from facetrack.corrections.correction import ABSENT, PERSON, START, Correction
from facetrack.corrections.engine import Corrector, Update, former_digests
from facetrack.corrections.frames import FrameStore
from facetrack.corrections.resolve import FrameEdit, Placement
from facetrack.corrections.runs import AGREE_FRAMES, Run
from facetrack.errors import FacetrackError
from facetrack.trackers import StepResult
from facetrack.trackers.lk import LucasKanadeTracker
from facetrack.tracks import Tracks

FRAMES, SIZE = 100, (288, 96)
SHAPE = np.array([(0.0, 0), (30, 0), (30, 30), (0, 30), (15, 12), (15, 22)])
WRONG = 4
"""The point that the tracks have wrong."""
OFF = np.array([0.0, 6.0])
FIRST, LAST = 40, 62
"""Rows in which they have it wrong."""


def truth() -> np.ndarray:
    """(T, N, 2): the texture goes to the right."""
    step = np.arange(FRAMES)[:, None, None] * np.array([sliding.STEP, 0])
    return SHAPE + (24, 30) + step


def tracks_of(xy: np.ndarray) -> Tracks:
    known = np.isfinite(xy).all(-1)
    return Tracks(
        xy=xy.astype(np.float32),
        visible=known,
        confidence=np.where(known, 0.9, 0).astype(np.float32),
        time=np.arange(FRAMES) / 25,
        face_id=np.arange(xy.shape[1]),
        scheme=f"points-{xy.shape[2]}",
        size=SIZE,
    )


def wrong_tracks(first: int = FIRST, last: int = LAST) -> Tracks:
    """One point is off from one row to another."""
    xy = truth()[:, None]
    xy[first : last + 1, 0, WRONG] += OFF
    return tracks_of(xy)


def right(*frames: int, point: int = WRONG, face: int = 0) -> list[Correction]:
    """A point put where it is."""
    return [Correction(t, face, point, *truth()[t, point]) for t in frames]


class CountingTracker(LucasKanadeTracker):
    """Remembers from how many frames it was fed."""

    def __init__(self) -> None:
        self.fed = 0

    def step(self, state: object, frames: np.ndarray) -> StepResult:
        self.fed += len(frames)
        return super().step(state, frames)


class Setting:
    """A corrector of the clip, and its tracker."""

    def __init__(self, frames: FrameStore, base: Tracks, events: tuple[dict, ...] = ()) -> None:
        self.tracker = CountingTracker()
        self.corrector = Corrector(base, events, frames, lambda: self.tracker, AnchorPlacer())

    def solve(self, *corrections: Correction) -> Tracks:
        self.corrector.set_corrections(corrections)
        self.corrector.finish()
        return self.corrector.tracks()


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> FrameStore:
    """The frames of the clip, which are decoded once."""
    path = tmp_path_factory.mktemp("clip") / "sliding.mp4"
    sliding.write_sliding(path, FRAMES, size=SIZE)
    return FrameStore(path, wrong_tracks())


@pytest.fixture
def setting(frames: FrameStore) -> Setting:
    return Setting(frames, wrong_tracks())


def off(tracks: Tracks, point: int = WRONG, face: int = 0) -> np.ndarray:
    """(T,) pixels by which a point is off."""
    return np.linalg.norm(tracks.xy[:, face, point] - truth()[:, point], axis=-1)


def steps(corrector: Corrector) -> Iterator[Update]:
    while (update := corrector.step()) is not None:
        yield update


# ---------------------------------------------------------------- what is put right


def test_rows_that_are_not_tracked_again_keep_their_confidence(frames: FrameStore) -> None:
    base = wrong_tracks(10, 15)
    base.confidence[:] = 0.6
    base.confidence[70:, 0, 2] = 0.3
    found = Setting(frames, base).solve(*right(12))
    np.testing.assert_allclose(found.confidence[60:], base.confidence[60:], atol=1e-6)


def test_without_corrections_nothing_is_tracked_or_changed(setting: Setting) -> None:
    tracks = setting.solve()
    assert setting.tracker.fed == 0
    assert setting.corrector.progress == (0, 0)
    np.testing.assert_allclose(tracks.xy, wrong_tracks().xy, atol=1e-3)
    assert not tracks.corrected.any()


def test_two_corrections_put_a_point_right_everywhere(setting: Setting) -> None:
    tracks = setting.solve(*right(45, 55))
    assert off(setting.corrector.base).max() == pytest.approx(6, abs=1e-3)
    assert off(tracks).max() < 0.5
    np.testing.assert_array_equal(off(tracks)[[45, 55]], 0)
    assert np.argwhere(tracks.corrected).tolist() == [[45, 0, WRONG], [55, 0, WRONG]]
    assert (tracks.confidence[[45, 55], 0, WRONG] == 1).all()
    moved = np.diff(tracks.xy[:, 0, WRONG] - truth()[:, WRONG], axis=0)
    assert np.abs(moved).max() < 0.25, "no jump anywhere"
    others = [point for point in range(len(SHAPE)) if point != WRONG]
    assert off(tracks, others).max() < 0.5


def test_several_corrections_of_a_point_are_met_exactly_and_smoothly(frames: FrameStore) -> None:
    """Also where they contradict the picture: then the point wanders from one to the next."""
    setting = Setting(frames, tracks_of(truth()[:, None]))
    places = {t: truth()[t, WRONG] + (0, dy) for t, dy in ((20, 0), (50, 5), (80, -5))}
    tracks = setting.solve(*(Correction(t, 0, WRONG, *xy) for t, xy in places.items()))
    for t, xy in places.items():
        np.testing.assert_allclose(tracks.xy[t, 0, WRONG], xy, atol=1e-3)
    down = tracks.xy[:, 0, WRONG, 1] - truth()[:, WRONG, 1]
    assert (np.diff(down[20:51]) > -0.05).all()
    assert (np.diff(down[50:81]) < 0.05).all()
    assert np.abs(np.diff(down)).max() < 0.75


def test_a_point_corrected_in_one_frame_is_right_in_the_other_corrected_one(
    frames: FrameStore,
) -> None:
    """Two points are off everywhere, and one is corrected in each frame."""
    base = wrong_tracks(0, FRAMES - 1)
    base.xy[:, 0, 0] += (3, -3)
    tracks = Setting(frames, base).solve(*right(20), *right(80, point=0))
    assert off(tracks).max() < 0.7
    assert off(tracks, 0).max() < 0.7


def test_hidden_points_are_where_they_were_put(setting: Setting) -> None:
    (correction,) = right(50)
    hidden = Correction(50, 0, WRONG, correction.x, correction.y, hidden=True)
    tracks = setting.solve(hidden)
    assert not tracks.visible[50, 0, WRONG]
    assert tracks.confidence[50, 0, WRONG] == 0
    assert tracks.corrected[50, 0, WRONG]
    assert off(tracks)[50] < 1e-3
    assert not tracks.visible[49:52, 0, WRONG].any(), "it is carried along with the others"
    assert off(tracks)[45:56].max() < 0.5


def test_hidden_points_do_not_become_visible_beside_a_corrected_one(frames: FrameStore) -> None:
    base = wrong_tracks()
    base.visible[:, 0, :3] = False
    tracks = Setting(frames, base).solve(*right(50))
    assert tracks.visible[:, 0].sum(0).tolist() == [0, 0, 0, FRAMES, FRAMES, FRAMES]


def test_points_outside_the_picture_are_hidden_also_where_they_were_put(frames: FrameStore) -> None:
    base = wrong_tracks()
    base.xy[:, 0, 3, 1], base.visible[:, 0, 3] = SIZE[1] + 1.5, False
    tracks = Setting(frames, base).solve(*right(50), Correction(50, 0, 5, 60, SIZE[1] + 9))
    outside = tracks.xy[:, 0, :, 1] > SIZE[1]
    assert outside[:, 3].all()
    assert outside[50, 5]
    assert not tracks.visible[:, 0][outside].any()
    assert (tracks.confidence[:, 0][outside] < 0.5).all()


def test_a_correction_ends_where_the_tracks_are_right(setting: Setting) -> None:
    """Beyond, nothing is tracked again, and nothing changes."""
    tracks = setting.solve(*right(45, 55))
    near = slice(FIRST - 2 * AGREE_FRAMES, LAST + 2 * AGREE_FRAMES)
    changed = np.flatnonzero(np.abs(tracks.xy - setting.corrector.base.xy).max((1, 2, 3)) > 0)
    assert changed.min() > FIRST - AGREE_FRAMES - 10
    assert changed.max() < LAST + AGREE_FRAMES + 10
    assert setting.tracker.fed < near.stop - near.start
    assert setting.corrector.progress[0] == setting.corrector.progress[1]


def test_only_the_stretch_to_the_neighbouring_corrections_is_tracked_again(
    frames: FrameStore,
) -> None:
    """A third correction between two: the rest is kept as it was tracked."""
    setting = Setting(frames, wrong_tracks(0, FRAMES - 1))
    before = setting.solve(*right(30, 70))
    fed = setting.tracker.fed
    after = setting.solve(*right(30, 70, 50))
    again = setting.tracker.fed - fed
    assert again <= 2 * (20 + 8), "from 50 to both sides, in whole steps"
    np.testing.assert_allclose(after.xy[:31], before.xy[:31], atol=0.1)
    np.testing.assert_allclose(after.xy[70:], before.xy[70:], atol=0.1)


def test_a_cut_bounds_what_a_correction_changes(frames: FrameStore) -> None:
    events = ({"frame": 60, "face_id": None, "reason": "cut"},)
    setting = Setting(frames, wrong_tracks(0, FRAMES - 1), events)
    tracks = setting.solve(*right(50))
    assert off(tracks)[:60].max() < 0.5
    np.testing.assert_allclose(off(tracks)[60:], 6, atol=1e-3)
    (stretch,) = setting.corrector.stretches()
    assert (stretch["first_frame"], stretch["last_frame"]) == (0, 59)
    assert stretch["corrected_frames"] == [50]


def test_faces_do_not_disturb_each_other(frames: FrameStore) -> None:
    xy = np.stack([truth(), truth() + (40, 10)], 1)
    xy[:, 0, WRONG] += OFF
    setting = Setting(frames, tracks_of(xy))
    tracks = setting.solve(*right(50))
    assert off(tracks).max() < 0.5
    np.testing.assert_array_equal(tracks.xy[:, 1], setting.corrector.base.xy[:, 1])


# ---------------------------------------------------------------- again and again


def test_corrections_that_are_set_again_are_not_tracked_again(setting: Setting) -> None:
    corrections = right(45, 55)
    tracks = setting.solve(*corrections)
    fed = setting.tracker.fed
    np.testing.assert_array_equal(setting.solve().xy, setting.corrector.base.xy)
    setting.corrector.set_corrections(corrections)
    again = setting.corrector.tracks()
    assert setting.corrector.step() is None
    assert setting.tracker.fed == fed
    for name in ("xy", "visible", "confidence", "corrected"):
        np.testing.assert_array_equal(getattr(again, name), getattr(tracks, name))


@pytest.mark.parametrize("number", [1, 3, 8])
def test_work_is_resumed_where_other_corrections_broke_it_off(
    number: int, frames: FrameStore, setting: Setting
) -> None:
    corrections = right(45, 55)
    whole = Setting(frames, wrong_tracks())
    expected = whole.solve(*corrections)
    setting.corrector.set_corrections(corrections)
    for _ in range(number):
        setting.corrector.step()
    setting.corrector.set_corrections([])
    assert setting.corrector.step() is None
    tracks = setting.solve(*corrections)
    np.testing.assert_array_equal(tracks.xy, expected.xy)
    assert setting.tracker.fed == whole.tracker.fed


def test_the_order_of_corrections_and_of_the_work_does_not_matter(
    frames: FrameStore, setting: Setting
) -> None:
    together = setting.solve(*right(45, 55, 70))
    other = Setting(frames, wrong_tracks())
    for corrections in (right(70), right(70, 45), right(55, 70, 45)):
        tracks = other.solve(*corrections)
    np.testing.assert_array_equal(tracks.xy, together.xy)
    np.testing.assert_array_equal(tracks.visible, together.visible)


def test_a_later_command_takes_what_was_kept_on_disk(
    frames: FrameStore, setting: Setting, tmp_path: Path
) -> None:
    setting.corrector.runs_folder = tmp_path / "runs"
    tracks = setting.solve(*right(45, 55))
    later = Setting(frames, wrong_tracks())
    later.corrector.runs_folder = tmp_path / "runs"
    np.testing.assert_array_equal(later.solve(*right(45, 55)).xy, tracks.xy)
    assert later.tracker.fed == 0
    for path in (tmp_path / "runs").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    damaged = Setting(frames, wrong_tracks())
    damaged.corrector.runs_folder = tmp_path / "runs"
    np.testing.assert_array_equal(damaged.solve(*right(45, 55)).xy, tracks.xy)
    assert damaged.tracker.fed == setting.tracker.fed


def test_runs_are_told_apart_by_the_tracks_that_they_replace(setting: Setting) -> None:
    base = setting.corrector.base
    changed = replace(base, xy=base.xy.copy())
    changed.xy[70, 0, 0] += 1

    def digests(tracks: Tracks, *rows: int) -> dict[tuple[int, int], bytes]:
        edits = {row: FrameEdit() for row in rows}
        return former_digests(Stretch(0, 0, 0, FRAMES - 1, edits, {}, {}), tracks)

    both, other = digests(base, 20, 50), digests(changed, 20, 50)
    assert {key for key in both if both[key] != other[key]} == {(20, 1), (50, 1)}
    assert len(set(both.values())) == 4
    # Whatever else is corrected.
    alone = digests(base, 50)
    assert alone == {key: both[key] for key in alone}


def test_runs_share_the_memory_of_the_tracks(setting: Setting) -> None:
    setting.solve(*right(10, 50))
    (stretch,) = setting.corrector._in_force.stretches
    base = setting.corrector.base.xy
    assert all(np.shares_memory(run._former, base) for run in stretch.runs.values())


def test_a_moved_correction_replaces_the_former_one(setting: Setting) -> None:
    setting.solve(Correction(50, 0, WRONG, 5, 5))
    tracks = setting.solve(*right(50))
    assert off(tracks)[45:56].max() < 0.5


# ---------------------------------------------------------------- steps


def test_a_correction_shows_before_anything_is_tracked(setting: Setting) -> None:
    (seen,), (covered,) = right(50), right(51)
    hidden = Correction(51, 0, WRONG, covered.x, covered.y, hidden=True)
    setting.corrector.base.visible[50, 0, WRONG] = False
    setting.corrector.set_corrections([seen, hidden])
    tracks = setting.corrector.tracks()
    np.testing.assert_array_equal(off(tracks)[50:52], 0)
    assert tracks.visible[50:52, 0, WRONG].tolist() == [True, False]
    assert tracks.confidence[50:52, 0, WRONG].tolist() == [1, 0]
    assert tracks.corrected.sum() == 2
    np.testing.assert_allclose(off(tracks)[[49, 52]], 6, atol=1e-3)


def test_tracks_may_be_looked_at_while_an_anchor_is_placed(setting: Setting, monkeypatch) -> None:
    """As a page's request does, from another thread."""
    seen = []

    def look_and_create(*arguments: object) -> Run:
        seen.append(setting.corrector.tracks())
        return Run(*arguments)

    monkeypatch.setattr("facetrack.corrections.engine.Run", look_and_create)
    setting.solve(*right(50, 70))
    assert len(seen) == 4
    for tracks in seen:
        np.testing.assert_array_equal(off(tracks)[[50, 70]], 0)


def test_steps_tell_what_has_changed_so_far(frames: FrameStore) -> None:
    """Frames that they do not name are as before."""
    base = wrong_tracks(0, FRAMES - 1)
    base.xy[:, 0, 0] += (3, -3)
    corrector = Setting(frames, base).corrector
    corrector.set_corrections([*right(20), *right(80, point=0)])
    before, dones = corrector.tracks(), []
    for update in steps(corrector):
        now = corrector.tracks()
        changed = np.flatnonzero(np.abs(now.xy - before.xy).max((1, 2, 3)) > 0)
        assert update.face == 0
        assert set(changed) <= set(range(update.first, update.last + 1))
        assert 0 <= update.done <= update.total
        dones.append(update.done)
        before = now
    assert dones == sorted(dones)
    assert dones[-1] == update.total
    assert corrector.step() is None


def test_what_is_near_the_newest_correction_comes_first(frames: FrameStore) -> None:
    corrector = Setting(frames, wrong_tracks(0, FRAMES - 1)).corrector
    corrector.set_corrections(right(70, 30))
    spans = [(update.first, update.last) for update in steps(corrector)]
    assert spans[0] == (30, 30)
    before = spans[: spans.index((70, 70))]
    assert min(high for _, high in before) < 20, "far to both sides"
    assert max(low for low, _ in before) > 50
    assert [spans[1], spans[2]] == [(30, 30)] * 2, "at once on both sides"
    assert {spans[3], spans[4]} == {(31, 37), (23, 29)}


def test_a_part_of_the_tracks_is_that_of_the_whole(setting: Setting) -> None:
    whole = setting.solve(*right(45, 55))
    part = setting.corrector.tracks(40, 49)
    assert part.frames.tolist() == list(range(40, 50))
    np.testing.assert_array_equal(part.xy, whole.xy[40:50])
    np.testing.assert_array_equal(part.corrected, whole.corrected[40:50])
    np.testing.assert_array_equal(part.time, whole.time[40:50])
    assert len(setting.corrector.tracks(90, 500)) == 10


# ---------------------------------------------------------------- whole faces


def test_a_face_starts_where_it_was_not_tracked(frames: FrameStore) -> None:
    xy = truth()[:, None].copy()
    xy[30:] = np.nan
    setting = Setting(frames, tracks_of(xy))
    corrections = [Correction(60, 0, n, *truth()[60, n]) for n in range(len(SHAPE))]
    tracks = setting.solve(*corrections)
    assert setting.corrector.warnings == []
    assert max(off(tracks, point).max() for point in range(len(SHAPE))) < 0.5
    few = setting.solve(*corrections[:2])
    assert np.isnan(few.xy[30:]).all()
    assert "correct at least 3 of its points" in setting.corrector.warnings[0]


def test_a_new_start_forgets_the_tracks_around_it(frames: FrameStore) -> None:
    """All points are on something else: those not corrected are not believed either."""
    setting = Setting(frames, tracks_of(truth()[:, None] + (0, 9)))
    places = [Correction(50, 0, n, *truth()[50, n]) for n in range(len(SHAPE))]
    tracks = setting.solve(Correction(50, 0, START), *places)
    assert max(off(tracks, point).max() for point in range(len(SHAPE))) < 0.5


def test_absences_and_persons_need_no_tracker(frames: FrameStore) -> None:
    xy = np.stack([truth(), truth() + (40, 10)], 1)
    setting = Setting(frames, tracks_of(xy))
    tracks = setting.solve(Correction(50, 0, PERSON, 1), Correction(80, 0, ABSENT))
    assert setting.tracker.fed == 0
    np.testing.assert_allclose(tracks.xy[50:80, 0], xy[50:80, 1], atol=1e-3)
    np.testing.assert_allclose(tracks.xy[50:, 1], xy[50:, 0], atol=1e-3)
    assert np.isnan(tracks.xy[80:, 0]).all()
    assert not tracks.corrected.any()


def test_what_detectors_place_is_blended_like_corrections(frames: FrameStore) -> None:
    """Further query frames: the tracks agree with both, and nothing counts as by hand."""
    setting = Setting(frames, wrong_tracks(0, FRAMES - 1))
    placements = [
        Placement(row, 0, truth()[row].astype(np.float32), np.ones(len(SHAPE), bool))
        for row in (20, 80)
    ]
    setting.corrector.set_corrections([], placements)
    setting.corrector.finish()
    tracks = setting.corrector.tracks()
    assert off(tracks).max() < 0.5
    assert not tracks.corrected.any()


def test_a_point_that_does_not_exist_is_refused_and_the_last_ones_stay(setting: Setting) -> None:
    setting.solve(*right(45))
    before = setting.corrector.tracks()
    with pytest.raises(FacetrackError, match="names point 6, and the tracks have 6"):
        setting.corrector.set_corrections([Correction(45, 0, 6, 1, 1)])
    np.testing.assert_array_equal(setting.corrector.tracks().xy, before.xy)
