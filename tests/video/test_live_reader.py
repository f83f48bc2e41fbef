"""Frames of live sources: their times, what is dropped, and what happens when they end."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import clips
import http_files
import numpy as np
import pytest
from http_files import Served
from live_servers import RtspServer, free_port, looped, sending

from facetrack.errors import FacetrackError
from facetrack.video import live_reader
from facetrack.video.colour import Colour
from facetrack.video.frame import Frame
from facetrack.video.live_buffer import LiveBuffer, Waiting
from facetrack.video.live_clock import LiveClock
from facetrack.video.live_decoder import Arrival
from facetrack.video.live_reader import LiveOptions, LiveReader, explain_no_frames, first_field
from facetrack.video.live_source import LiveSource, live_source
from facetrack.video.showinfo import Stamp

EXAMPLE = Path(__file__).parents[2] / "examples" / "astronaut.mp4"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_reader, "PAUSES", (0.1,))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.write_clip(tmp_path_factory.mktemp("live") / "clip.mkv", 12)


def source_of(name: str | Path) -> LiveSource:
    source = live_source(str(name))
    assert source is not None
    return source


@pytest.fixture
def fifo(tmp_path: Path, clip: Path) -> LiveSource:
    """A named pipe into which the clip is written."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    path = tmp_path / "pipe"
    os.mkfifo(path)
    thread = threading.Thread(target=lambda: path.write_bytes(clip.read_bytes()), daemon=True)
    thread.start()
    return source_of(path)


def read(source: LiveSource, options: LiveOptions | None = None) -> tuple[list[Frame], LiveReader]:
    with LiveReader(source, options) as reader:
        reader.begin()
        frames = [frame for batch in reader.batches() for frame in batch]
    return frames, reader


# ---------------------------------------------------------------- pipes


def test_a_pipe_loses_no_frame_and_keeps_its_times(fifo: LiveSource) -> None:
    frames = []
    with LiveReader(fifo) as reader:
        reader.begin()
        for batch in reader.batches():
            assert len(batch) <= 3
            time.sleep(0.02)  # slower than the pipe
            frames += batch
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(12)], abs=1e-3)
    positions = [clips.square_position(frame.image) for frame in frames]
    assert positions == [clips.expected_position(i) for i in range(12)]
    assert (reader.received, reader.dropped, reader.is_lost) == (12, 0, False)
    assert reader.warnings == []


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (LiveOptions(max_frames=5), 5),
        (LiveOptions(max_seconds=0.2), 5),
        (LiveOptions(stride=5), 3),
    ],
)
def test_limits_and_stride(fifo: LiveSource, options: LiveOptions, count: int) -> None:
    frames, reader = read(fifo, options)
    assert [frame.index for frame in frames] == list(range(count))
    assert reader.received == count


def test_a_pipe_without_a_video_is_one_sentence(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(tmp_path / "pipe")
    threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[b"no"], daemon=True).start()
    with pytest.raises(FacetrackError, match="is empty, or not a video that ffmpeg can read"):
        read(source_of(tmp_path / "pipe"))


@pytest.mark.parametrize(
    "options", [{"max_seconds": 0}, {"max_frames": 0}, {"timeout": 0}, {"retries": -1}]
)
def test_limits_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(FacetrackError, match="--"):
        LiveOptions(**options)  # type: ignore[arg-type]


# ---------------------------------------------------------------- the network


def test_no_connection_is_one_sentence_without_the_password() -> None:
    for scheme in ("rtsp", "http"):
        source = source_of(f"{scheme}://me:hidden@127.0.0.1:{free_port()}/x")
        with pytest.raises(FacetrackError, match="cannot be opened: Connection refused") as caught:
            read(source)
        assert "hidden" not in str(caught.value)


def test_a_silent_address_is_one_sentence() -> None:
    import socket

    port = free_port(socket.SOCK_DGRAM)
    with pytest.raises(FacetrackError, match=r"sent no frame within 0\.4 seconds"):
        read(source_of(f"udp://127.0.0.1:{port}"), LiveOptions(timeout=0.2))


def test_playlists_are_refused_on_the_network() -> None:
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n"
    with http_files.serving() as server:
        server.files["a.m3u8"] = Served(playlist, content_type="application/vnd.apple.mpegurl")
        with pytest.raises(FacetrackError, match="is a playlist, or in another format"):
            read(source_of(f"{server.url}/a.m3u8"))


def test_a_file_on_a_web_server_waits_and_has_an_end(clip: Path) -> None:
    with http_files.serving() as server:
        server.files["clip.mkv"] = Served(clip.read_bytes())
        frames, reader = read(source_of(f"{server.url}/clip.mkv"))
    assert (len(frames), reader.drops, reader.is_lost) == (12, False, False)


