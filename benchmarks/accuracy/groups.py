"""Measure how steady landmark detectors are on people of all ages and descents, and on masks.

    python benchmarks/accuracy/groups.py --faces FOLDER [--detectors star,fan] [--weights star=FILE]
        [--count 30] [--face-detector mtcnn]

FOLDER holds pictures of faces, not annotated: `utkface/` with UTKFace's file names
(age_gender_race_date.jpg), `masks/`, `portraits/`, or other subfolders. Without annotations the
error is unknown. But where a detector errs, its answer mostly changes with what should not matter:

- mirrored: the mirrored picture.
- box: a box that is a tenth larger, and moved by a twentieth.
- half: half the picture's width and height.
- blurred: Gaussian blur of 2 % of the box's side.

The figures are medians over the faces of a group of the mean distance from the answer on the
picture itself, in per cent of the distance of the outer eye corners. `unsteady` is the share of
faces that one of the four changes by more than 5 %. Each group has at most --count faces, drawn at
random.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from facetrack import detectors, face_detectors
from facetrack.landmarks import schemes
from facetrack.landmarks.geometry import error_unit
from facetrack.training.detectors.pseudo_labels import find_face

UNSTEADY = 5.0
DESCENTS = ("White", "Black", "Asian", "Indian", "other")
"""UTKFace's words for its numbers."""
OLDEST = 80
SUFFIXES = (".jpg", ".jpeg", ".png")

View = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class Change(NamedTuple):
    """A change that should not matter.

    Attributes:
        name: heading of its column.
        view: changes a picture (H, W, 3) and a box (4,).
        back: converts landmarks (68, 2) in the changed picture to the picture of a width.
    """

    name: str
    view: View
    back: Callable[[np.ndarray, int], np.ndarray] = lambda xy, width: xy


def mirror(image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x0, y0, x1, y1 = box
    last = image.shape[1] - 1
    return np.ascontiguousarray(image[:, ::-1]), np.array([last - x1, y0, last - x0, y1])


def shift_box(image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    side = box[2:] - box[:2]
    low, high = box[:2] - 0.05 * side, box[2:] + 0.05 * side
    return image, np.concatenate([low, high]) + np.tile(0.05 * side, 2)


def halve(image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width = image.shape[0] // 2, image.shape[1] // 2
    even = image[: 2 * height, : 2 * width]
    half = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
    return half, (box + 0.5) / 2 - 0.5


def blur(image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return cv2.GaussianBlur(image, (0, 0), 0.02 * float(box[2] - box[0])), box


CHANGES = (
    Change("mirrored", mirror, lambda xy, width: schemes.get("68").mirror(xy, width)),
    Change("box", shift_box),
    Change("half", halve, lambda xy, width: (xy + 0.5) * 2 - 0.5),
    Change("blurred", blur),
)


def groups_of(folder: Path) -> dict[str, list[Path]]:
    """Return the pictures of each group."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        words = path.name.split("_")
        if path.parent.name != "utkface":
            groups.setdefault(path.parent.name, []).append(path)
        elif len(words) == 4 and all(word.isdigit() for word in words[:3]):
            age, descent = int(words[0]), int(words[2])
            decade = min(age // 10 * 10, OLDEST)
            ages = f"{decade} years and more" if decade == OLDEST else f"{decade} to {decade + 9}"
            groups.setdefault(ages, []).append(path)
            groups.setdefault(DESCENTS[min(descent, len(DESCENTS) - 1)], []).append(path)
    return dict(sorted(groups.items()))


def measure(
    detector: detectors.LandmarkDetector, pictures: list[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Return how far each change moves the landmarks of each face (M, changes), in per cent."""
    plain = detector.detect_many([p for p, _ in pictures], [b[None] for _, b in pictures])
    xy = np.array([found.xy[0] for found in plain], float)
    unit = error_unit(xy)
    moved = np.empty((len(pictures), len(CHANGES)))
    for c, change in enumerate(CHANGES):
        views = [change.view(*picture) for picture in pictures]
        answers = detector.detect_many([v for v, _ in views], [b[None] for _, b in views])
        for m, found in enumerate(answers):
            again = change.back(found.xy[0].astype(float), pictures[m][0].shape[1])
            moved[m, c] = 100 * np.linalg.norm(again - xy[m], axis=-1).mean() / unit[m]
    return moved


def main() -> None:
    """Print a table for each detector."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--detectors", default="star")
    parser.add_argument("--weights", action="append", default=[], metavar="DETECTOR=FILE")
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--face-detector", default="mtcnn")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    chosen = dict(entry.split("=", 1) for entry in options.weights)
    made = {
        name: detectors.create(name, detectors.DetectorOptions(weights=chosen.get(name, "auto")))
        for name in options.detectors.split(",")
    }
    finder = face_detectors.create(options.face_detector)
    heads = " | ".join(change.name for change in CHANGES)
    print(f"| detector | group | faces | not found | {heads} | unsteady |")
    print(f"|---|---|{'---:|' * (len(CHANGES) + 3)}")
    random = np.random.default_rng(0)
    for group, paths in groups_of(options.faces).items():
        drawn = [paths[i] for i in random.permutation(len(paths))[: options.count]]
        found = [find_face(path, finder) for path in drawn]
        seen = [(picture.image, picture.box) for picture in found if picture is not None]
        for name, detector in made.items():
            if not seen:
                continue
            moved = measure(detector, seen)
            cells = " | ".join(f"{value:.2f}" for value in np.nanmedian(moved, 0))
            unsteady = 100 * (~(moved.max(1) <= UNSTEADY)).mean()
            print(
                f"| {name} | {group} | {len(seen)} | {len(drawn) - len(seen)} | {cells} | "
                f"{unsteady:.0f} % |",
                flush=True,
            )


if __name__ == "__main__":
    main()
