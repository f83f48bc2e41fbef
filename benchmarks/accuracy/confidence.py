"""Measure whether confidences of landmarks say which landmarks are covered, and which are exact.

    python benchmarks/accuracy/confidence.py --faces FACES [--detector star] [--draws 2]

The 201 held-out faces of FACES (`landmarks68.npz`) are drawn with hands, objects, masks and smoke
in front of most of them (`facetrack.training.covering`), and degraded. A detector places the
landmarks in boxes as far off as a face detector's. For its own scores and for `confidence-s`: the
area under the ROC curve of "visible" and of "within 5 % of the distance of the outer eye corners",
and of the landmarks with a confidence of "exact" near 0.5 and 0.9, the share that is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from facetrack.confidence.estimator import ConfidenceEstimator
from facetrack.detectors import create
from facetrack.detectors.crops import hog_box
from facetrack.training import degrade
from facetrack.training.confidence import EXACT, Source, load_source, measure_probabilities
from facetrack.training.covering import cover
from facetrack.training.detectors import augment
from facetrack.training.detectors.data import jittered
from facetrack.training.signals import Random

BATCH = 8
NEAR = 0.05


def draw(
    source: Source, index: torch.Tensor, random: Random
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pictures (B, H, W, 3) uint8, landmarks (B, 68, 2) and visibility (B, 68)."""
    crops = source.crops
    where = augment.draw(crops.squares[index], random, augment.Augmentation(mirror=0.0))
    reflect = torch.ones(len(index), dtype=torch.bool)
    pictures = crops.faces.pictures[index].float() / 255
    cut, points, _ = augment.cut(
        pictures, crops.faces.points[index], where, torch.arange(68), reflect
    )
    shown, visible = cover(cut, points, source.photographs, random)
    video = degrade.noise(degrade.soften(degrade.light(shown[:, None], random), random), random)
    rgb = (video[:, 0].permute(0, 2, 3, 1) * 255).round().byte().numpy()
    return rgb, points.numpy().astype(float), visible.numpy()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--detector", default="star")
    parser.add_argument("--draws", type=int, default=2, help="drawn pictures of each face")
    options = parser.parse_args()
    source = load_source(options.faces, torch.device("cpu"), held_out=True)
    detector, estimator = create(options.detector), ConfidenceEstimator()
    random = Random(5, torch.device("cpu"))
    rows: list[tuple[np.ndarray, ...]] = []
    order = torch.arange(len(source.crops.faces.pictures)).repeat(options.draws)
    for index in order.split(BATCH):
        pictures, points, visible = draw(source, index, random)
        boxes = jittered(hog_box(points), len(rows))
        for picture, true, seen, box in zip(pictures, points, visible, boxes, strict=True):
            found = detector.detect(picture, box[None])
            judged = estimator.estimate(picture, found.xy)
            unit = np.linalg.norm(true[36] - true[45])
            exact = np.linalg.norm(found.xy[0] - true, axis=-1) <= EXACT * unit
            rows.append((found.score[0], judged.visible[0], judged.accurate[0], seen, exact))
    score, visible_p, exact_p, visible, exact = (np.concatenate(x) for x in zip(*rows, strict=True))
    print(f"{len(rows)} pictures: {100 * visible.mean():.0f} % of the landmarks are visible, "
          f"{100 * exact.mean():.0f} % exact\n")  # fmt: skip
    print("| | area, visible | area, exact |\n|---|---:|---:|")
    for name, seen, right in (
        (f"scores of {options.detector}", score, score),
        ("confidence-s", visible_p, exact_p),
    ):
        areas = [
            measure_probabilities(p, truth.astype(float))["area"]
            for p, truth in ((seen, visible), (right, exact))
        ]
        print(f"| {name} | {areas[0]:.3f} | {areas[1]:.3f} |")
    for title, p, truth in (("visible", visible_p, visible), ("exact", exact_p, exact)):
        shares = []
        for level in (0.1, 0.5, 0.9):
            near = np.abs(p - level) <= NEAR
            shares.append(f"{truth[near].mean():.2f} at {level} ({near.sum()})")
        print(f"\nshare that is {title}, by the probability: {', '.join(shares)}")


if __name__ == "__main__":
    main()
