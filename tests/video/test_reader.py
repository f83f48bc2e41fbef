"""Test reading videos: every frame once, in order, upright, at its exact time."""

from __future__ import annotations

import os
import subprocess
import time
from array import array
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import clips
import numpy as np
import pytest
from clips import expected_positions, read_frames, square_positions

from facetrack.errors import FacetrackError
from facetrack.video import decoder, ffmpeg
from facetrack.video.colour import Colour
from facetrack.video.frame import Frame
from facetrack.video.reader import VideoReader, probe, read_reversed


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.write_clip(tmp_path_factory.mktemp("plain") / "plain.mp4", 12)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Return a list that collects all processes started during the test."""
    started: list[subprocess.Popen[bytes]] = []
    original = subprocess.Popen

    def popen(*args: object, **kwargs: object) -> subprocess.Popen[bytes]:
        started.append(original(*args, **kwargs))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(decoder.subprocess, "Popen", popen)
    return started


def test_every_frame_once_in_order(plain: Path) -> None:
    frames, warnings = read_frames(plain)
    assert [f.index for f in frames] == list(range(12))
    assert square_positions(frames) == expected_positions(12)
    assert warnings == []


def test_frames_are_rgb(tmp_path: Path) -> None:
    path = tmp_path / "red.mkv"
    clips.run_ffmpeg("-f", "lavfi", "-i", "color=red:s=32x32:d=0.1", "-c:v", "ffv1", str(path))
    image = read_frames(path)[0][0].image
    assert image.dtype == np.uint8
    assert image.shape == (32, 32, 3)
    assert (image[16, 16] > [240, -1, -1]).all()
    assert (image[16, 16, 1:] < 16).all()


@pytest.mark.parametrize("rate", ["24000/1001", "30000/1001", "25", "60"])
def test_times_are_exact(tmp_path: Path, rate: str) -> None:
    frames, _ = read_frames(clips.write_clip(tmp_path / "a.mov", 30, rate=rate))
    assert [f.time for f in frames] == [float(i / Fraction(rate)) for i in range(30)]


def test_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    path = tmp_path / "vfr.mkv"
    clips.write_clip(path, 12, "-enc_time_base", "1:1000", filters="settb=1/1000,setpts=N*N*7+N*3")
    frames, _ = read_frames(path)
    assert [f.time for f in frames] == [(n * n * 7 + n * 3) / 1000 for n in range(12)]
    assert square_positions(frames) == expected_positions(12)


@pytest.mark.parametrize("container", ["mkv", "ts", "mov"])
def test_clock_of_the_container_is_kept(tmp_path: Path, container: str) -> None:
    codec = ("-c:v", "mpeg4", "-b:v", "2M")
    path = tmp_path / f"late.{container}"
    clips.write_clip(path, 50, "-output_ts_offset", "0.5", codec=codec)
    frames, _ = read_frames(path)
    assert frames[0].time >= 0.5
    assert [f.time for f in frames] == pytest.approx(clips.packet_times(path), abs=1e-9)
    assert probe(path).start_time == pytest.approx(frames[0].time, abs=1e-5)


def test_b_frames_come_in_display_order(tmp_path: Path) -> None:
    codec = ("-c:v", "libx264", "-bf", "3", "-b_strategy", "0", "-crf", "5", "-pix_fmt", "yuv444p")
    path = clips.write_clip(tmp_path / "b.mp4", 20, codec=codec)
    frames, _ = read_frames(path)
    assert [round(f.time * 25) for f in frames] == list(range(20))
    assert square_positions(frames) == expected_positions(20)


def test_gif_delays(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    clips.write_clip(
        path, 4, "-enc_time_base", "1:100", filters="settb=1/100,setpts=N*(N+5)", codec=()
    )
    frames, warnings = read_frames(path)
    assert [f.time for f in frames] == [0.0, 0.06, 0.14, 0.24]
    assert warnings == []


@pytest.mark.parametrize("container", ["avi", "mkv", "mov", "mpg", "webm", "ts"])
def test_containers(tmp_path: Path, container: str) -> None:
    codec = {"mpg": "mpeg2video", "webm": "libvpx", "avi": "mpeg4"}.get(container, "libx264")
    path = clips.write_clip(tmp_path / f"a.{container}", 10, codec=("-c:v", codec, "-b:v", "2M"))
    frames, warnings = read_frames(path)
    assert len(frames) == clips.decoded_count(path) == 10
    assert [b.time - a.time for a, b in pairwise(frames)] == pytest.approx([0.04] * 9, abs=1.1e-3)
    assert warnings == []


@pytest.mark.parametrize("flip", ["-display_hflip", "-display_vflip"])
def test_a_mirrored_file_is_not_turned(tmp_path: Path, plain: Path, flip: str) -> None:
    path = tmp_path / "mirrored.mp4"
    clips.run_ffmpeg("-display_rotation", "0", flip, "-i", str(plain), "-c", "copy", str(path))
    frames, _ = read_frames(path)
    square = clips.draw_square(5)
    assert (frames[5].image == (square[:, ::-1] if "hflip" in flip else square[::-1])).all()
    assert probe(path).rotation == 0


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_applied(tmp_path: Path, plain: Path, rotation: int) -> None:
    path = tmp_path / "turned.mp4"
    # ffmpeg's option counts anticlockwise.
    clips.run_ffmpeg("-display_rotation", str(-rotation), "-i", str(plain), "-c", "copy", str(path))
    frames, _ = read_frames(path)
    upright = np.rot90(clips.draw_square(5), -rotation // 90)
    info = probe(path)
    assert info.rotation == rotation
    assert (info.height, info.width) == upright.shape[:2] == frames[5].image.shape[:2]
    assert clips.square_position(frames[5].image) == clips.square_position(upright)


def test_odd_size(tmp_path: Path) -> None:
    frames, _ = read_frames(clips.write_clip(tmp_path / "odd.mp4", 6, size=(75, 51)))
    assert {f.image.shape for f in frames} == {(51, 75, 3)}
    assert square_positions(frames) == [clips.expected_position(i, (75, 51)) for i in range(6)]


@pytest.mark.parametrize(
    "pixels", ["gray", "yuv420p10le", "bgra", "yuva444p", "yuv422p", "gray16le"]
)
def test_pixel_formats(tmp_path: Path, pixels: str) -> None:
    codec = ("-c:v", "ffv1", "-pix_fmt", pixels)
    frames, _ = read_frames(clips.write_clip(tmp_path / "a.mkv", 4, codec=codec))
    assert square_positions(frames) == expected_positions(4)


def test_interlaced_frames_are_not_split(tmp_path: Path) -> None:
    codec = ("-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-b:v", "4M")
    frames, _ = read_frames(clips.write_clip(tmp_path / "i.mkv", 6, codec=codec))
    assert square_positions(frames) == expected_positions(6)


def test_pixel_aspect_is_reported_and_frames_are_not_rescaled(tmp_path: Path) -> None:
    path = clips.write_clip(tmp_path / "a.mp4", 3, filters="setsar=128/117:max=1000")
    frames, _ = read_frames(path)
    assert probe(path).pixel_aspect == Fraction(128, 117)
    assert frames[0].image.shape == (64, 96, 3)


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a clip with six frames of 96x64, then six of 48x32."""
    folder = tmp_path_factory.mktemp("changing")
    codec = ("-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj444p")
    clips.write_clip(folder / "a.mjpeg", 6, codec=codec)
    clips.write_clip(folder / "b.mjpeg", 6, filters="scale=48:32", codec=codec)
    path = folder / "both.mjpeg"
    path.write_bytes((folder / "a.mjpeg").read_bytes() + (folder / "b.mjpeg").read_bytes())
    return path


