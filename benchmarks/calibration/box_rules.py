"""Measure where a face is in the HOG detector's box, and each landmark network's own crop.

Each landmark network was trained on its own style of box. For annotated faces that dlib's HOG
detector finds, this prints, in sides of the HOG box from its top-left corner:

1. the tight box around the 68 landmarks, which FAN's rule (centre moved up by 0.12 of the height,
   side 200 / 195 of width + height) and STAR's start from: LANDMARK_BOX in
   facetrack/detectors/crops.py;
2. the corners of eyes and mouth and the chin: ANCHORS in facetrack/detectors/pipnet_meanface.py;
3. for every mean face of PIPNet the crop that follows from them, and for those of 68 points also
   the crop measured directly, which brings all landmarks of a face nearest to the mean face.
   PIPNet's published 300-W crop, the landmarks' box times 1.1, is shown for comparison.

Medians, interquartile ranges in brackets.

    python benchmarks/calibration/box_rules.py FOLDER [--faces 150]

FOLDER holds the images and landmarks68.npz (`names`, `points` (M, 68, 2) by pixel centres).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from facetrack.detectors import pipnet_meanface
from facetrack.face_detectors.base import resize
from facetrack.face_detectors.dlib_hog import DlibHog


def in_boxes(folder: Path, count: int) -> np.ndarray:
    """Return (M, 68, 2) landmarks in sides of the HOG box, from its top-left corner."""
    data = np.load(folder / "landmarks68.npz")
    random = np.random.default_rng(0)
    order = random.permutation(len(data["names"]))[:count]
    # The detector searches sizes in steps of 6 / 5. The faces of the data are all of one size, so
    # as they are they would tell of one step: spread them over two.
    scales = np.exp(random.uniform(np.log(0.45), np.log(0.45 * 1.44), len(order)))
    hog, places = DlibHog(), []
    for face, scale in zip(order, scales, strict=True):
        name = str(data["names"][face])
        image = cv2.cvtColor(cv2.imread(str(folder / name)), cv2.COLOR_BGR2RGB)
        small = resize(image, scale)
        ratio = np.array(small.shape[1::-1]) / np.array(image.shape[1::-1])
        points = (data["points"][face] + 0.5) * ratio - 0.5
        middle = points.mean(0)
        for box in hog.detect(small).boxes:
            if (box[:2] < middle).all() and (middle < box[2:]).all():
                places.append((points - box[:2]) / (box[2:] - box[:2]))
                break
    return np.array(places)


def said(values: np.ndarray) -> str:
    """Format the medians and interquartile ranges of values (M, K)."""
    median = np.median(values, axis=0)
    spread = np.subtract(*np.percentile(values, [75, 25], axis=0))
    return "  ".join(f"{m:+.3f} ({s:.3f})" for m, s in zip(median, spread, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--faces", type=int, default=150)
    options = parser.parse_args()

    points = in_boxes(options.folder, options.faces)
    tight = np.concatenate([points.min(1), points.max(1)], axis=1)
    print(f"{len(points)} of {options.faces} faces were found.\n\nLANDMARK_BOX, x0 y0 x1 y1:")
    print(f"  {said(tight)}")

    print("\nANCHORS, x y:")
    for name, index in zip(pipnet_meanface.ANCHOR_NAMES, pipnet_meanface.INDICES[68], strict=True):
        print(f"  {name:22} {said(points[:, index])}")

    print("\nPIPNet's crops, x0 y0 x1 y1:")
    grown = (tight[:, 2:] - tight[:, :2]) * 0.05
    larger = np.concatenate([tight[:, :2] - grown, tight[:, 2:] + grown], axis=1)
    print(f"  {'landmarks x 1.1':22} {said(larger)}")
    for name in pipnet_meanface.bundled():
        face = pipnet_meanface.read(name)
        rule = pipnet_meanface.crop_of(face)
        print(f"  {name:22} " + "  ".join(f"{v:+.3f}" for v in rule) + "  (by the anchors)")
        if len(face) == 68:
            direct = np.array([pipnet_meanface.spanned(face, some) for some in points])
            print(f"  {'':22} {said(direct)}  (directly)")


if __name__ == "__main__":
    main()
