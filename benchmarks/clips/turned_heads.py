"""Render heads of known pose from photographs of faces, in front of a pinhole camera.

The 3-D face is fitted to the landmarks of a photograph that shows the face from the front, and its
depth is spread over the head as for face profiling (`facetrack.training.detectors.profiling`). The
textured surface is then turned about all three axes, moved, and projected with perspective. The
zero pose is that of the mean 3-D face, onto which the person's face is aligned.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from facetrack.detectors import alignment
from facetrack.measures import face_model, rotations
from facetrack.measures.pose import Camera
from facetrack.training.detectors import profiling
from facetrack.training.shape3d import fit_views, turned_faces

SIZE = (640, 480)
CAMERA = Camera.of_frame(SIZE)
SAMPLES = 640
"""Samples of the surface along each side of its square."""
REACH = 0.8
"""Distance from the middle of the face, in sides of its square, up to which the head reaches."""


@dataclass(frozen=True)
class Head:
    """A textured head.

    Attributes:
        places: (P, 3) mm of samples of its surface, in the head's axes.
        colours: (P, 3) uint8 RGB.
        behind: (P,) bool, samples of what is beside the face in the photograph.
        points: (68, 3) mm of its landmarks.
    """

    places: np.ndarray
    colours: np.ndarray
    behind: np.ndarray
    points: np.ndarray


@dataclass(frozen=True)
class Picture:
    """A rendered head.

    Attributes:
        image: (480, 640, 3) uint8 RGB.
        points: (68, 2) landmarks in pixels, also of the side that is not seen.
        rotation, translation: (3, 3) and (3,) mm, the pose.
    """

    image: np.ndarray
    points: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray


def heads(images: list[np.ndarray], points: np.ndarray) -> Iterator[Head]:
    """Yield the heads of the photographs that show a face from the front.

    Args:
        images: (H, W, 3) uint8 RGB each.
        points: (M, 68, 2) landmarks.
    """
    model = face_model.load()
    views = fit_views(model, points)
    yaw = np.degrees(rotations.to_angles(views.rotation)[:, 1])
    chosen = np.flatnonzero(np.abs(yaw) < np.degrees(profiling.FRONTAL))
    if not len(chosen):
        return
    frames = [alignment.align(points[m]) for m in chosen]
    depths = profiling.measure_depths(points[chosen], frames)
    turned = turned_faces(model, views)
    axis = (np.arange(SAMPLES) + 0.5) / SAMPLES * 2 * REACH - REACH
    flat = np.stack(np.meshgrid(axis, axis), -1)  # in sides of the square, upright
    for index, (m, frame) in enumerate(zip(chosen, frames, strict=True)):
        unit = frame.side / views.scale[m]  # mm of a side
        back = float(np.median(turned[m][profiling.JAW, 2]))  # depth 0 of the surface, in mm
        grid = ((flat / profiling.EXTENT + 0.5) * (profiling.LATTICE - 1)).astype(np.float32)
        depth = cv2.remap(
            depths.surface[index].numpy(), grid[..., 0], grid[..., 1], cv2.INTER_LINEAR
        )
        source = frame.to_image((flat + 0.5) * 256 - 0.5).astype(np.float32)
        colours = cv2.remap(
            images[m],
            source[..., 0],
            source[..., 1],
            cv2.INTER_AREA,
            borderMode=cv2.BORDER_REPLICATE,
        )
        own = profiling.upright(points[m], frame)
        middle = np.append(profiling.upright(views.shift[m], frame) * unit, 0)
        surface = np.concatenate([flat * unit, depth[..., None] * unit + back], -1)
        marks = np.concatenate([own * unit, depths.points[index].numpy()[:, None] * unit + back], 1)
        # The fit's axes, and from them those of the person's face on the mean face.
        roll = rotations.from_vector(np.array([0, 0, -frame.roll]))
        fitted = model.face(views.coefficients[m])
        turn = rotations.nearest((model.mean - model.mean.mean(0)).T @ (fitted - fitted.mean(0))).T

        def to_head(xyz: np.ndarray) -> np.ndarray:
            inner = (xyz - middle) @ (roll @ views.rotation[m])  # noqa: B023
            return np.asarray((inner - fitted.mean(0)) @ turn)  # noqa: B023

        radius = np.linalg.norm(flat * (1, 0.9), axis=-1)
        inside = radius < REACH
        behind = radius[inside] > profiling.HEAD
        yield Head(to_head(surface[inside]), colours[inside], behind, to_head(marks))


def render(head: Head, rotation: np.ndarray, translation: np.ndarray) -> Picture:
    """Render a head in a pose; around it, its photograph's background is continued, blurred."""
    width, height = SIZE
    place = head.places @ rotation.T + translation
    order = np.argsort(-place[:, 2], kind="stable")  # from the far to the near
    corner = np.floor(CAMERA.project(place[order])).astype(int)
    nearest = np.full(width * height, -1)
    for step in ((0, 0), (1, 0), (0, 1), (1, 1)):  # a sample covers four pixels, without gaps
        x, y = (corner + step).T
        seen = np.flatnonzero((x >= 0) & (x < width) & (y >= 0) & (y < height))
        np.maximum.at(nearest, y[seen] * width + x[seen], seen)
    shown = order[nearest].reshape(height, width)
    covered = (nearest >= 0).reshape(height, width)
    image = head.colours[shown]
    around = covered & head.behind[shown]
    rows, columns = distance_transform_edt(~around, return_distances=False, return_indices=True)
    continued = cv2.GaussianBlur(image[rows, columns], (0, 0), 5)
    image = np.where(covered[..., None], image, continued)
    points = CAMERA.project(head.points @ rotation.T + translation)
    return Picture(image, points, rotation, translation)
