"""Measure how faces at any roll are found and placed, by angle and landmark detector.

    python benchmarks/accuracy/rolls.py --faces FACES [--detectors star,ert] [--angles 0,45,90]
        [--step 1] [--seconds 600] [--face-detector auto|none|NAME] [--threads 1]
    python benchmarks/accuracy/rolls.py --faces FACES --turns [--detectors star]
    python benchmarks/accuracy/rolls.py --faces FACES --fit [--detectors star]

Each held-out picture is turned about the middle of its face, on a black square that has room for
all of it. The face is found and placed as by `facetrack detect`; its landmarks are turned back and
compared with those of the picture at the first angle, 0. With --face-detector none the face is not
searched for: its annotated box is given, and only its roll is unknown. With --seconds the figures
are those of the faces that were done in that time. Figures for each angle:

- missed: faces without landmarks.
- agreement: mean distance of the 68 points from those at angle 0, per cent of the distance between
  the outer eye corners: median over the faces, and 90th percentile.
- over 2 %, over 5 %: share of faces whose distance is larger, or that are missed, of those found at
  angle 0.
- NME: median distance from the annotated points, per cent of the same.
- flipped: faces whose roll is wrong by more than 45 degrees.

With --turns, landmarks are placed in about the true box in crops turned by 0, 90, 180 and 270
degrees. For each crop that may be tried first: how often it is taken without a look at the others,
and how often the landmarks that are taken in the end are wrong (off by more than 10 %). Networks
that align their crops place some turned faces rightly, too.

With --fit, landmarks are placed in the true box in crops turned by 0, 90, 180 and 270 degrees, in
pictures that are clean, dark, noisy, tiny or partly covered, in turn. The logistic regression of
`facetrack.orientation.placement.CALIBRATIONS` is fitted to which landmarks are right. The log odds
of right and of wrong ones are listed (least, 1 %, median; median, 99 %, largest).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.common.heldout import Faces
from facetrack import detectors, face_detectors
from facetrack.detectors import DetectorOptions
from facetrack.detectors.crops import hog_box
from facetrack.face_detectors import FaceBoxes, FaceDetector
from facetrack.face_detectors.auto import quick
from facetrack.identity.shape_model import ShapeModel
from facetrack.multiface.detection import FaceLandmarker
from facetrack.orientation.detector import create
from facetrack.orientation.placement import (
    CALIBRATIONS,
    MAX_COUNTED_ERROR,
    MIN_ADVANTAGE,
    SURE,
    RollEstimator,
    place_turned,
)
from facetrack.orientation.turning import rotation, wrapped

MAX_ERROR = 10.0
"""Mean error up to which landmarks are right, per cent of the distance of the outer eye corners."""
SIDE = 500
"""Pixels of the square in which pictures are turned."""
KINDS = ("clean", "dark", "noisy", "tiny", "covered")
RIDGE = 2e-4


class CachedFaces:
    """A face detector that knows the pictures it has seen, for several landmark detectors."""

    def __init__(self, detector: FaceDetector) -> None:
        self.name, self._detector = detector.name, detector
        self.known: dict[bytes, FaceBoxes] = {}

    def detect(self, image: np.ndarray) -> FaceBoxes:
        key = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA).tobytes()
        if key not in self.known:
            self.known[key] = self._detector.detect(image)
        return self.known[key]

    def describe(self) -> dict[str, object]:
        return self._detector.describe()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--every-face", action="store_true")
    parser.add_argument("--face-detector", default="auto", help="or none: the annotated box")
    parser.add_argument("--detectors", default="star,pipnet,fan,heatmap1d,ert")
    parser.add_argument("--angles", default="0,45,90,135,180,225,270,315")
    parser.add_argument("--step", type=int, default=1, help="use every Nth face")
    parser.add_argument("--seconds", type=float, default=np.inf, help="begin no face after that")
    parser.add_argument("--turns", action="store_true")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    known = Faces(options.faces, options.every_face)
    chosen = range(0, len(known.names), options.step)
    names = options.detectors.split(",")
    if options.fit or options.turns:
        for name in names:
            (fit if options.fit else decide)(name, known, chosen)
        return
    angles = [float(a) for a in options.angles.split(",")]
    choice = options.face_detector
    thorough = CachedFaces(face_detectors.create("auto" if choice == "none" else choice))
    fast = CachedFaces(quick()) if choice == "auto" else thorough
    finders = {
        name: FaceLandmarker(create(name, DetectorOptions()), thorough, fast) for name in names
    }
    shape = (len(names), len(angles), len(chosen), 68, 2)
    placed, truth = np.full(shape, np.nan), np.empty((len(chosen), 68, 2))
    # Any number of the first faces is a fair sample.
    order = np.random.default_rng(0).permutation(len(chosen))
    began, done = time.monotonic(), 0
    for i, face in enumerate(known[chosen[k]] for k in order):
        if time.monotonic() - began > options.seconds:
            break
        truth[i] = face.points
        for a, angle in enumerate(angles):
            turned, back = turn(face.image, face.points, np.radians(angle))
            for n, finder in enumerate(finders.values()):
                if choice == "none":
                    # The square box of a rolled face has the middle and side of the upright one.
                    half = np.ptp(hog_box(face.points)[::2]) / 2
                    middle = (SIDE - 1) / 2
                    box = np.array([middle - half, middle - half, middle + half, middle + half])
                    found = finder.place(turned, box)
                else:
                    found = next(iter(finder.find(turned, 1, thorough=True)), None)
                if found is not None:
                    placed[n, a, i] = back(found.xy.astype(float))
            thorough.known.clear()
            fast.known.clear()
        done = i + 1
        print(f"{done} of {len(chosen)} faces", end="\r", file=sys.stderr, flush=True)
    report(names, angles, placed[:, :, :done], truth[:done])


def turn(
    image: np.ndarray, points: np.ndarray, angle: float
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Turn a picture clockwise about its face; returns it and the way back for points (N, 2)."""
    box = hog_box(points)
    centre, middle, matrix = (box[:2] + box[2:]) / 2, np.full(2, (SIDE - 1) / 2), rotation(angle)
    transform = np.concatenate([matrix, (middle - matrix @ centre)[:, None]], axis=1)
    turned = cv2.warpAffine(image, transform, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    return turned, lambda xy: (xy - middle) @ matrix + centre


def report(names: list[str], angles: list[float], placed: np.ndarray, truth: np.ndarray) -> None:
    """Print a row for each detector and angle."""
    shapes = ShapeModel.load()
    between = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=-1)
    rolls = np.array([shapes.roll(xy) for xy in truth])
    print(f"{len(truth)} faces\n")
    print("| detector | angle | missed | agreement | 90 % | over 2 % | over 5 % | NME | flipped |")
    print("|---|---|---|---|---|---|---|---|---|")
    for n, name in enumerate(names):
        upright = np.isfinite(placed[n, 0]).all((1, 2))
        for a, angle in enumerate(angles):
            found = np.isfinite(placed[n, a]).all((1, 2))
            both = found & upright
            apart = distance(placed[n, a], placed[n, 0], between)
            over = [int(upright.sum() - (apart[both] <= limit).sum()) for limit in (2, 5)]
            turned = [
                abs(wrapped(shapes.roll(placed[n, a, i]) - rolls[i])) > np.pi / 4
                for i in np.flatnonzero(found)
            ]
            cells = [
                name,
                f"{angle:g}",
                str(int((~found).sum())),
                f"{np.median(apart[both]):.2f}",
                f"{np.percentile(apart[both], 90):.2f}",
                *(f"{100 * count / max(upright.sum(), 1):.1f}" for count in over),
                f"{np.median(distance(placed[n, a], truth, between)[found]):.2f}",
                str(sum(turned)),
            ]
            print(f"| {' | '.join(cells)} |")


