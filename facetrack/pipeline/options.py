"""Options of a tracking run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from facetrack import defaults
from facetrack.detectors import DetectorOptions
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.trackers.base import TrackerOptions
from facetrack.trackers.expression.tracker import supports_expressions
from facetrack.video.span import Span, check_rate


@dataclass(frozen=True)
class Options:
    """Options of a tracking run.

    Attributes:
        init: name of the landmark detector, or "points" for the user's own points.
        detector_options: options of the landmark detector.
        scheme: layout of the tracked landmarks; None for the detector's own.
        points: file with the user's points (.pts, or CSV of x,y rows); needs init "points".
        query_frame: 0-based index of the frame to place the landmarks in; None for the first frame
            with a face, or the first frame of all with init "points".
        further_query_frames: frames in which landmarks are placed as well; the tracks from all
            query frames are blended (`facetrack.corrections`).
        tracker: name of the point tracker.
        tracker_options: options of the point tracker.
        expressions: let small networks correct the motion of eyes, brows, mouth and chin
            (`facetrack.trackers.expression.tracker`), where possible; see `guided`.
        face_detector: name of the face detector.
        faces: largest number of tracked faces, the largest faces first; None for all.
        redetect: "auto" detects cuts, and faces at intervals, and places the landmarks again if a
            face returns or its points have drifted off; a number is the interval in frames of faces
            that are seen; "never" relies on the tracker alone.
        start, end: seconds on the video's clock, to track a part of the video; None for all of it.
        stride: track every Nth frame.
        fps: images per second of a series of images, or of the pages of a TIFF file; None for 25.
        corrections: file of corrections by hand (`facetrack.corrections.log`); None without any.
    """

    init: str = defaults.INIT
    detector_options: DetectorOptions = field(default_factory=DetectorOptions)
    scheme: str | None = None
    points: Path | None = None
    query_frame: int | None = None
    further_query_frames: tuple[int, ...] = ()
    tracker: str = "tapir"
    tracker_options: TrackerOptions = field(default_factory=TrackerOptions)
    expressions: bool = True
    face_detector: str = "auto"
    faces: int | None = 1
    redetect: str | int = "auto"
    start: float | None = None
    end: float | None = None
    stride: int = 1
    fps: float | None = None
    corrections: Path | None = None

    def __post_init__(self) -> None:
        if (self.init == "points") != (self.points is not None):
            raise FacetrackError("--init points and --points FILE go together.")
        chosen = self.detector_options
        own = self.init == "points"
        if own and (self.scheme or chosen.flip or chosen.weights != "auto"):
            raise FacetrackError(
                "--detector-weights, --flip and --scheme are for landmark detectors: they do not "
                "go with --init points."
            )
        if self.scheme is not None:
            schemes.get(self.scheme)
        if any(frame is not None and frame < 0 for frame in self.all_query_frames):
            raise FacetrackError("--query-frame counts from 0: it cannot be negative.")
        if own and self.further_query_frames:
            raise FacetrackError("Your own points are those of one frame: give one --query-frame.")
        if len(set(self.all_query_frames)) < len(self.all_query_frames):
            raise FacetrackError("--query-frame names a frame twice.")
        if self.faces is not None and self.faces < 1:
            raise FacetrackError("--faces is how many to follow, largest or all: at least 1.")
        if own and self.faces != 1:
            raise FacetrackError("--faces does not go with --init points: they are one face's.")
        _ = self.span
        if self.fps is not None:
            check_rate(self.fps, self.fps)
        if isinstance(self.redetect, int):
            if self.redetect < 1:
                raise FacetrackError("--redetect N looks every N frames: at least 1.")
            if own:
                raise FacetrackError(
                    "Your own points cannot be detected again: --redetect auto or never."
                )
        elif self.redetect not in ("auto", "never"):
            raise FacetrackError(
                f"--redetect is auto, never or a number of frames, not {self.redetect!r}."
            )

    @property
    def guided(self) -> bool:
        """True if small networks correct the tracker.

        Disabled by `expressions=False`, by the user's own points, and by `redetect="never"`, which
        shows the tracker alone.
        """
        alone = self.points is not None or self.redetect == "never"
        return (
            self.expressions
            and not alone
            and supports_expressions(self.tracker, self.tracker_options)
        )

    @property
    def misses_blinks(self) -> bool:
        """True if the tracker alone follows lids and lips, whose texture changes."""
        return self.tracker in ("tapir", "lk") and not self.guided

    @property
    def all_query_frames(self) -> tuple[int | None, ...]:
        """The query frames; None stands for the first frame with a face."""
        return self.query_frame, *self.further_query_frames

    @property
    def tracks_again(self) -> bool:
        """True if tracks are blended with others from corrections or further query frames."""
        return self.corrections is not None or bool(self.further_query_frames)

    @property
    def span(self) -> Span:
        """The part of the video that is tracked."""
        return Span(self.start, self.end, self.stride)
