"""Ground truth of a video's frames, in the forms in which data sets give it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.evaluation import scores
from facetrack.formats.csv import read_csv
from facetrack.formats.npz import read_npz
from facetrack.landmarks import schemes
from facetrack.tracks import Tracks

_NUMBER = re.compile(r"(?:(.*)[^0-9])?([0-9]+)")
_ARRAYS = {"xy", "visible"}


@dataclass(frozen=True)
class Truth:
    """Where the points truly are.

    Attributes:
        path: where it was read.
        frames: (M,) int, the annotated frames of the video, counted from 0, ascending.
        xy: (M, N, 2) float64 pixels, origin at the centre of the top-left pixel; NaN where unknown.
        visible: (M, N) bool what can be seen, or None where the source does not say.
        note: how the frames were numbered, where that was inferred; else "".
    """

    path: Path
    frames: np.ndarray
    xy: np.ndarray
    visible: np.ndarray | None
    note: str = ""

    def fitted(self, scheme: str) -> Truth:
        """The same in another layout.

        Raises:
            FacetrackError: this one does not hold that layout's points.
        """
        own = schemes.for_count(self.xy.shape[1]).name
        if own == scheme:
            return self
        try:
            index = list(schemes.index_map(own, scheme))
        except FacetrackError:
            wanted = schemes.get(scheme).count
            raise FacetrackError(
                f"{self.path} has {self.xy.shape[1]} points a frame, but the methods place "
                f"{wanted}: choose a --scheme or detectors that go with it."
            ) from None
        seen = None if self.visible is None else self.visible[:, index]
        return Truth(self.path, self.frames, self.xy[:, index], seen, self.note)

    def spread(self, count: int) -> tuple[np.ndarray, np.ndarray | None]:
        """(T, N, 2) and (T, N) for a video of T frames; NaN and False where not annotated.

        Raises:
            FacetrackError: no annotated frame is among them.
        """
        inside = self.frames < count
        if not inside.any():
            raise FacetrackError(
                f"{self.path} annotates frames from {self.frames[0]} on, but the video has {count} "
                "frames."
            )
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
            - a folder of `.pts` files, one a frame: 300-VW's `annot/` (`000001.pts`, counted from
              1), or `<stem>_000000.pts` as facetrack writes them (counted from 0). Frames without
              a file are not annotated;
            - a facetrack `.csv` or `.npz` of tracks with one face, whose visibility counts too;
            - an `.npz` of `names` and `points`, names as of the `.pts` files;
            - an `.npz` of `xy` (T, N, 2) pixels by pixel centres and, if known, `visible` (T, N).

    Raises:
        FacetrackError: it is none of these, or holds several faces a frame.
    """
    path = Path(path)
    if path.suffix.lower() == ".npz" and path.is_file():
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
            found = {name: data[name] for name in _ARRAYS & set(data.files)}
    except Exception as error:
        # Damaged archives make numpy fail in any of a dozen ways.
        raise FacetrackError(f"{path} is damaged or not an .npz file.") from error
    xy = found["xy"]
    if xy.ndim != 3 or xy.shape[2] != 2 or not np.issubdtype(xy.dtype, np.floating):
        raise FacetrackError(f"{path}: xy must be (frames, points, 2) numbers, not {xy.shape}.")
    visible = found.get("visible")
    if visible is not None and (visible.shape != xy.shape[:2] or visible.dtype != bool):
        raise FacetrackError(f"{path}: visible must be {xy.shape[:2]} of true or false.")
    return _made(path, np.arange(len(xy)), xy.astype(float), visible)


def _of_tracks(tracks: Tracks, path: Path) -> Truth:
    if tracks.xy.shape[1] != 1:
        raise FacetrackError(f"{path} has {tracks.xy.shape[1]} faces a frame: one is expected.")
    return _made(path, tracks.frames, tracks.xy[:, 0].astype(float), tracks.visible[:, 0])


def _of_faces(faces: scores.Faces, path: Path) -> Truth:
    numbers: dict[int, np.ndarray] = {}
    bare = True
    for stem, some in sorted(faces.items()):
        found = _NUMBER.fullmatch(stem)
        if found is None:
            raise FacetrackError(f"{path}: {stem} does not end with the number of a frame.")
        if len(some) > 1 or int(found[2]) in numbers:
            raise FacetrackError(f"{path} has several faces of frame {found[2]}: one is expected.")
        bare = bare and found[1] is None
        if some:
            numbers[int(found[2])] = some[0]
    if not numbers:
        raise FacetrackError(f"{path} holds no landmarks.")
    counts = {len(face) for face in numbers.values()}
    if len(counts) > 1:
        raise FacetrackError(f"{path} has frames of {min(counts)} and of {max(counts)} points.")
    frames = np.array(sorted(numbers))
    xy = np.stack([numbers[int(n)] for n in frames]).astype(float)
    # 300-VW's files are bare numbers from 1; facetrack's have a stem and count from 0.
    base = int(bare and frames[0] > 0)
    example = frames[0]
    note = f"File {example} of {path.name} is taken for frame {example - base} of the video" + (
        " (bare numbers count from 1, as in 300-VW)." if base else " (numbers count from 0)."
    )
    return _made(path, frames - base, xy, None, note)


def _made(
    path: Path, frames: np.ndarray, xy: np.ndarray, visible: np.ndarray | None, note: str = ""
) -> Truth:
    known = np.isfinite(xy).all(-1)
    if not known.any():
        raise FacetrackError(f"{path} holds no position.")
    return Truth(path, frames, np.where(known[..., None], xy, np.nan), visible, note)
