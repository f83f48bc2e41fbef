"""Pictures to learn finding faces from: annotated faces, pasted into photographs without faces."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from facetrack.detectors.cascades.dcnn import five_points
from facetrack.detectors.crops import hog_box
from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import resize
from facetrack.training.detectors.data import load, refuse_few
from facetrack.video.image_files import list_images

WIDTH, HEIGHT = 640, 480
"""Size of a scene in pixels."""
FACE_SIDE = 256
"""Side in pixels of the annotated face crops in memory."""
BACKGROUND_SIDE = 900
"""Longest side in pixels of the photographs in memory."""
BOX_SIDES = (18.0, 240.0)
"""Sides of the faces' boxes in a scene, in pixels: drawn log-uniformly."""
MAX_FACES = 7
FACELESS_SHARE = 0.3
"""Share of the scenes without any face."""
ROLL = 12.0
"""Standard deviation of the faces' rolls, in degrees."""
MARGIN, CUT_OFF, CUT_OFF_SHARE = 0.1, 0.3, 0.15
"""Share of a face's picture that may lie outside the scene, most often and at most, and the share
of the faces for which the latter holds. The outer fifth of the picture is not the face's."""
PLACE_TRIES = 8
FIVE_SWAP = [1, 0, 2, 4, 3]
"""The five points of a mirrored face."""


class Faces(NamedTuple):
    """Annotated faces.

    Attributes:
        pictures: (M, S, S, 3) uint8 RGB, square crops.
        points: (M, 68, 2) float64 pixels, origin at the centre of the top-left pixel.
    """

    pictures: np.ndarray
    points: np.ndarray


class Scene(NamedTuple):
    """A picture in which all faces are known.

    Attributes:
        image: (HEIGHT, WIDTH, 3) uint8 RGB.
        boxes: (F, 4) x0 y0 x1 y1 of the faces in the style of dlib's HOG detector, pixels from the
            corner of the top-left pixel.
        points: (F, 5, 2) eyes, nose and mouth corners, same origin.
        pasted: (F, 4) the parts of the image that come from the faces' pictures, same origin. Other
            people may stand there, unannotated.
    """

    image: np.ndarray
    boxes: np.ndarray
    points: np.ndarray
    pasted: np.ndarray


class Source(NamedTuple):
    """What scenes are made of.

    Attributes:
        faces: the annotated faces.
        backgrounds: (h, w, 3) uint8 RGB each, without faces.
    """

    faces: Faces
    backgrounds: list[np.ndarray]


def load_sources(faces: Path, backgrounds: Path) -> tuple[Source, Source]:
    """Load the sources of the training and of the held-out scenes.

    Every tenth photograph is held out, and the faces that all trainings hold out.

    Args:
        faces: folder of square face crops with landmarks68.npz.
        backgrounds: folder of photographs without faces.

    Raises:
        FacetrackError: a folder has too few pictures, or one cannot be read.
    """
    refuse_few(faces)
    photographs = load_backgrounds(backgrounds)
    kept = [image for i, image in enumerate(photographs) if i % 10 or len(photographs) < 10]
    return (
        Source(_load_faces(faces, held_out=False), kept),
        Source(_load_faces(faces, held_out=True), photographs[::10]),
    )


def load_backgrounds(folder: Path) -> list[np.ndarray]:
    """Load the photographs of a folder, (h, w, 3) RGB, at most BACKGROUND_SIDE pixels long.

    Raises:
        FacetrackError: the folder has none, or one cannot be read.
    """
    if not folder.is_dir():
        raise FacetrackError(
            f"{folder} is not a folder: --backgrounds needs photographs without faces."
        )
    photographs = []
    for path in list_images(folder):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise FacetrackError(f"{path} cannot be read as a picture.")
        image = resize(image, min(1.0, BACKGROUND_SIDE / max(image.shape[:2])))
        photographs.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    return photographs


def _load_faces(folder: Path, held_out: bool) -> Faces:
    loaded = load(folder, "68", torch.device("cpu"), FACE_SIDE, held_out)
    pictures = loaded.pictures.permute(0, 2, 3, 1).contiguous().numpy()
    return Faces(pictures, loaded.points.numpy().astype(float))


