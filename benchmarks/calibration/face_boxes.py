"""Measure which faces the face detectors find, how fast, and how far their boxes differ.

Landmark detectors start from a box, so the same face must get the same box from every detector.
On annotated faces this measures, for each detector,

- the rule that converts its own box, or its five landmarks, to the HOG detector's box: the
  constants in facetrack/face_detectors/*.py are the fit on all faces, the figures shown come from a
  fit on every second face, applied to the rest ("held out");
- the distance between the landmarks that a landmark detector (ERT, or --landmarks) places from
  two detectors' boxes;
- recall, CPU time on one thread, and false alarms on pictures without faces.

    python benchmarks/calibration/face_boxes.py FOLDER [--faces 60] [--detectors hog,mtcnn]
        [--parts fit,find] [--landmarks star]

FOLDER holds the images and landmarks68.npz (`names`, `points` (M, 68, 2) by pixel centres). The
pictures without faces are scikit-image's. Detectors that cannot run here are named and left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from skimage import data as photographs

from facetrack import detectors, face_detectors
from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import hog_from_box, hog_from_five, resize

FACELESS = ("coffee", "chelsea", "rocket", "brick", "grass", "gravel", "coins", "page", "clock")
WIDTH, HEIGHT = 640, 480


class Picture(NamedTuple):
    image: np.ndarray  # (H, W, 3) RGB
    points: np.ndarray  # (68, 2) pixels


def read(folder: Path, names: np.ndarray, points: np.ndarray, index: int) -> Picture:
    image = cv2.imread(str(folder / str(names[index])))
    return Picture(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), points[index].astype(float))


def scaled(picture: Picture, scale: float) -> Picture:
    image = resize(picture.image, scale)
    ratio = np.array(image.shape[1::-1]) / np.array(picture.image.shape[1::-1])
    return Picture(image, (picture.points + 0.5) * ratio - 0.5)


def in_frame(picture: Picture, random: np.random.Generator) -> Picture:
    """Return the picture, shrunk to a side of 60 to 300, in a photograph of 640 x 480."""
    side = np.exp(random.uniform(np.log(60), np.log(300)))
    small = scaled(picture, side / picture.image.shape[0])
    name = FACELESS[random.integers(3)]
    frame = cv2.resize(getattr(photographs, name)(), (WIDTH, HEIGHT))
    height, width = small.image.shape[:2]
    x, y = random.integers(WIDTH - width), random.integers(HEIGHT - height)
    frame[y : y + height, x : x + width] = small.image
    return Picture(frame, small.points + [x, y])


def on_face(boxes: np.ndarray, points: np.ndarray) -> int | None:
    """Return which box of (F, 4) is the annotated face: it contains its middle and has its size."""
    middle, extent = points.mean(0), np.ptp(points, axis=0).mean()
    for i, box in enumerate(boxes):
        inside = (box[:2] < middle).all() and (middle < box[2:]).all()
        if inside and 0.5 < (box[2:] - box[:2]).mean() / extent < 2:
            return i
    return None


def five_of(points: np.ndarray) -> np.ndarray:
    """Return (5, 2) eyes, tip of the nose and corners of the mouth of the 68 points."""
    return np.stack(
        [points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]]
    )


def fit_box(own: np.ndarray, hog: np.ndarray) -> np.ndarray:
    """Return (M, 3) shift right and down and scale from boxes (M, 4) to boxes (M, 4)."""
    side = (own[:, 2:] - own[:, :2]).mean(1, keepdims=True)
    shift = (hog[:, :2] + hog[:, 2:] - own[:, :2] - own[:, 2:]) / 2 / side
    return np.concatenate([shift, (hog[:, 2:] - hog[:, :2]).mean(1, keepdims=True) / side], axis=1)


def fit_five(five: np.ndarray, hog: np.ndarray) -> np.ndarray:
    """Return (M, 2) `down` and `scale` of `hog_from_five` from points (M, 5, 2) to boxes (M, 4)."""
    eyes, mouth = five[:, :2].mean(1), five[:, 3:].mean(1)
    centre, way = (hog[:, :2] + hog[:, 2:]) / 2, mouth - eyes
    down = ((centre - eyes) * way).sum(1) / (way**2).sum(1)
    spread = np.sqrt(five.var(axis=1).sum(1))
    return np.column_stack([down, (hog[:, 2:] - hog[:, :2]).mean(1) / spread])


def by_box(own: np.ndarray, fit: np.ndarray) -> np.ndarray:
    return hog_from_box(own, fit[:2], fit[2])


def by_five(own: np.ndarray, fit: np.ndarray) -> np.ndarray:
    return hog_from_five(own, *fit)


def held_out(own: np.ndarray, fits: np.ndarray, apply: Callable) -> np.ndarray:
    """Return (M, 4) boxes of each half by the median rule of the other half."""
    boxes = np.empty((len(own), 4))
    for half in (0, 1):
        boxes[half::2] = apply(own[half::2], np.median(fits[1 - half :: 2], axis=0))
    return boxes


def runnable(names: list[str]) -> dict[str, face_detectors.FaceDetector]:
    """Return the detectors that can run on this machine."""
    found = {}
    for name in names:
        try:
            detector = face_detectors.create(name)
            detector.detect(np.zeros((64, 64, 3), np.uint8))
            found[name] = detector
        except FacetrackError as error:
            print(f"left out: {name}: {error}")
    return found


def measure_boxes(chosen: dict, pictures: list[Picture], placer: str) -> None:
    """Print each detector's rules, and how far apart the landmarks lie that `placer` places from
    the boxes of two detectors."""
    made = detectors.create(placer)
    own: dict[str, np.ndarray] = {}  # (M, ...) NaN where the face was not found
    nothing = np.full(4, np.nan)

    def note(key: str, index: int, value: np.ndarray) -> None:
        own.setdefault(key, np.full((len(pictures), *value.shape), np.nan))[index] = value

    for i, (image, points) in enumerate(pictures):
        note("as annotated, five", i, five_of(points))
        for name, detector in chosen.items():
            raw = getattr(detector, "detect_raw", detector.detect)(image)
            which = on_face(raw.boxes, points)
            note(f"{name}, box", i, nothing if which is None else raw.boxes[which])
            if hasattr(raw, "points") and which is not None:
                note(f"{name}, five", i, raw.points[which])
            finished = detector.detect(image)
            which = on_face(finished.boxes, points)
            note(f"{name} as it is", i, nothing if which is None else finished.boxes[which])
    hog = own.pop("hog, box")

    truth = np.stack([p.points for p in pictures])
    eyes = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=-1)

    def landmarks(boxes: np.ndarray) -> np.ndarray:
        """Return (M, 68, 2) landmarks of `placer` in boxes (M, 4); NaN without a box."""
        xy = np.full((len(boxes), 68, 2), np.nan)
        for i in np.flatnonzero(np.isfinite(boxes).all(1)):
            xy[i] = made.detect(pictures[i].image, boxes[i : i + 1]).xy[0]
        return xy

    def apart(a: np.ndarray, b: np.ndarray) -> str:
        distance = 100 * np.linalg.norm(a - b, axis=-1).mean(1) / eyes
        distance = distance[np.isfinite(distance)]
        return f"{np.median(distance):.2f} ({distance.mean():.2f})"

    reference = landmarks(hog)
    print(
        f"\nlandmarks of {placer} from a box, in % of the distance between the outer eye corners,"
    )
    print("median (mean); rules held out, with their medians and interquartile ranges over all:\n")
    print(f"| from | faces | rule | to {placer} from the HOG box | to the annotation |")
    print("|---|---:|---|---:|---:|")
    both = np.isfinite(hog).all(1)
    print(f"| hog | {both.sum()} | | | {apart(reference, truth)} |")
    placed = {"hog": reference}
    for key, values in own.items():
        given = np.isfinite(values.reshape(len(values), -1)).all(1)
        use = np.flatnonzero(given & both)
        boxes, rule = np.full((len(values), 4), np.nan), ""
        if key.endswith("as it is"):
            boxes = values
        else:
            fit, apply = (fit_five, by_five) if values.ndim == 3 else (fit_box, by_box)
            fits = fit(values[use], hog[use])
            boxes[use] = held_out(values[use], fits, apply)
            middle = np.median(fits, axis=0)
            iqr = np.subtract(*np.percentile(fits, [75, 25], axis=0))
            rule = ", ".join(f"{m:.3f} ({q:.3f})" for m, q in zip(middle, iqr, strict=True))
        xy = landmarks(boxes)
        if key.endswith("as it is"):
            placed[key.removesuffix(" as it is")] = xy
        print(f"| {key} | {len(use)} | {rule} | {apart(xy, reference)} | {apart(xy, truth)} |")
    print("\n| pair, as they are | apart |\n|---|---:|")
    for a, b in combinations(placed, 2):
        if a != b:
            print(f"| {a}, {b} | {apart(placed[a], placed[b])} |")


def measure_finding(chosen: dict, scenes: dict[str, list[Picture]]) -> None:
    """Print recall, CPU time and false alarms."""
    print("\nfaces found, % (mean CPU time per picture, ms; in multiples of hog's):\n")
    print("| |" + "".join(f" {scene} |" for scene in scenes) + " false alarms |")
    print("|---|" + "---:|" * len(scenes) + "---:|")
    first: dict[str, float] = {}
    for name, detector in chosen.items():
        row = []
        for scene, pictures in scenes.items():
            found, seconds = 0, []
            for image, points in pictures:
                start = time.process_time()
                boxes = detector.detect(image).boxes
                seconds.append(time.process_time() - start)
                found += on_face(boxes, points) is not None
            mean = 1000 * float(np.mean(seconds))
            recall = 100 * found / len(pictures)
            row.append(f"{recall:.1f} ({mean:.0f}; {mean / first.setdefault(scene, mean):.1f})")
        alarms = 0
        for picture in FACELESS:
            image = getattr(photographs, picture)()
            alarms += len(detector.detect(image).boxes)
            alarms += len(detector.detect(cv2.resize(image, (1280, 960))).boxes)
        print(f"| {name} | " + " | ".join(row) + f" | {alarms} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--faces", type=int, default=60)
    parser.add_argument("--detectors", default=",".join(face_detectors.available()))
    parser.add_argument("--landmarks", default="ert", help="which places the landmarks")
    parser.add_argument("--parts", default="fit,find", help="fit, find or both")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)

    data = np.load(options.folder / "landmarks68.npz")
    random = np.random.default_rng(0)
    order = random.permutation(len(data["names"]))[: options.faces]
    crops = [read(options.folder, data["names"], data["points"], i) for i in order]
    # The other times are multiples of the HOG detector's, so it goes first.
    names = sorted(options.detectors.split(","), key=lambda name: name != "hog")
    chosen = runnable(names)
    if "fit" in options.parts:
        # The HOG detector searches sizes in steps of 6 / 5, others likewise. The faces of the data
        # are all of one size, so as they are they would tell the ratio of two steps, not of two
        # styles: spread them over two.
        scales = np.exp(random.uniform(np.log(0.45), np.log(0.45 * 1.44), len(crops)))
        rules = {name: d for name, d in chosen.items() if name != "auto"}
        shown = [scaled(c, s) for c, s in zip(crops, scales, strict=True)]
        measure_boxes(rules, shown, options.landmarks)
    if "find" in options.parts:
        scenes = {
            "crops": crops,
            "crops, a quarter": [scaled(c, 0.25) for c in crops],
            f"in {WIDTH} x {HEIGHT}": [in_frame(c, random) for c in crops],
        }
        measure_finding(chosen, scenes)


if __name__ == "__main__":
    main()
