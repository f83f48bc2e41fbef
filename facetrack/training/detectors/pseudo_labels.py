"""Label faces without annotations by what several landmark networks agree on.

Self-training in a curriculum, as PIPNet's authors do (Jin, Liao and Shao, IJCV 2021): networks that
were trained on annotated faces label others, and the labels that are sure are learned in the next
round. The teacher is the mean over networks, mirror images and sizes of the crop. Landmarks on
which its members disagree have no label, and faces with many such landmarks are left out: those
come in later rounds, whose teachers know more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from facetrack import detectors, face_detectors
from facetrack.detectors.alignment import FaceFrame
from facetrack.detectors.base import DetectorOptions, LandmarkDetector
from facetrack.errors import FacetrackError
from facetrack.files import atomic_path, check_output_folder
from facetrack.landmarks import schemes
from facetrack.landmarks.geometry import error_unit
from facetrack.training import face_folder

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SCHEME = "68"
SCALES = (0.95, 1.06)
"""Factors on the side of the box at which each network looks; the second is of the mirror image."""
MAX_DISAGREEMENT = 0.035
"""Root mean square distance of the members from their mean, in distances of the outer eye corners,
above which a landmark has no label. About the networks' error on annotated faces."""
MIN_LABELLED = 0.7
"""Share of labelled landmarks below which a face is left out."""
CROP_SIDE, CROP_SIZE = 1.7, 352
"""Side of the stored crops in sides of the box around the landmarks, and in pixels at most."""
BATCH = 32


@dataclass(frozen=True)
class Teacher:
    """Networks whose mean labels faces.

    Attributes:
        members: detectors of 68 points.
    """

    members: tuple[LandmarkDetector, ...]

    @staticmethod
    def of(names: Sequence[str], device: str = "auto") -> Teacher:
        """Create the teacher.

        Args:
            names: detectors, each followed by "=FILE" for weights other than the bundled ones.
            device: of the networks.

        Raises:
            FacetrackError: there is no such detector, or its layout is not that of 68 points.
        """
        members = []
        for entry in names:
            name, _, weights = entry.partition("=")
            options = DetectorOptions(weights=weights or "auto", device=device)
            member = detectors.create(name, options)
            if member.scheme != SCHEME:
                raise FacetrackError(f"{entry} places {member.scheme} points instead of 68.")
            members.append(member)
        if not members:
            raise FacetrackError("At least one detector is needed to label faces.")
        return Teacher(tuple(members))

    def label(self, images: list[np.ndarray], boxes: list[np.ndarray]) -> np.ndarray:
        """Return the landmarks (V, M, 68, 2) of M faces by V views of the members.

        Args:
            images: (H, W, 3) RGB uint8 each.
            boxes: (4,) of one face in each.
        """
        swap = list(schemes.get(SCHEME).swap)
        views = []
        for member in self.members:
            plain = [_scaled(box, SCALES[0])[None] for box in boxes]
            views.append(np.array([m.xy[0] for m in member.detect_many(images, plain)]))
            widths = np.array([image.shape[1] for image in images])
            mirrored = [_scaled(b, SCALES[1], w)[None] for b, w in zip(boxes, widths, strict=True)]
            flipped = [np.ascontiguousarray(image[:, ::-1]) for image in images]
            found = np.array([m.xy[0] for m in member.detect_many(flipped, mirrored)])[:, swap]
            found[..., 0] = widths[:, None] - 1 - found[..., 0]
            views.append(found)
        return np.array(views, float)


def _scaled(box: np.ndarray, factor: float, width: int | None = None) -> np.ndarray:
    """Return a box (4,) scaled about its centre, mirrored in an image of a width if given."""
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * factor
    if width is not None:
        centre = np.array([width - 1 - centre[0], centre[1]])
    return np.concatenate([centre - half, centre + half])


