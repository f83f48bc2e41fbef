"""A simulated world whose faces have five points each, and a detector and a tracker in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from stepping import step_through

from facetrack.identity.verifier import UNKNOWN_PERSON
from facetrack.multiface.detection import DetectedFace
from facetrack.multiface.face_track import RedetectPolicy
from facetrack.multiface.face_tracker import MultiFaceTracker
from facetrack.pipeline.chunking import Chunker
from facetrack.trackers import PointTracker, StepResult
from facetrack.video.frame import Frame

FPS = 10.0
SIZE = (160, 400)
"""Height and width of the frames."""
SHAPE = np.array([[0, 0], [20, 0], [10, 10], [2, 20], [18, 20]], np.float32)


@dataclass
class World:
    """What a video shows, and what detector and tracker make of it, as functions of the frame.

    Attributes:
        people: centre of each person's face by frame; None where the person is absent.
        detected: whether the face detector finds a person in a frame.
        trusted: how surely a detection of a person in a frame is a face.
        tracked: the tracker's offset in pixels from the truth, and the share of points that it
            sees (True: all), by person, frame in which it was started, and frame.
        covered: which points of a person something covers in a frame. A tracker that was started
            there leaves them where they were.
        cuts: first frames of shots.
        detected_in: frames in which faces were detected, in order.
        turned_in: those of them that were searched in all turns.
        starts: frames in which the tracker was started, and on whom.
    """

    people: dict[str, Callable[[int], tuple[float, float] | None]]
    detected: Callable[[str, int], bool] = lambda person, frame: True
    trusted: Callable[[str, int], float] = lambda person, frame: 1.0
    tracked: Callable[[str, int, int], tuple[float, float]] = lambda person, start, frame: (
        0.0,
        True,
    )
    covered: Callable[[str, int], np.ndarray] = lambda person, frame: np.zeros(5, bool)
    cuts: set[int] = field(default_factory=set)
    detected_in: list[int] = field(default_factory=list)
    turned_in: list[int] = field(default_factory=list)
    starts: list[tuple[int, str]] = field(default_factory=list)

    def points(self, person: str, frame: int) -> np.ndarray | None:
        middle = self.people[person](frame)
        return None if middle is None else SHAPE + np.float32(middle)

    def nearest(self, xy: np.ndarray, frame: int) -> str | None:
        """Return whose face the points are on."""
        for person in self.people:
            points = self.points(person, frame)
            if points is not None and np.abs(points - xy).mean() < 5:
                return person
        return None


def frame_number(image: np.ndarray) -> int:
    return int(image[0, 0, 0]) * 256 + int(image[0, 0, 1])


def make_frame(index: int) -> Frame:
    image = np.zeros((*SIZE, 3), np.uint8)
    image[0, 0, :2] = divmod(index, 256)
    return Frame(index, index / FPS, image)


class FakeLandmarker:
    def __init__(self, world: World) -> None:
        self.world = world

    def find(
        self, image: np.ndarray, max_faces: Any = None, thorough: bool = False, **rolls: Any
    ) -> list[DetectedFace]:
        frame = frame_number(image)
        self.world.detected_in.append(frame)
        if rolls.get("any_roll"):
            self.world.turned_in.append(frame)
        found: list[DetectedFace] = []
        for person in self.world.people:
            xy = self.world.points(person, frame)
            if xy is not None and self.world.detected(person, frame):
                box = np.concatenate([xy.min(0), xy.max(0)])
                score = np.linspace(0.8, 0.9, 5, dtype=np.float32)
                visible = np.where(self.world.covered(person, frame), 0.1, 0.9)
                trust = self.world.trusted(person, frame)
                found.append(DetectedFace(box, xy, score, visible, trust))
        return sorted(found, key=lambda face: face.is_doubtful)[:max_faces]

    def place(self, image: np.ndarray, box: np.ndarray) -> DetectedFace | None:
        return None


@dataclass
class FakeState:
    person: str | None
    start: int
    last: np.ndarray


class FakeTracker(PointTracker):
    """Tracker that follows the person it was started on, and sees no points of absent people."""

    name, window = "fake", None

    def __init__(self, world: World) -> None:
        self.world = world

    def start(self, frame: np.ndarray, points: np.ndarray) -> FakeState:
        number = frame_number(frame)
        person = self.world.nearest(points, number)
        self.world.starts.append((number, person or "nobody"))
        return FakeState(person, number, points)

    def step(self, state: FakeState, frames: np.ndarray) -> StepResult:
        xy, seen = [], []
        for image in frames:
            number = frame_number(image)
            points = None if state.person is None else self.world.points(state.person, number)
            off, visible = (0.0, False)
            if points is not None:
                assert state.person is not None
                off, visible = self.world.tracked(state.person, state.start, number)
                state.last = points
            xy.append(state.last + np.float32(off))
            if state.person is not None:
                start = self.world.points(state.person, state.start)
                left = self.world.covered(state.person, state.start)
                xy[-1] = xy[-1] if start is None else np.where(left[:, None], start, xy[-1])
            seen.append(np.arange(len(SHAPE)) < visible * len(SHAPE))
        confidence = np.ones((len(frames), len(SHAPE)), np.float32)
        return StepResult(np.array(xy), np.array(seen), confidence)

    def describe(self) -> dict[str, Any]:
        return {}


class FakeVerifier:
    """Verifier whose descriptors are names.

    Attributes:
        names: names enrolled for each face_id.
        error_of: shape error of points.
        blind: whether it cannot describe any face.
        described: frames in which it was asked for a descriptor.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.names: dict[int, set[str]] = {}
        self.error_of: Callable[[np.ndarray], float] = lambda xy: 0.0
        self.blind = False
        self.described: list[int] = []

    def shape_error(self, xy: np.ndarray, visible: np.ndarray | None = None) -> float:
        return self.error_of(xy)

    def describe(self, image: np.ndarray, xy: np.ndarray) -> Any:
        self.described.append(frame_number(image))
        return None if self.blind else self.world.nearest(xy, frame_number(image))

    def enroll(self, face_id: int, descriptor: Any) -> None:
        if descriptor is not None:
            self.names.setdefault(face_id, set()).add(descriptor)

    def enroll_face(self, face_id: int, image: np.ndarray, xy: np.ndarray) -> None:
        self.enroll(face_id, self.describe(image, xy))

    def identify(self, descriptor: Any, among: Any) -> int | None:
        return next((i for i in sorted(among) if descriptor in self.names.get(i, ())), None)

    def identify_other(self, face_id: int, descriptor: Any) -> int | None:
        if descriptor is None or face_id not in self.names or descriptor in self.names[face_id]:
            return None
        other = self.identify(descriptor, self.names)
        return UNKNOWN_PERSON if other is None else other


