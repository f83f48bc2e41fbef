"""Test videos whose container holds wrong times: joined, wrapped, wild, negative, doubled."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import clips
import numpy as np
import pytest
from clips import expected_positions, read_frames, square_positions

from facetrack.video.audio import audio_start
from facetrack.video.encoder import VideoEncoder
from facetrack.video.frame import Frame
from facetrack.video.matroska import CLOCK, MatroskaWriter
from facetrack.video.reader import VideoReader, probe, read_reversed
from facetrack.video.span import Span, SpanReader

COUNT = 30
STEP = 0.04
X264 = ("-c:v", "libx264", "-g", "10", "-qp", "0", "-pix_fmt", "yuv444p")
X264_REORDERED = (*X264, "-bf", "2", "-b_strategy", "0")
NEGATIVE = ("-output_ts_offset", "-0.5", "-avoid_negative_ts", "disabled")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "2", "-bf", "2", "-g", "10")


def steps(frames: list[Frame]) -> list[float]:
    return [b.time - a.time for a, b in pairwise(frames)]


def write_times(path: Path, times: list[float]) -> Path:
    """Write a Matroska file of uncompressed frames with these times, whatever they are."""
    with open(path, "wb") as stream:
        writer = MatroskaWriter(stream, clips.SIZE, STEP)
        for i, time in enumerate(times):
            writer.write(clips.draw_square(i), round(time * CLOCK), round(STEP * CLOCK))
    return path


def write_pts(path: Path, times: Callable[[int, float], float]) -> Path:
    """Change the times in the packets of a transport stream.

    Args:
        times: returns the new time of the nth frame in the file, from its time.
    """
    data = bytearray(path.read_bytes())
    count = 0
    for start in range(0, len(data), 188):
        packet = memoryview(data)[start : start + 188]
        pid, begins = (packet[1] & 0x1F) << 8 | packet[2], packet[1] & 0x40
        payload = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
        if pid != 0x100 or not begins or packet[payload + 7] & 0x80 == 0:
            continue
        stamp = packet[payload + 9 : payload + 14]
        pts = (stamp[0] >> 1 & 7) << 30 | stamp[1] << 22 | stamp[2] >> 1 << 15
        pts |= stamp[3] << 7 | stamp[4] >> 1
        pts = round(times(count, pts / 90000) * 90000) % 2**33
        stamp[0] = stamp[0] & 0xF1 | (pts >> 30) << 1
        stamp[1], stamp[2] = pts >> 22 & 0xFF, (pts >> 15 & 0x7F) << 1 | 1
        stamp[3], stamp[4] = pts >> 7 & 0xFF, (pts & 0x7F) << 1 | 1
        count += 1
    path.write_bytes(data)
    return path


def join(path: Path, parts: list[Path]) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [("ts", X264), ("ts", X264_REORDERED), ("ts", MPEG2), ("mpg", MPEG2)],
    ids=["h264", "reordered", "mpeg2", "program stream"],
)
def test_joined_recordings_go_on(tmp_path: Path, suffix: str, codec: tuple[str, ...]) -> None:
    part = clips.write_clip(tmp_path / f"part.{suffix}", COUNT, codec=codec)
    frames, warnings = read_frames(join(tmp_path / f"joined.{suffix}", [part, part, part]))
    assert len(frames) == clips.decoded_count(part) * 3
    assert steps(frames) == pytest.approx([STEP] * (len(frames) - 1), abs=1e-5)
    assert square_positions(frames) == expected_positions(COUNT) * 3
    told = [w for w in warnings if "The times in" in w]
    assert len(told) == 1
    # ffmpeg gives the last frame of a part of a program stream the first time of the next part.
    early = suffix == "mpg"
    assert f"frame {COUNT - early} is said to be at" in told[0]
    assert f"frame {2 * COUNT - early} is said to be at" in told[0]


@pytest.mark.parametrize("offset", [95443.7 - 0.5, 95443.7 - 70.0])
def test_a_wrapped_clock_rises(tmp_path: Path, offset: float) -> None:
    # The 33 bits of a transport stream's clock wrap after 26.5 hours.
    rate = "25" if offset > 95440 else "0.4"
    path = tmp_path / "wrapped.ts"
    clips.write_clip(path, COUNT, "-output_ts_offset", str(offset), rate=rate, codec=X264)
    frames, warnings = read_frames(path)
    assert square_positions(frames) == expected_positions(COUNT)
    assert steps(frames) == pytest.approx([1 / float(rate)] * (COUNT - 1), abs=1e-4)
    assert len(warnings) == (frames[0].time < 0)


@pytest.mark.parametrize("start", [100.0, 500.0])
def test_a_clock_that_goes_back_has_not_wrapped(tmp_path: Path, start: float) -> None:
    # ffmpeg takes times of a transport stream that lie far before its first one for later ones.
    early = clips.write_clip(tmp_path / "early.ts", COUNT, codec=X264)
    later = clips.write_clip(
        tmp_path / "later.ts", COUNT, "-output_ts_offset", str(start), codec=X264
    )
    frames, warnings = read_frames(join(tmp_path / "joined.ts", [later, early, later]))
    assert square_positions(frames) == expected_positions(COUNT) * 3
    assert steps(frames)[: 2 * COUNT - 1] == pytest.approx([STEP] * (2 * COUNT - 1), abs=1e-5)
    assert max(steps(frames)) < start + 5
    assert "frame 30 is said to be at" in warnings[0]


def test_a_clock_that_wraps_to_zero_in_a_file_goes_on(tmp_path: Path) -> None:
    path = write_times(tmp_path / "a.mkv", [95443.0 + i * STEP for i in range(17)])
    wrapped = [95443.0 + i * STEP for i in range(17)] + [i * STEP for i in range(20)]
    frames, warnings = read_frames(write_times(path, wrapped))
    assert steps(frames) == pytest.approx([STEP] * 36, abs=1e-5)
    assert len(warnings) == 1
    assert "time" in warnings[0]
    assert "frame 17 " in warnings[0]


@pytest.mark.parametrize(
    "wrong",
    [{11: 11885.0}, {11: 11885.0, 12: 11885.04}, {0: 9000.0}, {29: 9000.0}, {7: 0.2}, {9: 0.32}],
    ids=str,
)
def test_wild_and_doubled_times_are_estimated(tmp_path: Path, wrong: dict[int, float]) -> None:
    times = [wrong.get(i, i * STEP) for i in range(COUNT)]
    path = write_times(tmp_path / "a.mkv", times)
    frames, warnings = read_frames(path)
    assert square_positions(frames) == expected_positions(COUNT)
    assert [f.time for f in frames] == pytest.approx([i * STEP for i in range(COUNT)], abs=1e-6)
    assert len(warnings) == 1
    assert "time" in warnings[0]
    assert all(f"frame {index} " in warnings[0] for index in wrong)
    assert probe(path).start_time == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("frame", [3, 14, 25])
def test_wild_times_in_a_transport_stream(tmp_path: Path, frame: int) -> None:
    path = clips.write_clip(tmp_path / "a.ts", COUNT, codec=(*X264, "-bf", "0"))
    good = [f.time for f in read_frames(path)[0]]
    write_pts(path, lambda n, time: 11885.3 + time if n in (frame, frame + 1) else time)
    frames, warnings = read_frames(path)
    assert [f.time for f in frames] == pytest.approx(good, abs=1e-3)
    assert square_positions(frames) == expected_positions(COUNT)
    assert any("time" in w and f"frame {frame} " in w for w in warnings)


def test_times_before_zero_are_kept_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    clips.write_clip(path, COUNT, "-output_ts_offset", "95441.5", codec=X264)  # see above
    frames, warnings = read_frames(path)
    assert frames[0].time == pytest.approx(95442.9 - 2**33 / 90000, abs=0.01)
    assert len(warnings) == 1
    assert "times" in warnings[0]
    assert f"frame 0 is at {frames[0].time:.3f}" in warnings[0]


@pytest.mark.parametrize("codec", [X264, X264_REORDERED], ids=["in order", "reordered"])
def test_times_that_ffmpeg_drops_because_they_are_negative(
    tmp_path: Path, codec: tuple[str, ...]
) -> None:
    path = clips.write_clip(tmp_path / "a.mkv", COUNT, *NEGATIVE, codec=codec)
    frames, warnings = read_frames(path)
    assert square_positions(frames) == expected_positions(COUNT)
    assert steps(frames) == pytest.approx([STEP] * (COUNT - 1), abs=1.1e-3)
    assert frames[0].time == pytest.approx(-0.5, abs=1.1e-3)
    assert len(warnings) == 1
    assert "times" in warnings[0]
    assert "those before frame 13 (at 0.020 s)" in warnings[0]
    assert "from -0.500 s on" in warnings[0]
    backward = list(read_reversed(path, COUNT - 1, budget_bytes=7 * frames[0].image.nbytes))
    assert [(f.index, f.time) for f in backward] == [(f.index, f.time) for f in frames[::-1]]


@pytest.mark.parametrize("codec", [X264, X264_REORDERED], ids=["in order", "reordered"])
@pytest.mark.parametrize("start", [-0.2, -0.04, -0.21])
def test_times_before_zero_are_exact_wherever_zero_lies(
    tmp_path: Path, start: float, codec: tuple[str, ...]
) -> None:
    options = ("-output_ts_offset", str(start), "-avoid_negative_ts", "disabled")
    frames, warnings = read_frames(
        clips.write_clip(tmp_path / "a.mkv", COUNT, *options, codec=codec)
    )
    assert [f.time for f in frames] == pytest.approx(
        [start + STEP * i for i in range(COUNT)], abs=1e-6
    )
    assert len(warnings) == 1
    assert f"from {start:.3f} s on" in warnings[0]


def test_a_late_start_is_no_negative_time(tmp_path: Path) -> None:
    path = clips.write_clip(tmp_path / "a.mkv", COUNT, "-output_ts_offset", "0.5", codec=X264)
    frames, warnings = read_frames(path)
    assert frames[0].time == pytest.approx(0.5, abs=1.1e-3)
    assert warnings == []


def test_a_pause_is_kept_without_a_warning(tmp_path: Path) -> None:
    times = [i * STEP + 1800 * (i >= 12) for i in range(COUNT)]
    frames, warnings = read_frames(write_times(tmp_path / "a.mkv", times))
    assert [f.time for f in frames] == pytest.approx(times, abs=1e-6)
    assert warnings == []


@pytest.mark.parametrize("first", [5, 28, 30, 31, 50])
def test_times_do_not_depend_on_where_reading_begins(tmp_path: Path, first: int) -> None:
    part = clips.write_clip(tmp_path / "part.ts", COUNT, codec=X264)
    path = join(tmp_path / "joined.ts", [part, part])
    whole, warnings = read_frames(path)
    tail, same = read_frames(path, first=first)
    assert [(f.index, f.time) for f in tail] == [(f.index, f.time) for f in whole[first:]]
    # How many errors ffmpeg reports depends on how much it reads.
    assert [w for w in same if "damaged" not in w] == [w for w in warnings if "damaged" not in w]
    backward = list(read_reversed(path, 55, budget_bytes=7 * whole[0].image.nbytes))
    assert [(f.index, f.time) for f in backward] == [(f.index, f.time) for f in whole[55::-1]]
    assert all((a.image == b.image).all() for a, b in zip(backward, whole[55::-1], strict=True))


@pytest.mark.parametrize(("suffix", "codec"), [("ts", X264), ("mpg", MPEG2)])
def test_frames_are_not_looked_for_in_another_part(
    tmp_path: Path, suffix: str, codec: tuple[str, ...]
) -> None:
    # Both parts have the same times, so that seeking to a time may lead into either.
    first = clips.write_clip(tmp_path / f"first.{suffix}", 80, codec=codec)
    second = clips.write_clip(tmp_path / f"second.{suffix}", 80, codec=codec, filters="negate")
    path = join(tmp_path / f"joined.{suffix}", [first, second])
    whole, _ = read_frames(path, last=75)
    backward = list(read_reversed(path, 75, budget_bytes=20 * whole[0].image.nbytes))
    assert [(f.index, f.time) for f in backward] == [(f.index, f.time) for f in whole[::-1]]
    assert all((a.image == b.image).all() for a, b in zip(backward, whole[::-1], strict=True))


def test_a_span_is_cut_by_the_repaired_times(tmp_path: Path) -> None:
    part = clips.write_clip(tmp_path / "part.ts", COUNT, codec=X264)
    path = join(tmp_path / "joined.ts", [part, part])
    start = probe(path).start_time
    reader = SpanReader(path, Span(start + 1.39, start + 1.99))
    assert [f.index for f in reader.forwards()] == list(range(35, 50))
    assert any("frame 30 " in w for w in reader.warnings)
    early = SpanReader(path, Span(start, start + 0.99))
    assert [f.index for f in early.forwards()] == list(range(25))
    assert early.warnings == []


def encode(path: Path, source: Path) -> Path:
    with VideoReader(source) as reader:
        info = reader.info
        sound = source if info.has_audio else None
        size = (info.width, info.height)
        with VideoEncoder(path, size, audio_from=sound, start_time=info.start_time) as encoder:
            for frame in reader:
                encoder.write(frame.image, frame.time, frame.duration)
    return path


@pytest.mark.parametrize("kind", ["joined", "wild", "wild first", "negative"])
def test_an_overlay_lasts_as_long_as_the_footage(tmp_path: Path, kind: str) -> None:
    source, count = tmp_path / "source.mkv", COUNT
    if kind == "joined":
        part = clips.write_clip(tmp_path / "part.ts", COUNT, codec=X264)
        source, count = join(tmp_path / "joined.ts", [part, part]), 2 * COUNT
    elif kind == "negative":
        clips.write_clip(source, COUNT, *NEGATIVE, codec=X264)
    else:
        wrong = 11 if kind == "wild" else 0
        write_times(source, [11885.0 if i == wrong else i * STEP for i in range(COUNT)])
    overlay = encode(tmp_path / "overlay.mp4", source)
    times = clips.packet_times(overlay)
    assert len(times) == count
    assert np.diff(times) == pytest.approx(np.full(count - 1, STEP), abs=1.1e-3)
    duration = probe(overlay).duration
    assert duration is not None
    assert duration == pytest.approx(count * STEP, abs=0.03)


@pytest.mark.parametrize("codec", ["aac", "mp2"])
def test_sound_of_joined_recordings_follows_the_picture(tmp_path: Path, codec: str) -> None:
    video = clips.write_clip(tmp_path / "video.ts", 50, codec=X264)
    start = probe(video).start_time
    part = tmp_path / "part.ts"
    clips.add_audio(video, part, "-c:a", codec, offset=start, beep=0.8)
    overlay = encode(tmp_path / "overlay.mp4", join(tmp_path / "joined.ts", [part, part]))
    raw = clips.run_ffmpeg("-i", str(overlay), "-ac", "1", "-ar", "8000", "-f", "f32le", "pipe:1")
    loud = np.flatnonzero(np.abs(np.frombuffer(raw, np.float32)) > 0.3) / 8000
    beeps = [loud[0], *loud[1:][np.diff(loud) > 0.3]]
    assert np.diff(beeps) == pytest.approx([1.0], abs=0.1)  # each part has a second of sound


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_sound_before_zero_stays_with_its_frame(tmp_path: Path, suffix: str) -> None:
    video = clips.write_clip(tmp_path / "video.mkv", 50, codec=X264)
    clips.add_audio(video, tmp_path / "sound.mkv", "-c:a", "aac", beep=0.8)
    source = tmp_path / f"negative.{suffix}"
    early = ("-output_ts_offset", "-0.5" if suffix == "mkv" else str(2**33 / 90000 - 2))
    clips.run_ffmpeg(
        *("-i", str(tmp_path / "sound.mkv"), "-c", "copy", *early),
        *("-avoid_negative_ts", "disabled", str(source)),
    )
    frames, _ = read_frames(source)
    assert frames[0].time < -0.4
    overlay = encode(tmp_path / "overlay.mp4", source)
    first = clips.packet_times(overlay)[0]
    assert clips.beep_time(overlay) - first == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("name", ["joined.ts", "badpts.ts", "neg.mkv"])
def test_shared_cases(shared_cases: Path, name: str, tmp_path: Path) -> None:
    frames, warnings = read_frames(shared_cases / name)
    assert steps(frames) == pytest.approx([1 / 30] * (len(frames) - 1), abs=0.04)
    assert min(steps(frames)) > 0.02
    frame = {"joined.ts": 30, "badpts.ts": 11, "neg.mkv": 24}[name]
    assert sum("time" in w and f"frame {frame} " in w for w in warnings) == 1
    overlay = encode(tmp_path / "overlay.mp4", shared_cases / name)
    times = clips.packet_times(overlay)
    assert len(times) == len(frames)
    assert times[-1] - times[0] == pytest.approx(frames[-1].time - frames[0].time, abs=0.002)
    if name == "neg.mkv":
        lag = audio_start(shared_cases / name) - frames[0].time
        assert audio_start(overlay) - times[0] == pytest.approx(lag, abs=0.03)
