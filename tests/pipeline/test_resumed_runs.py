"""A resumed run gives the same result as an uninterrupted one."""

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
from facetrack.pipeline.assembly import ChunkAssembler
from facetrack.pipeline.models import Models
from facetrack.pipeline.options import Options
from facetrack.pipeline.resume import UNFIT, ResumeStore
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


class OverlappingTracker(LucasKanadeTracker):
    """Needs overlapping windows; its result depends on the whole window and the number of steps."""

    window = (10, 4)

    def start(self, frame: np.ndarray, points: np.ndarray) -> Any:
        return {"lk": super().start(frame, points), "steps": 0}

    def step(self, state: Any, frames: np.ndarray) -> StepResult:
        state["steps"] += 1
        found = super().step(state["lk"], frames)
        confidence = np.float32(frames.mean() / 256 + state["steps"] % 7) / 10
        return found._replace(confidence=np.full_like(found.confidence, confidence))


def create_pipeline(video: Path, options: Options, tracker: Any = None) -> Pipeline:
    tracker = None if tracker is None else tracker()
    return Pipeline(video, options, Models(options, tracker=tracker))


def interrupt_and_resume(
    video: Path, options: Options, folder: Path, chunks: int, every: int, tracker: Any = None
) -> tuple[Tracks, Pipeline] | None:
    """Interrupt a run after some chunks, and resume it.

    Args:
        chunks: chunks of the interrupted run.
        every: save the state after every Nth chunk.

    Returns:
        All tracks and the resumed pipeline; None if no state was saved yet.
    """
    first = create_pipeline(video, options, tracker)
    kept = ResumeStore(folder, "clip", {})
    for count, chunk in enumerate(first.run(backward_log=kept.backward_log), start=1):
        kept.tracks.add(chunk.tracks)
        if first.at_rest and count % every == 0:
            kept.save(first.state(), first.shared)
        if count == chunks:
            break
    second = create_pipeline(video, options, tracker)
    second.prepare()
    later = ResumeStore(folder, "clip", {})
    state = later.load(second.shared)
    if not kept.saved:
        assert state is None
        return None
    assert state is not None, "a state that was saved is not read"
    rest = [chunk.tracks for chunk in second.run(state, later.backward_log)]
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
    """Check that a run interrupted at each of `ends` gives the same result."""
    whole = create_pipeline(video, options, tracker)
    parts = [chunk.tracks for chunk in whole.run()]
    wanted, resumed = Tracks.concatenate(parts), 0
    for end in range(1, len(parts) + 1) if ends is None else ends:
        (folder / str(end)).mkdir()
        found = interrupt_and_resume(video, options, folder / str(end), end, every, tracker)
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
def test_a_run_resumes_after_any_chunk(
    clip: Path, own: Options, tmp_path: Path, more: dict[str, Any]
) -> None:
    assert_resumes(clip, replace(own, **more), tmp_path)


def test_rows_after_the_last_state_are_tracked_again(
    clip: Path, own: Options, tmp_path: Path
) -> None:
    assert_resumes(clip, own, tmp_path, every=2)


def test_a_tracker_with_overlapping_windows_gets_the_same_windows(
    clip: Path, own: Options, tmp_path: Path
) -> None:
    assert_resumes(clip, replace(own, query_frame=13), tmp_path, OverlappingTracker)


@pytest.fixture(scope="module")
def cutting(folder: Path) -> Path:
    """Three shots: the first and the last are the same, the second is different."""
    one, path = folder / "one.mkv", folder / "cutting.mkv"
    write_sliding(one, 14)
    other = "testsrc2=s=96x64:r=25:d=0.6,format=yuv444p"
    joined = "[0:v]settb=AVTB[a];[1:v]settb=AVTB[b];[2:v]settb=AVTB[c];[a][b][c]concat=n=3,fps=25"
    clips.run_ffmpeg(
        *("-i", str(one), "-f", "lavfi", "-i", other, "-i", str(one)),
        *("-filter_complex", joined, *clips.LOSSLESS, str(path)),
    )
    return path


@pytest.mark.parametrize("tracker", [None, OverlappingTracker])
def test_a_resumed_run_detects_cuts(
    cutting: Path, own: Options, tmp_path: Path, tracker: Any
) -> None:
    pipeline = create_pipeline(cutting, own, tracker)
    for _ in pipeline.run():
        pass
    assert "cut" in {event.reason for event in pipeline.events}
    assert_resumes(cutting, own, tmp_path, tracker)


