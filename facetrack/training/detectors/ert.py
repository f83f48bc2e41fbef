"""Training of dlib's shape predictor: an ensemble of regression trees on boxes of its HOG style.

Kazemi and Sullivan, "One Millisecond Face Alignment with an Ensemble of Regression Trees", CVPR
2014. dlib trains in one go: a run neither stops early nor resumes.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from facetrack import schemes
from facetrack.detectors import DetectorOptions, create
from facetrack.detectors.neural import hog_box
from facetrack.errors import FacetrackError
from facetrack.output.atomic import atomic_path
from facetrack.training.detectors.data import jittered, load, load_held_out, names_of
from facetrack.training.detectors.train import check_scheme, measure_both

RESULT = "ert.dat"


@dataclass(frozen=True)
class ErtRecipe:
    """What decides the ensemble; the defaults stay below 10 MB for 68 points.

    Attributes:
        cascades, trees, depth: the file holds cascades * trees * 2**depth leaves of 2 N numbers,
            of some six bytes each.
        shrinkage: dlib's nu, how much of a tree counts.
        starts: random first shapes for each box.
        boxes: boxes for each face, the exact one and others as far off as the detector's; the
            mirrored face has as many.
        pixels: candidates that a cascade's trees compare.
        tests: pairs of them tried for each split.
        side: pictures are brought to this many pixels.
        workers: threads.
    """

    cascades: int = 10
    trees: int = 140
    depth: int = 3
    shrinkage: float = 0.1
    starts: int = 6
    boxes: int = 4
    pixels: int = 500
    tests: int = 30
    side: int = 352
    seed: int = 1
    workers: int = 2


def examples(
    faces: Path, scheme: str, recipe: ErtRecipe
) -> tuple[list[np.ndarray], list[list[tuple[np.ndarray, np.ndarray]]]]:
    """What dlib learns on: grey pictures (S, S) uint8, and for each its pairs of a box (4,) and
    landmarks (N, 2), in its pixels."""
    loaded = load(faces, scheme, torch.device("cpu"), recipe.side)
    layout = schemes.get(scheme)
    pictures, answers = [], []
    points = loaded.points.numpy().astype(float)
    sets = [points, np.array([layout.mirror(p, recipe.side) for p in points])]
    for mirrored, places in enumerate(sets):
        exact = hog_box(places)
        rest = [
            jittered(exact, seed=(recipe.seed * 2 + mirrored) * 64 + k)
            for k in range(1, recipe.boxes)
        ]
        for i, picture in enumerate(loaded.pictures.numpy()):
            grey = cv2.cvtColor(picture.transpose(1, 2, 0), cv2.COLOR_RGB2GRAY)
            pictures.append(np.ascontiguousarray(grey[:, ::-1] if mirrored else grey))
            answers.append([(boxes[i], places[i]) for boxes in (exact, *rest)])
    return pictures, answers


def train_ert(
    recipe: ErtRecipe, faces: Path, out: Path, scheme: str = "68"
) -> dict[str, dict[str, float]]:
    """Train an ensemble; `out` receives ert.dat and a line of log.jsonl.

    Returns:
        What was measured on the held-out faces.

    Raises:
        FacetrackError: the faces or the layout are not usable.
    """
    import dlib

    check_scheme(scheme)
    names_of(faces, scheme)
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    pictures, answers = examples(faces, scheme, recipe)
    options = dlib.shape_predictor_training_options()
    options.cascade_depth = recipe.cascades
    options.num_trees_per_cascade_level = recipe.trees
    options.tree_depth = recipe.depth
    options.nu = recipe.shrinkage
    options.oversampling_amount = recipe.starts
    options.feature_pool_size = recipe.pixels
    options.num_test_splits = recipe.tests
    options.num_threads = recipe.workers
    options.random_seed = str(recipe.seed)
    options.be_verbose = False
    try:
        predictor = dlib.train_shape_predictor(
            pictures, [[_detection(*pair) for pair in some] for some in answers], options
        )
    except (RuntimeError, ValueError) as error:
        raise FacetrackError(f"dlib cannot train on these faces: {error}.") from error
    path = out / RESULT
    with atomic_path(path) as temporary:
        predictor.save(str(temporary))
    minutes = (time.monotonic() - began) / 60
    detector = create("ert", DetectorOptions(weights=str(path)))
    measured = measure_both(detector, load_held_out(faces, scheme), schemes.get(scheme))
    record = {"minutes": minutes, "bytes": path.stat().st_size, "held_out": measured}
    with open(out / "log.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({**record, "recipe": asdict(recipe)}) + "\n")
    return measured


def _detection(box: np.ndarray, points: np.ndarray) -> Any:
    import dlib

    corners = [int(v) for v in np.rint(box)]
    parts = [dlib.point(int(x), int(y)) for x, y in np.rint(points)]
    return dlib.full_object_detection(dlib.rectangle(*corners), parts)
