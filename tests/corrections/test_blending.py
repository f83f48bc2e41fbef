"""Between anchors, the runs of both sides count by how sure they are; outside, one does."""

from __future__ import annotations

import numpy as np
import pytest

from facetrack.corrections.blending import Stretch, blend
from facetrack.corrections.resolve import FrameEdit
from facetrack.corrections.runs import AGREE_FRAMES, Anchor, Run
from facetrack.trackers import StepResult

POINTS = 5
SHAPE = np.array([(0.0, 0), (40, 0), (40, 50), (0, 50), (20, 20)])
ROWS = 60
SURE, UNSURE = 1e-4, 0.05


def truth(rows: int = ROWS) -> np.ndarray:
    """(T, N, 2) the true points: they go to the right."""
    return SHAPE + np.stack([2.0 * np.arange(rows), np.zeros(rows)], -1)[:, None]


def anchor_at(row: int, off: tuple[float, float] = (0, 0), deviation: float = SURE) -> Anchor:
    """An anchor whose points are all off by so many pixels."""
    everywhere = np.ones(POINTS, bool)
    xy = (truth()[row] + off).astype(np.float32)
    covariance = np.eye(2 * POINTS) * deviation**2
    return Anchor(row, row, xy, everywhere, everywhere, covariance, 60 + 0j)


class Face:
    """A stretch of ROWS rows with these anchors; the former tracks are 20 px too low."""

    def __init__(self, *anchors: Anchor) -> None:
        self.former = truth() + (0, 20)
        by_row = {anchor.row: anchor for anchor in anchors}
        edits = {row: FrameEdit() for row in by_row}
        self.stretch = Stretch(0, 0, 0, ROWS - 1, edits, by_row, {})
        for row, anchor in by_row.items():
            for direction in (1, -1):
                rows = self.rows(row, direction)
                run = Run(anchor, direction, len(rows), self.former[rows], None, None)
                self.stretch.runs[row, direction] = run

    @staticmethod
    def rows(row: int, direction: int) -> np.ndarray:
        return np.arange(row, ROWS if direction > 0 else -1, direction)

    def track(
        self, row: int, direction: int, drift=(0.0, 0.0), confidence=1.0, count=ROWS, agrees=None
    ) -> None:
        """Let a run have `count` rows at most, off by `drift` more in each."""
        rows = self.rows(row, direction)[:count]
        off = self.stretch.anchors[row].xy[0] - truth()[row, 0]
        xy = truth()[rows] + off + np.arange(len(rows))[:, None, None] * np.array(drift)
        seen = np.ones((len(rows), POINTS), bool)
        sure = np.broadcast_to(np.float32(confidence), seen.shape).copy()
        self.stretch.runs[row, direction].restore(
            StepResult(xy.astype(np.float32), seen, sure), agrees, False
        )

    def blended(self, low: int = 0, high: int = ROWS - 1) -> dict[int, tuple[np.ndarray, ...]]:
        """(points, visibility, confidence) by row."""
        found: dict[int, tuple[np.ndarray, ...]] = {}
        for begin, end, result in blend(self.stretch, low, high):
            assert len(result.xy) == end - begin + 1
            for k, row in enumerate(range(begin, end + 1)):
                found[row] = tuple(part[k] for part in result)
        return found

    def off(self, **rows: int) -> np.ndarray:
        """(T, N, 2) by how far the blended points are off."""
        found = self.blended(**rows)
        return np.stack([found[row][0] - truth()[row] for row in sorted(found)])


@pytest.fixture
def face() -> Face:
    """Sure anchors in rows 20 and 40, whose runs drift upwards and downwards."""
    made = Face(anchor_at(20), anchor_at(40))
    made.track(20, -1)
    made.track(20, 1, drift=(0, -0.1))
    made.track(40, -1, drift=(0, 0.1))
    made.track(40, 1)
    return made


def test_every_row_of_the_stretch_is_blended_once(face: Face) -> None:
    assert sorted(face.blended()) == list(range(ROWS))
    rows = [
        row for low, high, _ in blend(face.stretch, 0, ROWS - 1) for row in range(low, high + 1)
    ]
    assert len(rows) <= ROWS + 2, "an anchor may end one part and begin another"


def test_points_are_the_anchors_at_the_anchors(face: Face) -> None:
    off = face.off()
    np.testing.assert_allclose(off[[20, 40]], 0, atol=0.01)


def test_between_anchors_each_run_counts_by_how_near_its_anchor_is(face: Face) -> None:
    """Runs that drift in opposite ways meet in the middle, without a jump."""
    off = face.off()
    t = np.arange(21)
    near = 1 - t / 20
    expected = near * -0.1 * t + (1 - near) * 0.1 * (20 - t)
    np.testing.assert_allclose(off[20:41, :, 1], np.repeat(expected[:, None], POINTS, 1), atol=5e-3)
    assert np.abs(np.diff(off, axis=0)).max() < 0.2


def test_an_unsure_run_counts_less(face: Face) -> None:
    before = face.off()[30, :, 1]
    np.testing.assert_allclose(before, 0, atol=5e-3)
    face.track(40, -1, drift=(0, 0.1), confidence=0.25)
    np.testing.assert_allclose(face.off()[30, :, 1], 0.8 * -1 + 0.2 * 1, atol=5e-3)


def test_visibility_is_that_of_the_nearer_run(face: Face) -> None:
    face.stretch.runs[40, -1].result.visible[:] = False
    face.stretch.runs[40, -1].result.confidence[:] = 0.9
    found = face.blended()
    assert [found[row][1].all() for row in (20, 25, 35, 39)] == [True, True, False, False]
    assert [float(found[row][2][0]) for row in (25, 35)] == [1, pytest.approx(0.9)]