def test_size_change_midway_is_scaled_to_the_first(changing: Path) -> None:
    frames, _ = read_frames(changing)
    assert len(frames) == 12
    assert {f.image.shape for f in frames} == {(64, 96, 3)}
    offsets = np.subtract(square_positions(frames), expected_positions(6) * 2)
    assert np.abs(offsets).max() <= 2  # a pixel of the smaller size


@pytest.mark.parametrize("first", [2, 6, 9])
def test_skipping_agrees_across_a_size_change(changing: Path, first: int) -> None:
    whole, tail = read_frames(changing)[0], read_frames(changing, first=first)[0]
    assert [f.index for f in tail] == list(range(first, 12))
    assert [f.time for f in tail] == [f.time for f in whole[first:]]
    assert all((a.image == b.image).all() for a, b in zip(tail, whole[first:], strict=True))


def test_range_of_frames(plain: Path) -> None:
    frames, _ = read_frames(plain, first=3, last=7)
    assert [f.index for f in frames] == [3, 4, 5, 6, 7]
    assert [f.time for f in frames] == [i / 25 for i in range(3, 8)]
    assert square_positions(frames) == expected_positions(12)[3:8]


def test_range_beyond_the_end(plain: Path) -> None:
    with pytest.raises(FacetrackError, match=r"has no frame 50: it has 12 frames"):
        read_frames(plain, first=50)


