"""Define Tracks, the landmark data that detectors, trackers and writers exchange."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.ops.equality import EqualByValue
from facetrack.registry import Registry
from facetrack.series.methods import TimeSeries

if TYPE_CHECKING:
    import pandas as pd
    import xarray
    from matplotlib.axes import Axes

    from facetrack.measures.measured import Measured

# Measures use tracks, so they are above: they are imported when needed.
_MEASURES: Registry[Any] = Registry(
    "measures", {"measures": "facetrack.measures.measured:measure_video"}
)


@dataclass(frozen=True, repr=False, eq=False)
class Tracks(EqualByValue, TimeSeries):
    """Landmarks of F faces over T frames, N points each.

    Attributes:
        xy: (T, F, N, 2) float32, pixels (x right, y down), origin at the CENTRE of the top-left
            pixel (OpenCV's convention); NaN where unknown.
        visible: (T, F, N) bool, False where the point is hidden, outside the frame or unknown.
        confidence: (T, F, N) float32 in [0, 1].
        time: (T,) float64, presentation time of each frame in seconds, from the container.
        face_id: (F,) int64, stable identity of each face.
        scheme: name of the point layout (`facetrack.landmarks.schemes`), e.g. "68".
        size: (width, height) of the frames in pixels, as displayed (rotation applied).
        first_frame: 0-based index of the first row's frame in the decoded video.
        stride: number of frames from one row to the next.
        image_names: (T,) str, the file name of each row's image if the video is a series of images;
            else None.
        corrected: (T, F, N) bool, the points that a person has placed; None if nobody has corrected
            these tracks.
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
    image_names: np.ndarray | None = None
    corrected: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.xy.ndim != 4 or self.xy.shape[-1] != 2:
            raise ValueError(f"xy must be (T, F, N, 2), not {self.xy.shape}")
        frames, faces, points = self.xy.shape[:3]
        for name, shape in (
            ("visible", (frames, faces, points)),
            ("confidence", (frames, faces, points)),
            ("time", (frames,)),
            ("face_id", (faces,)),
        ):
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must be {shape}, not {getattr(self, name).shape}")
        if self.image_names is not None and self.image_names.shape != (frames,):
            raise ValueError(f"image_names must be {(frames,)}, not {self.image_names.shape}")
        if self.corrected is not None and self.corrected.shape != (frames, faces, points):
            shape = (frames, faces, points)
            raise ValueError(f"corrected must be {shape}, not {self.corrected.shape}")

    def __len__(self) -> int:
        """Return the number of frames T."""
        return self.xy.shape[0]

    @property
    def frames(self) -> np.ndarray:
        """(T,) int64: 0-based index of each row's frame in the decoded video."""
        return self.first_frame + self.stride * np.arange(len(self))

    @property
    def face_confidence(self) -> np.ndarray:
        """(T, F) float32: mean confidence of the known points, 0 where no point is known."""
        known = np.isfinite(self.xy).all(-1)
        total = np.where(known, self.confidence, 0).sum(-1)
        return (total / np.maximum(known.sum(-1), 1)).astype(np.float32)

    @property
    def success(self) -> np.ndarray:
        """(T, F) bool: True where at least a quarter of the face's points are visible."""
        return self.visible.mean(-1) >= 0.25

    def to_dataframe(self, layout: Literal["wide", "long"] = "wide") -> pd.DataFrame:
        """Return the landmarks as a pandas table.

        "wide" has one row per frame and face and the columns of facetrack's CSV file, so the same
        code can process both: `frame` (0-based, in the decoded video), `face_id`, `timestamp`
        (seconds), `confidence` (of the face, 0 to 1), `success` (bool), then `x_0` ... `x_{N-1}`,
        `y_0` ... `y_{N-1}` (pixels from the centre of the top-left pixel, NaN where unknown) and
        `v_0` ... `v_{N-1}` (bool, visible); of corrected tracks also `corrected`, the numbers of
        the points that a person has placed; for a series of images also `image`, the file's name.
        Unlike in the file, values are not rounded.

        "long" (tidy) has one row per frame, face and point: `frame`, `face_id`, `timestamp`,
        `point` (0-based), `region` (e.g. "right_eye", categorical; missing in a free layout), `x`,
        `y`, `visible` and `confidence` (of the point).

        Raises:
            FacetrackError: pandas is not installed, or `layout` is unknown.
        """
        return build_dataframe(self, layout)

    def to_xarray(self) -> xarray.Dataset:
        """Return the landmarks as an xarray dataset, in the layout of the package movement.

        Coordinates: `time` (seconds, as in the container), `space` ("x", "y"), `keypoints`
        ("point_0", ...), `individuals` ("face_0", ... by `face_id`); also `frame` (0-based) along
        the time, `region` ("right_eye", ...; empty in a free layout) along the keypoints, and for a
        series of images `image` along the time.

        Variables: `position` (time, space, keypoints, individuals) in pixels from the centre of the
        top-left pixel, NaN where unknown; `confidence` and `visible` (time, keypoints,
        individuals). The attribute `fps` is absent where the steps of time vary.

        Raises:
            FacetrackError: xarray is not installed.
        """
        from facetrack.landmarks.dataset import build_dataset

        return build_dataset(self)

    def measure(self, focal: float | None = None) -> Measured:
        """Measure head pose, eyes, mouth, brows and asymmetries, and find blinks and other events.

        Args:
            focal: focal length of the camera in pixels; None for OpenFace's rule, 500 at 640 x 480
                in proportion.

        Returns:
            The measures of each face and the events, as `facetrack measure` writes them: its
            `to_dataframe()`, `events_to_dataframe()` and `summaries()`.

        Raises:
            FacetrackError: the layout has not the 68 points, or the size of the frames is not
                known.
        """
        measured: Measured = _MEASURES.create("measures", self, focal)
        return measured

    def plot(
        self,
        kind: Literal["trajectories", "visibility"] = "trajectories",
        *,
        points: str | Sequence[int | str] | None = None,
        face_id: int | None = None,
        axes: Axes | Sequence[Axes] | None = None,
    ) -> list[Axes]:
        """Plot one face's points over time with matplotlib.

        Args:
            kind: "trajectories" plots x above y, in pixels, dotted where a point is hidden.
                "visibility" plots one row per point: seen, hidden or unknown.
            points: indices, names of regions ("right_eye"), or both; None: a few characteristic
                points for "trajectories", all points for "visibility".
            face_id: the face to plot; None: the first.
            axes: the axes to plot on, two for "trajectories" and one for "visibility"; None
                creates a new figure.

        Returns:
            The axes, two or one. Their figure is `axes[0].figure`.

        Raises:
            FacetrackError: matplotlib is not installed, or a kind, point or face is unknown.
        """
        from facetrack.viz.plot import plot

        return plot(self, kind, points, face_id, axes)

    @staticmethod
    def concatenate(parts: Iterable[Tracks]) -> Tracks:
        """Concatenate consecutive segments of one video.

        Faces are matched by their `face_id`, in order of first appearance. The points of a face are
        unknown in segments that do not contain it.

        Raises:
            ValueError: there are no segments.
        """
        parts = list(parts)
        if not parts:
            raise ValueError("no tracks to concatenate")
        ids = list(dict.fromkeys(int(i) for part in parts for i in part.face_id))
        parts = [part.with_faces(ids) for part in parts]
        first = parts[0]
        return replace(
            first,
            xy=np.concatenate([p.xy for p in parts]),
            visible=np.concatenate([p.visible for p in parts]),
            confidence=np.concatenate([p.confidence for p in parts]),
            time=np.concatenate([p.time for p in parts]),
            image_names=_concatenated_names(parts),
            corrected=_concatenated_corrections(parts),
        )

    def with_faces(self, ids: Sequence[int]) -> Tracks:
        """Return these tracks with the faces `ids`, in that order; absent faces are unknown."""
        if self.face_id.tolist() == list(ids):
            return self
        shape = (len(self), len(ids), self.xy.shape[2])
        xy = np.full((*shape, 2), np.nan, np.float32)
        visible, confidence = np.zeros(shape, bool), np.zeros(shape, np.float32)
        corrected = None if self.corrected is None else np.zeros(shape, bool)
        index_of = {int(face): index for index, face in enumerate(self.face_id)}
        for target, face in enumerate(ids):
            if face in index_of:
                source = index_of[face]
                xy[:, target] = self.xy[:, source]
                visible[:, target] = self.visible[:, source]
                confidence[:, target] = self.confidence[:, source]
                if corrected is not None and self.corrected is not None:
                    corrected[:, target] = self.corrected[:, source]
        return replace(
            self,
            xy=xy,
            visible=visible,
            confidence=confidence,
            face_id=np.array(ids, np.int64),
            corrected=corrected,
        )


def _concatenated_names(parts: Sequence[Tracks]) -> np.ndarray | None:
    names = [part.image_names for part in parts if part.image_names is not None]
    return np.concatenate(names) if len(names) == len(parts) else None


def _concatenated_corrections(parts: Sequence[Tracks]) -> np.ndarray | None:
    if all(part.corrected is None for part in parts):
        return None
    return np.concatenate(
        [np.zeros(p.visible.shape, bool) if p.corrected is None else p.corrected for p in parts]
    )


COORDINATE_ORIGIN = "centre of the top-left pixel"
LAYOUTS = ("wide", "long")
"""Layouts of `Tracks.to_dataframe`."""


def import_pandas(subject: str) -> Any:
    """Import pandas for tables of a subject, such as "tracks".

    Raises:
        FacetrackError: it is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise FacetrackError(
            f"Tables of {subject} need pandas: pip install 'facetrack[dataframe]'."
        ) from error
    return pandas


def build_dataframe(tracks: Tracks, layout: str) -> pd.DataFrame:
    """Return the landmarks as a pandas table; see `Tracks.to_dataframe`."""
    pandas = import_pandas("tracks")
    if layout not in LAYOUTS:
        raise FacetrackError(f"There is no table layout {layout!r}; choose {' or '.join(LAYOUTS)}.")
    frames, faces, points = tracks.visible.shape
    frame = tracks.frames
    if layout == "wide":
        return _wide_table(tracks, frame)
    region = np.full(points, None, object)
    for name, indices in schemes.get(tracks.scheme).regions.items():
        region[list(indices)] = name
    per_frame = faces * points
    return pandas.DataFrame(
        {
            "frame": np.repeat(frame, per_frame),
            "face_id": np.tile(np.repeat(tracks.face_id, points), frames),
            "timestamp": np.repeat(tracks.time, per_frame),
            "point": np.tile(np.arange(points), frames * faces),
            "region": pandas.Categorical(np.tile(region, frames * faces)),
            "x": tracks.xy[..., 0].ravel(),
            "y": tracks.xy[..., 1].ravel(),
            "visible": tracks.visible.ravel(),
            "confidence": tracks.confidence.ravel(),
        }
    )


def _wide_table(tracks: Tracks, frame: np.ndarray) -> pd.DataFrame:
    import pandas

    frames, faces, points = tracks.visible.shape
    rows = frames * faces
    columns: list[np.ndarray] = [
        np.repeat(frame, faces),
        np.tile(tracks.face_id, frames),
        np.repeat(tracks.time, faces),
        tracks.face_confidence.ravel(),
        tracks.success.ravel(),
        *tracks.xy[..., 0].reshape(rows, points).T,
        *tracks.xy[..., 1].reshape(rows, points).T,
        *tracks.visible.reshape(rows, points).T,
    ]
    table = dict(zip(column_names(points), columns, strict=True))
    if tracks.corrected is not None:
        table[CORRECTED_COLUMN] = np.array(corrected_cells(tracks.corrected), object)
    if tracks.image_names is not None:
        table[IMAGE_COLUMN] = np.repeat(tracks.image_names.astype(object), faces)
    return pandas.DataFrame(table)


FIXED_COLUMNS = ("frame", "face_id", "timestamp", "confidence", "success")
CORRECTED_COLUMN = "corrected"
"""Column of the table of corrected tracks: numbers of the points that a person has placed, with
spaces between them."""
IMAGE_COLUMN = "image"
"""Last column of the table of a series of images: the file name of the row's image."""


def column_names(points: int) -> list[str]:
    """Return the column names of the wide table for `points` points."""
    return [*FIXED_COLUMNS, *(f"{axis}_{i}" for axis in "xyv" for i in range(points))]


def corrected_cells(corrected: np.ndarray) -> list[str]:
    """Return the cells of CORRECTED_COLUMN of tracks (T, F, N), row by row."""
    rows = corrected.reshape(-1, corrected.shape[-1])
    cells = [""] * len(rows)
    for index in np.flatnonzero(rows.any(-1)).tolist():
        cells[index] = " ".join(map(str, np.flatnonzero(rows[index]).tolist()))
    return cells