def test_events_of_the_backward_pass_are_kept(cutting: Path, own: Options, tmp_path: Path) -> None:
    options = replace(own, query_frame=34)
    pipeline = create_pipeline(cutting, options)
    for _ in pipeline.run():
        pass
    assert "cut, on the way back" in {event.reason for event in pipeline.events}
    assert_resumes(cutting, options, tmp_path)


def smaller_chunks() -> Callable[..., Iterator[Any]]:
    """Return a version of ChunkAssembler.chunks with at most three frames per chunk."""
    chunks = ChunkAssembler.chunks

    def smaller(
        self: ChunkAssembler, frames: list[Any], rows: list[Any], absent_id: int
    ) -> Iterator[Any]:
        for i in range(0, len(rows), 3):
            yield from chunks(self, frames[i : i + 3], rows[i : i + 3], absent_id)

    return smaller


def test_no_state_is_saved_between_two_chunks_of_one_clip(
    clip: Path, own: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clip gives several chunks where faces come or go; the tracker is past all of them."""
    monkeypatch.setattr(ChunkAssembler, "chunks", smaller_chunks())
    assert_resumes(clip, replace(own, query_frame=10), tmp_path)


def test_a_run_is_not_at_rest_within_a_clip(
    clip: Path, own: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tracker is past the yielded chunk, except before the query frame."""
    monkeypatch.setattr(ChunkAssembler, "chunks", smaller_chunks())
    pipeline = create_pipeline(clip, replace(own, query_frame=9))
    at_rest = {chunk.tracks.first_frame: pipeline.at_rest for chunk in pipeline.run()}
    resting = {n for n, rests in at_rest.items() if rests}
    assert {0, 2, 5, 8, 9, 16, 23} <= resting
    assert {10, 13, 17, 20} <= at_rest.keys() - resting


def interrupt_backward_pass(
    video: Path, options: Options, folder: Path, num_calls: int, tracker: Any = None
) -> Pipeline:
    """Interrupt a run at the `num_calls`-th progress call of its backward pass.

    The state is saved at each call before and, for odd numbers, at the last one.
    """
    first = create_pipeline(video, options, tracker)
    kept = ResumeStore(folder, "clip", {})
    count = 0

    def on_progress(done: int, total: int | None) -> None:
        nonlocal count
        count += 1
        if count < num_calls or num_calls % 2:
            kept.save(first.state(), first.shared)
        if count == num_calls:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(first.run(None, kept.backward_log, on_progress))
    return first


def assert_backward_pass_resumes(
    video: Path, options: Options, folder: Path, tracker: Any = None, most: int = 99
) -> None:
    """Check that a run interrupted in its backward pass does the rest, with the same result."""
    whole, calls = create_pipeline(video, options, tracker), []
    chunks = whole.run(on_backward_progress=lambda done, total: calls.append((done, total)))
    wanted = Tracks.concatenate(chunk.tracks for chunk in chunks)
    assert len(calls) >= 3
    for count in range(2, min(len(calls), most) + 1):
        interrupt_backward_pass(video, options, folder / str(count), count, tracker)
        second = create_pipeline(video, options, tracker)
        second.prepare()
        later = ResumeStore(folder / str(count), "clip", {})
        state = later.load(second.shared)
        again: list[tuple[int, int | None]] = []

        def note(done: int, total: int | None, again: list[Any] = again) -> None:
            again.append((done, total))

        rest = second.run(state, later.backward_log, note)
        assert_same(Tracks.concatenate(chunk.tracks for chunk in rest), wanted)
        assert again == calls[count - (count % 2 == 0) :], "not the remaining frames"
        assert second.events == whole.events


@pytest.mark.parametrize("tracker", [None, OverlappingTracker])
@pytest.mark.parametrize(
    "more", [{"query_frame": 34}, {"start": 0.1, "stride": 2, "query_frame": 31}], ids=str
)
def test_a_run_resumes_during_the_backward_pass(
    cutting: Path, own: Options, tmp_path: Path, more: dict[str, Any], tracker: Any
) -> None:
    assert_backward_pass_resumes(cutting, replace(own, **more), tmp_path, tracker)


def test_the_tracks_of_a_long_backward_pass_are_not_in_memory(
    clip: Path, own: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(track_log, "MAX_BUFFERED_BYTES", 2000)
    waiting = []

    def on_progress(done: int, total: int | None) -> None:
        waiting.append(sum(map(len, log._buffer)))

    log = TrackLog()
    pipeline = create_pipeline(clip, replace(own, query_frame=FRAMES - 1))
    first = next(pipeline.run(None, log, on_progress))
    assert len(waiting) > 4
    assert max(waiting) <= 2000
    assert first.tracks.first_frame == 0


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"query_frame": 9}], ids=str)
def test_tapir_resumes(clip: Path, own: Options, tmp_path: Path, more: dict[str, Any]) -> None:
    options = replace(own, tracker="tapir", **more)
    assert_resumes(clip, options, tmp_path, ends=iter((2, 4)))