def draw_scene(source: Source, random: np.random.Generator) -> Scene:
    """Draw a photograph with up to MAX_FACES faces of random size, roll and place."""
    image = _draw_background(source.backgrounds, random)
    count = 0 if random.random() < FACELESS_SHARE else 1 + random.integers(MAX_FACES)
    boxes: list[np.ndarray] = []
    points: list[np.ndarray] = []
    pasted: list[np.ndarray] = []
    for _ in range(count):
        index = random.integers(len(source.faces.pictures))
        picture, known = source.faces.pictures[index], source.faces.points[index]
        box = hog_box(known)
        side = float(np.exp(random.uniform(*np.log(BOX_SIDES))))
        matrix = _draw_similarity(box, side, random)
        corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * picture.shape[0] @ matrix[:, :2].T
        area = _free_area(np.ptp(corners, axis=0), pasted, random)
        if area is None:
            continue
        matrix[:, 2] = area[:2] - corners.min(0)
        _paste(image, picture, matrix)
        placed = (known + 0.5) @ matrix[:, :2].T + matrix[:, 2]
        five = five_points(torch.from_numpy(placed)).numpy()
        mirrored = np.linalg.det(matrix[:, :2]) < 0
        boxes.append(hog_box(placed))
        points.append(five[FIVE_SWAP] if mirrored else five)
        pasted.append(area)
    return Scene(
        image,
        np.array(boxes, float).reshape(-1, 4),
        np.array(points, float).reshape(-1, 5, 2),
        np.array(pasted, float).reshape(-1, 4),
    )


def _draw_background(photographs: list[np.ndarray], random: np.random.Generator) -> np.ndarray:
    """Cut a random part of a random photograph and resize it to a scene, mirrored half the time."""
    photograph = photographs[random.integers(len(photographs))]
    height, width = photograph.shape[:2]
    scale = min(width / WIDTH, height / HEIGHT) * float(np.exp(random.uniform(np.log(0.3), 0)))
    across, down = max(1, int(scale * WIDTH)), max(1, int(scale * HEIGHT))
    x, y = random.integers(width - across + 1), random.integers(height - down + 1)
    part = photograph[y : y + down, x : x + across]
    how = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    image = cv2.resize(part, (WIDTH, HEIGHT), interpolation=how)
    return np.ascontiguousarray(image[:, ::-1]) if random.random() < 0.5 else image


def _draw_similarity(box: np.ndarray, side: float, random: np.random.Generator) -> np.ndarray:
    """Draw a map (2, 3) from a face's picture, which makes its box `side` pixels wide.

    Both origins are pixel corners. The translation is left at zero.
    """
    angle = np.radians(ROLL * random.standard_normal())
    scale = side / (box[2] - box[0])
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    flip = -1.0 if random.random() < 0.5 else 1.0
    return np.array([[cos * flip, -sin, 0.0], [sin * flip, cos, 0.0]])


def _free_area(
    extent: np.ndarray, taken: list[np.ndarray], random: np.random.Generator
) -> np.ndarray | None:
    """Find a place in a scene for a picture of `extent` (2,) pixels.

    A little of the picture may lie outside the scene, of some so much that the face is cut off.

    Returns:
        (4,) x0 y0 x1 y1; None if no free place was found.
    """
    outside = CUT_OFF if random.random() < CUT_OFF_SHARE else MARGIN
    free = np.array([WIDTH, HEIGHT]) - (1 - 2 * outside) * extent
    for _ in range(PLACE_TRIES if (free > 0).all() else 0):
        first = random.uniform(0, 1, 2) * free - outside * extent
        area = np.concatenate([first, first + extent])
        if not any((area[:2] < o[2:]).all() and (o[:2] < area[2:]).all() for o in taken):
            return area
    return None


def _paste(image: np.ndarray, picture: np.ndarray, matrix: np.ndarray) -> None:
    """Draw a picture into a scene, mapped by `matrix` (2, 3) between pixel corners."""
    size = picture.shape[0]
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    # Sampling single pixels of a far larger picture would turn fine texture into noise.
    smaller = resize(picture, min(1.0, 1.5 * scale))
    ratio = size / smaller.shape[0]
    linear = matrix[:, :2] * ratio
    offset = matrix[:, 2] + linear.sum(1) / 2 - 0.5
    between = np.column_stack([linear, offset])
    frame = image.shape[1::-1]
    drawn = cv2.warpAffine(smaller, between, frame)
    inside = cv2.warpAffine(np.full(smaller.shape[:2], 255, np.uint8), between, frame)
    image[inside > 254] = drawn[inside > 254]