class FakeCutDetector:
    """Cut detector that knows the world's cuts."""

    def __init__(self, world: World) -> None:
        self.world = world

    def is_cut(self, image: np.ndarray) -> bool:
        return frame_number(image) in self.world.cuts


class Run:
    """Track a world's frames.

    Args:
        world: the world.
        frames: number of frames.
        policy: of detections; by default one face, at intervals in seconds.
        verifier: by default a `FakeVerifier`.
        redetect: whether faces are detected again.
        begin: people who are tracked from the first frame on.

    Attributes:
        world: the world.
        tracker: the tracker under test.
        rows: one row for each frame.
    """

    def __init__(
        self,
        world: World,
        frames: int,
        policy: RedetectPolicy | None = None,
        verifier: FakeVerifier | None = None,
        redetect: bool = True,
        begin: tuple[str, ...] = ("ann",),
    ) -> None:
        tracker: Any = FakeTracker(world)
        landmarker: Any = FakeLandmarker(world) if redetect else None
        fake_verifier: Any = (verifier or FakeVerifier(world)) if redetect else None
        self.tracker = MultiFaceTracker(
            tracker, landmarker, fake_verifier, policy or RedetectPolicy()
        )
        self.tracker.begin(
            make_frame(0),
            [world.points(person, 0) for person in begin],  # type: ignore[misc]
            [np.where(world.covered(person, 0), 0.1, 0.9) for person in begin],
            [world.trusted(person, 0) for person in begin],
        )
        self.world = world
        self.rows: list[dict[int, Any]] = []
        clips = Chunker(self.tracker, FakeCutDetector(world) if redetect else None, None)  # type: ignore[arg-type]
        for clip in step_through(clips, map(make_frame, range(frames))):
            self.rows += clip.rows

    def known(self, face_id: int) -> list[int]:
        """Return the frames in which a face has points."""
        return [
            i
            for i, row in enumerate(self.rows)
            if face_id in row and np.isfinite(row[face_id][0]).all()
        ]

    def xy(self, face_id: int, frame: int) -> np.ndarray:
        """Return a face's points (5, 2) in a frame."""
        xy: np.ndarray = self.rows[frame][face_id][0]
        return xy

    @property
    def events(self) -> list[tuple[int, int, str]]:
        """Frame, face_id and reason of each event."""
        return [(e.frame, e.face_id, e.reason) for e in self.tracker.events]


def still(x: float, y: float = 50.0) -> Callable[[int], tuple[float, float]]:
    return lambda frame: (x, y)
