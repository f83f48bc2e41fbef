"""Find the query frame of a run, and place the landmarks there (stage 1)."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.landmarks.point_files import read_points
from facetrack.multiface.detection import MIN_TRUST, DetectedFace, FaceLandmarker
from facetrack.pipeline.chunking import SEARCH_STRIDE
from facetrack.pipeline.options import Options
from facetrack.video.cuts import CutDetector
from facetrack.video.frame import Frame
from facetrack.video.span import SpanReader

if TYPE_CHECKING:
    from facetrack.identity.verifier import FaceVerifier

EVERY_FRAME_UNTIL = 25
"""Number of first frames that are all searched for a face; later only every SEARCH_STRIDE-th, until
a face is found. Then the skipped frames before it are searched too."""
THOROUGH_STRIDE = 25
"""Frames between two uses of the slow half of face detector "auto", which takes a second a frame.
The fast half rarely misses a face for long."""
MAX_QUERY_SHAPE_ERROR = 0.8
"""Shape error up to which the first detected face is used; most faces have 0.3 to 0.6."""
MAX_QUERY_YAW_SCORE = 0.35
"""Yaw score up to which the first detected face is used. Of a face that is turned further, the
landmarks of the far half are guesses, and lie where a tracker should not follow."""
MAX_QUERY_COVERED = 0.05
"""Share of covered landmarks up to which the first detected face is used. Covered landmarks are
tracked only from a later frame on, in which they are visible."""
BETTER_WITHIN = 25
"""Number of frames that are searched for a better face."""
CERTAIN_WITHIN = 250
"""Number of read frames after something that may be no face that are searched for what surely is
one."""


@dataclass(frozen=True)
class Query:
    """The query frame and its landmarks.

    Attributes:
        frame: the query frame.
        xy: (N, 2) float32 pixels, origin at the centre of the top-left pixel.
        score: (N,) float32 in [0, 1].
        scheme: name of the landmark layout.
        box: (4,) x0 y0 x1 y1 of the face in pixels; None for the user's own points.
        others: further faces of the frame.
        since: index of the first frame that may show a face; frames before were searched.
        visible: (N,) probability that each landmark is visible; None where it is not known.
        trust: from 0 to 1, 1 for what surely is a face.
    """

    frame: Frame
    xy: np.ndarray
    score: np.ndarray
    scheme: str
    box: np.ndarray | None
    others: tuple[DetectedFace, ...] = ()
    since: int = 0
    visible: np.ndarray | None = None
    trust: float = 1.0

    @property
    def is_doubtful(self) -> bool:
        """Whether it may show no face at all."""
        return self.trust < MIN_TRUST

    @property
    def placed(self) -> list[np.ndarray]:
        """The landmarks (N, 2) of each face."""
        return [self.xy, *(face.xy for face in self.others)]

    @property
    def visibilities(self) -> list[np.ndarray | None]:
        """The probabilities (N,) that landmarks are visible, of each face."""
        return [self.visible, *(face.visible for face in self.others)]

    @property
    def trusts(self) -> list[float]:
        """How far each face is to be believed."""
        return [self.trust, *(face.trust for face in self.others)]


class QuerySearch:
    """Finds the query frame, and places the landmarks there.

    Args:
        reader: reads the video.
        options: options of the run.
        get_landmarker: returns the face landmarker; called on first use.
        get_verifier: returns the face verifier, which rates the shape of a face; the same.

    Attributes:
        warnings: sentences about the user's points.
    """

    def __init__(
        self,
        reader: SpanReader,
        options: Options,
        get_landmarker: Callable[[], FaceLandmarker],
        get_verifier: Callable[[], FaceVerifier],
    ) -> None:
        self.reader, self.options = reader, options
        self._get_landmarker, self._get_verifier = get_landmarker, get_verifier
        self.warnings: list[str] = []

    def find(self) -> Query:
        """Return the query frame with its landmarks.

        Raises:
            FacetrackError: no face, no such frame, or points that cannot be used.
        """
        chosen = self.options.query_frame
        if self.options.points is not None:
            frame = self._frame(self.reader.first if chosen is None else chosen)
            xy = self.own_points
            scheme = schemes.for_count(len(xy)).name
            return Query(frame, xy, np.ones(len(xy), np.float32), scheme, None)
        if chosen is not None:
            query = self._detect(self._frame(chosen), thorough=True)
            if query is None:
                raise FacetrackError(
                    f"No face was found in frame {chosen} of {self.reader.video}: try another "
                    "--query-frame, --face-detector cnn, or give your own points with "
                    "--init points."
                )
            return query
        return self._search()

    @cached_property
    def own_points(self) -> np.ndarray:
        """The user's points (N, 2); read once, because the file may be a pipe."""
        assert self.options.points is not None
        info = self.reader.info
        xy, warnings = read_own_points(self.options.points, (info.width, info.height))
        self.warnings += warnings
        return xy

    def _frame(self, index: int) -> Frame:
        frame = self.reader.frame(index)
        if frame.problem is not None:
            raise FacetrackError(f"{frame.problem} Choose another --query-frame than {index}.")
        return frame

    def _detect(self, frame: Frame, thorough: bool = False) -> Query | None:
        """Return a query with the faces of a frame; None without a face."""
        if frame.problem is not None:
            return None
        return detect_query(self._get_landmarker(), frame, self.options.faces, thorough)

    def _search(self) -> Query:
        """Return the first frame that surely shows a face, or a better frame soon after.

        Where no face is certain, the least doubtful one is returned.
        """
        skipped: deque[Frame] = deque(maxlen=SEARCH_STRIDE - 1)
        frames = self.reader.forwards()
        doubtful: Query | None = None
        last = 0  # after something doubtful: the last read frame that is searched
        for seen, frame in enumerate(frames):
            if doubtful is not None and seen > last:
                return doubtful
            if seen >= EVERY_FRAME_UNTIL and seen % SEARCH_STRIDE:
                skipped.append(frame)
                continue
            query = self._detect(frame, thorough=seen % THOROUGH_STRIDE == 0)
            if query is not None and not query.is_doubtful:
                first = self._first_of(skipped) or query
                since = first.frame.index if doubtful is None else doubtful.since
                return replace(self._find_better(first, frame, frames), since=since)
            if query is not None:
                if doubtful is None:
                    last = seen + CERTAIN_WITHIN
                since = query.frame.index if doubtful is None else doubtful.since
                if doubtful is None or query.trust > doubtful.trust:
                    doubtful = replace(query, since=since)
            skipped.clear()
        # The video may end between two searched frames.
        query = self._first_of(skipped)
        if query is not None:
            since = query.frame.index if doubtful is None else doubtful.since
            return replace(query, since=since)
        if doubtful is not None:
            return doubtful
        raise FacetrackError(
            f"No face was found in any of the {seen + 1} frames of {self.reader.video}: try "
            "--face-detector cnn, name a frame that shows one with --query-frame N, or give your "
            "own points with --init points --points FILE."
        )

    def _find_better(self, query: Query, frame: Frame, following: Iterable[Frame]) -> Query:
        """Return the query, or a better one if its face is partly covered or turned away.

        Args:
            frame: the last frame that was read; BETTER_WITHIN frames of its shot are searched.
            following: the frames after it.
        """
        if self._badness(query) <= 1:
            return query
        cuts = CutDetector()
        cuts.is_cut(frame.image)
        for count, later in enumerate(itertools.islice(following, BETTER_WITHIN), start=1):
            if cuts.is_cut(later.image):
                break
            if count % SEARCH_STRIDE:
                continue
            candidate = self._detect(later)
            if candidate is None or candidate.is_doubtful:
                continue
            if self._badness(candidate) < self._badness(query):
                query = candidate
                if self._badness(query) <= 1:
                    break
        return query

    def _badness(self, query: Query) -> float:
        """Return how unsuitable a query is; up to 1 it is good enough."""
        return query_badness(self._get_verifier(), query)

    def _first_of(self, frames: Iterable[Frame]) -> Query | None:
        """Return the first of the frames that surely shows a face."""
        for frame in frames:
            query = self._detect(frame)
            if query is not None and not query.is_doubtful:
                return query
        return None


