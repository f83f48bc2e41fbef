"""Do dlib's two face detectors draw the same box around the same face, and does ERT mind?

ERT starts from the box and was trained on HOG boxes. On annotated faces that both detectors find,
this prints for each its recall, CPU time per image and the landmark error from its boxes; the shift
and scale that bring a CNN box to the HOG box; and by how much the landmarks from the two boxes
differ before and after that correction. The constants in facetrack/faces/dlib_cnn.py are the fit
on all faces; the figures marked "held out" come from a fit on every other face.

    python benchmarks/face_boxes.py FOLDER [--faces 60]

FOLDER holds the images and landmarks68.npz (`names`, `points` (M, 68, 2) by pixel centres).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from facetrack import detectors
from facetrack.faces import dlib_cnn, dlib_hog
from facetrack.faces.base import FaceBoxes, resize


def on_face(found: FaceBoxes, points: np.ndarray) -> np.ndarray:
    """(4,) the largest box that holds the landmarks' mean, NaN where none does."""
    middle = points.mean(0)
    for box in found.boxes:
        if (box[:2] < middle).all() and (middle < box[2:]).all():
            return box
    return np.full(4, np.nan)


def parameters(cnn: np.ndarray, hog: np.ndarray) -> np.ndarray:
    """(M, 3) shift right and down and scale, in CNN box sides, from boxes (M, 4) to (M, 4)."""
    side = cnn[:, 2:] - cnn[:, :2]
    shift = (hog[:, :2] + hog[:, 2:] - cnn[:, :2] - cnn[:, 2:]) / 2 / side
    scale = (hog[:, 2] - hog[:, 0]) / side[:, 0]
    return np.column_stack([shift, scale])


def corrected(cnn: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Boxes (M, 4) after the shift and scale `values` (3,)."""
    side = cnn[:, 2:] - cnn[:, :2]
    centre = (cnn[:, :2] + cnn[:, 2:]) / 2 + values[:2] * side
    return np.concatenate([centre - side * values[2] / 2, centre + side * values[2] / 2], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--faces", type=int, default=60)
    options = parser.parse_args()

    data = np.load(options.folder / "landmarks68.npz")
    random = np.random.default_rng(0)
    order = random.permutation(len(data["names"]))[: options.faces]
    # Both detectors search sizes in steps of 6 / 5. The faces of the data are all of one size, so
    # as they are they would tell the ratio of two steps, not of two styles: spread them over two.
    scales = np.exp(random.uniform(np.log(0.45), np.log(0.45 * 1.44), len(order)))
    hog, cnn, ert = dlib_hog.DlibHog(), dlib_cnn.DlibCnn(), detectors.create("ert")
    images, truth = [], np.empty((len(order), 68, 2))
    boxes: dict[str, list[np.ndarray]] = {"HOG": [], "CNN": []}
    seconds: dict[str, list[float]] = {"HOG": [], "CNN": []}
    for i, (face, scale) in enumerate(zip(order, scales, strict=True)):
        name = str(data["names"][face])
        image = cv2.cvtColor(cv2.imread(str(options.folder / name)), cv2.COLOR_BGR2RGB)
        ratio = np.array(image.shape[1::-1], float)
        image = resize(image, scale)
        ratio = np.array(image.shape[1::-1]) / ratio
        images.append(image)
        truth[i] = (data["points"][face] + 0.5) * ratio - 0.5
        for which, detect in (("HOG", hog.detect), ("CNN", cnn.detect_raw)):
            start = time.process_time()
            found = detect(image)
            seconds[which].append(time.process_time() - start)
            boxes[which].append(on_face(found, truth[i]))
    hog_boxes, cnn_boxes = np.array(boxes["HOG"]), np.array(boxes["CNN"])
    print(f"| {len(images)} faces | recall | median CPU ms per image |\n|---|---|---|")
    for which in boxes:
        recall = np.isfinite(np.array(boxes[which])).all(1).mean()
        print(f"| {which} | {recall:.1%} | {1000 * np.median(seconds[which]):.0f} |")

    both = np.flatnonzero(np.isfinite(hog_boxes).all(1) & np.isfinite(cnn_boxes).all(1))
    a, b = cnn_boxes[both], hog_boxes[both]
    values = parameters(a, b)
    fit = np.median(values, axis=0)
    spread = np.subtract(*np.percentile(values, [75, 25], axis=0))
    print(f"\nCNN to HOG box, {len(both)} faces found by both (interquartile range):")
    for what, value, iqr in zip(("shift right", "shift down", "scale"), fit, spread, strict=True):
        print(f"  {what:12} {value:+.3f} ({iqr:.3f})")
    held_out = np.empty_like(a)
    for half in (0, 1):
        half_fit = np.median(values[1 - half :: 2], axis=0)
        held_out[half::2] = corrected(a[half::2], half_fit)

    eyes = np.linalg.norm(truth[both, 36] - truth[both, 45], axis=-1)

    def landmarks(some: np.ndarray) -> np.ndarray:
        found = [ert.detect(images[i], box[None]).xy[0] for i, box in zip(both, some, strict=True)]
        return np.array(found)

    def error(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 100 * np.linalg.norm(x - y, axis=-1).mean(1) / eyes

    reference = landmarks(b)
    kinds = {
        "HOG box": b,
        "CNN box": a,
        "CNN box corrected (held out)": held_out,
        "CNN box corrected (as in the code)": dlib_cnn.hog_style(a),
    }
    print("\n% of inter-ocular distance, median (mean):")
    print("| ERT from | to ERT from the HOG box | to the annotation |\n|---|---|---|")
    for what, some in kinds.items():
        xy = landmarks(some)
        own, true = error(xy, reference), error(xy, truth[both])
        print(
            f"| {what} | {np.median(own):.2f} ({own.mean():.2f}) "
            f"| {np.median(true):.2f} ({true.mean():.2f}) |"
        )


if __name__ == "__main__":
    main()
