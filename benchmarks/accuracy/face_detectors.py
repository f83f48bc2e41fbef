"""Measure face detectors: which faces they find, what else they take for faces, and how fast.

    python benchmarks/accuracy/face_detectors.py --faces FOLDER [--detectors auto,mtcnn=FILE]
        [--faceless FOLDER] [--tile FILE.png]

FOLDER holds face crops with `landmarks68.npz`; only those of `heldout_faces.txt` are used. Each is
shown in four ways: as it is, and shrunk to three sizes of its box and pasted into a photograph of
640 x 480 pixels without faces, of which a third each are left as they are, darkened to a quarter
with the noise of a weak sensor, and blurred. The photographs are scikit-image's. `mtcnn=FILE` is
MTCNN with weights of `facetrack train face-detector`. Detectors that cannot run here are named and
left out.

- found: share of the faces for which a box has an intersection over union of at least 0.5 with the
  box that the annotation implies (`facetrack.detectors.crops.hog_box`).
- false: boxes without such a face, per picture with a pasted face. A few crops show a second
  person, who counts as false as well.
- faceless: boxes on pictures without faces: scikit-image's, each in two sizes, and all of
  --faceless.
- ms: mean CPU time per picture with a pasted face, on one thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from skimage import data as photographs

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.common.heldout import Face, Faces
from facetrack import face_detectors
from facetrack.detectors.crops import hog_box
from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import resize
from facetrack.video.image_files import list_images

FACELESS = ("coffee", "chelsea", "rocket", "brick", "grass", "gravel", "coins", "page", "clock")
WIDTH, HEIGHT = 640, 480
SIZES = {"20 to 40 px": (20, 40), "40 to 80 px": (40, 80), "80 to 200 px": (80, 200)}
"""Sides of the faces' boxes."""
LIGHTS = ("as they are", "dark, noisy", "blurred")
AS_IT_IS = "crops"
MIN_OVERLAP = 0.5


class Shown(NamedTuple):
    """A picture with one known face.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        box: (4,) x0 y0 x1 y1 of the face.
        size, light: keys of SIZES and LIGHTS; AS_IT_IS for a crop as it is.
    """

    image: np.ndarray
    box: np.ndarray
    size: str
    light: str


