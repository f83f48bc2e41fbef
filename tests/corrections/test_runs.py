"""One direction from an anchor: how far it goes, and what counts of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facetrack.corrections.runs import AGREE_FRAMES, STEP_FRAMES, Anchor, Run, turns
from facetrack.corrections.saved_runs import load_run, save_run
from facetrack.errors import OutputError
from facetrack.trackers import StepResult
from facetrack.video.frame import Frame

SHAPE = np.array([(0.0, 0), (40, 0), (40, 40), (0, 40), (20, 20)])
POINTS, ROWS, ANCHOR = len(SHAPE), 120, 60


def truth(row: int) -> np.ndarray:
    return SHAPE + (2.0 * row, 30)


class Video:
    """Frames whose first pixels are their number; some are of another shot or cannot be read."""

    def __init__(self, other_shot: range = range(0), damaged: tuple[int, ...] = ()) -> None:
        self.other_shot, self.damaged = other_shot, damaged

    def run(self, index: int, direction: int) -> Iterator[Frame]:
        for row in range(index, ROWS if direction > 0 else -1, direction):
            random = np.random.default_rng(row in self.other_shot)
            patches = random.integers(5, 235, (6, 8, 3), dtype=np.uint8)
            image = np.ascontiguousarray(patches.repeat(16, 0).repeat(16, 1))
            image[0, 0] = row
            yield Frame(row, row / 25, image, problem="damaged." if row in self.damaged else None)


class Tracker:
    """Follows the true points, off as at its start, and does not see them from a row on."""

    def __init__(self, hidden: range = range(0), drift: float = 0.0) -> None:
        self.hidden, self.drift, self.steps = hidden, drift, []

    def start(self, frame: np.ndarray, points: np.ndarray) -> dict:
        return {"off": points - truth(int(frame[0, 0, 0])), "fed": 0}

    def step(self, state: dict, frames: np.ndarray) -> StepResult:
        rows = frames[:, 0, 0, 0].astype(int)
        self.steps.append(rows.tolist())
        xy = np.stack([truth(row) + state["off"] for row in rows])
        xy[..., 1] += self.drift * (state["fed"] + np.arange(len(rows)))[:, None]
        state["fed"] += len(rows)
        seen = np.repeat([[row not in self.hidden] for row in rows], POINTS, axis=1)
        return StepResult(xy.astype(np.float32), seen, seen * np.float32(0.8))


def anchor_of(moved: float = 0.0, **changes: object) -> Anchor:
    xy = truth(ANCHOR).astype(np.float32)
    values = {
        "visible": np.ones(POINTS, bool),
        "by_hand": np.arange(POINTS) == 4,
        "is_start": False,
        **changes,
    }
    return Anchor(ANCHOR, ANCHOR, xy, covariance=np.eye(2 * POINTS) * 1e-4, pose=60 + 0j, **values)


def former_rows(direction: int, off: float = 0.0, rows: range = range(ROWS)) -> np.ndarray:
    """Tracks whose point 4 is off by so much in these rows."""
    order = range(ANCHOR, ROWS if direction > 0 else -1, direction)
    xy = np.stack([truth(row) for row in order])
    xy[[row in rows for row in order], 4, 1] += off
    return xy


def make(
    direction: int = 1, former: np.ndarray | None = None, tracker=None, video=None, anchor=None
):
    former = former_rows(direction, 10) if former is None else former
    tracker = Tracker() if tracker is None else tracker
    run = Run(
        anchor or anchor_of(), direction, len(former), former, lambda: tracker, video or Video()
    )
    run.name = "a" * 32
    return run, tracker


def finish(run: Run) -> Run:
    while run.extend():
        pass
    return run


@pytest.mark.parametrize(("direction", "rows"), [(1, range(60, 120)), (-1, range(60, -1, -1))])
def test_a_run_goes_to_the_end_in_steps_of_which_the_first_is_one_frame(direction, rows) -> None:
    run, tracker = make(direction)
    assert run.extend() == 1
    assert run.extend() == STEP_FRAMES - 1
    assert run.extend() == STEP_FRAMES
    finish(run)
    assert [row for step in tracker.steps for row in step] == list(rows)
    assert run.is_done
    assert run.count == run.limit == len(rows)
    np.testing.assert_allclose(run.result.xy, [truth(row) for row in rows], atol=1e-4)
    assert run.extend() == 0


def test_the_anchor_s_row_is_as_it_was_put() -> None:
    visible = np.array([True, True, True, True, False])
    run, _ = make(anchor=anchor_of(visible=visible))
    run.extend()
    np.testing.assert_array_equal(run.result.xy[0], anchor_of().xy)
    np.testing.assert_array_equal(run.result.visible[0], visible)
    np.testing.assert_allclose(run.result.confidence[0], [0.8, 0.8, 0.8, 0.8, 0])


def test_a_run_ends_where_it_agrees_with_the_tracks_that_are_there() -> None:
    run, tracker = make(former=former_rows(1, 10, range(ANCHOR, 70)))
    finish(run)
    assert run.agrees_from == 70 - ANCHOR
    assert run.count == 70 - ANCHOR + AGREE_FRAMES
    assert run.is_done
    assert max(row for step in tracker.steps for row in step) < 70 + AGREE_FRAMES + STEP_FRAMES


def test_a_short_agreement_is_none() -> None:
    former = former_rows(1, 10)
    former[10 : 10 + AGREE_FRAMES - 1] = [truth(ANCHOR + k) for k in range(10, 9 + AGREE_FRAMES)]
    run, _ = make(former=former)
    finish(run)
    assert run.agrees_from is None
    assert run.count == run.limit


def test_a_new_start_never_agrees_with_what_was_there() -> None:
    run, _ = make(former=former_rows(1, 10, range(ANCHOR, 62)), anchor=anchor_of(is_start=True))
    finish(run)
    assert run.agrees_from is None


def test_a_small_correction_agrees_only_within_a_part_of_it() -> None:
    """Tracks that are off by a third of what the point was moved are not right yet."""
    former = former_rows(1, 1.0, range(ANCHOR, 62))
    former[2:, 4, 1] += 0.35
    run, _ = make(former=former)
    finish(run)
    assert run.agrees_from is None
    former[2:, 4, 1] -= 0.1
    run, _ = make(former=former)
    finish(run)
    assert run.agrees_from == 2


def nothing() -> np.ndarray:
    return np.full((ROWS - ANCHOR, POINTS, 2), np.nan)


def test_where_no_face_was_tracked_a_run_ends_with_the_shot() -> None:
    run, _ = make(former=nothing(), video=Video(other_shot=range(80, ROWS)))
    finish(run)
    assert run.is_lost
    assert run.count == 80 - ANCHOR
    tracked, _ = make(video=Video(other_shot=range(80, ROWS)))
    assert finish(tracked).count == ROWS - ANCHOR, "the tracks say where it ends"


def test_where_no_face_was_tracked_a_run_ends_when_it_is_not_seen_for_a_second() -> None:
    run, _ = make(former=nothing(), tracker=Tracker(hidden=range(70, ROWS)))
    finish(run)
    assert run.is_lost
    assert run.count == pytest.approx(70 - ANCHOR + 25, abs=1)
    short, _ = make(former=nothing(), tracker=Tracker(hidden=range(70, 80)))
    assert not finish(short).is_lost
    back, _ = make(-1, former=nothing(), tracker=Tracker(hidden=range(50)))
    assert finish(back).count == pytest.approx(ANCHOR - 50 + 1 + 25, abs=1)


def test_nothing_is_seen_in_a_frame_that_cannot_be_read() -> None:
    run, _ = make(video=Video(damaged=(65,)))
    finish(run)
    assert not run.result.visible[5].any()
    assert (run.result.confidence[5] == 0).all()
    assert run.result.visible[[4, 6]].all()


def test_hidden_points_are_carried_along_by_the_others() -> None:
    visible = np.array([True, True, True, True, False])
    run, _ = make(anchor=anchor_of(visible=visible))
    finish(run)
    assert not run.result.visible[:, 4].any()
    np.testing.assert_allclose(
        run.result.xy[:, 4], [truth(r)[4] for r in range(60, ROWS)], atol=1e-3
    )


# ---------------------------------------------------------------- what counts


def test_errors_grow_with_the_frames_and_faster_where_the_tracker_is_unsure() -> None:
    run, _ = make(tracker=Tracker(hidden=range(70, 75)))
    finish(run)
    _, growth = run.estimate(30, np.zeros(POINTS, complex))
    np.testing.assert_array_equal(growth[0], 0)
    np.testing.assert_allclose(growth[5], 5 / 0.8, rtol=1e-5)
    np.testing.assert_allclose(growth[12] - growth[9], 3 / 0.1, rtol=1e-5)


@pytest.mark.parametrize("turn", [1, 1j, 0.5 - 0.5j])
def test_offsets_turn_and_scale_with_the_face(turn: complex) -> None:
    class Turning(Tracker):
        def step(self, state, frames):
            result = super().step(state, frames)
            centre = result.xy.mean(1, keepdims=True)
            values = (result.xy - centre) @ [1, 1j] * turn
            xy = np.stack([values.real, values.imag], -1) + centre
            return result._replace(xy=xy.astype(np.float32))

    run, _ = make(tracker=Turning())
    finish(run)
    offset = np.zeros(POINTS, complex)
    offset[4] = 0.1
    plain = run.estimate(20, np.zeros(POINTS, complex))[0].xy
    moved = (run.estimate(20, offset)[0].xy - plain) @ [1, 1j]
    np.testing.assert_allclose(moved[1:, 4], 0.1 * 60 * turn, atol=1e-3)
    np.testing.assert_allclose(moved[0, 4], 6, atol=1e-3)
    assert np.abs(moved[:, :4]).max() == 0


def test_turns_are_those_of_the_known_points() -> None:
    xy = np.stack([2 * SHAPE + 5, SHAPE @ [[0, 1], [-1, 0]], SHAPE, SHAPE])
    xy[1, 2] = np.nan
    xy[2, 1:] = np.nan
    xy[3] = np.nan
    np.testing.assert_allclose(turns(SHAPE, xy), [2, 1j, 1, 1], atol=1e-12)


# ---------------------------------------------------------------- on disk


def test_a_kept_run_is_taken_up_as_it_was(tmp_path: Path) -> None:
    run, _ = make(former=former_rows(1, 10, range(ANCHOR, 70)))
    save_run(finish(run), tmp_path / "runs")
    again, tracker = make(former=former_rows(1, 10, range(ANCHOR, 70)))
    load_run(again, tmp_path / "runs")
    for one, other in zip(run.result, again.result, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (again.count, again.agrees_from, again.is_lost) == (run.count, run.agrees_from, False)
    assert again.extend() == 0
    assert tracker.steps == []


def test_a_kept_run_that_is_too_short_is_tracked_anew(tmp_path: Path) -> None:
    run, _ = make()
    run.extend()
    run.extend()
    save_run(run, tmp_path)
    again, tracker = make()
    load_run(again, tmp_path)
    assert again.count == STEP_FRAMES
    finish(again)
    assert [row for step in tracker.steps for row in step] == list(range(ANCHOR, ROWS))
    np.testing.assert_array_equal(again.result.xy, finish(run).result.xy)


@pytest.mark.parametrize(
    "damage", ["cut", "empty", "text", "bit", "other points", "too long", "none"]
)
def test_a_damaged_file_counts_as_missing(damage: str, tmp_path: Path) -> None:
    run, _ = make()
    save_run(finish(run), tmp_path)
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    if damage in ("cut", "empty", "text"):
        path.write_bytes({"cut": data[:300], "empty": b"", "text": b"none"}[damage])
    elif damage == "bit":  # in the archive's list of files: one counts as encrypted
        at = data.index(b"PK\x01\x02") + 8
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    elif damage == "none":
        path.unlink()
    else:
        count, points = (ROWS - ANCHOR, 3) if damage == "other points" else (ROWS, POINTS)
        arrays = {
            "xy": np.zeros((count, points, 2), np.float32),
            "visible": np.zeros((count, points), bool),
            "confidence": np.zeros((count, points), np.float32),
            "end": np.array([-1, 0]),
        }
        np.savez(path, **arrays)
    again, _ = make()
    load_run(again, tmp_path)
    assert again.count == 0


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run, _ = make()
    with pytest.raises(OutputError, match="file cannot be written"):
        save_run(finish(run), tmp_path / "file")
