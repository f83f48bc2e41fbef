"""Tracks: the one value that detectors, trackers and writers exchange."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Tracks:
    """Landmarks of F faces over T frames, N points each.

    Attributes:
        xy: (T, F, N, 2) float32, pixels (x right, y down), origin at the CENTRE of the top-left
            pixel (OpenCV's convention); NaN where unknown.
        visible: (T, F, N) bool, False where the point is hidden, outside the picture or unknown.
        confidence: (T, F, N) float32 in [0, 1].
        time: (T,) float64, presentation time of each frame in seconds, from the container.
        face_id: (F,) int64, stable identity of each face.
        scheme: name of the point layout (`facetrack.landmarks.schemes`), e.g. "68".
        size: (width, height) of the frames in pixels, as displayed (rotation applied).
        first_frame: 0-based index of the first row's frame in the decoded video.
        stride: a row has the frame so many after that of the row before.
    """

    xy: np.ndarray
    visible: np.ndarray
    confidence: np.ndarray
    time: np.ndarray
    face_id: np.ndarray
    scheme: str
    size: tuple[int, int]
    first_frame: int = 0
    stride: int = 1

    def __post_init__(self) -> None:
        if self.xy.ndim != 4 or self.xy.shape[-1] != 2:
            raise ValueError(f"xy must be (T, F, N, 2), not {self.xy.shape}")
        frames, faces, points = self.xy.shape[:3]
        for name, wanted in (
            ("visible", (frames, faces, points)),
            ("confidence", (frames, faces, points)),
            ("time", (frames,)),
            ("face_id", (faces,)),
        ):
            if getattr(self, name).shape != wanted:
                raise ValueError(f"{name} must be {wanted}, not {getattr(self, name).shape}")

    def __len__(self) -> int:
        """Number of frames."""
        return self.xy.shape[0]

    @property
    def frames(self) -> np.ndarray:
        """(T,) int64: 0-based index of each row's frame in the decoded video."""
        return self.first_frame + self.stride * np.arange(len(self))

    @property
    def face_confidence(self) -> np.ndarray:
        """(T, F) float32: mean confidence of the known points, 0 where there is none."""
        known = np.isfinite(self.xy).all(-1)
        total = np.where(known, self.confidence, 0).sum(-1)
        return (total / np.maximum(known.sum(-1), 1)).astype(np.float32)

    @property
    def success(self) -> np.ndarray:
        """(T, F) bool: the face is there, that is, at least a quarter of its points are seen."""
        return self.visible.mean(-1) >= 0.25

    def to_dataframe(self, layout: Literal["wide", "long"] = "wide") -> pd.DataFrame:
        """The landmarks as a pandas table.

        "wide" has a row for every frame and face, and the columns of facetrack's CSV file, so that
        code written for one takes the other: `frame` (0-based, in the decoded video), `face_id`,
        `timestamp` (seconds), `confidence` (of the face, 0 to 1), `success` (bool), then `x_0` ...
        `x_{N-1}`, `y_0` ... `y_{N-1}` (pixels from the centre of the top-left pixel, NaN where
        unknown) and `v_0` ... `v_{N-1}` (bool, visible). Nothing is rounded, as it is in the file.

        "long" (tidy) has a row for every frame, face and point: `frame`, `face_id`, `timestamp`,
        `point` (0-based), `region` (e.g. "right_eye", a categorical; missing in a free layout),
        `x`, `y`, `visible` and `confidence` (of the point).

        Raises:
            FacetrackError: pandas is not installed, or there is no such layout.
        """

        return dataframe(self, layout)

    def plot(
        self,
        kind: Literal["trajectories", "visibility"] = "trajectories",
        *,
        points: str | Sequence[int | str] | None = None,
        face_id: int | None = None,
        axes: Axes | Sequence[Axes] | None = None,
    ) -> list[Axes]:
        """Draw one face's points over time with matplotlib.

        Args:
            kind: "trajectories" draws x above y, in pixels; stretches in which a point is hidden
                are dotted. "visibility" draws a row for each point: seen, hidden or unknown.
            points: indices, names of regions ("right_eye"), or both; None: a few that tell most in
                "trajectories", all in "visibility".
            face_id: which face; None: the first.
            axes: what to draw in, two for "trajectories" and one for "visibility"; None makes a
                new figure.

        Returns:
            The axes drawn in: two, or one. Their figure is `axes[0].figure`.

        Raises:
            FacetrackError: matplotlib is not installed, or there is no such kind, point or face.
        """
        from facetrack.viz.plot import plot

        return plot(self, kind, points, face_id, axes)

    @staticmethod
    def concatenate(parts: Iterable[Tracks]) -> Tracks:
        """Join consecutive stretches of one video, in order.

        Faces that come and go are matched by their `face_id`, in order of first appearance; where
        a stretch does not have one, it is unknown.
        """
        parts = list(parts)
        if not parts:
            raise ValueError("no tracks to join")
        ids = list(dict.fromkeys(int(i) for part in parts for i in part.face_id))
        parts = [part.with_faces(ids) for part in parts]
        first = parts[0]
        return replace(
            first,
            xy=np.concatenate([p.xy for p in parts]),
            visible=np.concatenate([p.visible for p in parts]),
            confidence=np.concatenate([p.confidence for p in parts]),
            time=np.concatenate([p.time for p in parts]),
        )

    def with_faces(self, ids: Sequence[int]) -> Tracks:
        """The same with the faces `ids`, in that order; one that is not here is unknown."""
        if self.face_id.tolist() == list(ids):
            return self
        shape = (len(self), len(ids), self.xy.shape[2])
        xy = np.full((*shape, 2), np.nan, np.float32)
        visible, confidence = np.zeros(shape, bool), np.zeros(shape, np.float32)
        here = {int(face): at for at, face in enumerate(self.face_id)}
        for to, face in enumerate(ids):
            if face in here:
                xy[:, to] = self.xy[:, here[face]]
                visible[:, to] = self.visible[:, here[face]]
                confidence[:, to] = self.confidence[:, here[face]]
        return replace(
            self, xy=xy, visible=visible, confidence=confidence, face_id=np.array(ids, np.int64)
        )


COORDINATE_ORIGIN = "centre of the top-left pixel"


LAYOUTS = ("wide", "long")


def dataframe(tracks: Tracks, layout: str) -> pd.DataFrame:
    """See `Tracks.to_dataframe`."""
    try:
        import pandas
    except ImportError as error:
        raise FacetrackError(
            "Tables of tracks need pandas: pip install 'facetrack[dataframe]'."
        ) from error
    if layout not in LAYOUTS:
        raise FacetrackError(f"There is no table layout {layout!r}; choose {' or '.join(LAYOUTS)}.")
    frames, faces, points = tracks.visible.shape
    frame = tracks.frames
    if layout == "wide":
        return _wide(tracks, frame)
    region = np.full(points, None, object)
    for name, indices in schemes.get(tracks.scheme).regions.items():
        region[list(indices)] = name
    every = faces * points
    return pandas.DataFrame(
        {
            "frame": np.repeat(frame, every),
            "face_id": np.tile(np.repeat(tracks.face_id, points), frames),
            "timestamp": np.repeat(tracks.time, every),
            "point": np.tile(np.arange(points), frames * faces),
            "region": pandas.Categorical(np.tile(region, frames * faces)),
            "x": tracks.xy[..., 0].ravel(),
            "y": tracks.xy[..., 1].ravel(),
            "visible": tracks.visible.ravel(),
            "confidence": tracks.confidence.ravel(),
        }
    )


def _wide(tracks: Tracks, frame: np.ndarray) -> pd.DataFrame:
    import pandas

    frames, faces, points = tracks.visible.shape
    rows = frames * faces
    kinds: list[np.ndarray] = [
        np.repeat(frame, faces),
        np.tile(tracks.face_id, frames),
        np.repeat(tracks.time, faces),
        tracks.face_confidence.ravel(),
        tracks.success.ravel(),
        *tracks.xy[..., 0].reshape(rows, points).T,
        *tracks.xy[..., 1].reshape(rows, points).T,
        *tracks.visible.reshape(rows, points).T,
    ]
    return pandas.DataFrame(dict(zip(header(points), kinds, strict=True)))


_FIXED = ("frame", "face_id", "timestamp", "confidence", "success")


def header(points: int) -> list[str]:
    """The column names for `points` points."""
    return [*_FIXED, *(f"{axis}_{i}" for axis in "xyv" for i in range(points))]