@pytest.mark.parametrize("segment", [1, 5, 100])
def test_reversed_reading_equals_the_forward_reading(plain: Path, segment: int) -> None:
    forward, _ = read_frames(plain, last=10)
    budget = segment * forward[0].image.nbytes
    backward = list(read_reversed(plain, 10, budget_bytes=budget))
    assert [(f.index, f.time) for f in backward] == [(f.index, f.time) for f in forward[::-1]]
    assert all((a.image == b.image).all() for a, b in zip(backward, forward[::-1], strict=True))


LONG = 100
X264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p")
LONG_CLIPS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "often": ("clip.mp4", (*X264, "-g", "10"), ()),
    "seldom": ("clip.mp4", X264, ()),
    "open groups": ("clip.mp4", (*X264, "-x264-params", "open-gop=1:keyint=10:bframes=3"), ()),
    "no key frames": ("clip.mp4", (*X264, "-x264-params", "intra-refresh=1:keyint=40"), ()),
    "transport stream": ("clip.ts", (*X264, "-g", "45"), ()),
    "from before 0": ("clip.mkv", (*X264, "-g", "10"), ("-output_ts_offset", "-1.5")),
    "from 100 s on": ("clip.mkv", (*X264, "-g", "10"), ("-output_ts_offset", "100")),
    "program stream": ("clip.mpg", ("-c:v", "mpeg2video", "-bf", "2", "-g", "10"), ()),
    "gif": ("clip.gif", (), ()),
    "without times": ("clip.h264", (*X264, "-g", "10"), ()),
}


