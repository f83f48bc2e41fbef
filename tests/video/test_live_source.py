"""Which inputs are live sources, and what is said of them."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pytest

from facetrack.errors import FacetrackError
from facetrack.video import cameras
from facetrack.video.live_source import camera_source, live_source


@pytest.fixture
def two_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two device files of cameras, and their names."""
    for number, name in ((0, "Front"), (2, "USB Camera: rear")):
        (tmp_path / f"video{number}").touch()
        (tmp_path / "names" / f"video{number}").mkdir(parents=True)
        (tmp_path / "names" / f"video{number}" / "name").write_text(f"{name}\n")
    monkeypatch.setattr(cameras, "_DEVICES", tmp_path)
    monkeypatch.setattr(cameras, "_NAMES", tmp_path / "names")
    monkeypatch.setattr(cameras.sys, "platform", "linux")
    return tmp_path


@pytest.mark.parametrize("name", ["clip.mp4", "a/b.mov", "frame_*.jpg", "C:/x.mp4", "x", ""])
def test_files_are_no_live_sources(name: str) -> None:
    assert live_source(name) is None


@pytest.mark.parametrize(
    ("name", "kind", "stem"),
    [
        ("rtsp://10.0.0.5:554/stream1", "rtsp", "10.0.0.5-554-stream1"),
        ("HTTP://host/a/b.mjpg?x=1", "http", "host-a-b.mjpg"),
        ("udp://@239.0.0.1:1234", "udp", "239.0.0.1-1234"),
        ("srt://[::1]:9000", "srt", "1-9000"),
        ("-", "stdin", "stdin"),
    ],
)
def test_addresses_and_standard_input(name: str, kind: str, stem: str) -> None:
    source = live_source(name)
    assert source is not None
    assert (source.kind, source.stem) == (kind, stem)
    assert source.stem_at(datetime(2026, 3, 4, 5, 6, 7)) == f"{stem}_20260304-050607"


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://me:hidden@host/x",
        "rtsp://me:hid/den?hidden@host/x",
        "http://host/x?token=hidden",
        "rtsp://host/user=me_password=hidden_channel=1.sdp",
        "srt://host:9?passphrase=hidden",
        "https://hidden@host/x#hidden",
    ],
)
def test_secrets_are_not_shown(url: str) -> None:
    source = live_source(url)
    assert source is not None
    assert "hid" not in source.shown + source.stem
    # ffmpeg's messages hold the address as a whole, or without its scheme.
    told = source.without_secrets(f"Error opening {url}: {url.partition('://')[2]} is gone")
    assert "hid" not in told
    assert source.arguments[-1] == url


def test_an_address_cannot_lead_elsewhere() -> None:
    for name in ("rtsp://h/x", "http://h/x", "udp://h:1", "rtmp://h/x", "-"):
        source = live_source(name)
        assert source is not None
        options = dict(zip(source.arguments[:-1], source.arguments[1:], strict=True))
        protocols = options["-protocol_whitelist"].split(",")
        assert not {"file", "concat", "data", "subfile", "crypto", "unix"} & set(protocols)
        formats = options["-format_whitelist"].split(",")
        assert not {"hls", "dash", "concat", "sdp", "imf", "image2"} & set(formats)


@pytest.mark.parametrize("name", ["ftp://host/x", "file:///etc/passwd", "concat://x", "lavfi://x"])
def test_other_addresses_are_refused(name: str) -> None:
    with pytest.raises(FacetrackError, match="is not an address that facetrack reads"):
        live_source(name)


def test_an_existing_file_comes_before_a_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_cameras: Path
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    source = live_source("0")
    assert source is not None
    assert source.arguments == ("-f", "v4l2", "-i", str(two_cameras / "video0"))
    (folder / "0").touch()
    assert live_source("0") is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "camera feed")
    source = live_source(str(tmp_path / "camera feed"))
    assert source is not None
    assert (source.kind, source.stem, source.can_reconnect) == ("fifo", "camera-feed", False)


def test_cameras_by_number_and_by_name(two_cameras: Path) -> None:
    device = str(two_cameras / "video2")
    for name in ("2", "USB Camera: rear", device):
        assert camera_source(name).arguments[-1] == device
    chosen = camera_source("2", "1280x720", 30.0)
    assert chosen.arguments[2:6] == ("-video_size", "1280x720", "-framerate", "30")
    with pytest.raises(FacetrackError, match=r"the cameras here are 0 \(Front\), 2 \(USB Camera"):
        camera_source("1")
    with pytest.raises(FacetrackError, match="--camera-size is WIDTHxHEIGHT"):
        camera_source("2", "big")


def test_cameras_of_macos() -> None:
    arguments = cameras.camera_arguments("0", system="darwin")
    assert arguments == ["-f", "avfoundation", "-framerate", "30", "-i", "0:none"]
    assert cameras.camera_arguments("A: B", system="darwin")[-1] == "A\\: B:none"


def test_cameras_of_windows() -> None:
    assert cameras.camera_arguments("HD Cam", system="win32")[-1] == "video=HD Cam"
    new = (
        '[dshow @ 0x1] "HD Cam" (video)\n[dshow @ 0x1]   Alternative name "@device_pnp_1"\n'
        '[dshow @ 0x1] "OBS Virtual Camera" (none)\n[dshow @ 0x1] "Mic (HD)" (audio)\n'
    )
    assert cameras.parse_dshow_cameras(new) == ["HD Cam", "OBS Virtual Camera"]
    old = (
        '[dshow @ 0x1] DirectShow video devices (some may be both)\n[dshow @ 0x1]  "HD Cam"\n'
        '[dshow @ 0x1]     Alternative name "@device_pnp_1"\n'
        '[dshow @ 0x1] DirectShow audio devices\n[dshow @ 0x1]  "Mic"\n'
    )
    assert cameras.parse_dshow_cameras(old) == ["HD Cam"]
