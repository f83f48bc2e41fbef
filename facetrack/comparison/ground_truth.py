"""Read ground truth of a video's frames in the formats of common data sets."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.evaluation import scores
from facetrack.formats.csv import read_csv
from facetrack.formats.npz import read_npz, refuse_zip_bombs
from facetrack.landmarks import schemes
from facetrack.tracks import Tracks

_NUMBER = re.compile(r"(?:(.*)[^0-9])?([0-9]+)")
_ARRAYS = {"xy", "visible"}


@dataclass(frozen=True)
class Truth:
    """Annotated points of a video.

    Attributes:
        path: the source.
        frames: (M,) int, the annotated frames of the video, counted from 0, ascending.
        xy: (M, N, 2) float64 pixels, origin at the centre of the top-left pixel; NaN if unknown.
        visible: (M, N) bool, or None if the source has no visibility.
        note: how the frames are numbered if that was inferred, otherwise "".
    """

    path: Path
    frames: np.ndarray
    xy: np.ndarray
    visible: np.ndarray | None
    note: str = ""

    def fitted(self, scheme: str) -> Truth:
        """Convert the points to another layout.

        Raises:
            FacetrackError: the present layout does not contain that layout's points.
        """
        own_scheme = schemes.for_count(self.xy.shape[1]).name
        if own_scheme == scheme:
            return self
        try:
            index = list(schemes.index_map(own_scheme, scheme))
        except FacetrackError:
            wanted = schemes.get(scheme).count
            raise FacetrackError(
                f"{self.path} has {self.xy.shape[1]} points per frame, but the methods have "
                f"{wanted}: choose a --scheme or detectors that match it."
            ) from None
        seen = None if self.visible is None else self.visible[:, index]
        return Truth(self.path, self.frames, self.xy[:, index], seen, self.note)

    def spread(self, count: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Expand to all T frames of a video.

        Args:
            count: T.

        Returns:
            Points (T, N, 2), NaN if not annotated, and visibility (T, N), False if not annotated;
            the latter is None if the source has none.
        """
        inside = self.frames < count
        xy = np.full((count, *self.xy.shape[1:]), np.nan)
        xy[self.frames[inside]] = self.xy[inside]
        if self.visible is None:
            return xy, None
        visible = np.zeros(xy.shape[:2], bool)
        visible[self.frames[inside]] = self.visible[inside]
        return xy, visible


def read_truth(path: Path) -> Truth:
    """Read ground truth.

    Args:
        path: one of
            - a folder of `.pts` files, one per frame: 300-VW's `annot/` (`000001.pts`, counted from
              1), or `<stem>_000000.pts` as written by facetrack (counted from 0). Frames without
              a file are not annotated;
            - a facetrack `.csv` or `.npz` of tracks with one face, including its visibility;
            - an `.npz` of `names` and `points`, with names like the `.pts` files;
            - an `.npz` of `xy` (T, N, 2) in pixels (pixel centres) and, if known, `visible` (T, N).

    Raises:
        FacetrackError: the path is none of these, or has several faces per frame.
    """
    path = Path(path)
    if path.suffix.lower() == ".npz" and os.path.isfile(path):
        arrays = _arrays(path)
        if arrays is not None:
            return arrays
    if scores.is_tracks(path):
        tracks = read_npz(path) if path.suffix.lower() == ".npz" else read_csv(path)
        return _of_tracks(tracks, path)
    return _of_faces(scores.read_faces(path), path)


def _arrays(path: Path) -> Truth | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            if "xy" not in data.files or "face_id" in data.files:
                return None
            refuse_zip_bombs(data)
            arrays = {name: data[name] for name in _ARRAYS & set(data.files)}
    except Exception as error:
        # numpy raises many types of errors at damaged archives.
        raise FacetrackError(f"{path} is damaged or not an .npz file.") from error
    xy = arrays["xy"]
    if xy.ndim != 3 or xy.shape[2] != 2 or not np.issubdtype(xy.dtype, np.floating):
        raise FacetrackError(f"{path}: xy must be (frames, points, 2) numbers, not {xy.shape}.")
    visible = arrays.get("visible")
    if visible is not None and (visible.shape != xy.shape[:2] or visible.dtype != bool):
        raise FacetrackError(f"{path}: visible must be {xy.shape[:2]} of true or false.")
    return _checked(path, np.arange(len(xy)), xy.astype(float), visible)


def _of_tracks(tracks: Tracks, path: Path) -> Truth:
    if tracks.xy.shape[1] != 1:
        raise FacetrackError(f"{path} has {tracks.xy.shape[1]} faces per frame: one is expected.")
    return _checked(path, tracks.frames, tracks.xy[:, 0].astype(float), tracks.visible[:, 0])


def _of_faces(faces: scores.Faces, path: Path) -> Truth:
    numbers: dict[int, np.ndarray] = {}
    are_bare_numbers = True
    for stem, frame_faces in sorted(faces.items()):
        match = _NUMBER.fullmatch(stem)
        if match is None:
            raise FacetrackError(f"{path}: {stem} does not end with the number of a frame.")
        if len(frame_faces) > 1 or int(match[2]) in numbers:
            raise FacetrackError(f"{path} has several faces of frame {match[2]}: one is expected.")
        are_bare_numbers = are_bare_numbers and match[1] is None
        if frame_faces:
            numbers[int(match[2])] = frame_faces[0]
    if not numbers:
        raise FacetrackError(f"{path} contains no landmarks.")
    counts = {len(face) for face in numbers.values()}
    if len(counts) > 1:
        raise FacetrackError(f"{path} has frames of {min(counts)} and of {max(counts)} points.")
    frames = np.array(sorted(numbers))
    xy = np.stack([numbers[int(n)] for n in frames]).astype(float)
    # 300-VW's files are bare numbers from 1; facetrack's have a stem and count from 0.
    base = int(are_bare_numbers and frames[0] > 0)
    example = frames[0]
    note = f"File {example} of {path.name} is taken for frame {example - base} of the video" + (
        " (bare numbers count from 1, as in 300-VW)." if base else " (numbers count from 0)."
    )
    return _checked(path, frames - base, xy, None, note)


def _checked(
    path: Path, frames: np.ndarray, xy: np.ndarray, visible: np.ndarray | None, note: str = ""
) -> Truth:
    known = np.isfinite(xy).all(-1)
    if not known.any():
        raise FacetrackError(f"{path} contains no position.")
    return Truth(path, frames, np.where(known[..., None], xy, np.nan), visible, note)