@pytest.fixture
def seek_times(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Return a list that collects the seek time of each decoding; None: start of the file."""
    times: list[float | None] = []
    original = decoder.FFmpegSource._decode

    def decode(
        self: decoder.FFmpegSource, first: int, skipping: bool, seek_time: float | None
    ) -> Iterator[Frame]:
        times.append(seek_time)
        return original(self, first, skipping, seek_time)

    monkeypatch.setattr(decoder.FFmpegSource, "_decode", decode)
    return times


@pytest.mark.parametrize("kind", LONG_CLIPS)
def test_segments_after_seeking_equal_those_read_from_the_start(
    tmp_path: Path, seek_times: list[float | None], kind: str
) -> None:
    name, codec, options = LONG_CLIPS[kind]
    path = clips.write_clip(tmp_path / name, LONG, *options, size=(176, 144), codec=codec)
    forward, _ = read_frames(path)
    seek_times.clear()
    backward = list(read_reversed(path, LONG - 1, budget_bytes=20 * forward[0].image.nbytes))
    assert [(f.index, f.time) for f in backward] == [(f.index, f.time) for f in forward[::-1]]
    assert all((a.image == b.image).all() for a, b in zip(backward, forward[::-1], strict=True))
    assert any(start is not None for start in seek_times)
    if kind in ("often", "from before 0", "from 100 s on"):
        # The last segment, whose times are unknown, and the segments within a second of the start.
        assert seek_times.count(None) == 3


def test_wrong_known_times_do_no_harm(tmp_path: Path, seek_times: list[float | None]) -> None:
    path = clips.write_clip(tmp_path / "clip.mp4", LONG, codec=(*X264, "-g", "10"))
    forward, _ = read_frames(path)
    for offset in (0.02, 4.0):
        known_times = array("d", [f.time + offset for f in forward])
        with VideoReader(path, first=60, known_times=known_times) as reader:
            frames = list(reader)
        assert [(f.index, f.time) for f in frames] == [(f.index, f.time) for f in forward[60:]]
    assert None in seek_times


def test_reversed_from_beyond_the_end(plain: Path) -> None:
    with pytest.raises(FacetrackError, match=r"has no frame 12: it has 12 frames"):
        next(read_reversed(plain, 12))


def test_each_iteration_starts_again(plain: Path) -> None:
    with VideoReader(plain) as reader:
        next(iter(reader))
        assert [f.index for f in reader] == list(range(12))


def test_stopping_early_ends_ffmpeg(
    tmp_path: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    path = clips.write_clip(tmp_path / "long.mp4", 2000)
    processes.clear()
    with VideoReader(path) as reader:
        for _ in reader:
            break
    assert processes
    assert all(p.returncode is not None for p in processes)


def test_an_exception_in_the_loop_ends_ffmpeg(
    plain: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    def consume() -> None:
        with VideoReader(plain) as reader:
            for frame in reader:
                frame.index / 0

    with pytest.raises(ZeroDivisionError):
        consume()
    assert processes
    assert all(p.returncode is not None for p in processes)


def test_few_frames_are_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clips.write_clip(tmp_path / "long.mkv", 300, codec=("-c:v", "ffv1"))
    sources: list[decoder.FFmpegSource] = []
    original = decoder.FFmpegSource.__init__

    def initialise(self: decoder.FFmpegSource, *args: object) -> None:
        sources.append(self)
        original(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(decoder.FFmpegSource, "__init__", initialise)
    with VideoReader(path) as reader:
        next(iter(reader))
        time.sleep(0.3)
        assert 1 < sources[0].count <= 6


NAMES = [
    "a b.mp4",
    'it\'s "q".mp4',
    "line\nbreak.mp4",
    "-lead.mp4",
    "a:b.mp4",
    "n%03d.mp4",
    "é日本.mp4",
]


@pytest.mark.skipif(os.name == "nt", reason="Windows forbids most of these names")
@pytest.mark.parametrize("name", NAMES)
def test_file_names(
    tmp_path: Path, plain: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).write_bytes(plain.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert len(read_frames(Path(name))[0]) == 12


def test_probe_reports_the_properties(tmp_path: Path, plain: Path) -> None:
    info = probe(clips.add_audio(plain, tmp_path / "sound.mp4"))
    assert (info.width, info.height, info.rotation) == (96, 64, 0)
    assert (info.codec, info.has_audio, info.audio_codec) == ("h264", True, "aac")
    assert (info.fps, info.is_images, info.pixel_aspect) == (25, False, 1)
    assert info.duration == pytest.approx(1.0, abs=0.03)
    assert not probe(plain).has_audio


@pytest.mark.parametrize("rate", ["24000/1001", "30000/1001", "60000/1001", "25", "12"])
def test_rate_of_the_header(tmp_path: Path, rate: str) -> None:
    assert probe(clips.write_clip(tmp_path / "a.mp4", 30, rate=rate)).fps == Fraction(rate)


# The log


def test_stamps_survive_messages_of_other_threads() -> None:
    parser = decoder.StampParser()
    log = [
        "[info] Stream mapping:",
        "[Parsed_showinfo_0 @ 0x1] [info] config in time_base: 1001/24000, frame_rate: 24000/1001",
        "[h264 @ 0x2] [error] bad block n:   0 pts:      3 pts_time:0.125 duration:  1 "
        "duration_time:0.04 fmt:yuv420p cl:left sar:0/1 s:6x4 i:P iskey:0 type:P ",
        "color_range:tv color_space:bt709 color_primaries:unknown color_trc:smpte2084",
        "n:   1 pts:  NOPTS pts_time:NOPTS pos: 77 fmt:yuv420p sar:4/3 s:6x4 i:T",
        "n:   2 pts:      5 pts_time:0.2 fmt:yuv420p sar:0/1 s:6x4 i:P",
        "color_range:pcApplication provided invalid dts [hevc @ 0x2] [error] bad block",
        "[hevc @ 0x2] [info] skipped color_space:bt2020nc",
        " color_primaries:bt2020 color_trc:arib-std-b67",
        "n:   3 pts:      6 pts_time:0.25 fmt:yuv420p sar:0/1 s:6x4 i:P",
    ]
    stamps = [stamp for line in log for stamp in parser.feed(line)] + list(parser.flush())
    assert [s.time for s in stamps] == [
        3 * 1001 / 24000,
        None,
        5 * 1001 / 24000,
        6 * 1001 / 24000,
    ]
    assert [s.duration for s in stamps] == [1001 / 24000, None, None, None]
    assert [s.pixel_aspect for s in stamps] == [1, *[Fraction(4, 3)] * 3]
    assert [s.interlaced for s in stamps] == [False, True, False, False]
    assert stamps[0].colour == Colour("yuv420p", "tv", "bt709", None, "smpte2084")
    broken = Colour("yuv420p", "pc", "bt2020nc", "bt2020", "arib-std-b67")
    assert [s.colour for s in stamps[2:]] == [broken] * 2
    assert parser.problem_count == 1


def test_metadata_is_no_stamp() -> None:
    parser = decoder.StampParser()
    stamp = "n:   0 pts:      3 pts_time:0.125 fmt:yuv420p sar:0/1 s:6x4 i:P"
    config = "config in time_base: 1/25, frame_rate: 25/1"
    title = f"[info]     title           : {config} {stamp} [error] Stream mapping:"
    mapping = f"[info]     Stream #0:0 -> #0:0: {config} {stamp}"
    assert [s for line in (title, mapping, title) for s in parser.feed(line)] == []
    assert list(parser.flush()) == []
    assert parser.problem_count == 0
    # The first of these two may share a line with another thread's message, too.
    log = ["[info]   Stream #0:0 -> #0:0 (h264 (native) -> rawvideo (native))", config, stamp]
    stamps = [s for line in log for s in parser.feed(line)] + list(parser.flush())
    assert [s.time for s in stamps] == [3 / 25]


def test_missing_times_are_extrapolated_with_a_warning(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = decoder.StampParser.feed

    def feed(self: decoder.StampParser, line: str) -> Iterator[decoder.Stamp]:
        for stamp in original(self, line):
            yield stamp if stamp.time in (0.0, 0.04) else stamp._replace(time=None, duration=None)

    info = probe(plain)
    monkeypatch.setattr(decoder.StampParser, "feed", feed)
    reader = VideoReader(plain, info=info)
    assert [f.time for f in reader] == pytest.approx([i / 25 for i in range(12)])
    assert any("10 frames" in w and "no timestamp" in w for w in reader.warnings)


# Real footage


def test_real_clips(shared_data: Path) -> None:
    """Check a few clips of each kind; benchmarks/checks/video_times.py checks all of them."""
    problems = []
    names = "*.gif *.mov grid_b* intel_asl_[abe]* *bean* *_d19* *_s18* pyfeat_* *carphone*"
    videos = shared_data / "videos"
    for path in sorted({path for name in names.split() for path in videos.glob(name)}):
        frames = 0
        times = []
        with VideoReader(path) as reader:
            for frame in reader:
                frames += 1
                times.append(frame.time)
        packets = clips.packet_times(path)
        if frames != clips.decoded_count(path):
            problems.append(f"{path.name}: {frames} frames")
        nearest = np.abs(np.array(times)[:, None] - np.array(packets)[None]).min(1)
        if nearest.max() > 1e-3 or (np.diff(times) <= 0).any():
            problems.append(f"{path.name}: times off by {nearest.max()} s")
        if reader.warnings:
            problems.append(f"{path.name}: {reader.warnings}")
    assert problems == []


def test_edit_list_with_a_wrong_header(shared_data: Path) -> None:
    frames, warnings = read_frames(shared_data / "videos" / "facetrack_bean.mp4")
    assert len(frames) == 225
    assert warnings == []


@pytest.mark.parametrize(
    ("limit", "arguments"), [("3", ["-threads", "3"]), ("", []), ("0", []), ("2,1", []), ("x", [])]
)
def test_ffmpeg_respects_the_thread_limit(
    limit: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert ffmpeg.threads() == arguments