def test_the_fields_of_a_turned_file_are_taken_apart(tmp_path: Path) -> None:
    plain, turned = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    stripes = "color=gray:s=96x64,geq=lum='mod(Y,2)*128+32':cb=128:cr=128,setfield=tff"
    codec = ("-frames:v", "3", "-c:v", "libx264", "-qp", "0", "-flags", "+ilme+ildct")
    clips.run_ffmpeg("-f", "lavfi", "-i", stripes, *codec, "-movflags", "faststart", str(plain))
    flags = ("-c", "copy", "-movflags", "faststart")
    clips.run_ffmpeg("-display_rotation", "-90", "-i", str(plain), *flags, str(turned))
    with http_files.serving() as server:
        server.files["turned.mp4"] = Served(turned.read_bytes())
        frames, reader = read(source_of(f"{server.url}/turned.mp4"))
    assert reader.deinterlaced
    assert {(frame.image.shape, np.ptp(frame.image)) for frame in frames} == {((96, 64, 3), 0)}


def test_a_transfer_that_breaks_off_is_continued(clip: Path) -> None:
    content = clip.read_bytes()
    with http_files.serving() as server:
        server.files["clip.mkv"] = Served(content, break_after=2 * len(content) // 3)
        frames, reader = read(source_of(f"{server.url}/clip.mkv"))
    assert (len(frames), reader.is_lost) == (12, False)


@pytest.mark.slow
def test_a_transfer_that_cannot_be_continued_is_lost(tmp_path: Path) -> None:
    clips.run_ffmpeg("-i", str(EXAMPLE), "-c", "copy", str(tmp_path / "face.mkv"))
    content = (tmp_path / "face.mkv").read_bytes()
    with http_files.serving() as server:
        server.files["face.mkv"] = Served(content, break_after=len(content) // 2, ranges=False)
        frames, reader = read(source_of(f"{server.url}/face.mkv"))
    assert 10 < len(frames) < 90
    assert reader.is_lost


@pytest.mark.slow
def test_a_stream_over_http(clip: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/live.ts"
    with sending(*looped(clip), "-f", "mpegts", "-listen", "1", url) as sender:
        time.sleep(1)
        with LiveReader(source_of(url), LiveOptions(retries=0)) as reader:
            reader.begin()
            batches = reader.batches()
            first = next(batch for batch in batches if batch)
            sender.kill()
            rest = [frame for batch in batches for frame in batch]
    assert reader.drops
    assert reader.is_lost
    assert len(first + rest) == reader.received - reader.dropped


@pytest.mark.slow
def test_a_slow_consumer_gets_new_frames_and_is_told_of_the_others(clip: Path) -> None:
    with RtspServer(clip) as server, LiveReader(source_of(server.url())) as reader:
        reader.begin()
        rows = 0
        for batch in itertools.islice(filter(None, reader.batches()), 5):
            time.sleep(0.3)  # several times as long as the frames are apart
            rows += len(batch)
            assert len(batch) <= 3
    assert reader.dropped > 5
    assert reader.received == rows + reader.dropped
    assert f"{reader.dropped} of {reader.received} frames of" in reader.warnings[0]


@pytest.mark.slow
def test_a_stream_over_udp(clip: Path) -> None:
    import socket

    port = free_port(socket.SOCK_DGRAM)
    target = f"udp://127.0.0.1:{port}?pkt_size=1316"
    with sending(*looped(clip), "-f", "mpegts", target):
        frames, _ = read(source_of(f"udp://127.0.0.1:{port}"), LiveOptions(max_frames=10))
    assert [frame.index for frame in frames] == list(range(10))
    steps = np.diff([frame.time for frame in frames])
    assert (steps > 0).all()


@pytest.mark.slow
def test_a_dropped_connection_is_made_again_and_then_lost(clip: Path) -> None:
    with RtspServer(clip, "me:hidden") as server:
        source = source_of(server.url("me:hidden"))
        count = 0
        with LiveReader(source, LiveOptions(retries=2, timeout=5)) as reader:
            reader.begin()
            times = []
            for batch in reader.batches():
                times += [frame.time for frame in batch]
                count += len(batch)
                if count >= 10 and server.num_clients == 1:
                    server.drop()
                if server.num_clients == 2 and reader.reconnections:
                    server.stop()
    assert (reader.reconnections, reader.is_lost) == (1, True)
    assert (np.diff(times) > 0).all()
    again, lost = reader.warnings[-2:]
    assert again.endswith("dropped and was made again once.")
    assert lost.endswith("was lost; the files end there.")
    assert "hidden" not in again + lost


@pytest.mark.slow
def test_a_wrong_password_is_one_sentence(clip: Path) -> None:
    with RtspServer(clip, "me:hidden") as server:
        source = source_of(server.url("me:guessed"))
        with pytest.raises(FacetrackError, match="401 Unauthorized") as caught:
            read(source)
    assert "guessed" not in str(caught.value)


# ---------------------------------------------------------------- parts


def waiting(index: int) -> Waiting:
    return Waiting(Frame(index, index / 25, np.zeros((1, 1, 3), np.uint8)), 0.0, index + 1)


def test_the_buffer_drops_what_cannot_wait() -> None:
    buffer = LiveBuffer(drops=True)
    buffer.put(waiting(0))
    buffer.put(waiting(1))
    buffer.begin()
    assert [item.frame.index for item in buffer.take(0) or []] == [1]
    for index in (2, 3, 4):
        buffer.put(waiting(index))
    assert [item.frame.index for item in buffer.take(0) or []] == [2, 3, 4]
    for index in range(5, 10):
        buffer.put(waiting(index))
    assert [item.frame.index for item in buffer.take(0) or []] == [9]
    assert buffer.take(0) == []
    buffer.end()
    assert buffer.take(0) is None
    assert not buffer.put(waiting(10))


def simulate(costs: Callable[[int, float], float], intervals: int) -> tuple[list[int], int, int]:
    """Let frames arrive every interval while steps take longer or shorter.

    Args:
        costs: intervals that a step takes, by the number of its frames and the time.

    Returns:
        How many frames arrived between each tracked frame and its row, and the numbers of frames
        that arrived and that were dropped.
    """
    buffer, now, arrived, last, dropped = LiveBuffer(drops=True), 0.0, 0, 0, 0
    delays: list[int] = []

    def arrive(until: float) -> None:
        nonlocal arrived
        while arrived <= until:
            buffer.put(waiting(arrived))
            arrived += 1

    while now < intervals:
        arrive(now)
        items = buffer.take(0)
        if not items:
            now = float(arrived)
            continue
        now += costs(len(items), now)
        arrive(now)
        for item in items:
            dropped += item.position - last - 1
            last = item.position
            delays.append(arrived - item.position)
            buffer.note_delay(delays[-1])
    return delays, last, dropped


@pytest.mark.parametrize("base", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("each", [0.1, 0.3, 0.6, 1.0])
def test_rows_leave_at_most_two_frames_late_on_a_busy_machine(base: float, each: float) -> None:
    delays, arrived, dropped = simulate(lambda count, now: base + each * count, 300)
    late = [i for i, delay in enumerate(delays) if delay > 2]
    assert len(late) <= 3  # those of the one step that showed that tracking is too slow
    assert not late or late[-1] < late[0] + 3
    assert len(delays) + dropped == arrived


def test_a_very_slow_step_delays_its_own_frame_only() -> None:
    delays, arrived, dropped = simulate(lambda count, now: 5.5 * count, 300)
    assert max(delays[3:]) <= 6
    assert len(delays) + dropped == arrived


def test_no_frame_is_dropped_once_tracking_keeps_up_again() -> None:
    busy = simulate(lambda count, now: (3.0 if now < 50 else 0.4) * count, 60)
    later = simulate(lambda count, now: (3.0 if now < 50 else 0.4) * count, 300)
    assert busy[2] > 10
    assert later[2] == busy[2]
    assert set(later[0][-200:]) == {0}


def arrival(stated: float | None, at: float) -> Arrival:
    stamp = Stamp(stated, 0.04, (4, 2), Fraction(1), 1, False, Colour("yuv420p"))
    return Arrival(stamp, np.zeros((2, 4, 3), np.uint8), at)


def test_times_follow_the_source_s_clock_until_it_jumps() -> None:
    clock = LiveClock(is_paced=True)
    stated = [100.0, 100.04, 100.08, 3.0, 3.04, None, 90000.0]
    at = [0.0, 0.05, 0.07, 0.12, 0.16, 0.2, 0.24]
    times = [clock.time(i, arrival(s, a)) for i, (s, a) in enumerate(zip(stated, at, strict=True))]
    assert times == pytest.approx([0, 0.04, 0.08, 0.13, 0.17, 0.21, 0.25])
    assert clock.first_restart == 3
    clock.forget_restarts()
    assert clock.first_restart is None


def test_times_go_on_after_a_connection_was_made_again() -> None:
    clock = LiveClock(is_paced=True)
    assert clock.time(0, arrival(5.0, 10.0)) == 0
    clock.reconnected()
    assert clock.time(1, arrival(0.0, 13.0)) == 3
    assert clock.time(2, arrival(0.04, 13.1)) == pytest.approx(3.04)
    assert clock.first_restart is None


def test_times_of_a_pipe_do_not_depend_on_this_machine() -> None:
    clock = LiveClock(is_paced=False)
    times = [clock.time(i, arrival(t, 0.0)) for i, t in enumerate([1.0, 61.0, 2.0, 2.04])]
    assert times == pytest.approx([0, 60, 60.04, 60.08])


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_field_keeps_the_height_and_the_place_of_its_lines(rotation: int) -> None:
    image = np.repeat(np.arange(8, dtype=np.uint8)[:, None, None] * 10, 4, 1).repeat(3, 2)
    image[1::2] = 200
    upright = np.rot90(image, -rotation // 90)
    field = first_field(upright, rotation)
    assert field.shape == upright.shape
    stored = np.rot90(field, rotation // 90)
    assert stored[:, 0, 0].tolist() == [0, 10, 20, 30, 40, 50, 60, 60]


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        ("moov atom not found", "standard input is an mp4 whose index is at its end"),
        ("Stream map '0:v:0' matches no streams.", "standard input holds no video stream"),
        ("Error opening input: No route to host", "cannot be opened: No route to host."),
    ],
)
def test_why_a_source_has_no_frames(problem: str, sentence: str) -> None:
    assert sentence in explain_no_frames(source_of("-"), [problem], None)