@pytest.mark.parametrize("tracker", ["per-frame", "lk", "tapir"])
def test_the_state_of_every_tracker_is_saved(tmp_path: Path, tracker: str) -> None:
    """With the networks for expressions and the head around it, as by default."""
    options = Options(init="ert", tracker=tracker, face_detector="hog", end=0.8)
    first, second = (create_pipeline(ASTRONAUT, options) for _ in range(2))
    store = ResumeStore(tmp_path, "clip", {})
    next(iter(first.run()))
    store.save(first.state(), first.shared)
    second.prepare()
    assert ResumeStore(tmp_path, "clip", {}).load(second.shared) is not None


@pytest.mark.slow
@pytest.mark.parametrize("tracker", ["per-frame", "lk", "tapir"])
def test_detected_faces_resume(tmp_path: Path, tracker: str) -> None:
    options = Options(init="ert", tracker=tracker, face_detector="hog", faces=None, redetect=5)
    options = replace(options, end=1.5)
    assert_resumes(ASTRONAUT, options, tmp_path, ends=iter((2, 4)))


@pytest.mark.slow
@pytest.mark.parametrize("tracker", ["per-frame", "tapir"])
def test_detected_faces_resume_during_the_backward_pass(tmp_path: Path, tracker: str) -> None:
    options = Options(init="ert", tracker=tracker, face_detector="hog", faces=None, redetect=5)
    options = replace(options, end=1.5, query_frame=30)
    assert_backward_pass_resumes(ASTRONAUT, options, tmp_path, most=4)


# ------------------------------------------------------------------------------- the command line