def distance(xy: np.ndarray, reference: np.ndarray, between: np.ndarray) -> np.ndarray:
    """Return mean distances (F,) of landmarks (F, 68, 2), per cent of that of the eyes (F,)."""
    return np.asarray(100 * np.linalg.norm(xy - reference, axis=-1).mean(-1) / between)


def decide(name: str, known: Faces, chosen: range) -> None:
    """Print which of the crops at quarter turns is taken, by the crop that is tried first."""
    detector, shapes = detectors.create(name), ShapeModel.load()
    calibration = CALIBRATIONS[detector.describe()["weights"]]
    estimator = RollEstimator(detector, shapes, calibration)
    random = np.random.default_rng(0)
    odds, right = np.empty((len(chosen), 4)), np.empty((len(chosen), 4), bool)
    for i, c in enumerate(chosen):
        face = known[c]
        box = hog_box(face.points)
        side = box[2] - box[0]
        box = box + np.tile(random.normal(0, 0.04, 2) * side, 2)
        box = box + random.normal(0, 0.04) * side * np.array([-1, -1, 1, 1])
        placed = estimator.place(face.image, [(box, k * np.pi / 2) for k in range(4)])
        odds[i] = [crop.log_odds for crop in placed]
        right[i] = [is_right(crop.xy, face.points) for crop in placed]
    print(f"{name}: log odds of the upright crop at least {odds[:, 0].min():.1f}, ", end="")
    print(f"of crops with wrong landmarks at most {odds[~right].max():.1f}; ", end="")
    print(f"landmarks right in {right[:, 1:].sum()} of {3 * len(right)} turned crops")
    for first in range(4):
        lead = np.where(np.arange(4) == first, 0, MIN_ADVANTAGE)
        sure = odds[:, first] >= SURE
        taken = np.where(sure, first, (odds - lead).argmax(1))
        print(f"  {90 * first} degrees first: at once {sure.sum()}, ", end="")
        wrong = ~np.take_along_axis(right, taken[:, None], 1)
        print(f"in the end wrong {wrong.sum()} of {len(odds)}")


