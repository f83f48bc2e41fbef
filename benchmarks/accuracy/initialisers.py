"""Compare the published ideas for placing landmarks, by year, on faces that no training has seen.

    python benchmarks/accuracy/initialisers.py --faces FOLDER [--detectors mdm,dan,star]
        [--weights mdm=FILE] [--threads 1]

FOLDER holds pictures of faces with `landmarks68.npz`; only those of `heldout_faces.txt` are tested,
and the others give the mean shape. One row a detector:

- parameters and file: of its weights.
- ms: median time per face, without face detection.
- NME: mean distance of the points, per cent of the distance between the outer eye corners, in boxes
  that scatter as a face detector's do (`facetrack.training.detectors.data.JITTER`).
- FR: share of faces whose NME is above 10 %.
- exact, 10 %, 20 %: NME in the box of the annotation, and in boxes whose centre is off by that
  share of their side, in a random direction.

The five points of `dcnn` are compared with the middles of the eyes, the tip of the nose and the
corners of the mouth, in the same unit. The first rows are the mean shape of the training faces in
the same boxes, and its five points: what a detector must beat.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from facetrack import detectors
from facetrack.detectors.cascades.dcnn import five_points
from facetrack.detectors.crops import hog_box
from facetrack.landmarks import schemes
from facetrack.training.detectors.data import HeldOut, jittered, load, load_held_out
from facetrack.weights import resolve
from facetrack.weights.state_dict import read_state_dict

YEARS = {
    "dcnn": 2013,
    "cfan": 2014,
    "ert": 2014,
    "cascade": 2016,
    "mdm": 2016,
    "dan": 2017,
    "fan": 2017,
    "san": 2018,
    "heatmap1d": 2020,
    "pipnet": 2021,
    "fifa": 2023,
    "star": 2023,
}
"""Years in which the ideas were published."""
OFF = (0.1, 0.2)
"""Shares of the box's side by which its centre is off."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--detectors", default=",".join(YEARS))
    parser.add_argument("--weights", action="append", default=[], metavar="DETECTOR=FILE")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    chosen = dict(entry.split("=", 1) for entry in options.weights)

    faces = load_held_out(options.faces, "68")
    exact = hog_box(faces.points)
    places = {
        "jittered": jittered(exact),
        "exact": exact,
        **{str(share): displaced(exact, share) for share in OFF},
    }
    print("| detector | year | parameters | file | ms | NME | FR | exact | 10 % | 20 % |")
    print("|---|" + "---:|" * 9)
    mean = mean_shape(options.faces)
    guesses = [
        box[:, None, :2] + mean * (box[:, 2:] - box[:, :2])[:, None] for box in places.values()
    ]
    report("mean shape", ["", "", "", ""], [nme(g, faces.points, "68") for g in guesses])
    few = [five_points(torch.from_numpy(g)).numpy() for g in guesses]
    report("its five points", ["", "", "", ""], [nme(g, faces.points, "5") for g in few])
    for name in filter(None, options.detectors.split(",")):
        weights = chosen.get(name, "auto")
        detector = detectors.create(name, detectors.DetectorOptions(weights, "cpu"))
        file = resolve(name, weights).path
        errors, seconds = [], []
        for boxes in places.values():
            found, took = run(detector, faces, boxes)
            errors.append(nme(found, faces.points, detector.scheme))
            seconds += took
        cells = [str(YEARS[name]), *size(file), f"{1000 * float(np.median(seconds)):.1f}"]
        report(name, cells, errors)


def displaced(boxes: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """Return boxes (M, 4) whose centres are off by a share of their side, in random directions."""
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(boxes))
    shift = share * (boxes[:, 2:] - boxes[:, :2]) * np.stack([np.cos(angle), np.sin(angle)], 1)
    return boxes + np.tile(shift, 2)


def mean_shape(folder: Path) -> np.ndarray:
    """Return the mean (68, 2) of the training faces in the unit of their boxes."""
    points = load(folder, "68", torch.device("cpu"), side=64).points.numpy().astype(float)
    boxes = hog_box(points)[:, None]
    return np.asarray(((points - boxes[..., :2]) / (boxes[..., 2:] - boxes[..., :2])).mean(0))


def run(
    detector: detectors.LandmarkDetector, faces: HeldOut, boxes: np.ndarray
) -> tuple[np.ndarray, list[float]]:
    """Return the landmarks (M, N, 2) of one face at a time, and the seconds that each took."""
    found, seconds = [], []
    for image, box in zip(faces.images, boxes, strict=True):
        began = time.perf_counter()
        found.append(detector.detect(image, box[None]).xy[0])
        seconds.append(time.perf_counter() - began)
    return np.array(found), seconds


def nme(found: np.ndarray, truth: np.ndarray, scheme: str) -> np.ndarray:
    """Return the error (M,) of faces in per cent of the distance of the outer eye corners."""
    right, left = schemes.get("68").eye_corners or (36, 45)
    unit = np.linalg.norm(truth[:, right] - truth[:, left], axis=-1)
    if scheme == "5":
        truth = five_points(torch.from_numpy(truth)).numpy()
    away = np.linalg.norm(found - truth, axis=-1).mean(1)
    return np.asarray(np.where(np.isfinite(away), 100 * away / unit, np.inf))


def size(file: Path) -> tuple[str, str]:
    """Return the number of parameters (of networks) and the size of a weights file."""
    megabytes = f"{file.stat().st_size / 1e6:.1f} MB"
    if file.suffix == ".dat":
        return "", megabytes
    count = sum(value.numel() for value in read_state_dict(file).values())
    return f"{count / 1e6:.2f} M", megabytes


def report(name: str, cells: list[str], errors: list[np.ndarray]) -> None:
    """Print the row of a detector."""
    typical, *others = errors
    figures = [typical.mean(), 100 * (typical > 10).mean(), *(e.mean() for e in others)]
    print(f"| {name} | {' | '.join([*cells, *(f'{f:.2f}' for f in figures)])} |", flush=True)


if __name__ == "__main__":
    main()
