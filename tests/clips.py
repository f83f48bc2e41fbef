"""Create test clips of a white square whose position encodes the frame index."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from facetrack.video import ffmpeg
from facetrack.video.reader import Frame, VideoReader

SIZE = (96, 64)
SIDE = 8
LOSSLESS = ("-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv444p")


def run_ffmpeg(*arguments: str, data: bytes | None = None) -> bytes:
    """Run ffmpeg and return its standard output."""
    command = [ffmpeg.executable(), "-hide_banner", "-loglevel", "error", "-y", *arguments]
    if data is None:
        command.insert(1, "-nostdin")
    result = subprocess.run(command, input=data, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout


def draw_square(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return (H, W, 3) uint8 with the square at x = 2 * index, y = index % 8 * 4."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    x, y = 2 * index % (width - SIDE), index % 8 * 4
    image[y : y + SIDE, x : x + SIDE] = 255
    return image


def square_position(image: np.ndarray) -> tuple[int, int]:
    """Return (x, y) of the square's top-left pixel."""
    rows, columns = np.nonzero(image.mean(-1) > 128)
    return int(columns.min()), int(rows.min())


def expected_position(index: int, size: tuple[int, int] = SIZE) -> tuple[int, int]:
    """Return (x, y) of the square in frame `index`."""
    return square_position(draw_square(index, size))


def write_clip(
    path: Path,
    count: int = 12,
    *options: str,
    size: tuple[int, int] = SIZE,
    rate: str = "25",
    filters: str = "null",
    codec: tuple[str, ...] = LOSSLESS,
) -> Path:
    """Write a clip of `count` frames.

    Args:
        options: ffmpeg options for the output.
        filters: ffmpeg filters, e.g. to change the timestamps.
    """
    raw = b"".join(draw_square(i, size).tobytes() for i in range(count))
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}"]
    source += ["-framerate", rate, "-i", "pipe:0"]
    output = ["-vf", filters, *ffmpeg.passthrough(), *codec, *options, ffmpeg.file_url(path)]
    run_ffmpeg(*source, *output, data=raw)
    return path


def add_audio(video: Path, path: Path, *codec: str, offset: float = 0.0, beep: float = 0.2) -> Path:
    """Add an audio track that starts at `offset` seconds, with a beep `beep` seconds after that."""
    # A burst of 0.1 s in 1 s of silence.
    sound = f"aevalsrc='0.8*sin(2*PI*1000*t)*between(t,{beep},{beep + 0.1})':s=44100:d=1"
    run_ffmpeg(
        *("-copyts", "-i", ffmpeg.file_url(video), "-itsoffset", str(offset)),
        *("-f", "lavfi", "-i", sound, "-map", "0:v", "-map", "1:a", "-c:v", "copy"),
        *(codec or ("-c:a", "aac")),
        ffmpeg.file_url(path),
    )
    return path


def beep_time(path: Path) -> float:
    """Return the start of the beep in seconds on the container's clock."""
    raw = run_ffmpeg(
        *("-copyts", "-i", ffmpeg.file_url(path), "-map", "0:a:0", "-ac", "1"),
        *("-af", "aresample=48000:async=48000:first_pts=0", "-f", "f32le", "pipe:1"),
    )
    samples = np.abs(np.frombuffer(raw, np.float32))
    return int(np.argmax(samples > 0.3)) / 48000


def packet_times(path: Path) -> list[float]:
    """Return the sorted presentation times of the video packets, in seconds."""
    text = run_ffmpeg(
        "-copyts", "-i", ffmpeg.file_url(path), "-map", "0:V:0", "-c", "copy", *FRAMECRC
    )
    return sorted(time for time, _ in parse_framecrc(text))


FRAMECRC = ("-f", "framecrc", "pipe:1")


def parse_framecrc(text: bytes) -> list[tuple[float, float]]:
    """Return (pts, duration) in seconds for each line of a framecrc listing."""
    lines = text.decode().splitlines()
    base = next(line.split(": ")[1] for line in lines if line.startswith("#tb 0"))
    numerator, denominator = map(int, base.split("/"))
    rows = [line.split(",") for line in lines if line and not line.startswith("#")]
    return [
        (int(r[2]) * numerator / denominator, int(r[3]) * numerator / denominator) for r in rows
    ]


def decoded_count(path: Path) -> int:
    """Return the number of frames that ffmpeg decodes, independently of the reader."""
    text = run_ffmpeg(
        "-i", ffmpeg.file_url(path), "-map", "0:V:0", *ffmpeg.passthrough(), *FRAMECRC
    )
    return len(parse_framecrc(text))


def read_frames(path: Path, **options: int) -> tuple[list[Frame], list[str]]:
    """Return all frames of a video and the reader's warnings."""
    with VideoReader(path, **options) as reader:
        return list(reader), reader.warnings


def square_positions(frames: list[Frame]) -> list[tuple[int, int]]:
    """Return (x, y) of the square in each frame."""
    return [square_position(frame.image) for frame in frames]


def expected_positions(count: int) -> list[tuple[int, int]]:
    """Return (x, y) of the square in the first `count` frames of a clip."""
    return [expected_position(i) for i in range(count)]