# argv: save interval in seconds, a signal, the chunk (0: never) of a log that triggers it, ...
WRAPPER = """
import os, signal, sys
from facetrack.pipeline import resume, track_log
signal.signal(signal.SIGINT, signal.default_int_handler)
resume.SAVE_INTERVAL_S = float(sys.argv.pop(1))
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
    """Run a command in a subprocess that gets a signal.

    Args:
        at: number of the chunk in the log that triggers the signal; 0 for no signal.
        log: "tracks", or "before" for the backward pass.
        every: save interval in seconds.
    """
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
    """Return the file names without temporary files, which SIGKILL leaves behind."""
    return {p.name for p in out.iterdir() if not p.name.startswith(".facetrack-")}


def pictures(video: Path) -> list[str]:
    """Return a checksum of each decoded frame, with its time."""
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
        for own in ("seconds", "frames_per_second", "resumed_from_frame", "output_folder"):
            record.pop(own)
    assert one == other


@pytest.fixture(scope="module")
def lk(points: Path) -> tuple[object, ...]:
    return ("--init", "points", "--points", points, "--tracker", "lk", "--query-frame", "10")


@pytest.fixture(scope="module")
def full(clip: Path, lk: tuple[object, ...], folder: Path) -> Path:
    """The outputs of an uninterrupted run that saved its state after every chunk."""
    before = resume.SAVE_INTERVAL_S
    resume.SAVE_INTERVAL_S = 0.0
    try:
        run_here(tracking(clip, folder / "full", *lk))
    finally:
        resume.SAVE_INTERVAL_S = before
    return folder / "full"


def record(out: Path) -> Any:
    return json.loads((out / "clip.json").read_text())


def test_a_complete_run_leaves_only_its_files(full: Path) -> None:
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
    """The files of a run that was killed after its fifth chunk, before the state was saved."""
    out = folder / "killed"
    ended = run_until("SIGKILL", 5, *tracking(clip, out, *lk))
    assert ended.returncode == -signal.SIGKILL
    return out


@pytest.fixture
def ended(killed: Path, tmp_path: Path) -> Path:
    """A copy of the files of a killed run."""
    shutil.copytree(killed, tmp_path / "ended")
    return tmp_path / "ended"


def test_a_killed_run_leaves_no_file_under_a_final_name(ended: Path) -> None:
    assert names(ended) == {HIDDEN}


def test_a_killed_run_resumes(clip: Path, lk: tuple[object, ...], ended: Path, full: Path) -> None:
    resumed = run_until("SIGKILL", 0, *tracking(clip, ended, *lk), "--resume")
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert_outputs_equal(ended, full)
    assert names(ended) == FINAL
    assert record(ended)["resumed_from_frame"] == 17
    assert record(ended)["interrupted"] is False


def test_a_run_killed_in_its_backward_pass_resumes_there(
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


def test_a_run_stopped_in_its_backward_pass_resumes_there(
    clip: Path, points: Path, tmp_path: Path
) -> None:
    options = ("--init", "points", "--points", points, "--tracker", "lk", "--query-frame", "40")
    run_here(tracking(clip, tmp_path / "full", *options))
    arguments = tracking(clip, tmp_path / "out", *options)
    stopped = run_until("SIGTERM", 2, *arguments, log="before", every=1e6)
    assert stopped.returncode == 130
    assert stopped.stderr == (
        "facetrack: interrupted; 16 of 41 frames are tracked backwards from the query frame, and "
        "no file is written yet. Run the same command with --resume to continue.\n"
    )
    assert names(tmp_path / "out") == {HIDDEN}
    run_here([*arguments, "--resume"])
    assert record(tmp_path / "out")["resumed_from_frame"] == 25
    assert_outputs_equal(tmp_path / "out", tmp_path / "full")


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_stopped_run_finishes_its_files_and_resumes(
    clip: Path, lk: tuple[object, ...], full: Path, tmp_path: Path, number: str
) -> None:
    arguments = tracking(clip, tmp_path, *lk)
    stopped = run_until(number, 3, *arguments)
    assert stopped.returncode == 130
    lines = (tmp_path / "clip.csv").read_text().splitlines()
    count = len(lines) - 1
    assert stopped.stderr == (
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


def run_with_signal(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, at: int, arguments: list[str]
) -> Any:
    """Run a command in this process, with a signal at chunk `at`."""
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


def test_a_run_resumes_more_than_once(
    clip: Path,
    lk: tuple[object, ...],
    ended: Path,
    full: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = [*tracking(clip, ended, *lk), "--resume"]
    stopped = run_with_signal(monkeypatch, signal.SIGTERM, 1, arguments)
    assert stopped.exit_code == 130
    assert record(ended)["interrupted"] is True
    assert record(ended)["resumed_from_frame"] == 17
    run_here(arguments)
    assert record(ended)["resumed_from_frame"] > 17
    assert_outputs_equal(ended, full)


def test_a_run_stopped_at_its_last_chunk_resumes_without_work(
    clip: Path,
    lk: tuple[object, ...],
    full: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = tracking(clip, tmp_path, *lk)
    # Ten rows before the query frame, then 35 as 1, 7 and chunks of eight: the last but one.
    stopped = run_with_signal(monkeypatch, signal.SIGTERM, 2 + 5, arguments)
    assert stopped.exit_code == 130
    assert f"the first {FRAMES} frames" in stopped.stderr
    run_here([*arguments, "--resume"])
    assert_outputs_equal(tmp_path, full)


def test_a_stopped_run_keeps_earlier_results_that_went_further(
    clip: Path,
    lk: tuple[object, ...],
    full: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(full, tmp_path, dirs_exist_ok=True)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    arguments = [*tracking(clip, tmp_path, *lk), "--json"]
    stopped = run_with_signal(monkeypatch, signal.SIGTERM, 3, arguments)
    assert stopped.exit_code == 130
    assert stopped.stderr == (
        "facetrack: interrupted; the files of the earlier run, which went further, stay as they "
        "are. Run the same command with --resume to continue.\n"
    )
    assert "done" not in [json.loads(line)["event"] for line in stopped.stdout.splitlines()]
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert names(tmp_path) == {*FINAL, HIDDEN}
    run_here([*arguments, "--resume"])
    assert record(tmp_path)["resumed_from_frame"] > 0
    assert_outputs_equal(tmp_path, full)


def test_a_stopped_run_replaces_results_that_ended_earlier(
    clip: Path, lk: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = tracking(clip, tmp_path, *lk)
    for chunks in (3, 4):
        run_with_signal(monkeypatch, signal.SIGTERM, chunks, arguments)
        frames = record(tmp_path)["input"]["frames"]
        assert len((tmp_path / "clip.csv").read_text().split()) - 1 == frames
    run_with_signal(monkeypatch, signal.SIGTERM, 3, arguments)
    assert record(tmp_path)["input"]["frames"] == frames


def test_an_interruption_before_the_first_frame_leaves_nothing(
    clip: Path, lk: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LucasKanadeTracker, "start", lambda *_: signal.raise_signal(signal.SIGTERM))
    result = CliRunner().invoke(app, tracking(clip, tmp_path, *lk))
    assert result.exit_code == 130
    assert result.stderr == "facetrack: interrupted; no unfinished file was left behind.\n"
    assert list(tmp_path.iterdir()) == []


def test_a_run_with_other_options_starts_over(
    clip: Path, lk: tuple[object, ...], ended: Path, full: Path, points: Path
) -> None:
    """Other options, then the first run again: its state is gone."""
    run_here([*tracking(clip, ended, *lk, "--stride", "2"), "--resume"])
    assert record(ended)["resumed_from_frame"] is None
    assert UNFIT in record(ended)["warnings"]
    assert len((ended / "clip.csv").read_text().splitlines()) == 1 + 23
    assert names(ended) == FINAL
    run_here([*tracking(clip, ended, *lk), "--resume"])
    assert record(ended)["resumed_from_frame"] is None
    assert UNFIT not in record(ended)["warnings"]
    assert_outputs_equal(ended, full)


def test_a_run_without_resume_starts_over(
    clip: Path, lk: tuple[object, ...], ended: Path, full: Path
) -> None:
    run_here(tracking(clip, ended, *lk))
    assert record(ended)["resumed_from_frame"] is None
    assert_outputs_equal(ended, full)
    assert names(ended) == FINAL


def test_a_changed_video_is_tracked_from_the_start(
    clip: Path, lk: tuple[object, ...], ended: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "clip.mkv"
    changed.write_bytes(clip.read_bytes())
    os.utime(changed, (1, 1))
    run_here([*tracking(changed, ended, *lk), "--resume"])
    assert record(ended)["resumed_from_frame"] is None


def test_a_damaged_state_is_ignored(
    clip: Path, lk: tuple[object, ...], ended: Path, full: Path
) -> None:
    with open(ended / HIDDEN / "state", "r+b") as file:
        file.seek(100)
        file.write(b"broken")
    run_here([*tracking(clip, ended, *lk), "--resume"])
    assert record(ended)["resumed_from_frame"] is None
    assert record(ended)["warnings"] == [*record(full)["warnings"], UNFIT]
    assert (ended / "clip.csv").read_bytes() == (full / "clip.csv").read_bytes()


def test_a_resumed_run_can_write_other_formats(
    clip: Path, lk: tuple[object, ...], ended: Path, full: Path
) -> None:
    """Rows do not depend on the output files."""
    fewer = ["track", str(clip), "--out", str(ended), "--quiet", "--no-overlay", *map(str, lk)]
    run_here([*fewer, "--resume"])
    assert record(ended)["resumed_from_frame"] is not None
    assert (ended / "clip.csv").read_bytes() == (full / "clip.csv").read_bytes()
    assert names(ended) == {"clip.csv", "clip.json"}


def test_resume_without_a_state_is_no_error(
    clip: Path, lk: tuple[object, ...], full: Path, tmp_path: Path
) -> None:
    run_here([*tracking(clip, tmp_path / "out", *lk), "--resume"])
    assert record(tmp_path / "out")["resumed_from_frame"] is None
    assert UNFIT not in record(tmp_path / "out")["warnings"]
    assert_outputs_equal(tmp_path / "out", full)


@pytest.mark.slow
def test_tapir_resumes_after_a_kill(clip: Path, points: Path, tmp_path: Path) -> None:
    options = ("--init", "points", "--points", points, "--tracker-weights", "tapir-s")
    run_here(tracking(clip, tmp_path / "full", *options))
    arguments = tracking(clip, tmp_path / "out", *options)
    assert run_until("SIGKILL", 3, *arguments).returncode == -signal.SIGKILL
    run_here([*arguments, "--resume"])
    assert_outputs_equal(tmp_path / "out", tmp_path / "full")
    assert record(tmp_path / "out")["resumed_from_frame"] == 7


@pytest.mark.slow
def test_detected_faces_resume_after_a_kill(tmp_path: Path) -> None:
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
def test_runs_killed_at_random_times_give_the_same_result(points: Path, tmp_path: Path) -> None:
    """Each run resumes where the one before was killed."""
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


def test_other_points_in_the_same_file_are_tracked_from_the_start(
    clip: Path, points: Path, ended: Path, lk: tuple[object, ...]
) -> None:
    """The points file has changed since the state of `ended` was saved."""
    before = points.read_bytes()
    try:
        lines = before.decode().splitlines()
        points.write_text("\n".join(lines[:-1]) + "\n")
        run_here([*tracking(clip, ended, *lk), "--resume"])
    finally:
        points.write_bytes(before)
    assert record(ended)["resumed_from_frame"] is None
