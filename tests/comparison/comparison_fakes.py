"""A clip whose face is a white square, and detectors and trackers whose answers are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import clips
import numpy as np
import pytest

from facetrack.detectors import Landmarks
from facetrack.errors import FacetrackError
from facetrack.face_detectors import FaceBoxes
from facetrack.trackers import PointTracker, StepResult
from facetrack.trackers.per_frame import PerFrameTracker

FRAMES = 30
SIZE = (128, 64)
PATTERN = np.random.default_rng(0).uniform(0, clips.SIDE, (68, 2))
PATTERN[[36, 45]] = [[0.0, 2.0], [8.0, 2.0]]
"""The landmarks from the square's top-left pixel."""
EYES = 8.0
"""Pixels between the outer eye corners, so that one is 12.5 %."""


def place(image: np.ndarray) -> np.ndarray:
    """(68, 2) the true landmarks."""
    return PATTERN + clips.square_position(image)


class SquareFaces:
    """The white square is the face, from frame `first` on and not in `hidden`."""

    def __init__(self, name: str, first: int = 0, hidden: tuple[int, ...] = ()) -> None:
        self.name, self.first, self.hidden, self.calls = name, first, hidden, 0

    def detect(self, image):
        self.calls += 1
        x, y = clips.square_position(image)
        if x // 2 < self.first or x // 2 in self.hidden:
            return FaceBoxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
        box = np.array([[x, y, x + clips.SIDE, y + clips.SIDE]], np.float32)
        return FaceBoxes(box, np.ones(1, np.float32))

    def describe(self):
        return {"name": self.name}


class SquareDetector:
    """Places the landmarks `error` pixels to the right; nowhere, when that is None."""

    scheme = "68"

    def __init__(self, name: str, error: float | None = 0.0) -> None:
        self.name, self.error = name, error

    def detect(self, image, boxes):
        error = np.nan if self.error is None else self.error
        xy = boxes[:, None, :2] + PATTERN + (error, 0)
        return Landmarks(xy.astype(np.float32), np.ones(xy.shape[:2], np.float32))

    def describe(self):
        return {"name": self.name, "scheme": self.scheme}


class SquareTracker(PointTracker):
    """Points (..., N, 2) stay where they are on the square, but slip `slip` pixels to the right a
    frame. Remembers which frames it was given."""

    def __init__(self, name: str, slip: float = 0.0, window=None) -> None:
        self.name, self.slip, self.window = name, slip, window
        self.fed: list[list[int]] = []

    def start(self, frame, points):
        self.fed.append([])
        return {
            "way": len(self.fed) - 1,
            "points": points - clips.square_position(frame),
            "frames": 0,
        }

    def step(self, state, frames):
        self.fed[state["way"]] += [clips.square_position(f)[0] // 2 for f in frames]
        xy = []
        for frame in frames:
            slip = (self.slip * state["frames"], 0)
            xy.append(state["points"] + np.array(clips.square_position(frame)) + slip)
            state["frames"] += 1
        found = np.stack(xy).astype(np.float32)
        seen = np.ones(found.shape[:-1], bool)
        return StepResult(found, seen, seen.astype(np.float32))

    def describe(self):
        return {"name": self.name}


@dataclass
class Fakes:
    """What the names of detectors and trackers stand for in a test.

    Attributes:
        errors: of the detectors, by name; a string is why it cannot be made.
        slips: of the trackers.
        windows: of the trackers that look both ways.
        made: trackers, in the order in which they were made.
    """

    clip: Path
    faces: SquareFaces
    errors: dict[str, float | str | None] = field(default_factory=dict)
    slips: dict[str, float] = field(default_factory=dict)
    windows: dict[str, tuple[int, int]] = field(default_factory=dict)
    made: list[SquareTracker] = field(default_factory=list)

    def detector(self, name, options):
        error = self.errors.get(name, 0.0)
        if isinstance(error, str):
            raise FacetrackError(error)
        return SquareDetector(name, error)

    def tracker(self, name, options, detectors):
        if name == "per-frame":
            return PerFrameTracker(*detectors())
        self.made.append(SquareTracker(name, self.slips.get(name, 0.0), self.windows.get(name)))
        return self.made[-1]

    def truth(self) -> np.ndarray:
        """(T, 68, 2) where the landmarks are."""
        return np.stack([place(frame.image) for frame in clips.read_frames(self.clip)[0]])


def write_clip(path: Path) -> Path:
    """FRAMES frames in which the square goes 2 pixels to the right a frame, at one height."""
    frames = np.zeros((FRAMES, SIZE[1], SIZE[0], 3), np.uint8)
    for i, frame in enumerate(frames):
        frame[20 : 20 + clips.SIDE, 2 * i : 2 * i + clips.SIDE] = 255
    clips.run_ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{SIZE[0]}x{SIZE[1]}"),
        *("-framerate", "25", "-i", "pipe:0", *clips.LOSSLESS, str(path)),
        data=frames.tobytes(),
    )
    return path


@pytest.fixture
def fakes(tmp_path, monkeypatch) -> Fakes:
    """The clip, and the names of detectors and trackers taken over."""
    made = Fakes(write_clip(tmp_path / "dots.mp4"), SquareFaces("hog"))
    monkeypatch.setattr("facetrack.comparison.initialisers.create", made.detector)
    monkeypatch.setattr("facetrack.comparison.tracker_groups.create", made.tracker)
    monkeypatch.setattr("facetrack.face_detectors.create", lambda name: made.faces)
    # Squares have no landmarks of a face, and their finds are good all the same.
    monkeypatch.setattr(
        "facetrack.identity.verifier.FaceVerifier.shape_error", lambda self, xy: 0.0
    )
    return made
