"""Hidden files after a run that failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from facetrack.api import run_files
from facetrack.api.outputs import Outputs
from facetrack.api.track import track_to_files
from facetrack.errors import FacetrackError, OutputError
from facetrack.pipeline import resume
from facetrack.pipeline.options import Options
from facetrack.trackers.lk import LucasKanadeTracker


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """States are saved after every chunk."""
    monkeypatch.setattr(resume, "SAVE_INTERVAL_S", 0.0)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tracker fails at its second step."""
    steps: list[int] = []
    step = LucasKanadeTracker.step

    def fail_later(self: LucasKanadeTracker, state: object, frames: object) -> object:
        steps.append(1)
        if len(steps) > 1:
            raise FacetrackError("the tracker gave up")
        return step(self, state, frames)

    monkeypatch.setattr(LucasKanadeTracker, "step", fail_later)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_failed_run_leaves_no_saved_state(
    dots: Path, own_points: Options, tmp_path: Path, failing: None
) -> None:
    with pytest.raises(FacetrackError, match="gave up"):
        track_to_files(dots, own_points, Outputs(tmp_path / "out", ("csv", "pts")), keep=True)
    assert names(tmp_path) == []


def test_if_only_an_output_cannot_be_written_the_state_stays(
    dots: Path, own_points: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OutputError("dots.json cannot be written: no space left on device.")

    outputs = Outputs(tmp_path, overlay=False)
    with monkeypatch.context() as patch:
        patch.setattr(run_files, "publish", fail)
        with pytest.raises(
            FacetrackError, match=r"no space left on device; .* kept, and --resume continues\.$"
        ):
            track_to_files(dots, own_points, outputs, keep=True)
    assert names(tmp_path) == [".dots.unfinished"]
    track_to_files(dots, own_points, outputs, keep=True, resume=True)
    assert names(tmp_path) == ["dots.csv", "dots.json"]


def test_the_state_of_an_earlier_run_survives_a_failed_one(
    dots: Path, own_points: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = Outputs(tmp_path, overlay=False)

    def interrupt(done: int, total: int | None) -> None:
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        track_to_files(dots, own_points, outputs, interrupt, keep=True)
    state = (tmp_path / ".dots.unfinished/state").read_bytes()
    (tmp_path / "dots.csv").write_text("mine")
    with pytest.raises(FacetrackError, match="exists"):
        track_to_files(dots, own_points, outputs, keep=True, resume=True)
    assert (tmp_path / ".dots.unfinished/state").read_bytes() == state
    assert names(tmp_path) == [".dots.unfinished", "dots.csv"]


def test_files_of_the_user_s_in_the_hidden_folder_stay(
    dots: Path, own_points: Options, tmp_path: Path
) -> None:
    (tmp_path / ".dots.unfinished").mkdir()
    (tmp_path / ".dots.unfinished/mine").write_text("mine")
    track_to_files(dots, own_points, Outputs(tmp_path, overlay=False), keep=True)
    assert names(tmp_path / ".dots.unfinished") == ["mine"]
