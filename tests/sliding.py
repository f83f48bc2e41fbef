"""Create a test clip of a smooth texture that slides to the right, for optical flow."""

from __future__ import annotations

from pathlib import Path

import clips
import numpy as np

STEP = 2
"""Motion in pixels per frame."""


def texture(height: int, width: int) -> np.ndarray:
    """Return a smooth texture (height, width, 3) uint8."""
    random = np.random.default_rng(7)
    smooth = random.integers(0, 256, (height, width, 3)).astype(np.float32)
    for axis in (0, 1) * 4:
        smooth = (np.roll(smooth, 1, axis) + smooth + np.roll(smooth, -1, axis)) / 3
    return np.clip((smooth - smooth.mean()) * 4 + 128, 0, 255).astype(np.uint8)


def write_sliding(
    path: Path, count: int = 24, *options: str, size: tuple[int, int] = clips.SIZE
) -> Path:
    """Write a clip of `count` frames at 25 frames/s; `options` are ffmpeg's output options."""
    width, height = size
    first = STEP * count
    wide = texture(height, width + first)
    raw = b"".join(wide[:, first - STEP * i :][:, :width].tobytes() for i in range(count))
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-framerate", "25")
    clips.run_ffmpeg(*source, "-i", "pipe:0", *clips.LOSSLESS, *options, str(path), data=raw)
    return path