def overlap(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return the intersection over union (F,) of boxes (F, 4) with one box (4,)."""
    common = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    shared = common.clip(0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    return np.asarray(shared / (areas - shared))


def pasted(face: Face, size: str, light: str, random: np.random.Generator) -> Shown:
    """Paste a face, shrunk to a size, into a photograph without faces, and change the light."""
    side = np.exp(random.uniform(*np.log(SIZES[size])))
    box = hog_box(face.points)
    small = resize(face.image, side / (box[2] - box[0]))
    ratio = np.array(small.shape[1::-1]) / np.array(face.image.shape[1::-1])
    name = FACELESS[random.integers(len(FACELESS))]
    frame = _in_colour(cv2.resize(getattr(photographs, name)(), (WIDTH, HEIGHT)))
    height, width = small.shape[:2]
    x, y = random.integers(WIDTH - width), random.integers(HEIGHT - height)
    frame[y : y + height, x : x + width] = small
    place = (box + 0.5) * np.tile(ratio, 2) - 0.5 + [x, y, x, y]
    return Shown(_lit(frame, light, side, random), place, size, light)


def _in_colour(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image[..., :3].copy()


def _lit(image: np.ndarray, light: str, side: float, random: np.random.Generator) -> np.ndarray:
    if light == "dark, noisy":
        dark = image / 4 + random.normal(0, 4, image.shape)
        return dark.round().clip(0, 255).astype(np.uint8)
    if light == "blurred":
        return np.asarray(cv2.GaussianBlur(image, (0, 0), side / 24))
    return image


def make_pictures(faces: Faces) -> list[Shown]:
    """Return every face as it is and in each size, with the lights in turn."""
    random, shown = np.random.default_rng(0), []
    for i in range(len(faces.names)):
        face = faces[i]
        shown.append(Shown(face.image, hog_box(face.points), AS_IT_IS, AS_IT_IS))
        for j, size in enumerate(SIZES):
            shown.append(pasted(face, size, LIGHTS[(i + j) % len(LIGHTS)], random))
    return shown


def read_faceless(folder: Path | None) -> list[np.ndarray]:
    """Return pictures without faces: scikit-image's in two sizes, and those of a folder."""
    pictures = [_in_colour(getattr(photographs, name)()) for name in FACELESS]
    pictures += [cv2.resize(picture, (1280, 960)) for picture in pictures]
    for path in list_images(folder) if folder else ():
        image = cv2.imread(str(path))
        if image is None:
            raise FacetrackError(f"{path} cannot be read as a picture.")
        pictures.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    return pictures


def row_of(
    detector: face_detectors.FaceDetector, pictures: list[Shown], faceless: list[np.ndarray]
) -> tuple[list[str], list[np.ndarray]]:
    """Measure a detector: the cells of its row, and its boxes on each picture."""
    found, false, seconds, answers = [], [], [], []
    for shown in pictures:
        start = time.process_time()
        boxes = detector.detect(shown.image).boxes
        seconds.append(time.process_time() - start)
        right = overlap(boxes, shown.box) >= MIN_OVERLAP
        found.append(bool(right.any()))
        false.append(int((~right).sum()))
        answers.append(boxes)
    is_pasted = np.array([shown.size != AS_IT_IS for shown in pictures])
    groups = [~is_pasted]
    groups += [np.array([shown.size == size for shown in pictures]) for size in SIZES]
    groups += [np.array([shown.light == light for shown in pictures]) for light in LIGHTS]
    cells = [f"{100 * np.mean(np.array(found)[group]):.1f}" for group in groups]
    alarms = sum(len(detector.detect(image).boxes) for image in faceless)
    return [
        *cells,
        f"{np.mean(np.array(false)[is_pasted]):.3f}",
        f"{alarms}",
        f"{1000 * np.mean(np.array(seconds)[is_pasted]):.0f}",
    ], answers


def tile(pictures: list[Shown], answers: list[np.ndarray], path: Path) -> None:
    """Draw what a detector missed (red) and answered (green) on pictures with pasted faces."""
    missed = [
        (shown, boxes)
        for shown, boxes in zip(pictures, answers, strict=True)
        if shown.size != AS_IT_IS
        and (len(boxes) != 1 or not (overlap(boxes, shown.box) >= MIN_OVERLAP).any())
    ][:24]
    cells = []
    for shown, boxes in missed + [missed[-1]] * (-len(missed) % 6) if missed else ():
        image = shown.image.copy()
        for box, colour in [*((b, (0, 255, 0)) for b in boxes), (shown.box, (255, 0, 0))]:
            corners = np.round(box).astype(int)
            cv2.rectangle(image, corners[:2].tolist(), corners[2:].tolist(), colour, 2)
        cells.append(cv2.resize(image, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA))
    rows = [np.concatenate(cells[i : i + 6], 1) for i in range(0, len(cells), 6)]
    if rows:
        cv2.imwrite(str(path), cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--detectors", default=",".join(face_detectors.available()))
    parser.add_argument("--faceless", type=Path, help="folder of more pictures without faces")
    parser.add_argument("--tile", type=Path, help="draw what was wrong with pasted faces")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    pictures, faceless = make_pictures(Faces(options.faces)), read_faceless(options.faceless)
    columns = ["face detector", AS_IT_IS, *SIZES, *LIGHTS]
    print(f"| {' | '.join(columns)} | false | faceless ({len(faceless)}) | ms |")
    print("| --- |" + " ---: |" * (len(columns) + 2))
    for name in options.detectors.split(","):
        try:
            detector = face_detectors.create(name)
            detector.detect(np.zeros((64, 64, 3), np.uint8))
        except FacetrackError as error:
            print(f"left out: {name}: {error}")
            continue
        cells, answers = row_of(detector, pictures, faceless)
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
        if options.tile:
            safe = name.partition("=")[0] + ("-own" if "=" in name else "")
            path = options.tile.with_stem(f"{options.tile.stem}-{safe}")
            tile(pictures, answers, path)


if __name__ == "__main__":
    main()
