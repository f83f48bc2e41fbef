"""Synthetic test clips: a white square whose position tells the number of the frame."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from facetrack.video import ffmpeg
from facetrack.video.reader import Frame, VideoReader

SIZE = (96, 64)
SIDE = 8
LOSSLESS = ("-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv444p")


def run(*arguments: str, data: bytes | None = None) -> bytes:
    """Run ffmpeg, return what it wrote to standard output."""
    command = [ffmpeg.executable(), "-hide_banner", "-loglevel", "error", "-y", *arguments]
    if data is None:
        command.insert(1, "-nostdin")
    result = subprocess.run(command, input=data, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout


def dot(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) uint8: the square's left edge is at x = 2 * index, its top at y = index % 8 * 4."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    x, y = 2 * index % (width - SIDE), index % 8 * 4
    image[y : y + SIDE, x : x + SIDE] = 255
    return image


def where(image: np.ndarray) -> tuple[int, int]:
    """(x, y) of the square's top-left pixel."""
    rows, columns = np.nonzero(image.mean(-1) > 128)
    return int(columns.min()), int(rows.min())


def dot_at(index: int, size: tuple[int, int] = SIZE) -> tuple[int, int]:
    """Where frame `index` has its square."""
    return where(dot(index, size))


def write_clip(
    path: Path,
    count: int = 12,
    *options: str,
    size: tuple[int, int] = SIZE,
    rate: str = "25",
    filters: str = "null",
    codec: tuple[str, ...] = LOSSLESS,
) -> Path:
    """A clip of `count` frames; `filters` may set other timestamps, `options` go to the output."""
    raw = b"".join(dot(i, size).tobytes() for i in range(count))
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}"]
    source += ["-framerate", rate, "-i", "pipe:0"]
    output = ["-vf", filters, *ffmpeg.passthrough(), *codec, *options, ffmpeg.file_url(path)]
    run(*source, *output, data=raw)
    return path


def add_audio(video: Path, path: Path, *codec: str, offset: float = 0.0, beep: float = 0.2) -> Path:
    """`video` with a sound track that starts at `offset` s and beeps from `beep` s after that."""
    # A burst of 0.1 s in silence, 1 s in all.
    sound = f"aevalsrc='0.8*sin(2*PI*1000*t)*between(t,{beep},{beep + 0.1})':s=44100:d=1"
    run(
        *("-copyts", "-i", ffmpeg.file_url(video), "-itsoffset", str(offset)),
        *("-f", "lavfi", "-i", sound, "-map", "0:v", "-map", "1:a", "-c:v", "copy"),
        *(codec or ("-c:a", "aac")),
        ffmpeg.file_url(path),
    )
    return path


def beep_time(path: Path) -> float:
    """When the beep of a file begins, in seconds on the container's clock."""
    raw = run(
        *("-copyts", "-i", ffmpeg.file_url(path), "-map", "0:a:0", "-ac", "1"),
        *("-af", "aresample=48000:async=48000:first_pts=0", "-f", "f32le", "pipe:1"),
    )
    samples = np.abs(np.frombuffer(raw, np.float32))
    return int(np.argmax(samples > 0.3)) / 48000


def packet_times(path: Path) -> list[float]:
    """Presentation times of the video packets, sorted: what the file itself says."""
    text = run("-copyts", "-i", ffmpeg.file_url(path), "-map", "0:V:0", "-c", "copy", *FRAMECRC)
    return sorted(time for time, _ in parse_framecrc(text))


FRAMECRC = ("-f", "framecrc", "pipe:1")


def parse_framecrc(text: bytes) -> list[tuple[float, float]]:
    """(pts, duration) in seconds of each line of a framecrc listing."""
    lines = text.decode().splitlines()
    base = next(line.split(": ")[1] for line in lines if line.startswith("#tb 0"))
    numerator, denominator = map(int, base.split("/"))
    rows = [line.split(",") for line in lines if line and not line.startswith("#")]
    return [
        (int(r[2]) * numerator / denominator, int(r[3]) * numerator / denominator) for r in rows
    ]


def decoded_count(path: Path) -> int:
    """Number of frames ffmpeg decodes, asked in another way than the reader does."""
    text = run("-i", ffmpeg.file_url(path), "-map", "0:V:0", *ffmpeg.passthrough(), *FRAMECRC)
    return len(parse_framecrc(text))


def read(path: Path, **options: int) -> tuple[list[Frame], list[str]]:
    """All frames of a video and the reader's warnings."""
    with VideoReader(path, **options) as reader:
        return list(reader), reader.warnings


def dots(frames: list[Frame]) -> list[tuple[int, int]]:
    """Where the square is in each frame."""
    return [where(frame.image) for frame in frames]


def wanted(count: int) -> list[tuple[int, int]]:
    """Where it should be in the first `count` frames of a clip."""
    return [dot_at(i) for i in range(count)]
