"""Are head poses better seen in the picture, or fitted to landmarks?

    python benchmarks/accuracy/head_pose.py --faces FOLDER [--weights FILE] [--detector star]
        [--pictures 100] [--tile FILE.png]

FOLDER holds pictures of faces with `landmarks68.npz`; only those of `heldout_faces.txt` are used.
The methods are those of `facetrack pose`: `network`, also without its second pass, and `landmarks`
(perspective-n-point on the 3-D face) by a detector's landmarks and by the true ones, of which those
on the far side are known, too. All boxes scatter as a face detector's do
(`facetrack.training.detectors.data.JITTER`). Errors of rotation are angles in degrees.

- Rendered heads (`benchmarks/clips/turned_heads.py`): --pictures of them in each band of yaw, with
  pitches to 20 and rolls to 15 degrees either way, 500 to 900 mm from a camera of known focal
  length. The median error, and the share of errors above 20 degrees, by the yaw.
- ms: median processor time per face, on one thread, without face detection.
- Rolled heads: the same with yaws to 30 degrees, by the roll.
- Held-out faces: the angle to the pose that the annotated landmarks give.
- A crop without landmarks: the mean distance of the 68 annotated points from those of the generic
  3-D face in the network's pose, and from the mean shape in the same box, per cent of the distance
  between the outer eye corners.
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

from benchmarks.accuracy.initialisers import displaced, mean_shape, nme
from benchmarks.clips.turned_heads import CAMERA, Head, Picture, heads, render
from facetrack import detectors
from facetrack.detectors.crops import hog_box
from facetrack.head_pose.estimator import HeadPoseEstimator
from facetrack.measures import face_model, rotations
from facetrack.measures.head import choose_camera
from facetrack.measures.person import fit_each
from facetrack.measures.pose import Camera
from facetrack.training.detectors.data import HeldOut, jittered, load_held_out

BANDS = ((0, 15), (15, 45), (45, 75), (75, 90))
ROLLS = ((0, 15), (15, 30), (30, 60))
PITCH, ROLL, ROLLED_YAW = 20.0, 15.0, 30.0
NEAR, FAR = 500.0, 900.0
WRONG = 20.0
TILES = 6

Method = Callable[[np.ndarray, np.ndarray, np.ndarray, Camera | None], np.ndarray]
"""Returns the rotation (3, 3) of the head in an image with a box (4,), true landmarks (68, 2) and a
camera, of which None is not known."""


def draw(
    kept: list[Head], count: int, yaw: tuple[float, float], roll: tuple[float, float], seed: int
) -> list[Picture]:
    """Render heads with a size of yaw and of roll within limits, in degrees."""
    random = np.random.default_rng(seed)
    pictures = []
    for number in range(count):
        size = np.array([random.uniform(0, PITCH), random.uniform(*yaw), random.uniform(*roll)])
        turn = rotations.from_angles(np.radians(size * random.choice((-1, 1), 3)))
        depth = random.uniform(NEAR, FAR)
        place = np.array([*random.uniform(-1, 1, 2) * (0.2, 0.1), 1]) * depth
        pictures.append(render(kept[number % len(kept)], turn, place))
    return pictures


def camera_of(image: np.ndarray, points: np.ndarray) -> Camera:
    """Return the camera that `facetrack pose` takes for a picture of one face."""
    known = np.isfinite(points).all(-1)[None, None]
    size = (image.shape[1], image.shape[0])
    return choose_camera(points[None, None], known, size, None, face_model.load())


def fit(points: np.ndarray, camera: Camera) -> np.ndarray:
    """Return the rotation (3, 3) by perspective-n-point."""
    seen = np.isfinite(points).all(-1)[None]
    return fit_each(points[None], seen, camera, face_model.load())[0][0]


def methods(weights: str, detector_name: str) -> dict[str, Method]:
    """Return the methods by name."""
    detector = detectors.create(detector_name, detectors.DetectorOptions(device="cpu"))

    def network(passes: int) -> Method:
        estimator = HeadPoseEstimator(weights, "cpu", passes)

        def see(
            image: np.ndarray, box: np.ndarray, points: np.ndarray, camera: Camera | None
        ) -> np.ndarray:
            camera = camera or camera_of(image, points)
            return estimator.estimate(image, box[None]).in_camera(camera)[0][0]

        return see

    def detected(
        image: np.ndarray, box: np.ndarray, points: np.ndarray, camera: Camera | None
    ) -> np.ndarray:
        found = detector.detect(image, box[None]).xy[0].astype(float)
        return fit(found, camera or camera_of(image, points))

    def exact(
        image: np.ndarray, box: np.ndarray, points: np.ndarray, camera: Camera | None
    ) -> np.ndarray:
        return fit(points, camera or camera_of(image, points))

    return {
        "network": network(2),
        "network, one pass": network(1),
        f"landmarks of {detector_name}": detected,
        "true landmarks": exact,
    }


def errors(method: Method, pictures: list[Picture]) -> tuple[np.ndarray, list[float]]:
    """Return the errors (P,) of a method in degrees, 180 without a pose, and the seconds."""
    boxes = jittered(hog_box(np.array([picture.points for picture in pictures])))
    found, seconds = [], []
    for picture, box in zip(pictures, boxes, strict=True):
        began = time.process_time()
        rotation = method(picture.image, box, picture.points, CAMERA)
        seconds.append(time.process_time() - began)
        found.append(rotations.angle_between(picture.rotation, rotation))
    return np.nan_to_num(np.array(found), nan=180.0), seconds


def report_rendered(chosen: dict[str, Method], sets: dict[str, list[Picture]], title: str) -> None:
    """Print the errors on rendered heads."""
    print(f"\n| {title} | {' | '.join(sets)} | ms |\n|---|{'---:|' * (len(sets) + 1)}")
    for name, method in chosen.items():
        cells, seconds = [], []
        for pictures in sets.values():
            off, took = errors(method, pictures)
            cells.append(f"{np.median(off):.1f} ({100 * (off > WRONG).mean():.0f} %)")
            seconds += took
        cells.append(f"{1000 * float(np.median(seconds)):.1f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def report_held_out(chosen: dict[str, Method], faces: HeldOut) -> None:
    """Print how far methods are from the pose of the annotated landmarks."""
    pairs = list(zip(faces.images, faces.points, strict=True))
    truth = np.array([fit(points, camera_of(image, points)) for image, points in pairs])
    boxes = jittered(hog_box(faces.points))
    print("\n| held-out faces | median | 90th percentile |\n|---|---:|---:|")
    for name, method in chosen.items():
        if name == "true landmarks":
            continue
        found = [
            method(image, box, points, None)
            for (image, points), box in zip(pairs, boxes, strict=True)
        ]
        off = rotations.angle_between(truth, np.array(found))
        off = off[np.isfinite(truth).all((1, 2))]
        print(f"| {name} | {np.nanmedian(off):.2f} | {np.nanpercentile(off, 90):.2f} |")


def report_places(weights: str, faces: HeldOut, folder: Path) -> None:
    """Print how well the network's pose places the points of the generic 3-D face."""
    exact = hog_box(faces.points)
    sets = {
        "as a detector's": jittered(exact),
        "exact": exact,
        "off by 10 %": displaced(exact, 0.1),
        "off by 20 %": displaced(exact, 0.2),
    }
    mean, estimator = mean_shape(folder), HeadPoseEstimator(weights, "cpu")
    rows: dict[str, list[str]] = {"network's pose": [], "mean shape in the box": []}
    for boxes in sets.values():
        seen = [
            estimator.estimate(image, box[None]).project(face_model.load().mean)[0]
            for image, box in zip(faces.images, boxes, strict=True)
        ]
        guesses = boxes[:, None, :2] + mean * (boxes[:, 2:] - boxes[:, :2])[:, None]
        for cells, found in zip(rows.values(), (np.array(seen), guesses), strict=True):
            cells.append(f"{nme(found, faces.points, '68').mean():.2f}")
    print(f"\n| NME, boxes | {' | '.join(sets)} |\n|---|{'---:|' * len(sets)}")
    for name, cells in rows.items():
        print(f"| {name} | {' | '.join(cells)} |")


