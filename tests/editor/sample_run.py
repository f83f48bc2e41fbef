"""A run to correct: a textured patch that moves, with points that are off in a known way."""

from __future__ import annotations

from pathlib import Path

import clips
import cv2
import numpy as np
from sample_comparison import face

from facetrack.files import sha256_of
from facetrack.formats.base import open_writer
from facetrack.record import environment, write_record
from facetrack.tracks import Tracks

SIZE = (192, 144)
OFF = 6.0
"""Pixels by which the tracks' point 30 is too far right."""
POINT = 30
PERIOD = 80
"""Frames after which the clip begins anew."""


def true_points(frames: int, count: int = 68) -> np.ndarray:
    """(T, N, 2) where the points are: on the patch."""
    return np.stack([_start(count) + _shift(t) for t in range(frames)])


def _start(count: int) -> np.ndarray:
    return face((70.0, 70.0), 32.0)[:count]


def _shift(t: int) -> np.ndarray:
    return np.array([0.5 * (t % PERIOD), 3 * np.sin(4 * np.pi * t / PERIOD)])


def write_video(path: Path, frames: int) -> Path:
    """Write the clip."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(
        rng.uniform(0, 255, (SIZE[1] * 2, SIZE[0] * 2)).astype(np.float32), (0, 0), 1.5
    )
    texture = np.clip((texture - texture.mean()) * 4 + 128, 0, 255).astype(np.uint8)
    parts = []
    for t in range(frames):
        move = np.float64([[1, 0, _shift(t)[0] - 60], [0, 1, _shift(t)[1] - 60]])
        image = cv2.warpAffine(texture, move, SIZE, flags=cv2.INTER_CUBIC)
        parts.append(np.repeat(image[..., None], 3, 2).tobytes())
    source = [
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        f"{SIZE[0]}x{SIZE[1]}",
        "-framerate",
        "25",
    ]
    codec = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "8", "-pix_fmt", "yuv420p")
    clips.run_ffmpeg(*source, "-i", "pipe:0", *codec, str(path), data=b"".join(parts))
    return path


def write_long_video(clip: Path, path: Path, frames: int) -> Path:
    """Write a clip of PERIOD frames again and again."""
    assert frames % PERIOD == 0
    again = ["-stream_loop", str(frames // PERIOD - 1), "-i", str(clip)]
    clips.run_ffmpeg(*again, "-c", "copy", str(path))
    return path


def tracks_of(frames: int) -> Tracks:
    """Tracks with point 30 too far right, low confidence in frame 20, and a jump in frame 50."""
    xy = true_points(frames)[:, None]
    xy[:, 0, POINT, 0] += OFF
    confidence = np.full(xy.shape[:3], 0.95, np.float32)
    if frames > 60:
        confidence[20, 0, :20] = 0.1
        xy[50, 0, 36:48] += 5
    return Tracks(
        xy=xy.astype(np.float32),
        visible=np.ones(xy.shape[:3], bool),
        confidence=confidence,
        time=np.arange(frames) / 25,
        face_id=np.zeros(1, np.int64),
        scheme="68",
        size=SIZE,
    )


def save_run(
    folder: Path, video: Path, frames: int = PERIOD, formats: tuple[str, ...] = ("csv", "npz")
) -> Path:
    """Write the table and the record of a video; return the record's path."""
    folder.mkdir(parents=True, exist_ok=True)
    tracks = tracks_of(frames)
    for name in formats:
        with open_writer(name, folder, "clip") as writer:
            writer.write(tracks)
    record = {
        **environment(),
        "input": {
            "path": str(video),
            "absolute_path": str(video.absolute()),
            "sha256": sha256_of(video),
            "width": SIZE[0],
            "height": SIZE[1],
            "frames": frames,
        },
        "options": {
            "init": "ert",
            "tracker": "lk",
            "expressions": False,
            "formats": list(formats),
            "overlay": False,
        },
        "query": {"frame": 0},
        "detector": {"name": "ert"},
        "tracker": {"name": "lk"},
        "events": [{"frame": 10, "face_id": 0, "reason": "uncovered"}],
        "seconds": {"track": 1.0},
        "warnings": [],
    }
    write_record(folder / "clip.json", record)
    return folder / "clip.json"