def fit(name: str, known: Faces, chosen: range) -> None:
    """Fit the calibration of a landmark detector, and print it with the log odds."""
    detector, shapes = detectors.create(name), ShapeModel.load()
    random = np.random.default_rng(0)
    rows: list[tuple[float, float, bool]] = []
    for i, c in enumerate(chosen):
        face = known[c]
        image = degrade(face.image, face.points, KINDS[i % len(KINDS)], random)
        box = hog_box(face.points)
        box = box + np.tile(random.normal(0, 0.06, 2) * (box[2] - box[0]), 2)
        crops = [(box, k * np.pi / 2) for k in range(4)]
        for xy, score in place_turned(detector, image, crops):
            error = min(float(shapes.shape_error(xy)), MAX_COUNTED_ERROR)
            rows.append((float(score.mean()), error, is_right(xy, face.points)))
    table = np.array(rows, float)
    right = table[:, 2] > 0
    # Scores and errors of about equal spread, so that the ridge treats them alike.
    features = np.column_stack([np.ones(len(rows)), 10 * table[:, 0], -table[:, 1]])
    x, y = torch.from_numpy(features), torch.from_numpy(right.astype(float))
    weights = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        each = torch.nn.functional.binary_cross_entropy_with_logits(x @ weights, y, 1 + 2 * y)
        total = each + RIDGE * (weights[1:] ** 2).sum()
        total.backward()
        return total

    optimiser.step(loss)
    fitted = weights.detach().numpy()
    print(f"{name}: offset {fitted[0]:.1f}, score {10 * fitted[1]:.1f}, error {fitted[2]:.1f}")
    odds = features @ fitted
    print("  right:", *(f"{v:.1f}" for v in np.percentile(odds[right], (0, 1, 50))))
    print("  wrong:", *(f"{v:.1f}" for v in np.percentile(odds[~right], (50, 99, 100))))
    best = odds.reshape(-1, 4).argmax(1)
    print(f"  best crop: {np.bincount(best, minlength=4).tolist()} at 0, 90, 180, 270 degrees")


def is_right(xy: np.ndarray, truth: np.ndarray) -> bool:
    """Return whether landmarks (68, 2) are those of a face with landmarks `truth`."""
    between = np.linalg.norm(truth[36] - truth[45])
    return bool(distance(xy[None], truth[None], between)[0] <= MAX_ERROR)


def degrade(
    image: np.ndarray, points: np.ndarray, kind: str, random: np.random.Generator
) -> np.ndarray:
    """Return a picture as a bad camera shows it."""
    between = float(np.linalg.norm(points[36] - points[45]))
    if kind == "dark":
        noisy = image * random.uniform(0.08, 0.25) + random.normal(0, 8, image.shape)
        return noisy.clip(0, 255).astype(np.uint8)
    if kind == "noisy":
        noisy = image + random.normal(0, random.uniform(20, 60), image.shape)
        return noisy.clip(0, 255).astype(np.uint8)
    if kind == "tiny":
        scale = random.uniform(10, 30) / between
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    if kind == "covered":
        centre, half = points[random.integers(68)], between * random.uniform(0.3, 0.6, 2)
        x0, y0 = np.maximum(centre - half, 0).astype(int)
        x1, y1 = np.maximum(centre + half, 0).astype(int)
        image = image.copy()
        image[y0:y1, x0:x1] = random.integers(0, 255, 3)
    return image


if __name__ == "__main__":
    main()
