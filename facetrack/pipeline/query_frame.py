"""Stage 1 of a run: the frame on which the points are placed."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.landmarks.point_files import read_points
from facetrack.multiface.detection import DetectedFace, FaceLandmarker
from facetrack.pipeline.chunking import SEARCH_STRIDE
from facetrack.pipeline.options import Options
from facetrack.video.cuts import CutDetector
from facetrack.video.frame import Frame
from facetrack.video.span import SpanReader

if TYPE_CHECKING:
    from facetrack.identity.verifier import FaceVerifier

EVERY_FRAME_UNTIL = 25
THOROUGH_STRIDE = 25
"""The search for a first face looks at every frame at first, then at every fifth; when it finds
one it looks at those it has passed over. Face detector "auto" asks its slow half (a second a
frame) at every 25th frame only: a face that the fast half misses is rarely missed for long. A
search for a face that has gone does without the slow half."""


GOOD = 0.8
"""Implausibility of landmarks up to which the first face that is found will do; most have 0.3 to
0.6."""
TURNED = 0.35
"""The same of how far it is turned to a side: beyond, the landmarks of its far half are guesses and
lie on what a tracker is not to follow."""
BETTER_WITHIN = 25
"""Frames in which a better one is looked for."""


@dataclass(frozen=True)
class Query:
    """The frame the points were placed on.

    Attributes:
        frame: that frame.
        xy: (N, 2) float32 pixels, pixel centres.
        score: (N,) float32 in [0, 1].
        scheme: the point layout's name.
        box: (4,) of the face, or None for the user's own points.
        others: further faces of that frame.
        since: index of the first frame that may show a face: before it they were looked for.
    """

    frame: Frame
    xy: np.ndarray
    score: np.ndarray
    scheme: str
    box: np.ndarray | None
    others: tuple[DetectedFace, ...] = ()
    since: int = 0

    @property
    def placed(self) -> list[np.ndarray]:
        """(N, 2) of each face."""
        return [self.xy, *(one.xy for one in self.others)]


class QuerySearch:
    """Finds the query frame, and places the points there.

    Args:
        reader: of the video.
        options: of the run.
        finder: makes stage 1, when it is first needed.
        judge: makes what tells how far its points look like a face.
    """

    def __init__(
        self,
        reader: SpanReader,
        options: Options,
        finder: Callable[[], FaceLandmarker],
        judge: Callable[[], FaceVerifier],
    ) -> None:
        self.reader, self.options, self._finder, self._judge = reader, options, finder, judge

    def find(self) -> Query:
        """Place the points.

        Raises:
            FacetrackError: no face, no such frame, or points that cannot be used.
        """
        wanted = self.options.query_frame
        if self.options.points is not None:
            frame = self.reader.frame(self.reader.first if wanted is None else wanted)
            xy = self.own_points
            scheme = schemes.for_count(len(xy)).name
            return Query(frame, xy, np.ones(len(xy), np.float32), scheme, None)
        if wanted is not None:
            query = self._detect(self.reader.frame(wanted), thorough=True)
            if query is None:
                raise FacetrackError(
                    f"No face was found in frame {wanted} of {self.reader.video}: try another "
                    "--query-frame, --face-detector cnn, or give your own points with "
                    "--init points."
                )
            return query
        return self._search()

    @cached_property
    def own_points(self) -> np.ndarray:
        """(N, 2) the user's points; read once, as a pipe can be."""
        assert self.options.points is not None
        xy = read_points(self.options.points)
        size = [self.reader.info.width, self.reader.info.height]
        if not ((xy >= -0.5).all(1) & (xy <= np.array(size) - 0.5).all(1)).any():
            raise FacetrackError(
                f"No point of {self.options.points} lies inside the {size[0]}x{size[1]} picture: "
                "they must be x,y in pixels of the video."
            )
        return xy

    def _detect(self, frame: Frame, thorough: bool = False) -> Query | None:
        finder = self._finder()
        found = finder.find(frame.image, self.options.faces, thorough)
        if not found:
            return None
        one = found[0]
        return Query(frame, one.xy, one.score, finder.detector.scheme, one.box, tuple(found[1:]))

    def _search(self) -> Query:
        passed: deque[Frame] = deque(maxlen=SEARCH_STRIDE - 1)
        frames = self.reader.forwards()
        for seen, frame in enumerate(frames):
            if seen >= EVERY_FRAME_UNTIL and seen % SEARCH_STRIDE:
                passed.append(frame)
                continue
            query = self._detect(frame, thorough=seen % THOROUGH_STRIDE == 0)
            if query is not None:
                first = self._first_of(passed) or query
                return replace(self._better(first, frame, frames), since=first.frame.index)
            passed.clear()
        # The end of the video may lie between two looks.
        query = self._first_of(passed)
        if query is not None:
            return replace(query, since=query.frame.index)
        raise FacetrackError(
            f"No face was found in any of the {seen + 1} frames of {self.reader.video}: try "
            "--face-detector cnn, name a frame that shows one with --query-frame N, or give your "
            "own points with --init points --points FILE."
        )

    def _better(self, query: Query, frame: Frame, following: Iterable[Frame]) -> Query:
        """The query, or where it looks hardly like a face (half covered, say) or is turned away the
        best of the next BETTER_WITHIN frames of its shot, which follow `frame`."""
        if self._doubt(query) <= 1:
            return query
        cuts = CutDetector()
        cuts.is_cut(frame.image)
        for count, later in enumerate(itertools.islice(following, BETTER_WITHIN), start=1):
            if cuts.is_cut(later.image):
                break
            if count % SEARCH_STRIDE:
                continue
            other = self._detect(later)
            if other is not None and self._doubt(other) < self._doubt(query):
                query = other
                if self._doubt(query) <= 1:
                    break
        return query

    def _doubt(self, query: Query) -> float:
        """Up to 1 it will do."""
        judge = self._judge()
        return max(judge.shape_error(query.xy) / GOOD, judge.yaw_score(query.xy) / TURNED)

    def _first_of(self, frames: Iterable[Frame]) -> Query | None:
        return next(filter(None, map(self._detect, frames)), None)