def label_faces(
    folders: Sequence[Path],
    teacher: Teacher,
    out: Path,
    face_detector: str = "auto",
    labels: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, int]:
    """Label the faces of the pictures in folders, and write them as a folder of training faces.

    Args:
        folders: searched for pictures with their subfolders.
        teacher: labels the faces.
        out: new folder; receives square crops (.jpg) and landmarks68.npz with `labelled`
            (M, 68) besides `names` and `points`: whether the networks agree on a landmark.
        face_detector: finds the largest face of each picture.
        labels: .npz with `names` (paths of pictures) and `points` (M, 68, 2) in their pixels: the
            opinion of another tool, which counts as one view more.
        progress: called with the number of pictures done, and of all.

    Returns:
        The number of faces labelled, and of pictures.

    Raises:
        FacetrackError: there are no pictures, `out` is in use, or no face could be labelled.
    """
    paths = [p for f in folders for p in sorted(f.rglob("*")) if p.suffix.lower() in SUFFIXES]
    if not paths:
        raise FacetrackError(f"There are no pictures in {', '.join(map(str, folders))}.")
    if out.is_dir() and any(out.iterdir()):
        raise FacetrackError(f"{out} is not empty: choose a new folder.")
    others = read_labels(labels) if labels is not None else {}
    check_output_folder(out)
    finder = face_detectors.create(face_detector)
    names: list[str] = []
    points: list[np.ndarray] = []
    labelled: list[np.ndarray] = []
    for done, batch in enumerate(_batches(paths, finder)):
        if batch:
            found = teacher.label([p.image for p in batch], [p.box for p in batch])
            for picture, views in zip(batch, found.swapaxes(0, 1), strict=True):
                other = others.get(picture.path.resolve())
                if other is not None:
                    views = np.concatenate([views, other[None] + picture.margin])
                sure = agree(views)
                if sure.mean() < MIN_LABELLED:
                    continue
                name = f"{len(names):06d}_{picture.path.stem}.jpg"
                points.append(_store(out / name, picture.image, views.mean(0)))
                names.append(name)
                labelled.append(sure)
        if progress is not None:
            progress(min((done + 1) * BATCH, len(paths)), len(paths))
    if not names:
        raise FacetrackError("The networks agree on no face of these pictures.")
    with atomic_path(out / f"landmarks{SCHEME}.npz") as path, path.open("wb") as file:
        np.savez(
            file,
            names=np.array(names),
            points=np.array(points, np.float32),
            labelled=np.array(labelled),
        )
    return len(names), len(paths)


def read_labels(labels: Path) -> dict[Path, np.ndarray]:
    """Read the landmarks (68, 2) of pictures from a table of `benchmarks/calibration`.

    Raises:
        FacetrackError: the file is not such a table.
    """
    names, points = face_folder.read_labels(labels, 68)
    return {Path(str(name)).resolve(): xy for name, xy in zip(names, points, strict=True)}


def agree(views: np.ndarray) -> np.ndarray:
    """Return which landmarks (68,) of a face views (V, 68, 2) agree on; none if one has no face."""
    centre = views.mean(0)
    if not np.isfinite(centre).all():
        return np.zeros(views.shape[1], bool)
    unit = float(error_unit(centre[None])[0])
    spread = np.sqrt(((views - centre) ** 2).sum(-1).mean(0))
    return np.asarray(spread <= MAX_DISAGREEMENT * max(unit, 1e-6))


class Picture(NamedTuple):
    """A picture (H, W, 3) RGB with a border `margin` pixels wide, and the box of its face."""

    path: Path
    image: np.ndarray
    margin: int
    box: np.ndarray


def find_face(path: Path, finder: face_detectors.FaceDetector) -> Picture | None:
    """Read a picture and find its largest face; None if it cannot be read or shows none."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        return None
    rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    # Tight crops hide the surroundings that face detectors expect.
    margin = max(rgb.shape[:2]) // 4
    rgb = cv2.copyMakeBorder(rgb, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    boxes = finder.detect(rgb).boxes
    return Picture(path, rgb, margin, boxes[0].astype(float)) if len(boxes) else None


def _batches(paths: list[Path], finder: face_detectors.FaceDetector) -> Iterator[list[Picture]]:
    """Yield those of the pictures that show a face, out of BATCH pictures at a time."""
    for first in range(0, len(paths), BATCH):
        found = (find_face(path, finder) for path in paths[first : first + BATCH])
        yield [picture for picture in found if picture is not None]


def _store(path: Path, image: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Write the crop of a face, and return its points (68, 2) in pixels of the crop."""
    low, high = centre.min(0), centre.max(0)
    side = CROP_SIDE * float((high - low).max())
    size = int(np.clip(round(side), 64, CROP_SIZE))
    frame = FaceFrame((low + high) / 2, side, 0.0)
    crop = frame.cut(image, size)
    assert crop is not None
    with atomic_path(path) as temporary:
        ok, data = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), [1, 92])
        if not ok:
            raise FacetrackError(f"{path} cannot be written.")
        temporary.write_bytes(data.tobytes())
    return frame.to_crop(centre, size)
