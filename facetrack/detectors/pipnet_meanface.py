"""PIPNet's mean faces, which define the landmarks' neighbours and the network's training crop.

A mean face is (N, 2): the mean place of each landmark in the training crops, x right and y down,
from (0, 0) at a crop's top-left corner to (1, 1) at its bottom-right corner. The network's
neighbour maps are meaningless without the mean face it was trained with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facetrack.errors import FacetrackError

if TYPE_CHECKING:
    from facetrack.weights import ResolvedWeights

# Published mean faces, named after upstream's data set folders. 300-W with unlabelled CelebA (or
# COFW and WFLW) has the points of 300-W but larger crops.
_FOLDER = Path(__file__).parent / "pipnet_meanface"
BY_COUNT = {68: "data_300W", 98: "WFLW", 29: "COFW", 19: "AFLW", 106: "LaPa"}

ANCHOR_NAMES = (
    "right eye, outer",
    "right eye, inner",
    "left eye, inner",
    "left eye, outer",
    "mouth, right corner",
    "mouth, left corner",
    "chin",
)
# Indices of the anchors in each layout.
INDICES = {
    68: (36, 39, 42, 45, 48, 54, 8),
    98: (60, 64, 68, 72, 76, 82, 16),
    29: (8, 10, 11, 9, 22, 23, 28),
    19: (6, 8, 9, 11, 15, 17, 18),
    106: (66, 70, 75, 79, 84, 90, 16),
}
# Places of the anchors relative to dlib's HOG box (unit: its side, origin: its top-left corner).
# Medians over 146 annotated faces of the 300-W training sets, measured by
# benchmarks/calibration/box_rules.py.
ANCHORS = np.array(
    [
        (0.222, 0.298),
        (0.383, 0.308),
        (0.624, 0.302),
        (0.790, 0.287),
        (0.324, 0.733),
        (0.688, 0.728),
        (0.512, 1.048),
    ]
)


def bundled() -> list[str]:
    """Return the names of the published mean faces."""
    return sorted(path.stem for path in _FOLDER.glob("*.txt"))


def read(source: str | Path) -> np.ndarray:
    """Read a mean face (N, 2), either a published one by its name or one from a file.

    Raises:
        FacetrackError: the file is not a list of 2N numbers x y x y ...
    """
    path = _FOLDER / f"{source}.txt" if isinstance(source, str) else source
    try:
        return parse(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise FacetrackError(
            f"{path} is not a mean face: numbers x y x y ... were expected."
        ) from error


def parse(text: str) -> np.ndarray:
    """Parse a mean face (N, 2) from numbers x y x y ...

    Raises:
        ValueError: the text is not a list of such numbers.
    """
    numbers = np.array(text.split(), float)
    if not len(numbers) or len(numbers) % 2 or not np.isfinite(numbers).all():
        raise ValueError("not pairs of finite numbers")
    return numbers.reshape(-1, 2)


def choose(
    found: ResolvedWeights, metadata: Mapping[str, str], count: int
) -> tuple[str, np.ndarray]:
    """Choose the mean face that belongs to a weights file.

    Registered weights name their mean face. For the user's own file, the first of these counts:
    `meanface.txt` beside the file; the file's metadata; a folder in its path that is named after a
    data set, as upstream's snapshots are; the published mean face with `count` points.

    Args:
        found: the weights file.
        metadata: of the file; "meanface" holds the numbers.
        count: number of landmarks of the network.

    Returns:
        A name for the mean face, and the mean face (N, 2).

    Raises:
        FacetrackError: no mean face has `count` points.
    """
    path = found.path
    if count not in INDICES:
        known = ", ".join(str(n) for n in sorted(INDICES))
        raise FacetrackError(f"{path} places {count} points: a PIPNet of {known} was expected.")
    named = found.weights.options.get("meanface") if found.weights else None
    beside = path.parent / "meanface.txt"
    if named is not None:
        name, face = named, read(named)
    elif found.weights is None and beside.is_file():
        name, face = str(beside), read(beside)
    elif "meanface" in metadata:
        name, face = "in the weights", _inside(path, metadata["meanface"])
    else:
        folders = path.absolute().parent.parts[::-1]
        fitting = (f for f in folders if f in bundled() and len(read(f)) == count)
        name = next(fitting, BY_COUNT[count])
        face = read(name)
    if len(face) != count:
        raise FacetrackError(f"{path} places {count} points, its mean face ({name}) {len(face)}.")
    return name, face


def _inside(path: Path, text: str) -> np.ndarray:
    try:
        return parse(text)
    except ValueError as error:
        raise FacetrackError(f"The mean face inside {path} is damaged.") from error


def neighbours(face: np.ndarray, count: int) -> np.ndarray:
    """Return the nearest landmarks of each landmark, (N, count), nearest first."""
    squared_distance = ((face[:, None] - face[None]) ** 2).sum(-1)
    return np.argsort(squared_distance, axis=1)[:, 1 : count + 1]


def predictors(near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the landmarks that predict each landmark as their neighbour.

    Args:
        near: (N, K) neighbours of each landmark, see `neighbours`.

    Returns:
        (N, L) predicting landmarks, and (N, L) the rank of the landmark among their neighbours. L
        is the length of the longest list. As upstream, shorter lists repeat from their beginning,
        which gives their first entries more weight in the mean. Rows of landmarks that are no
        other's neighbour are -1.
    """
    lists = [np.argwhere(near == landmark) for landmark in range(len(near))]
    longest = max(len(pairs) for pairs in lists)
    padded = np.full((len(near), longest, 2), -1)
    for landmark, pairs in enumerate(lists):
        if len(pairs):
            padded[landmark] = pairs[np.arange(longest) % len(pairs)]
    return padded[..., 0], padded[..., 1]


def spanned(face: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Fit the crop in which `points` (N, 2) lie nearest to `face` (N, 2).

    The scale and shift of each axis are least-squares estimates.

    Returns:
        (4,) x0 y0 x1 y1 in the unit of the points.
    """
    centred = face - face.mean(0)
    scale = (centred * (points - points.mean(0))).sum(0) / (centred**2).sum(0)
    origin = points.mean(0) - scale * face.mean(0)
    return np.concatenate([origin, origin + scale])


def crop_of(face: np.ndarray) -> np.ndarray:
    """Return the crop of a mean face (N, 2) relative to the HOG box, (4,) x0 y0 x1 y1.

    The crop aligns the anchors with their mean places.

    Raises:
        KeyError: no layout has N points.
    """
    return spanned(face[list(INDICES[len(face)])], ANCHORS)