def tile(pictures: list[Picture], weights: str) -> np.ndarray:
    """Return pictures with the generic 3-D face in the network's pose, and where it looks."""
    estimator, drawn = HeadPoseEstimator(weights, "cpu"), []
    boxes = jittered(hog_box(np.array([picture.points for picture in pictures])))
    for picture, box in zip(pictures[:TILES], boxes, strict=False):
        poses, image = estimator.estimate(picture.image, box[None]), picture.image.copy()
        for x, y in poses.project(face_model.load().mean)[0]:
            cv2.circle(image, (round(float(x)), round(float(y))), 1, (0, 255, 0), -1)
        ends = poses.project(np.array([[0, 0, 0], [0, 0, -100.0]]))[0].round().astype(int)
        cv2.line(image, tuple(ends[0]), tuple(ends[1]), (255, 160, 0), 2)
        low = picture.points.mean(0).round().astype(int) - 120
        low = np.clip(low, 0, np.array(image.shape[1::-1]) - 240)
        drawn.append(image[low[1] : low[1] + 240, low[0] : low[0] + 240])
    return np.hstack(drawn)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--weights", default="auto", help="of the network")
    parser.add_argument("--detector", default="star", help="landmark detector to compare with")
    parser.add_argument("--pictures", type=int, default=100, help="rendered heads in each band")
    parser.add_argument("--tile", type=Path, help="draw the network's answers on some heads")
    options = parser.parse_args()
    torch.set_num_threads(1)
    faces = load_held_out(options.faces, "68")
    kept = list(heads(faces.images, faces.points))
    chosen = methods(options.weights, options.detector)
    print(f"{len(kept)} heads, {options.pictures} pictures in each band")
    count = options.pictures
    bands = {
        f"{low} to {high}": draw(kept, count, (low, high), (0, ROLL), seed)
        for seed, (low, high) in enumerate(BANDS)
    }
    report_rendered(chosen, bands, "yaw in degrees")
    rolls = {
        f"{low} to {high}": draw(kept, count, (0, ROLLED_YAW), (low, high), 10 + seed)
        for seed, (low, high) in enumerate(ROLLS)
    }
    report_rendered(chosen, rolls, "roll in degrees")
    report_held_out(chosen, faces)
    report_places(options.weights, faces, options.faces)
    if options.tile:
        rows = [tile(pictures, options.weights) for pictures in (*bands.values(), *rolls.values())]
        cv2.imwrite(str(options.tile), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
