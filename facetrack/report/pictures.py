"""Embed the video's frames as one small H.264 video, in a bounded number of bytes.

Every frame of it lasts equally long, whatever the times in the video, and key frames are close to
each other, so that a browser can show any of them exactly and quickly.
"""

from __future__ import annotations

import base64
import math
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import cv2
import numpy as np

from facetrack.errors import FacetrackError
from facetrack.video import ffmpeg
from facetrack.video.reader import VideoReader

RATE = 25
"""Frames per second of the embedded video."""
SIDES = (960, 800, 640, 480, 400, 320, 240)
"""Longest sides of the pictures, finest first."""
MIN_BITS = 0.06
"""Bits per pixel above which pictures of faces look clear; below it they are made smaller."""
LEAST_BITS = 0.03
"""Bits per pixel of the smallest pictures below which frames are left out."""
CRF = 24
"""Constant rate factor of x264: the best quality, where the budget allows it."""
KEY_INTERVAL = 12
_FILL = 0.85  # margin for the container and for x264's rate control
MAX_TRIES = 12


@dataclass(frozen=True)
class Pictures:
    """Images of a video's frames.

    Attributes:
        mp4: base64 of the video.
        count: number of its frames.
        stride: number of the video's frames from one picture to the next.
        size: (width, height) of the pictures in pixels.
        pixel_aspect: width / height of one pixel of the video, as displayed.
    """

    mp4: str
    count: int
    stride: int
    size: tuple[int, int]
    pixel_aspect: float


def take(
    video: Path, first: int, count: int, size: tuple[int, int], budget: int, stride: int = 1
) -> Pictures:
    """Take images of the frames `first` to `first + count - 1` of a video.

    Args:
        video: the video.
        first: first frame.
        count: number of frames.
        size: (width, height) that the frames must have.
        budget: maximum bytes of the video in base64.
        stride: take every `stride`-th frame; more frames are left out to keep the budget.

    Raises:
        FacetrackError: the video cannot be read, has fewer frames, or frames of another size.
    """
    reader = VideoReader(video, first=first, last=first + count - 1)
    if (reader.info.width, reader.info.height) != size:
        raise FacetrackError(
            f"{video} is {reader.info.width}x{reader.info.height}, its landmarks are of "
            f"{size[0]}x{size[1]} pixels."
        )
    share = _FILL
    for _ in range(MAX_TRIES):
        pictures = math.ceil(count / stride)
        bits = share * budget * 6 / pictures
        side = _side(size, bits)
        if side is None:
            stride *= 2
            continue
        mp4 = base64.b64encode(_encode(reader, first, count, stride, side, bits)).decode("ascii")
        if len(mp4) <= budget:
            aspect = float(reader.info.pixel_aspect)
            return Pictures(mp4, pictures, stride, scaled_size(size, side), aspect)
        share *= 0.8 * budget / len(mp4)
    raise FacetrackError(f"{video} does not fit into the report.")


def scaled_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return the size (width, height), even and with no side longer than `side`, of pictures."""
    scale = min(1.0, side / max(size))
    width, height = (max(2, 2 * round(length * scale / 2)) for length in size)
    return width, height


def _side(size: tuple[int, int], bits: float) -> int | None:
    """Return the longest side of pictures for which bits per picture suffice; None for no side."""
    for side in SIDES:
        width, height = scaled_size(size, side)
        if bits >= MIN_BITS * width * height:
            return side
    width, height = scaled_size(size, SIDES[-1])
    # A header alone takes some hundred bits.
    return SIDES[-1] if bits >= max(LEAST_BITS * width * height, 400) else None


def _encode(
    reader: VideoReader, first: int, count: int, stride: int, side: int, bits: float
) -> bytes:
    """Return an mp4 file of the pictures, with so many bits per picture at most."""
    size = scaled_size((reader.info.width, reader.info.height), side)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "frames.mp4"
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                _command(target, size, bits),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=ffmpeg.environment(),
                **ffmpeg.own_group(),
            )
            try:
                with process:
                    assert process.stdin is not None
                    read = _send(reader, process.stdin, first, stride, size)
            except (BrokenPipeError, ConnectionError):
                pass
            except BaseException:
                process.kill()
                raise
            if process.returncode:
                log.seek(0)
                lines = log.read().decode("utf-8", "replace").splitlines()
                reason = ffmpeg.message(lines[-1]) if lines else "ffmpeg failed"
                raise FacetrackError(f"its frames cannot be encoded ({reason})")
        if read != count:
            raise FacetrackError(
                f"{reader.info.path} has {first + read} frames, its landmarks {first + count}."
            )
        return target.read_bytes()


def _send(
    reader: VideoReader, pipe: IO[bytes], first: int, stride: int, size: tuple[int, int]
) -> int:
    """Write the pictures, and return the number of frames read."""
    read = 0
    with reader:
        for frame in reader:
            read += 1
            if (frame.index - first) % stride == 0:
                pipe.write(_scaled(frame.image, size).tobytes())
    return read


def _scaled(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    shrinks = size[0] < width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=method))


def _command(target: Path, size: tuple[int, int], bits: float) -> list[str]:
    rate = max(1000, round(bits * RATE))
    return [
        *(ffmpeg.executable(), "-hide_banner", "-nostats", "-loglevel", "error", "-y"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", str(RATE)),
        *("-i", "pipe:0", *ffmpeg.threads()),
        *("-vf", "scale=out_color_matrix=bt709:out_range=tv", "-pix_fmt", "yuv420p"),
        *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"),
        *("-c:v", "libx264", "-preset", "medium", "-crf", str(CRF)),
        *("-maxrate", str(rate), "-bufsize", str(rate)),
        # Without frames that depend on later ones, a frame is shown as soon as it is decoded.
        *("-g", str(KEY_INTERVAL), "-bf", "0", "-movflags", "+faststart", "-an"),
        ffmpeg.file_url(target),
    ]