def test_outside_the_anchors_one_run_counts(face: Face) -> None:
    face.track(20, -1, drift=(0.5, 0))
    face.track(40, 1, drift=(0, 0.25))
    off = face.off()
    np.testing.assert_allclose(off[:20, 0, 0], 0.5 * np.arange(20, 0, -1), atol=1e-3)
    np.testing.assert_allclose(off[41:, 0, 1], 0.25 * np.arange(1, 20), atol=0.01)


def test_an_unknown_point_of_one_run_is_that_of_the_other(face: Face) -> None:
    """And it spoils no other point."""
    before = face.off()
    face.stretch.runs[20, 1].result.xy[:, 3] = np.nan
    off = face.off()
    np.testing.assert_allclose(off[25, 3], (0, 1.5), atol=0.02)
    others = [0, 1, 2, 4]
    np.testing.assert_allclose(off[:, others], before[:, others], atol=0.05)
    face.stretch.runs[40, -1].result.xy[:, 3] = np.nan
    off = face.off()
    assert np.isnan(off[21:40, 3]).all()
    np.testing.assert_allclose(off[:, others], before[:, others], atol=0.05)
    assert np.isfinite(off[:20]).all()
    assert np.isfinite(off[41:]).all()


def test_a_face_that_one_run_loses_is_that_of_the_other(face: Face) -> None:
    face.stretch.runs[20, 1].result.xy[14:] = np.nan
    off = face.off()
    np.testing.assert_allclose(off[36, :, 1], 0.4, atol=0.01)
    assert np.isfinite(off).all()
    face.stretch.runs[40, -1].result.xy[14:] = np.nan
    off = face.off()
    np.testing.assert_allclose(off[24, :, 1], -0.4, atol=0.01)
    assert np.isfinite(off).all()
    face.stretch.runs[20, 1].result.xy[4:] = np.nan
    face.stretch.runs[40, -1].result.xy[4:] = np.nan
    off = face.off()
    assert np.isnan(off[24:37]).all()
    np.testing.assert_allclose(off[[20, 40]], 0, atol=0.01)


def test_rows_that_are_not_tracked_yet_have_the_former_tracks() -> None:
    face = Face(anchor_at(20))
    face.track(20, -1, count=6)
    face.track(20, 1, count=11)
    off = face.off()[:, 0, 1]
    np.testing.assert_allclose(off[15:31], 0, atol=1e-3)
    np.testing.assert_allclose(off[:15], 20, atol=1e-3)
    np.testing.assert_allclose(off[31:], 20, atol=1e-3)


def test_rows_that_one_run_has_tracked_are_not_mixed_with_former_tracks(face: Face) -> None:
    """Not even where the other run is nearer, but not there yet."""
    face.track(20, 1, drift=(0, -0.1), count=3)
    off = face.off()[:, 0, 1]
    np.testing.assert_allclose(off[23:41], 0.1 * np.arange(17, -1, -1), atol=0.01)
    face.track(40, -1, drift=(0, 0.1), count=3)
    off = face.off()[:, 0, 1]
    np.testing.assert_allclose(off[23:38], 20, atol=0.01)
    assert np.abs(off[[20, 21, 22, 38, 39, 40]]).max() < 0.5


def test_a_run_that_agrees_passes_over_into_the_former_tracks() -> None:
    face = Face(anchor_at(5))
    face.track(5, -1)
    face.track(5, 1, agrees=10, count=10 + AGREE_FRAMES)
    off = face.off()[:, 0, 1]
    np.testing.assert_allclose(off[:15], 0, atol=1e-3)
    assert (np.diff(off[14 : 15 + AGREE_FRAMES]) > 0).all()
    np.testing.assert_allclose(off[15 + AGREE_FRAMES :], 20, atol=1e-3)
    assert np.abs(np.diff(off)).max() < 1, "without a jump"


def test_parts_are_as_the_whole(face: Face) -> None:
    whole = face.blended()
    for low, high in ((0, 10), (18, 22), (25, 35), (40, 40), (30, 59)):
        part = face.blended(low, high)
        assert sorted(part) == list(range(low, high + 1))
        for row, values in part.items():
            for one, other in zip(values, whole[row], strict=True):
                np.testing.assert_allclose(one, other, atol=1e-9)


def test_nothing_is_blended_before_an_anchor_is_placed(face: Face) -> None:
    face.stretch.anchors.clear()
    assert list(blend(face.stretch, 0, ROWS - 1)) == []


def test_an_unsure_anchor_gives_way_to_a_sure_one_once_both_runs_are_whole() -> None:
    """The second anchor's points are 3 px too low, as the tracker tells from the first."""
    face = Face(anchor_at(20), anchor_at(40, off=(0, 3), deviation=UNSURE))
    for row in (20, 40):
        face.track(row, -1)
        face.track(row, 1)
    np.testing.assert_allclose(face.off()[:, :, 1], 0, atol=0.3)
    face.track(40, -1, count=10)
    off = face.off()[:, 0, 1]
    assert off[40] == pytest.approx(3, abs=1e-3)
    assert off[59] == pytest.approx(3, abs=1e-3)


def test_rows_wanted_end_at_the_next_corrected_frames() -> None:
    face = Face(anchor_at(20), anchor_at(40))
    stretch = face.stretch
    assert [stretch.wanted(20, d) for d in (1, -1)] == [21, 21]
    assert [stretch.wanted(40, d) for d in (1, -1)] == [20, 21]
    assert stretch.rows_changed(20) == (0, 40)
    assert stretch.rows_changed(40) == (20, ROWS - 1)
    stretch.edits[30] = FrameEdit()
    assert stretch.rows_changed(20) == (0, 30)
    assert stretch.rows_changed(40) == (30, ROWS - 1)
