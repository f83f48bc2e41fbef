"""What a run does."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from facetrack import defaults
from facetrack.detectors import DetectorOptions
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.trackers.base import TrackerOptions
from facetrack.trackers.expression.tracker import suits
from facetrack.video.span import Span


@dataclass(frozen=True)
class Options:
    """What a run does.

    Attributes:
        init: the landmark detector, or "points" for the user's own.
        detector_options: what the landmark detector is made from.
        scheme: the layout of the points that are tracked; None: the detector's own.
        points: file of the user's points (.pts, or CSV of x,y rows), with init "points".
        query_frame: 0-based frame the points are placed on; None: the first with a face, or the
            span's first with init "points".
        tracker: the point tracker's name.
        tracker_options: what it is made from.
        expressions: whether a small landmark network corrects how mouth, eyes, brows and jaw move
            (`facetrack.trackers.expression.tracker`), where it can: see `guided`.
        face_detector: the face detector's name.
        faces: how many faces are followed, the largest first; None: all.
        redetect: "auto" looks for cuts, and for faces now and then, and places points again where
            the face has come back or the points have left it; a number looks every so many frames;
            "never" leaves all to the tracker.
        start, end: seconds on the video's clock between which it is tracked; None: all of it.
        stride: every so-manieth frame is tracked.
    """

    init: str = defaults.INIT
    detector_options: DetectorOptions = field(default_factory=DetectorOptions)
    scheme: str | None = None
    points: Path | None = None
    query_frame: int | None = None
    tracker: str = "tapir"
    tracker_options: TrackerOptions = field(default_factory=TrackerOptions)
    expressions: bool = True
    face_detector: str = "auto"
    faces: int | None = 1
    redetect: str | int = "auto"
    start: float | None = None
    end: float | None = None
    stride: int = 1

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
        if self.query_frame is not None and self.query_frame < 0:
            raise FacetrackError("--query-frame counts from 0: it cannot be negative.")
        if self.faces is not None and self.faces < 1:
            raise FacetrackError("--faces is how many to follow, largest or all: at least 1.")
        if own and self.faces != 1:
            raise FacetrackError("--faces does not go with --init points: they are one face's.")
        _ = self.span
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
        """Whether the tracker is to have a landmark network beside it: not where a run is asked for
        as the tracker alone has it."""
        alone = self.points is not None or self.redetect == "never"
        return self.expressions and not alone and suits(self.tracker, self.tracker_options)

    @property
    def span(self) -> Span:
        """The part of the video that is tracked."""
        return Span(self.start, self.end, self.stride)
