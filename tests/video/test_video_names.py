"""Test which names of files are those of videos."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from facetrack.api.outputs import Outputs
from facetrack.formats.base import FORMATS
from facetrack.video import ffmpeg
from facetrack.video.image_names import IMAGE_SUFFIXES
from facetrack.video.video_names import (
    OUTPUT_ENDINGS,
    VIDEO_SUFFIXES,
    is_video_name,
    others_in_images,
)

# Sound, images, text, or ends of names that other programs use for other things.
NO_VIDEOS = """aac ac3 ape apl avif avs cdata cgi dts eac3 ec3 flac heic heif isma m2a m4a m4b mac
mka mks mlp mp2 mp3 mpa mpc mpo ogg son str tak thd tta v vb vqe vqf vql xl"""


def test_every_suffix_of_ffmpegs_video_formats_is_known() -> None:
    """Ask ffmpeg for the suffixes of a few formats; all of them would take seconds."""
    known = {suffix[1:] for suffix in VIDEO_SUFFIXES} | set(re.findall(r"\w+", NO_VIDEOS))
    for demuxer in ("mov", "matroska", "h264", "hevc", "vvc", "flv", "mjpeg", "dv", "avi", "m4v"):
        command = [ffmpeg.executable(), "-hide_banner", "-h", f"demuxer={demuxer}"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        match = re.search(r"Common extensions: (.*)\.", text)
        assert match is not None
        assert set(match[1].split(",")) <= known


def test_names_of_videos() -> None:
    assert is_video_name("a.MP4")
    assert is_video_name("é\n.m2Ts")
    for name in (".mp4", "mp4", "a.mp4.txt", "a.png", "a"):
        assert not is_video_name(name)


def test_a_suffix_is_of_videos_or_of_images() -> None:
    assert not VIDEO_SUFFIXES & IMAGE_SUFFIXES


def test_no_output_of_a_run_counts_as_left_out(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path, tuple(FORMATS), overlay=True, report=True)
    for path in outputs.paths(tmp_path.name).values():
        assert path.name.endswith(OUTPUT_ENDINGS)
        path.touch()
    outputs = ("1.pts", "1.0.pts", "1.overlay.png", "landmarks.csv", "landmarks.json")
    for name in ("1.png", *outputs, "a.txt"):
        (tmp_path / name).touch()
    (tmp_path / "in.png").mkdir()
    assert others_in_images(tmp_path) == ["a.txt", "in.png/"]
