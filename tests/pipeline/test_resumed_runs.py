"""A run that is ended goes on as if it had not been."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import clips
import numpy as np
import pytest
from sliding import write_sliding
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.pipeline import resume, track_log
from facetrack.pipeline.options import Options
from facetrack.pipeline.resume import ResumeStore
from facetrack.pipeline.runner import Pipeline
from facetrack.pipeline.track_log import TrackLog
from facetrack.trackers.base import StepResult
from facetrack.trackers.lk import LucasKanadeTracker
from facetrack.tracks import Tracks

ROOT = Path(__file__).parents[2]
ASTRONAUT = ROOT / "examples/astronaut.mp4"
FRAMES = 45
KILLS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("resume")


@pytest.fixture(scope="module")
def clip(folder: Path) -> Path:
    """45 frames, with a sound."""
    silent = write_sliding(folder / "silent.mkv", FRAMES)
    return clips.add_audio(silent, folder / "clip.mkv")


@pytest.fixture(scope="module")
def points(folder: Path) -> Path:
    file = folder / "points.csv"
    file.write_text("x,y\n30,20\n40,44\n70,30\n")
    return file


# ----------------------------------------------------------------------- the pipeline, in-process


class LooksBothWays(LucasKanadeTracker):
    """A tracker that wants overlapping stretches; what it says of a frame depends on the whole
    stretch and on how many it has seen."""

    window = (10, 4)

    def start(self, frame: np.ndarray, points: np.ndarray) -> Any:
        return {"lk": super().start(frame, points), "steps": 0}

    def step(self, state: Any, frames: np.ndarray) -> StepResult:
        state["steps"] += 1
        found = super().step(state["lk"], frames)
        told = np.float32(frames.mean() / 256 + state["steps"] % 7) / 10
        return found._replace(confidence=np.full_like(found.confidence, told))


def made(video: Path, options: Options, tracker: Any = None) -> Pipeline:
    pipeline = Pipeline(video, options)
    if tracker is not None:
        pipeline.parts.__dict__["tracker"] = tracker()
    return pipeline


def ended_and_resumed(
    video: Path, options: Options, folder: Path, chunks: int, every: int, tracker: Any = None
) -> tuple[Tracks, Pipeline] | None:
    """The tracks of a run that was killed after so many chunks, a state saved at each `every`-th,
    and of the run that went on from there; None where there was no state yet."""
    first = made(video, options, tracker)
    kept = ResumeStore(folder, "clip", {})
    first.before = kept.before
    for count, chunk in enumerate(first.run(), start=1):
        kept.tracks.add(chunk.tracks)
        if first.at_rest and count % every == 0:
            kept.save(first.state(), first.shared)
        if count == chunks:
            break
    second = made(video, options, tracker)
    second.prepare()
    later = ResumeStore(folder, "clip", {})
    state = later.load(second.shared)
    second.before = later.before
    if not kept.saved:
        assert state is None
        return None
    assert state is not None, "a state that was saved is not read"
    rest = [chunk.tracks for chunk in second.run(state)]
    return Tracks.concatenate([*later.tracks, *rest]), second


def assert_same(one: Tracks, other: Tracks) -> None:
    for name in ("xy", "visible", "confidence", "time", "face_id"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert replace(one, **_blank(other)) == replace(other, **_blank(other))


def _blank(tracks: Tracks) -> dict[str, Any]:
    """Arrays do not compare with ==; the same object does."""
    return {k: getattr(tracks, k) for k in ("xy", "visible", "confidence", "time", "face_id")}


def assert_resumes(
    video: Path,
    options: Options,
    folder: Path,
    tracker: Any = None,
    every: int = 1,
    ends: Iterator[int] | None = None,
) -> None:
    """Wherever it is ended, the run that goes on gives the same."""
    whole = made(video, options, tracker)
    parts = [chunk.tracks for chunk in whole.run()]
    wanted, resumed = Tracks.concatenate(parts), 0
    for end in range(1, len(parts) + 1) if ends is None else ends:
        (folder / str(end)).mkdir()
        found = ended_and_resumed(video, options, folder / str(end), end, every, tracker)
        if found is not None:
            resumed += 1
            assert_same(found[0], wanted)
            assert found[1].events == whole.events
            assert found[1].warnings == whole.warnings
    assert resumed


@pytest.fixture
def own(points: Path) -> Options:
    return Options(init="points", points=points, tracker="lk")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"query_frame": 20},
        {"query_frame": FRAMES - 1},
        {"start": 0.2, "end": 1.4, "stride": 3, "query_frame": 17},
        {"stride": 7},
        {"redetect": "never"},
    ],
    ids=str,
)
def test_a_run_may_end_after_any_chunk(
    clip: Path, own: Options, tmp_path: Path, more: dict[str, Any]
) -> None:
    assert_resumes(clip, replace(own, **more), tmp_path)


def test_rows_after_the_last_state_are_tracked_again(
    clip: Path, own: Options, tmp_path: Path
) -> None:
    assert_resumes(clip, own, tmp_path, every=2)


def test_a_tracker_that_looks_both_ways_gets_the_same_stretches(
    clip: Path, own: Options, tmp_path: Path
) -> None:
    assert_resumes(clip, replace(own, query_frame=13), tmp_path, LooksBothWays)


@pytest.fixture(scope="module")
def cutting(folder: Path) -> Path:
    """A shot, another of nothing alike, and the first once more."""
    one, path = folder / "one.mkv", folder / "cutting.mkv"
    write_sliding(one, 14)
    other = "testsrc2=s=96x64:r=25:d=0.6,format=yuv444p"
    joined = "[0:v]settb=AVTB[a];[1:v]settb=AVTB[b];[2:v]settb=AVTB[c];[a][b][c]concat=n=3,fps=25"
    clips.run_ffmpeg(
        *("-i", str(one), "-f", "lavfi", "-i", other, "-i", str(one)),
        *("-filter_complex", joined, *clips.LOSSLESS, str(path)),
    )
    return path


@pytest.mark.parametrize("tracker", [None, LooksBothWays])
def test_a_cut_is_seen_by_the_run_that_goes_on(
    cutting: Path, own: Options, tmp_path: Path, tracker: Any
) -> None:
    pipeline = made(cutting, own, tracker)
    for _ in pipeline.run():
        pass
    assert "cut" in {event.reason for event in pipeline.events}
    assert_resumes(cutting, own, tmp_path, tracker)


def test_what_was_decided_on_the_way_back_is_not_forgotten(
    cutting: Path, own: Options, tmp_path: Path
) -> None:
    options = replace(own, query_frame=34)
    pipeline = made(cutting, options)
    for _ in pipeline.run():
        pass
    assert "cut, on the way back" in {event.reason for event in pipeline.events}
    assert_resumes(cutting, options, tmp_path)


def smaller_chunks() -> Callable[..., Iterator[Any]]:
    """As Pipeline._chunks, of three frames at most."""
    chunks = Pipeline._chunks

    def smaller(self: Pipeline, frames: list[Any], rows: list[Any]) -> Iterator[Any]:
        for i in range(0, len(rows), 3):
            yield from chunks(self, frames[i : i + 3], rows[i : i + 3])

    return smaller


def test_no_state_is_saved_between_two_chunks_of_one_stretch(
    clip: Path, own: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stretch is several where faces come or go: the tracker is past all of them."""
    monkeypatch.setattr(Pipeline, "_chunks", smaller_chunks())
    assert_resumes(clip, replace(own, query_frame=10), tmp_path)


