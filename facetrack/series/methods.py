"""The methods of `Tracks` that treat it as series over time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.landmarks.selection import Points, point_indices
from facetrack.ops import filters
from facetrack.registry import Registry
from facetrack.series import display
from facetrack.series.selection import face_numbers, rows_between

if TYPE_CHECKING:
    from facetrack.tracks import Tracks

# The formats and the measures use tracks, so they are above: they are imported when needed.
_READERS: Registry[Any] = Registry(
    "file of tracks",
    {".csv": "facetrack.formats.csv:read_csv", ".npz": "facetrack.formats.npz:read_npz"},
)
_WRITERS: Registry[Any] = Registry(
    "file of tracks",
    {".csv": "facetrack.formats.csv:CsvWriter", ".npz": "facetrack.formats.npz:NpzWriter"},
)
_COORDINATES: Registry[Any] = Registry(
    "kind of coordinates",
    {
        "normalised": "facetrack.measures.coordinates:convert",
        "head": "facetrack.measures.coordinates:convert",
        "frontal": "facetrack.measures.coordinates:to_frontal",
    },
)
SMOOTHING = ("savgol", "one-euro")
INTERPOLATION = ("linear", "pchip")


class TimeSeries:
    """Select, smooth, resample, draw, save and show tracks; see `Tracks` for the attributes."""

    xy: np.ndarray
    visible: np.ndarray
    confidence: np.ndarray
    time: np.ndarray
    face_id: np.ndarray
    scheme: str
    size: tuple[int, int]
    first_frame: int
    stride: int
    image_names: np.ndarray | None
    corrected: np.ndarray | None

    def __repr__(self) -> str:
        return display.one_line(self._tracks)

    def _repr_html_(self) -> str:
        """Return a table for notebooks: when each face is visible, and how surely."""
        return display.table(self._tracks)

    # ---------------------------------------------------------------- parts

    def select(
        self,
        *,
        points: Points | None = None,
        faces: int | Iterable[int] | None = None,
        time: tuple[float | None, float | None] | None = None,
    ) -> Tracks:
        """Return some of the points, faces or frames.

        Args:
            points: numbers of points, names of regions ("right_eye"), or several of both. The
                layout of some of the points is a free one ("points-6"), without regions.
            faces: identities of faces (`face_id`), in the order wanted.
            time: start and end in seconds; the frame at the end is excluded. None: no limit.

        Raises:
            FacetrackError: there is no such point, region, face or frame.

        Example:
            >>> tracks.select(points="right_eye", time=(0.04, None)).xy.shape
            (2, 1, 6, 2)
        """
        chosen = self._tracks
        if faces is not None:
            chosen = chosen.with_faces(face_numbers(faces, self.face_id.tolist()))
        if time is not None:
            rows = rows_between(chosen.time, time)
            names = None if chosen.image_names is None else chosen.image_names[rows]
            chosen = chosen._indexed(
                rows,
                time=chosen.time[rows],
                first_frame=int(chosen.frames[rows][0]),
                image_names=names,
            )
        if points is not None:
            layout = schemes.get(chosen.scheme)
            indices = point_indices(points, layout.count, layout.regions)
            if indices != list(range(layout.count)):
                scheme = schemes.free_scheme(len(indices)).name
                chosen = chosen._indexed((slice(None), slice(None), indices), scheme=scheme)
        return chosen

    def row(self, index: int) -> Tracks:
        """Return the tracks of one frame.

        Args:
            index: row from 0, not the number of the frame in the video.

        Raises:
            IndexError: there is no such row.
        """
        index = range(len(self.time))[index]
        rows = slice(index, index + 1)
        return self._indexed(
            rows,
            time=self.time[rows],
            first_frame=self.first_frame + self.stride * index,
            image_names=None if self.image_names is None else self.image_names[rows],
        )

    @classmethod
    def concat(cls, parts: Iterable[Tracks]) -> Tracks:
        """Join consecutive parts of one video, such as those that `select` has cut.

        Raises:
            FacetrackError: there are no parts, they differ in layout or size, or one does not
                begin after the end of the part before.

        Example:
            >>> early, late = tracks.select(time=(None, 0.04)), tracks.select(time=(0.04, None))
            >>> len(facetrack.Tracks.concat([early, late])) == len(tracks)
            True
        """
        parts = list(parts)
        if not parts:
            raise FacetrackError("There are no tracks to join.")
        first = parts[0]
        for before, part in pairwise(parts):
            if (part.scheme, part.size) != (first.scheme, first.size):
                raise FacetrackError(
                    "Only tracks of the same layout and frame size can be joined, not "
                    f"{first.scheme} {first.size} and {part.scheme} {part.size}."
                )
            continues = part.first_frame == before.first_frame + before.stride * len(before)
            if not continues or part.stride != first.stride:
                raise FacetrackError(
                    f"The part that begins with frame {part.first_frame} does not continue the one "
                    f"before, which ends with frame {before.frames[-1] if len(before) else '-'}."
                )
        joined: Tracks = first.concatenate(parts)
        return joined

    # ---------------------------------------------------------------- filters

    def smooth(
        self,
        method: Literal["savgol", "one-euro"] = "savgol",
        *,
        window: int = 7,
        order: int = 2,
        min_cutoff: float = 1.0,
        beta: float = 0.05,
        breaks: Sequence[int] = (),
    ) -> Tracks:
        """Smooth the positions over time. What is unknown stays unknown.

        A gap ends a run: nothing is smoothed across it. Visibility and confidence stay.

        Args:
            method: "savgol" fits a polynomial around each frame (Savitzky and Golay 1964); frames
                count as evenly spaced. "one-euro" uses no later frames, so it suits live tracks,
                and lags a little (Casiez et al., CHI 2012).
            window: savgol: number of frames, odd.
            order: savgol: degree of the polynomial.
            min_cutoff: one-euro: cut-off frequency at rest, in Hz; lower is smoother.
            beta: one-euro: how fast the cut-off rises with the speed, in Hz per pixel a second.
            breaks: numbers of the frames (as in `frames`) with which a new shot begins.

        Raises:
            FacetrackError: a value is out of range.

        Example:
            >>> tracks.smooth(window=3, order=1).xy.shape == tracks.xy.shape
            True
        """
        rows = [int(i) for i in np.flatnonzero(np.isin(self._tracks.frames, list(breaks)))]
        if method == "savgol":
            if window < 1 or window % 2 == 0 or not 0 <= order < window:
                raise FacetrackError(
                    f"window must be an odd number of frames and order below it, not {window} and "
                    f"{order}."
                )
            xy = filters.savgol(self.xy, window, order, rows)
        elif method == "one-euro":
            if not min_cutoff > 0 or not beta >= 0:
                raise FacetrackError(
                    f"min_cutoff must be above 0 and beta 0 or more, not {min_cutoff} and {beta}."
                )
            xy = filters.one_euro(self.xy, self.time, min_cutoff, beta, breaks=rows)
        else:
            raise FacetrackError(_no_method(method, SMOOTHING))
        return replace(self._tracks, xy=xy.astype(np.float32))

    def interpolate(
        self, max_gap: float = 0.2, method: Literal["linear", "pchip"] = "linear"
    ) -> Tracks:
        """Fill short gaps between known positions.

        Points that are filled are not visible and have confidence 0, so that they can be told from
        tracked ones. What comes before the first known position and after the last stays unknown.

        Args:
            max_gap: longest gap to fill, in seconds between the known positions at its ends.
            method: "linear", or "pchip" for a smooth curve that does not overshoot.

        Raises:
            FacetrackError: the method is unknown.
        """
        if method not in INTERPOLATION:
            raise FacetrackError(_no_method(method, INTERPOLATION))
        xy = filters.interpolate(self.xy, self.time, max_gap, method).astype(np.float32)
        was_known, is_known = (np.isfinite(values).all(-1) for values in (self.xy, xy))
        filled = is_known & ~was_known
        confidence = np.where(filled, 0, self.confidence).astype(np.float32)
        return replace(self._tracks, xy=xy, visible=self.visible & ~filled, confidence=confidence)

    def resample(self, fps: float) -> Tracks:
        """Return the tracks at evenly spaced times, e.g. of a video of variable frame rate.

        Positions and confidence are interpolated linearly between two frames. A point is known
        where it is in both, and visible likewise. Smooth before you resample to a lower rate:
        otherwise fast motion shows as slow motion (aliasing). Rows are numbered from 0 again, and
        names of images and marks of corrections are left out.

        Args:
            fps: rows a second.

        Raises:
            FacetrackError: the rate is not above 0.

        Example:
            >>> tracks.resample(100).time
            array([0.  , 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08])
        """
        if not 0 < fps < np.inf:
            raise FacetrackError(f"fps must be a number of rows a second, not {fps}.")
        if not len(self.time):
            return self._tracks
        count = int(np.floor((self.time[-1] - self.time[0]) * fps + 1e-6)) + 1
        time = np.minimum(self.time[0] + np.arange(count) / fps, self.time[-1])
        before, share = filters.neighbours(self.time, time)
        after = np.minimum(before + 1, len(self.time) - 1)
        share = share[:, None, None]
        visible = np.where(share < 1, self.visible[before], True)
        visible = visible & np.where(share > 0, self.visible[after], True)
        return replace(
            self._tracks,
            xy=filters.resample(self.xy, self.time, time).astype(np.float32),
            visible=visible,
            confidence=filters.resample(self.confidence, self.time, time).astype(np.float32),
            time=time,
            first_frame=0,
            stride=1,
            image_names=None,
            corrected=None,
        )

    def normalise(
        self, coordinates: Literal["normalised", "head", "frontal"] = "head"
    ) -> np.ndarray:
        """Return the positions in coordinates that compare between videos and people.

        Args:
            coordinates: "normalised" is 0 to 1 from edge to edge of the picture. "head" takes out
                place, size and roll: the unit is the distance between the outer eye corners. The
                68 points in "frontal" coordinates have yaw and pitch taken out, too.

        Returns:
            (T, F, N, 2) float64, NaN where unknown.

        Raises:
            FacetrackError: the layout or the size of the frames does not allow it.
        """
        if coordinates == "frontal":
            frontal: Tracks = _COORDINATES.create(coordinates, self)
            return frontal.xy.astype(np.float64)
        return np.asarray(
            _COORDINATES.create(coordinates, self.xy, coordinates, self.size, self.scheme)
        )

    # ---------------------------------------------------------------- pictures and files

    def draw(
        self, image: np.ndarray, frame: int | None = None, names: Sequence[str] | None = None
    ) -> np.ndarray:
        """Draw the landmarks of one frame on a copy of its image.

        Args:
            image: (H, W, 3) RGB or (H, W) grey, uint8.
            frame: number of the frame, as in `frames`; None if these tracks have only one.
            names: a name for each face, written above it.

        Returns:
            (H, W, 3) uint8 RGB.

        Raises:
            FacetrackError: there is no such frame, or several and none was named; the image or the
                number of names is wrong.

        Example:
            >>> tracks.draw(np.zeros((48, 64, 3), np.uint8), frame=1).shape
            (48, 64, 3)
        """
        from facetrack.ops.image import as_rgb
        from facetrack.viz.overlay import draw_landmarks

        frames = self._tracks.frames
        if frame is None and len(frames) != 1:
            raise FacetrackError(f"Name one of the {len(frames)} frames: draw(image, frame=...).")
        rows = np.flatnonzero(frames == (frames[0] if frame is None else frame))
        if not len(rows):
            raise FacetrackError(f"There is no frame {frame} in {self!r}.")
        row = rows[0]
        points = self.xy[row], self.visible[row], self.confidence[row]
        if names is not None and len(names) != len(self.face_id):
            raise FacetrackError(
                f"Give one name for each face: {len(self.face_id)}, not {len(names)}."
            )
        try:
            rgb = as_rgb(np.asarray(image))
        except ValueError as error:
            raise FacetrackError(f"The {error}.") from error
        return draw_landmarks(rgb, *points, schemes.get(self.scheme), names)

    def save(self, path: str | Path) -> Path:
        """Write the tracks to a file: all arrays (.npz), or the table (.csv).

        A file of this name is replaced, once the new one is whole.

        Args:
            path: the file. Only .npz holds the confidence of each point and the frame size.

        Returns:
            The path.

        Raises:
            FacetrackError: the name has another ending, or the file cannot be written.

        Example:
            >>> facetrack.Tracks.load(tracks.save(folder / "clip.npz")).scheme
            '68'
        """
        path = Path(path)
        with _WRITERS.create(path.suffix.lower(), path) as writer:
            writer.write(self)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Tracks:
        """Read tracks from an .npz or .csv file, of `save` or of `facetrack track`.

        A .csv does not hold the frame size, which its record beside it has.

        Raises:
            FacetrackError: the file is missing or something else.
        """
        path = Path(path)
        tracks: Tracks = _READERS.create(path.suffix.lower(), path)
        return tracks

    def to_csv(self, path: str | Path | None = None) -> str | None:
        """Write the table of `facetrack track`, one row for every frame and face.

        Args:
            path: the file, which is replaced; None to return the text.

        Returns:
            The text if there is no path.

        Raises:
            FacetrackError: the file cannot be written.
        """
        if path is not None:
            with _WRITERS.create(".csv", Path(path)) as writer:
                writer.write(self)
            return None
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "tracks.csv"
            self.to_csv(written)
            return written.read_text(encoding="utf-8")

    # ---------------------------------------------------------------- inside

    @property
    def _tracks(self) -> Tracks:
        return cast("Tracks", self)

    def _indexed(self, index: Any, **changes: Any) -> Tracks:
        """Return the tracks with an index applied to the arrays (T, F, N), and other changes."""
        return replace(
            self._tracks,
            xy=self.xy[index],
            visible=self.visible[index],
            confidence=self.confidence[index],
            corrected=None if self.corrected is None else self.corrected[index],
            **changes,
        )


def _no_method(name: str, known: Sequence[str]) -> str:
    return f"There is no method {name!r}; choose {' or '.join(known)}."
