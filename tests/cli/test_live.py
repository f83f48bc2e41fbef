"""`facetrack track` of standard input, named pipes, addresses and cameras, as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest
from live_servers import RtspServer, free_port
from typer.testing import CliRunner, Result

from facetrack.cli import app
from facetrack.cli.reporter import frame_lines
from facetrack.formats.csv import read_csv
from facetrack.tracks import Tracks
from facetrack.viz import window

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
QUICK = ("--init", "points", "--tracker", "lk", "--no-overlay")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.write_clip(tmp_path_factory.mktemp("live") / "clip.mkv", 12)


@pytest.fixture
def points(tmp_path: Path) -> tuple[str, ...]:
    """Options that track two points of the clip, quickly."""
    path = tmp_path / "points.csv"
    path.write_text("x,y\n0,0\n7,7\n")
    return (*QUICK, "--points", str(path))


@pytest.fixture
def pipe(tmp_path: Path, clip: Path) -> Path:
    """A named pipe into which the clip is written."""
    path = tmp_path / "feed"
    os.mkfifo(path)
    content = clip.read_bytes()
    threading.Thread(target=path.write_bytes, args=[content], daemon=True).start()
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["track", *map(str, arguments)])


def program(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "facetrack", "track", *map(str, arguments)]


@needs_pipes
def test_names_are_the_source_s_and_the_time(
    pipe: Path, points: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    result = run(pipe, *points)
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert [path.partition(".")[2] for path in names] == ["csv", "json"]
    assert all(name.startswith("feed_20") for name in names)
    last = result.stderr.splitlines()[-1]
    assert last.startswith("facetrack: 12 frames came, 12 were tracked and 0 dropped; rows left ")


@needs_pipes
def test_json_has_a_line_for_every_frame(
    pipe: Path, points: tuple[str, ...], tmp_path: Path
) -> None:
    result = run(pipe, *points, "--json", "--name", "run", "--out", tmp_path, "--max-frames", 7)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["event"] for line in lines] == [
        *("loading", "start"),
        *["frame"] * 7,
        "done",
    ]
    assert {line["source"] for line in lines} == {str(pipe)}
    frames = lines[2:-1]
    assert [line["frame"] for line in frames] == list(range(7))
    tracks = read_csv(tmp_path / "run.csv")
    shown = np.array([line["faces"][0]["points"] for line in frames])
    assert shown == pytest.approx(tracks.xy[:, 0])
    done = lines[-1]
    assert (done["frames"], done["received"], done["dropped"]) == (7, 7, 0)
    assert set(done["delay"]) == {"median_s", "worst_s", "median_frames", "worst_frames"}


def test_unknown_points_and_absent_faces_are_left_out_of_the_lines() -> None:
    xy = np.array([[[[1, 2], [np.nan, np.nan]], [[np.nan, np.nan]] * 2]], np.float32)
    visible = np.array([[[True, False], [False, False]]])
    tracks = Tracks(
        xy, visible, visible.astype(np.float32), np.zeros(1), np.array([4, 5]), "points-2", (9, 9)
    )
    (line,) = frame_lines(tracks)
    (face,) = line["faces"]
    assert (face["face_id"], face["points"], face["visible"]) == (4, [[1.0, 2.0], None], [1, 0])


@pytest.mark.parametrize(
    "options",
    [
        ("--resume",),
        ("--manifest", "x"),
        ("--jobs", "2"),
        ("--shard", "1/2"),
        ("--engine", "ray"),
        ("--out", "s3://bucket/x"),
        ("--fps", "30"),
        ("--keep-folders",),
        ("--query-frame", "3"),
        ("--start", "1"),
        ("--end", "1"),
        ("--report",),
    ],
)
def test_options_of_files_are_refused(options: tuple[str, ...], tmp_path: Path) -> None:
    result = run(f"udp://127.0.0.1:{free_port()}", *options)
    assert result.exit_code == 2
    assert "does not go with" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "options",
    [
        ("--name", "x"),
        ("--seconds", "1"),
        ("--max-frames", "1"),
        ("--show",),
        ("--no-drop",),
        ("--camera-size", "1x1"),
    ],
)
def test_options_of_live_sources_are_refused_for_files(options: tuple[str, ...]) -> None:
    result = run("clip.mp4", *options)
    assert result.exit_code == 2
    if options != ("--no-drop",):
        assert "is for cameras, addresses and standard input" in result.stderr


def test_live_sources_are_tracked_alone() -> None:
    for names in (["rtsp://me:hidden@host/x", "clip.mp4"], ["-", "-"]):
        result = run(*names)
        assert result.exit_code == 2
        assert "is a live source: such sources are tracked alone" in result.stderr
        assert "hidden" not in result.output
    assert "give no other input" in run("clip.mp4", "--camera", "0").stderr


@pytest.mark.skipif(sys.platform != "linux" or os.path.exists("/dev/video0"), reason="a camera")
def test_a_camera_that_does_not_exist_is_one_sentence() -> None:
    for arguments in (["0"], ["--camera", "0"]):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "There is no camera 0" in result.stderr


@pytest.mark.parametrize("as_json", [False, True])
def test_no_connection_leaves_no_file_and_shows_no_password(tmp_path: Path, as_json: bool) -> None:
    url = f"rtsp://me:hidden@127.0.0.1:{free_port()}/x?token=hidden"
    options = ["--out", tmp_path / "out", *(["--json"] if as_json else [])]
    result = run(url, *options)
    assert result.exit_code == 2
    assert "cannot be opened: Connection refused" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "hidden" not in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "command", [pytest.param("detect", marks=pytest.mark.slow), "pose", "compare"]
)
def test_other_commands_show_no_password_of_an_address(command: str, tmp_path: Path) -> None:
    arguments = [command, "rtsp://me:hidden@127.0.0.1/x.mp4", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2, result.output
    assert "hidden" not in result.output


def test_an_address_in_a_manifest_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("rtsp://me:hidden@127.0.0.1/x.mp4\n")
    result = run("--manifest", tmp_path / "list.txt")
    assert result.exit_code == 2
    assert "names an address, rtsp://127.0.0.1/x.mp4: live sources are typed" in result.stderr
    assert "hidden" not in result.output


# ---------------------------------------------------------------- the window


@needs_pipes
def test_a_window_shows_each_frame_until_it_is_closed(
    pipe: Path, points: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "destroyWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "imshow", lambda _, image: shown.append(image))
    monkeypatch.setattr(cv2, "waitKey", lambda _: ord("q") if len(shown) == 2 else -1)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: 1.0)
    result = run(pipe, *points, "--show", "--name", "run", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert len(shown) == 2
    assert shown[0].shape == (64, 96, 3)
    assert 2 <= len(read_csv(tmp_path / "run.csv")) <= 6


@pytest.mark.skipif(sys.platform != "linux", reason="screens are elsewhere always there")
def test_without_a_screen_the_window_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    result = run("-", "--show")
    assert result.exit_code == 2
    assert "--show needs a screen" in result.stderr


def test_an_opencv_without_windows_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise cv2.error("The function is not implemented")

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(window.cv2, "namedWindow", refuse)
    result = run("-", "--show")
    assert result.exit_code == 2
    assert "install opencv-python instead of opencv-python-headless" in result.stderr


# ---------------------------------------------------------------- as a program


@pytest.mark.slow
def test_standard_input(clip: Path, points: tuple[str, ...], tmp_path: Path) -> None:
    command = program("-", *points, "--name", "run", "--out", tmp_path)
    with open(clip, "rb") as file:
        ran = subprocess.run(command, stdin=file, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert len(read_csv(tmp_path / "run.csv")) == 12
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert ran.returncode == 2
    assert "exists, and a live source cannot be tracked again" in ran.stderr
    command = program("-", *points, "--name", "other", "--out", tmp_path / "out")
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert ran.returncode == 2
    assert "standard input is empty, or not a video" in ran.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("end", ["SIGINT", "SIGTERM", "lost"])
def test_a_live_run_ends_with_whole_files(
    end: str, clip: Path, points: tuple[str, ...], tmp_path: Path
) -> None:
    """A terminal's Ctrl-C goes to the whole group of processes, so ffmpeg must not get it."""
    out = tmp_path / "out"
    with RtspServer(clip, "me:hidden") as server:
        options = [option for option in points if option != "--no-overlay"]
        options += ["--name", "run", "--out", out, "--json", "--retries", 1, "--timeout", 5]
        process = subprocess.Popen(
            program(server.url("me:hidden"), *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(json.loads(line))
                if lines[-1].get("frame") == 15:
                    break
            if end == "lost":
                server.stop()
            else:
                os.killpg(process.pid, getattr(signal, end))
            rest, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == (3 if end == "lost" else 130), errors
    assert sorted(p.name for p in out.iterdir()) == ["run.csv", "run.json", "run.overlay.mp4"]
    rows = len(read_csv(out / "run.csv"))
    assert rows >= 16
    assert clips.decoded_count(out / "run.overlay.mp4") == rows
    record = json.loads((out / "run.json").read_text())
    assert record["interrupted"] == (end != "lost")
    assert record["input"]["live"]["connection_lost"] == (end == "lost")
    assert record["input"]["path"] == server.url()
    texts = [rest, errors, (out / "run.json").read_text(), json.dumps(lines)]
    assert "hidden" not in "".join(texts)


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_completes_the_overlay_of_a_file(
    points: tuple[str, ...], tmp_path: Path
) -> None:
    clip = clips.write_clip(tmp_path / "long.mp4", 3000)
    options = [option for option in points if option != "--no-overlay"]
    process = subprocess.Popen(
        program(clip, *options, "--out", tmp_path / "out", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "progress":
                break
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    rows = len(read_csv(tmp_path / "out/long.csv"))
    assert clips.decoded_count(tmp_path / "out/long.overlay.mp4") == rows