def detect_query(
    landmarker: FaceLandmarker, frame: Frame, max_faces: int | None, thorough: bool = False
) -> Query | None:
    """Return a query with the faces of a frame, as `FaceLandmarker.find`; None without a face."""
    faces = landmarker.find(frame.image, max_faces, thorough)
    if not faces:
        return None
    first, *others = faces
    # Beside a certain face, nothing doubtful is followed.
    others = [face for face in others if not face.is_doubtful]
    scheme = landmarker.detector.scheme
    return Query(
        frame,
        first.xy,
        first.score,
        scheme,
        first.box,
        tuple(others),
        visible=first.visible,
        trust=first.trust,
    )


def query_badness(verifier: FaceVerifier, query: Query) -> float:
    """Return how unsuitable a query is; up to 1 it is good enough."""
    shape_error, yaw = verifier.shape_error(query.xy), verifier.yaw_score(query.xy)
    covered = 0.0 if query.visible is None else float((query.visible < 0.5).mean())
    return max(
        shape_error / MAX_QUERY_SHAPE_ERROR,
        yaw / MAX_QUERY_YAW_SCORE,
        covered / MAX_QUERY_COVERED,
    )


def read_own_points(path: Path, size: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    """Return the user's points (N, 2), and sentences about them.

    Args:
        path: their file.
        size: (width, height) of the picture.

    Raises:
        FacetrackError: they cannot be points of the picture.
    """
    xy = read_points(path)
    (width, height), sides = size, np.array(size)
    outside = np.maximum(-0.5 - xy, xy - (sides - 0.5)).max(1)
    if (outside > 0).all():
        raise FacetrackError(
            f"No point of {path} lies inside the {width}x{height} picture: "
            "they must be x,y in pixels of the video."
        )
    # In a picture of a few pixels these may be pixels.
    if len(xy) > 1 and sides.min() > 16 and ((xy >= 0) & (xy <= 1)).all():
        raise FacetrackError(
            f"All values of {path} lie between 0 and 1: they must be x,y in pixels of the "
            f"video, here {width}x{height}."
        )
    # The tracker's window holds all points, so its size grows with the distance.
    if outside.max() > sides.max():
        x, y = xy[outside.argmax()]
        raise FacetrackError(
            f"The point {x:.10g},{y:.10g} of {path} lies far outside the {width}x{height} picture."
        )
    warnings = []
    if count := int((outside > 0).sum()):
        warnings.append(
            f"{count} of {len(xy)} points of {path} lie outside the {width}x{height} picture."
        )
    return xy, warnings
