"""Measure which damage to landmarks the shape model detects.

On the held-out faces, which the model has not seen, this shows how often the shape error is above 1
for the annotated landmarks, for landmarks of star in boxes shifted like a face detector's, and for
annotated landmarks with damage, in shares of the inter-ocular distance (IOD):

- shifted: every point by that share, each in its own direction;
- left behind: a third of the points, random or neighbours, stay while the face moves by that share;
- one point: a single point is off;
- eyes swapped, brows on the eyes, mouth upside down;
- squashed: the width alone is multiplied by that share;
- collapsed: all points within a hundredth of the IOD.

`hidden` repeats this with weight 0 for a random half of the points, and `half` with only the points
of one half of the face known.

    python benchmarks/calibration/plausibility.py --faces FACES [--without-star]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from facetrack.identity.shape_model import ShapeModel
from facetrack.training.detectors.data import HeldOut, jittered, load_held_out

Random = np.random.Generator


def ways(random: Random, count: int) -> np.ndarray:
    """Return (count, 2) random unit vectors."""
    angle = random.uniform(0, 2 * np.pi, count)
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def shifted(face: np.ndarray, by: float, random: Random) -> np.ndarray:
    return face + by * ways(random, len(face))


def left_behind(face: np.ndarray, by: float, random: Random, near: bool) -> np.ndarray:
    if near:
        far = np.linalg.norm(face - face[random.integers(len(face))], axis=1)
        stay = np.argsort(far)[: len(face) // 3]
    else:
        stay = random.choice(len(face), len(face) // 3, replace=False)
    out = face + by * ways(random, 1)
    out[stay] = face[stay]
    return out


def one_off(face: np.ndarray, by: float, random: Random) -> np.ndarray:
    out = face.copy()
    out[random.integers(len(face))] += by * ways(random, 1)[0]
    return out


def taken(face: np.ndarray, to: range | list[int], source: range | list[int]) -> np.ndarray:
    out = face.copy()
    out[list(to)] = face[list(source)]
    return out


def damages(faces: np.ndarray, random: Random) -> dict[str, np.ndarray]:
    """Return damaged landmarks (M, 68, 2) by the name of the damage."""
    iod = np.linalg.norm(faces[:, 36] - faces[:, 45], axis=-1)
    pairs = list(zip(faces, iod, strict=True))
    made = {}
    for part in (0.1, 0.2, 0.4):
        made[f"shifted, {part:.0%}"] = [shifted(f, part * d, random) for f, d in pairs]
    for near, called in ((False, "any"), (True, "neighbours")):
        for part in (0.1, 0.2, 0.4):
            name = f"a third left behind ({called}), {part:.0%}"
            made[name] = [left_behind(f, part * d, random, near) for f, d in pairs]
    for part in (0.2, 0.4, 0.8):
        made[f"one point, {part:.0%}"] = [one_off(f, part * d, random) for f, d in pairs]
    right, left = range(36, 42), range(42, 48)
    made["eyes swapped"] = [taken(f, [*right, *left], [*left, *right]) for f in faces]
    eyes = [36, 37, 38, 38, 39, 42, 43, 44, 44, 45]
    made["brows on the eyes"] = [taken(f, range(17, 27), eyes) for f in faces]
    turned = [*range(48, 60), *range(60, 68)]
    made["mouth upside down"] = [
        taken(
            f, turned, [54, *range(55, 60), 48, *range(49, 54), 64, *range(65, 68), 60, 61, 62, 63]
        )
        for f in faces
    ]
    made["squashed, 70%"], made["squashed, 50%"] = faces * (0.7, 1), faces * (0.5, 1)
    point = faces.mean(1, keepdims=True)
    made["collapsed"] = [
        p + shifted(np.zeros((68, 2)), 0.01 * d, random) for p, d in zip(point, iod, strict=True)
    ]
    return {name: np.array(some) for name, some in made.items()}


def by_star(held_out: HeldOut) -> np.ndarray:
    from facetrack import detectors
    from facetrack.detectors.crops import hog_box

    star = detectors.create("star")
    boxes = jittered(hog_box(held_out.points))
    pairs = zip(held_out.images, boxes, strict=True)
    return np.array([star.detect(image, box[None]).xy[0] for image, box in pairs], float)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--without-star", action="store_true")
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    model = ShapeModel.load()
    held_out = load_held_out(arguments.faces, "68")
    rows = {"annotated": held_out.points}
    if not arguments.without_star:
        rows["by star"] = by_star(held_out)
    rows |= damages(held_out.points, random)
    count = len(held_out.points)
    hidden = np.argsort(random.random((count, 68)), axis=1) % 2
    # The halves share the middle line, so that something holds them together.
    half = np.zeros((count, 68))
    half[:, [*range(9), *range(17, 22), *range(27, 34), *range(36, 42), 48, 49, 50, 51, 57, 58]] = 1
    print(f"{count} faces: share above 1 (median)\n\n| landmarks | all | hidden | half |")
    print("|---|---:|---:|---:|")
    for name, points in rows.items():
        cells = []
        for weight in (None, hidden, half):
            found = model.shape_error(points, weight)
            cells.append(f"{100 * (found > 1).mean():.1f} % ({np.median(found):.2f})")
        print(f"| {name} |", " | ".join(cells), "|")
    video = np.repeat(held_out.points, 10, axis=0)
    began = time.process_time()
    model.shape_error(video)
    each = (time.process_time() - began) * 1000 / len(video)
    print(f"\n{each:.3f} ms a face, {len(video)} at once;")
    began = time.process_time()
    for face in held_out.points:
        model.shape_error(face)
    print(f"{(time.process_time() - began) * 1000 / count:.3f} ms one by one")


if __name__ == "__main__":
    main()
