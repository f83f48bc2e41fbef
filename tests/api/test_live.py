"""Runs on live sources: rows that leave at once, whole files, refusals."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import clips
import numpy as np
import pytest

from facetrack.api.live import track_live
from facetrack.api.outputs import Outputs
from facetrack.errors import FacetrackError
from facetrack.formats.csv import read_csv
from facetrack.pipeline.assembly import Chunk
from facetrack.pipeline.live import LivePipeline
from facetrack.pipeline.models import Models
from facetrack.pipeline.options import Options
from facetrack.trackers.lk import LucasKanadeTracker
from facetrack.video.live_reader import LiveOptions, LiveReader
from facetrack.video.live_source import LiveSource, live_source

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")


@pytest.fixture
def feed(tmp_path: Path) -> Callable[[Path], LiveSource]:
    """Return a function that sends a file through a named pipe."""

    def send(clip: Path) -> LiveSource:
        path = tmp_path / "feed"
        os.mkfifo(path)
        threading.Thread(target=_write, args=(path, clip.read_bytes()), daemon=True).start()
        source = live_source(str(path))
        assert source is not None
        return source

    return send


def _write(path: Path, content: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # the reader may end early
        path.write_bytes(content)


@pytest.fixture
def dots_pipe(feed: Callable[[Path], LiveSource], dots: Path) -> LiveSource:
    return feed(dots)


@pytest.fixture(scope="module")
def dots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.write_clip(tmp_path_factory.mktemp("dots") / "dots.mkv", 12)


def test_the_files_of_a_live_run(
    dots_pipe: LiveSource, own_points: Options, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = track_live(dots_pipe, own_points, Outputs(out, ("csv", "npz")), "run")
    names = ["run.csv", "run.json", "run.npz", "run.overlay.mp4"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert (result.rows, result.received, result.dropped) == (12, 12, 0)
    tracks = read_csv(out / "run.csv")
    assert tracks.frames.tolist() == list(range(12))
    assert tracks.time == pytest.approx([i / 25 for i in range(12)], abs=1e-3)
    assert clips.decoded_count(out / "run.overlay.mp4") == 12
    record = json.loads((out / "run.json").read_text())
    assert record["input"]["sha256"] is None
    live = record["input"]["live"]
    assert live["kind"] == "fifo"
    assert (live["received"], live["dropped"], live["drops_frames"]) == (12, 0, False)
    assert not live["connection_lost"]
    assert live["delay"]["worst_s"] >= live["delay"]["median_s"] > 0
    assert live["started_at"].endswith("+00:00")


def test_every_row_is_passed_on_at_once(
    dots_pipe: LiveSource, own_points: Options, tmp_path: Path
) -> None:
    out, sizes, ahead = tmp_path / "out", [], []

    def on_chunk(chunk: Chunk, reader: LiveReader) -> bool:
        (growing,) = out.glob(".facetrack-*/.facetrack-*.csv")
        sizes.append(growing.read_bytes().count(b"\n") - 1)
        ahead.append(reader.received - 1 - chunk.tracks.first_frame)
        assert not (out / "run.csv").exists()
        return True

    track_live(dots_pipe, own_points, Outputs(out, overlay=False), "run", on_chunk=on_chunk)
    assert sizes[-1] == 12
    assert max(np.diff([0, *sizes])) <= 3
    assert max(ahead) <= 2


def test_a_run_can_be_ended_by_its_caller(
    dots_pipe: LiveSource, own_points: Options, tmp_path: Path
) -> None:
    outputs = Outputs(tmp_path / "out", overlay=False)
    result = track_live(dots_pipe, own_points, outputs, "run", on_chunk=lambda chunk, reader: False)
    assert 1 <= result.rows <= 3
    assert len(read_csv(tmp_path / "out/run.csv")) == result.rows


def test_existing_files_are_kept_unless_they_may_be_overwritten(
    dots_pipe: LiveSource, own_points: Options, tmp_path: Path
) -> None:
    (tmp_path / "run.csv").write_text("mine")
    outputs = Outputs(tmp_path, overlay=False)
    with pytest.raises(FacetrackError, match="exists, and a live source cannot be tracked again"):
        track_live(dots_pipe, own_points, outputs, "run")
    assert (tmp_path / "run.csv").read_text() == "mine"
    track_live(dots_pipe, own_points, outputs, "run", overwrite=True)
    assert len(read_csv(tmp_path / "run.csv")) == 12


@pytest.mark.parametrize("stem", ["", "a/b", ".hidden", "..", "a\nb"])
def test_names_that_are_no_beginning_of_a_file_name_are_refused(
    stem: str, own_points: Options, tmp_path: Path
) -> None:
    source = live_source("-")
    assert source is not None
    with pytest.raises(FacetrackError, match="--name is the beginning"):
        track_live(source, own_points, Outputs(tmp_path), stem)


@pytest.mark.parametrize("option", ["query_frame", "start", "end"])
def test_options_of_videos_that_can_be_read_again_are_refused(
    option: str, own_points: Options, tmp_path: Path
) -> None:
    source = live_source("-")
    assert source is not None
    options = dataclasses.replace(own_points, **{option: 2})
    with pytest.raises(FacetrackError, match="does not go with a live source"):
        track_live(source, options, Outputs(tmp_path), "run")
    with pytest.raises(FacetrackError, match="--report does not go with a live source"):
        track_live(source, own_points, Outputs(tmp_path, report=True), "run")
    assert not any(tmp_path.iterdir())


def test_a_tracker_that_looks_ahead_is_refused(
    dots_pipe: LiveSource, own_points: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LucasKanadeTracker, "window", (24, 8))
    with pytest.raises(FacetrackError, match="looks at later frames"):
        track_live(dots_pipe, own_points, Outputs(tmp_path / "out"), "run")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_without_a_face_the_rows_are_empty(dots_pipe: LiveSource, tmp_path: Path) -> None:
    result = track_live(dots_pipe, Options(tracker="lk", init="ert"), Outputs(tmp_path), "run")
    tracks = read_csv(tmp_path / "run.csv")
    assert tracks.xy.shape == (12, 1, 68, 2)
    assert np.isnan(tracks.xy).all()
    assert result.warnings[-1].startswith("No face was found in any of the 12 frames of ")
    assert json.loads((tmp_path / "run.json").read_text())["query"] is None


@pytest.mark.slow
def test_a_face_that_comes_late_is_found(
    feed: Callable[[Path], LiveSource], tmp_path: Path
) -> None:
    example = Path(__file__).parents[2] / "examples" / "astronaut.mp4"
    late = tmp_path / "late.mkv"
    clips.run_ffmpeg("-t", "1", "-i", str(example), "-vf", "tpad=12:color=gray", str(late))
    result = track_live(
        feed(late), Options(tracker="lk", init="ert"), Outputs(tmp_path, overlay=False), "run"
    )
    tracks = read_csv(tmp_path / "run.csv")
    known = np.isfinite(tracks.xy).all((1, 2, 3))
    assert not known[:12].any()
    assert known[17:].all()  # faces are searched for every fifth of a second
    assert result.rows == 36


@pytest.mark.slow
def test_a_live_run_places_the_points_of_a_run_on_the_file(
    feed: Callable[[Path], LiveSource], tmp_path: Path
) -> None:
    from facetrack.api.track import track

    example = Path(__file__).parents[2] / "examples" / "astronaut.mp4"
    clip = tmp_path / "face.mkv"
    clips.run_ffmpeg("-t", "1", "-i", str(example), "-c:v", "libx264", str(clip))
    options = Options(tracker="lk", init="ert")
    track_live(feed(clip), options, Outputs(tmp_path, overlay=False), "run")
    live, offline = read_csv(tmp_path / "run.csv"), track(clip, tracker="lk", init="ert")
    assert len(live) == len(offline)
    assert np.abs(live.xy - offline.xy).mean() < 1


def test_all_models_are_used_before_frames_count(
    dots_pipe: LiveSource, own_points: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    step = LucasKanadeTracker.step
    monkeypatch.setattr(
        LucasKanadeTracker, "step", lambda self, *args: used.append(1) or step(self, *args)
    )
    with LiveReader(dots_pipe, LiveOptions()) as reader:
        pipeline = LivePipeline(reader, own_points, Models(own_points))
        pipeline.prepare()
        assert used
        assert reader.received == 0