def test_a_chunk_within_a_stretch_is_no_place_to_rest(
    clip: Path, own: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tracker is past what was yielded; before the query frame it has been all the way."""
    monkeypatch.setattr(Pipeline, "_chunks", smaller_chunks())
    pipeline = made(clip, replace(own, query_frame=9))
    at_rest = {chunk.tracks.first_frame: pipeline.at_rest for chunk in pipeline.run()}
    resting = {n for n, rests in at_rest.items() if rests}
    assert {0, 2, 5, 8, 9, 16, 23} <= resting
    assert {10, 13, 17, 20} <= at_rest.keys() - resting


def ended_on_the_way_back(
    video: Path, options: Options, folder: Path, told: int, tracker: Any = None
) -> Pipeline:
    """A run that was ended when it told of its way back for the `told`-th time, its state saved at
    each time before and, for odd numbers, then."""
    first = made(video, options, tracker)
    kept = ResumeStore(folder, "clip", {})
    first.before = kept.before
    count = 0

    def telling(done: int, total: int | None) -> None:
        nonlocal count
        count += 1
        if count < told or told % 2:
            kept.save(first.state(), first.shared)
        if count == told:
            raise KeyboardInterrupt

    first.told_back = telling
    with pytest.raises(KeyboardInterrupt):
        list(first.run())
    return first


def assert_resumes_on_the_way_back(
    video: Path, options: Options, folder: Path, tracker: Any = None, most: int = 99
) -> None:
    """Wherever it is ended there, the run that goes on does what was left, and gives the same."""
    whole, told = made(video, options, tracker), []
    whole.told_back = lambda done, total: told.append((done, total))
    wanted = Tracks.concatenate(chunk.tracks for chunk in whole.run())
    assert len(told) >= 3
    for count in range(2, min(len(told), most) + 1):
        ended_on_the_way_back(video, options, folder / str(count), count, tracker)
        second = made(video, options, tracker)
        second.prepare()
        later = ResumeStore(folder / str(count), "clip", {})
        state = later.load(second.shared)
        second.before = later.before
        again: list[tuple[int, int | None]] = []
        second.told_back = lambda done, total, again=again: again.append((done, total))
        assert_same(Tracks.concatenate(chunk.tracks for chunk in second.run(state)), wanted)
        assert again == told[count - (count % 2 == 0) :], "not what was left"
        assert second.events == whole.events


@pytest.mark.parametrize("tracker", [None, LooksBothWays])
@pytest.mark.parametrize(
    "more", [{"query_frame": 34}, {"start": 0.1, "stride": 2, "query_frame": 31}], ids=str
)
def test_a_run_may_end_on_the_way_back(
    cutting: Path, own: Options, tmp_path: Path, more: dict[str, Any], tracker: Any
) -> None:
    assert_resumes_on_the_way_back(cutting, replace(own, **more), tmp_path, tracker)


def test_the_points_of_a_long_way_back_are_not_in_memory(
    clip: Path, own: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(track_log, "MOST_WAITING", 2000)
    waiting = []

    def telling(done: int, total: int | None) -> None:
        waiting.append(sum(map(len, pipeline.before._waiting)))

    pipeline = made(clip, replace(own, query_frame=FRAMES - 1))
    pipeline.told_back = telling
    first = next(pipeline.run())
    assert len(waiting) > 4
    assert max(waiting) <= 2000
    assert first.tracks.first_frame == 0


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"query_frame": 9}], ids=str)
def test_tapir_goes_on_as_if_nothing_had_been(
    clip: Path, own: Options, tmp_path: Path, more: dict[str, Any]
) -> None:
    options = replace(own, tracker="tapir", **more)
    assert_resumes(clip, options, tmp_path, ends=iter((2, 4)))


@pytest.mark.slow
@pytest.mark.parametrize("tracker", ["per-frame", "lk", "tapir"])
def test_detected_faces_go_on_as_if_nothing_had_been(tmp_path: Path, tracker: str) -> None:
    options = Options(init="ert", tracker=tracker, face_detector="hog", faces=None, redetect=5)
    options = replace(options, end=1.5)
    assert_resumes(ASTRONAUT, options, tmp_path, ends=iter((2, 4)))


@pytest.mark.slow
@pytest.mark.parametrize("tracker", ["per-frame", "tapir"])
def test_detected_faces_go_on_on_the_way_back(tmp_path: Path, tracker: str) -> None:
    options = Options(init="ert", tracker=tracker, face_detector="hog", faces=None, redetect=5)
    options = replace(options, end=1.5, query_frame=30)
    assert_resumes_on_the_way_back(ASTRONAUT, options, tmp_path, most=4)


# ------------------------------------------------------------------------------- the command line

# argv: seconds between two states, a signal, at which chunk (none: 0) of which log it comes, ...
WRAPPER = """
import os, signal, sys
from facetrack.pipeline import resume, track_log
signal.signal(signal.SIGINT, signal.default_int_handler)
resume.EVERY = float(sys.argv.pop(1))
number, at, log = signal.Signals[sys.argv.pop(1)], int(sys.argv.pop(1)), sys.argv.pop(1)
add, chunks = track_log.TrackLog.add, 0
def counted(self, tracks):
    global chunks
    add(self, tracks)
    chunks += self._path.name == log
    if chunks == at:
        os.kill(os.getpid(), number)
track_log.TrackLog.add = counted
from facetrack.cli import main
main()
"""


def command(
    every: float, number: str, at: int, *arguments: object, log: str = "tracks"
) -> list[str]:
    return [sys.executable, "-c", WRAPPER, str(every), number, str(at), log, *map(str, arguments)]


def environment() -> dict[str, str]:
    found = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": found}


def run_until(
    number: str, at: int, *arguments: object, log: str = "tracks", every: float = 0.0
) -> subprocess.CompletedProcess[str]:
    """A run in a process of its own, which gets a signal at chunk `at`, of those that are written
    or of those on the way back; with a state after each, or every so many seconds."""
    return subprocess.run(
        command(every, number, at, *arguments, log=log),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def tracking(video: Path, out: Path, *options: object) -> list[str]:
    formats = ("--format", "csv", "--format", "npz")
    return [str(a) for a in ("track", video, "--out", out, *formats, "--quiet", *options)]


def run_here(arguments: list[str]) -> Any:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result


def names(out: Path) -> set[str]:
    """Files, but for those under a temporary name: nobody cleans up after SIGKILL."""
    return {p.name for p in out.iterdir() if not p.name.startswith(".facetrack-")}


def pictures(video: Path) -> list[str]:
    """A checksum of each decoded frame, with its time."""
    text = clips.run_ffmpeg(
        "-copyts", "-i", str(video), "-map", "0:V:0", "-f", "framemd5", "pipe:1"
    )
    return [line for line in text.decode().splitlines() if not line.startswith("#")]


FINAL = {f"clip.{end}" for end in ("csv", "npz", "overlay.mp4", "json")}
HIDDEN = ".clip.unfinished"


def assert_outputs_equal(out: Path, wanted: Path, stem: str = "clip") -> None:
    name = f"{stem}.csv"
    assert (out / name).read_bytes() == (wanted / name).read_bytes()
    with np.load(out / f"{stem}.npz") as one, np.load(wanted / f"{stem}.npz") as other:
        assert one.files == other.files
        for array in one.files:
            np.testing.assert_array_equal(one[array], other[array], err_msg=array)
    name = f"{stem}.overlay.mp4"
    assert pictures(out / name) == pictures(wanted / name)
    assert clips.decoded_count(out / name) == len((out / f"{stem}.csv").read_text().split()) - 1
    one, other = (json.loads((f / f"{stem}.json").read_text()) for f in (out, wanted))
    for record in (one, other):
        for timing in ("seconds", "frames_per_second", "resumed_from_frame"):
            record.pop(timing)
    assert one == other


@pytest.fixture(scope="module")
def lk(points: Path) -> tuple[object, ...]:
    return ("--init", "points", "--points", points, "--tracker", "lk", "--query-frame", "10")


@pytest.fixture(scope="module")
def full(clip: Path, lk: tuple[object, ...], folder: Path) -> Path:
    """The outputs of a run that nobody disturbed, though it saved its state at every chunk."""
    before = resume.EVERY
    resume.EVERY = 0.0
    try:
        run_here(tracking(clip, folder / "full", *lk))
    finally:
        resume.EVERY = before
    return folder / "full"


def record(out: Path) -> Any:
    return json.loads((out / "clip.json").read_text())


def test_a_run_that_ends_well_leaves_only_its_files(full: Path) -> None:
    assert {p.name for p in full.iterdir()} == FINAL
    assert record(full)["interrupted"] is False
    assert record(full)["resumed_from_frame"] is None


def test_saving_states_changes_nothing(
    clip: Path, lk: tuple[object, ...], full: Path, tmp_path: Path
) -> None:
    run_here(tracking(clip, tmp_path, *lk))
    assert_outputs_equal(tmp_path, full)


@pytest.fixture(scope="module")
def killed(clip: Path, lk: tuple[object, ...], folder: Path) -> Path:
    """What a run leaves that was killed when its fifth chunk was written, but not its state."""
    out = folder / "killed"
    ended = run_until("SIGKILL", 5, *tracking(clip, out, *lk))
    assert ended.returncode == -signal.SIGKILL
    return out


@pytest.fixture
def ended(killed: Path, tmp_path: Path) -> Path:
    """A copy of that."""
    shutil.copytree(killed, tmp_path / "ended")
    return tmp_path / "ended"


def test_a_killed_run_leaves_no_file_under_a_final_name(ended: Path) -> None:
    assert names(ended) == {HIDDEN}


def test_a_killed_run_goes_on_as_if_nothing_had_been(
    clip: Path, lk: tuple[object, ...], ended: Path, full: Path
) -> None:
    resumed = run_until("SIGKILL", 0, *tracking(clip, ended, *lk), "--resume")
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert_outputs_equal(ended, full)
    assert names(ended) == FINAL
    assert record(ended)["resumed_from_frame"] == 17
    assert record(ended)["interrupted"] is False


def test_a_run_that_is_killed_on_the_way_back_goes_on_from_there(
    clip: Path, points: Path, tmp_path: Path
) -> None:
    options = ("--init", "points", "--points", points, "--tracker", "lk", "--query-frame", "40")
    run_here(tracking(clip, tmp_path / "full", *options))
    arguments = tracking(clip, tmp_path / "out", *options)
    ended = run_until("SIGKILL", 4, *arguments, log="before")
    assert ended.returncode == -signal.SIGKILL
    assert names(tmp_path / "out") == {HIDDEN}
    run_here([*arguments, "--resume"])
    assert_outputs_equal(tmp_path / "out", tmp_path / "full")
    assert record(tmp_path / "out")["resumed_from_frame"] == 17
    assert names(tmp_path / "out") == FINAL


def test_a_run_told_to_stop_on_the_way_back_says_so_and_goes_on_later(
    clip: Path, points: Path, tmp_path: Path
) -> None:
    options = ("--init", "points", "--points", points, "--tracker", "lk", "--query-frame", "40")
    run_here(tracking(clip, tmp_path / "full", *options))
    arguments = tracking(clip, tmp_path / "out", *options)
    told = run_until("SIGTERM", 2, *arguments, log="before", every=1e6)
    assert told.returncode == 130
    assert told.stderr == (
        "facetrack: interrupted; 16 of 41 frames are tracked backwards from the query frame, "
        "before the files begin, and the same command with --resume goes on from there.\n"
    )
    assert names(tmp_path / "out") == {HIDDEN}
    run_here([*arguments, "--resume"])
    assert record(tmp_path / "out")["resumed_from_frame"] == 25
    assert_outputs_equal(tmp_path / "out", tmp_path / "full")


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_run_told_to_stop_finishes_its_files_and_goes_on_later(
    clip: Path, lk: tuple[object, ...], full: Path, tmp_path: Path, number: str
) -> None:
    arguments = tracking(clip, tmp_path, *lk)
    told = run_until(number, 3, *arguments)
    assert told.returncode == 130
    lines = (tmp_path / "clip.csv").read_text().splitlines()
    count = len(lines) - 1
    assert told.stderr == (
        f"facetrack: interrupted; the files hold the first {count} frames. Run the "
        "same command with --resume to continue.\n"
    )
    assert 10 < count < FRAMES
    assert lines == (full / "clip.csv").read_text().splitlines()[: count + 1]
    with np.load(tmp_path / "clip.npz") as some, np.load(full / "clip.npz") as all_of_them:
        np.testing.assert_array_equal(some["xy"], all_of_them["xy"][:count])
    assert clips.packet_times(tmp_path / "clip.overlay.mp4") == pytest.approx(
        clips.packet_times(full / "clip.overlay.mp4")[:count]
    )
    assert names(tmp_path) == {*FINAL, HIDDEN}
    assert record(tmp_path)["interrupted"] is True
    assert record(tmp_path)["input"]["frames"] == count

    run_here([*arguments, "--resume"])
    assert_outputs_equal(tmp_path, full)
    assert {p.name for p in tmp_path.iterdir()} == FINAL
    assert record(tmp_path)["resumed_from_frame"] == count - 1


def told_here(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, at: int, arguments: list[str]
) -> Any:
    """A run in this process that gets a signal at chunk `at`."""
    add, chunks = TrackLog.add, []

    def counted(self: TrackLog, tracks: Tracks) -> None:
        add(self, tracks)
        if str(self._path).endswith("tracks"):
            chunks.append(tracks)
            if len(chunks) == at:
                signal.raise_signal(number)

    with monkeypatch.context() as patch:
        patch.setattr(TrackLog, "add", counted)
        return CliRunner().invoke(app, arguments)


def test_a_run_is_ended_and_resumed_more_than_once(
    clip: Path,
    lk: tuple[object, ...],
    ended: Path,
    full: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = [*tracking(clip, ended, *lk), "--resume"]
    told = told_here(monkeypatch, signal.SIGTERM, 1, arguments)
    assert told.exit_code == 130
    assert record(ended)["interrupted"] is True
    assert record(ended)["resumed_from_frame"] == 17
    run_here(arguments)
    assert record(ended)["resumed_from_frame"] > 17
    assert_outputs_equal(ended, full)


def test_a_run_that_was_told_at_its_very_end_goes_on_to_nothing(
    clip: Path,
    lk: tuple[object, ...],
    full: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = tracking(clip, tmp_path, *lk)
    # Ten rows before the query frame, then 35 as 1, 7 and chunks of eight: the last but one.
    told = told_here(monkeypatch, signal.SIGTERM, 2 + 5, arguments)
    assert told.exit_code == 130
    assert f"the first {FRAMES} frames" in told.stderr
    run_here([*arguments, "--resume"])
    assert_outputs_equal(tmp_path, full)


def test_before_anything_is_done_an_interruption_leaves_nothing(
    clip: Path, lk: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LucasKanadeTracker, "start", lambda *_: signal.raise_signal(signal.SIGTERM))
    result = CliRunner().invoke(app, tracking(clip, tmp_path, *lk))
    assert result.exit_code == 130
    assert result.stderr == "facetrack: interrupted; no unfinished file was left behind.\n"
    assert list(tmp_path.iterdir()) == []


def test_another_run_starts_anew(
    clip: Path, lk: tuple[object, ...], ended: Path, full: Path, points: Path
) -> None:
    """Other options, then the first run again: nothing of it is left to go on from."""
    run_here([*tracking(clip, ended, *lk, "--stride", "2"), "--resume"])
    assert record(ended)["resumed_from_frame"] is None
    assert len((ended / "clip.csv").read_text().splitlines()) == 1 + 23
    assert names(ended) == FINAL
    run_here([*tracking(clip, ended, *lk), "--resume"])
    assert record(ended)["resumed_from_frame"] is None
    assert_outputs_equal(ended, full)


def test_without_resume_a_run_starts_anew(
    clip: Path, lk: tuple[object, ...], ended: Path, full: Path
) -> None:
    run_here(tracking(clip, ended, *lk))
    assert record(ended)["resumed_from_frame"] is None
    assert_outputs_equal(ended, full)
    assert names(ended) == FINAL


def test_another_version_of_the_video_is_tracked_anew(
    clip: Path, lk: tuple[object, ...], ended: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "clip.mkv"
    changed.write_bytes(clip.read_bytes())
    os.utime(changed, (1, 1))
    run_here([*tracking(changed, ended, *lk), "--resume"])
    assert record(ended)["resumed_from_frame"] is None


def test_a_broken_state_is_no_obstacle(
    clip: Path, lk: tuple[object, ...], ended: Path, full: Path
) -> None:
    with open(ended / HIDDEN / "state", "r+b") as file:
        file.seek(100)
        file.write(b"broken")
    run_here([*tracking(clip, ended, *lk), "--resume"])
    assert record(ended)["resumed_from_frame"] is None
    assert_outputs_equal(ended, full)


def test_other_outputs_are_made_of_the_same_tracks(
    clip: Path, lk: tuple[object, ...], ended: Path, full: Path
) -> None:
    """Rows do not depend on the files that they go to."""
    fewer = ["track", str(clip), "--out", str(ended), "--quiet", "--no-overlay", *map(str, lk)]
    run_here([*fewer, "--resume"])
    assert record(ended)["resumed_from_frame"] is not None
    assert (ended / "clip.csv").read_bytes() == (full / "clip.csv").read_bytes()
    assert names(ended) == {"clip.csv", "clip.json"}


def test_nothing_to_go_on_from_is_no_error(
    clip: Path, lk: tuple[object, ...], full: Path, tmp_path: Path
) -> None:
    run_here([*tracking(clip, tmp_path / "out", *lk), "--resume"])
    assert record(tmp_path / "out")["resumed_from_frame"] is None
    assert_outputs_equal(tmp_path / "out", full)


@pytest.mark.slow
def test_tapir_goes_on_after_a_kill(clip: Path, points: Path, tmp_path: Path) -> None:
    options = ("--init", "points", "--points", points, "--tracker-weights", "tapir-s")
    run_here(tracking(clip, tmp_path / "full", *options))
    arguments = tracking(clip, tmp_path / "out", *options)
    assert run_until("SIGKILL", 3, *arguments).returncode == -signal.SIGKILL
    run_here([*arguments, "--resume"])
    assert_outputs_equal(tmp_path / "out", tmp_path / "full")
    assert record(tmp_path / "out")["resumed_from_frame"] == 7


@pytest.mark.slow
def test_detected_faces_go_on_after_a_kill(tmp_path: Path) -> None:
    options = ("--init", "star", "--faces", "2", "--redetect", "5", "--end", "2")
    run_here(tracking(ASTRONAUT, tmp_path / "full", *options))
    arguments = tracking(ASTRONAUT, tmp_path / "out", *options)
    assert run_until("SIGKILL", 3, *arguments).returncode == -signal.SIGKILL
    run_here([*arguments, "--resume"])
    assert_outputs_equal(tmp_path / "out", tmp_path / "full", "astronaut")
    resumed = json.loads((tmp_path / "out/astronaut.json").read_text())
    assert resumed["resumed_from_frame"] == 7


def temporary(out: Path) -> set[str]:
    return {p.name for p in out.glob(".facetrack-*")}


@pytest.mark.slow
def test_runs_killed_at_random_times_give_the_whole(points: Path, tmp_path: Path) -> None:
    """Each run goes on where the one before was killed, and so would one that is left alone."""
    video = write_sliding(tmp_path / "clip.mkv", 400, size=(320, 240))
    options = ("--init", "points", "--points", points, "--tracker", "lk")
    began = time.monotonic()
    run_here(tracking(video, tmp_path / "full", *options))
    whole = time.monotonic() - began
    moments, out, left = random.Random(20), tmp_path / "out", tmp_path / "left"
    killed = resumed = 0
    for _ in range(KILLS):
        out.mkdir(exist_ok=True)
        before, until = temporary(out), time.monotonic() + 120
        arguments = [*tracking(video, out, *options), "--resume"]
        process = subprocess.Popen(command(0.02, "SIGKILL", 0, *arguments), env=environment())
        # The time that Python and its libraries take to start is not what is tested.
        while temporary(out) <= before and process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(moments.uniform(0.0, 0.7) * whole)
        process.send_signal(signal.SIGKILL)
        if process.wait() != -signal.SIGKILL:
            assert process.returncode == 0
            assert_outputs_equal(out, tmp_path / "full")
            shutil.rmtree(out)
            continue
        killed += 1
        assert names(out) <= {*FINAL, HIDDEN}
        shutil.copytree(out, left, ignore=shutil.ignore_patterns(".facetrack-*"))
        run_here([*tracking(video, left, *options), "--resume"])
        resumed += record(left)["resumed_from_frame"] is not None
        assert_outputs_equal(left, tmp_path / "full")
        assert {p.name for p in left.iterdir()} == FINAL
        shutil.rmtree(left)
    assert killed >= KILLS // 2
    assert resumed >= KILLS // 4


def test_other_points_under_the_same_name_are_tracked_anew(
    clip: Path, points: Path, ended: Path, lk: tuple[object, ...]
) -> None:
    """The state of `ended` is of the points in a file of that name; now it says something else."""
    before = points.read_bytes()
    try:
        lines = before.decode().splitlines()
        points.write_text("\n".join(lines[:-1]) + "\n")
        run_here([*tracking(clip, ended, *lk), "--resume"])
    finally:
        points.write_bytes(before)
    assert record(ended)["resumed_from_frame"] is None
