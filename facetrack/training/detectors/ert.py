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

from facetrack.detectors import DetectorOptions, create
from facetrack.detectors.crops import hog_box
from facetrack.detectors.ert import MARK
from facetrack.errors import FacetrackError
from facetrack.files import atomic_path
from facetrack.landmarks import schemes
from facetrack.training.detectors.data import jittered, load, load_held_out, names_of, refuse_few
from facetrack.training.detectors.ert_leaves import round_leaves
from facetrack.training.detectors.train import check_scheme, measure_both
from facetrack.training.folder import training_folder

RESULT = "ert.dat"
TURN, STRETCH = 12.0, 0.05
"""Standard deviations of what turned copies differ by: degrees, and the logarithm of the width."""


@dataclass(frozen=True)
class ErtRecipe:
    """What decides the ensemble; the defaults stay below 10 MB for 68 points.

    Attributes:
        cascades, trees, depth: the file holds cascades * trees * 2**depth leaves of 2 N numbers,
            of some four bytes each.
        shrinkage: dlib's nu, how much of a tree counts. So few trees learn too little with the
            usual 0.1, of the training faces as of others.
        starts: random first shapes for each box.
        turned: copies of each face that are turned and stretched a little, besides the face itself;
            all are mirrored as well.
        boxes: boxes for each copy, the exact one and others as far off as the detector's.
        pixels: candidates that a cascade's trees compare.
        tests: pairs of them tried for each split.
        side: pictures are brought to this many pixels.
        workers: threads.
    """

    cascades: int = 15
    trees: int = 145
    depth: int = 3
    shrinkage: float = 0.2
    turned: int = 2
    starts: int = 1
    boxes: int = 8
    pixels: int = 600
    tests: int = 40
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
    random = np.random.default_rng(recipe.seed)
    pictures: list[np.ndarray] = []
    places: list[np.ndarray] = []
    for picture, points in zip(loaded.pictures.numpy(), loaded.points.numpy(), strict=True):
        grey = cv2.cvtColor(picture.transpose(1, 2, 0), cv2.COLOR_RGB2GRAY)
        copies = [(grey, points.astype(float))]
        copies += [_turned(grey, points, random) for _ in range(recipe.turned)]
        for image, xy in copies:
            pictures += [image, np.ascontiguousarray(image[:, ::-1])]
            places += [xy, layout.mirror(xy, recipe.side)]
    exact = hog_box(np.array(places))
    rest = [jittered(exact, seed=recipe.seed * 64 + k) for k in range(1, recipe.boxes)]
    answers = [[(b[i], xy) for b in (exact, *rest)] for i, xy in enumerate(places)]
    return pictures, answers


def _turned(
    picture: np.ndarray, points: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A picture (S, S) and its landmarks (N, 2), turned about the face's middle and stretched."""
    angle = np.radians(random.normal(0, TURN))
    wider = np.exp(random.normal(0, STRETCH) / 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn * [wider, 1 / wider]
    middle = points.mean(0)
    matrix = np.column_stack([turn, middle - turn @ middle])
    size = (picture.shape[1], picture.shape[0])
    made = cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    return made, points @ turn.T + matrix[:, 2]


def train_ert(
    recipe: ErtRecipe, faces: Path, out: Path, scheme: str = "68"
) -> dict[str, dict[str, float]]:
    """Train an ensemble; `out` receives ert.dat and a line of log.jsonl.

    Returns:
        What was measured on the held-out faces.

    Raises:
        FacetrackError: the faces or the layout are not usable.
    """
    check_scheme(scheme)
    names_of(faces, scheme)
    refuse_few(faces)
    with training_folder(out):
        return _train(recipe, faces, out, scheme)


def _train(recipe: ErtRecipe, faces: Path, out: Path, scheme: str) -> dict[str, dict[str, float]]:
    import dlib

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
        temporary.write_bytes(round_leaves(temporary.read_bytes()) + MARK)
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
