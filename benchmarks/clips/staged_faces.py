"""Stage people from still pictures: they enter, leave and cross, and shots dissolve.

Each person is a head that is cut out of a photograph and moved by a similarity, so the truth is
exact: the same similarity of the annotated landmarks. People of one shot cover each other in
painting order.
Shots are mixed with weights, as in a dissolve. Lengths are pixels of the frame, origin at the
centre of its top-left pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.clips.face_occluders import blend
from benchmarks.clips.warped_faces import content_of, head_outline
from benchmarks.common.heldout import Face, Faces
from facetrack.identity.shape_model import yaw_score

WIDTH, HEIGHT, FPS = 480, 360, 25
SPRITE_PX = 1.3
"""Pixels of a sprite in a pixel of the frame, where the head is largest."""
HAIR = 1.12
"""Size of a cut-out head to that of its outline: some of the hair and the neck belong to it."""
CORNER = 0.22
"""Sides of the corners of a face's picture that make a background, in sides of the picture."""
LEAST_LIGHT = 0.05
"""Share of the light from which on a picture that fades to black shows something."""
MAX_YAW_SCORE = 0.2
"""Of the faces that are cast: the far half of a face that is turned further does not show."""

Camera = Callable[[np.ndarray, int], np.ndarray]
"""Returns what a camera makes of frame number t, (H, W, 3) uint8 RGB."""


def cast(faces: Faces, random: np.random.Generator, count: int) -> list[Face]:
    """Choose people whose whole head is in their photograph and who look into the camera."""
    chosen: list[Face] = []
    for index in random.permutation(len(faces.names)):
        face = faces[int(index)]
        known, (x0, y0, x1, y1) = content_of(face)
        outline = head_outline(face.points)
        inside = ((outline > (x0, y0)) & (outline < (x1, y1))).all()
        if known.all() and inside and yaw_score(face.points) <= MAX_YAW_SCORE:
            chosen.append(face)
        if len(chosen) == count:
            return chosen
    raise SystemExit(f"There are only {len(chosen)} of {count} faces whose whole head is shown.")


def room(picture: np.ndarray) -> np.ndarray:
    """Return a background of the corners of a face's picture: nothing of the face is in it."""
    height, width = (round(CORNER * n) for n in picture.shape[:2])
    corners = [
        [picture[y, x] for x in (slice(None, width), slice(-width, None))]
        for y in (slice(None, height), slice(-height, None))
    ]
    half = (WIDTH // 2, HEIGHT // 2)
    return np.vstack(
        [
            np.hstack([cv2.resize(c, half, interpolation=cv2.INTER_CUBIC) for c in row])
            for row in corners
        ]
    )


@dataclass(frozen=True)
class Part:
    """A person of a shot.

    Attributes:
        name: the person's, the same in all shots.
        face: their picture.
        place: (T, 2) of the middle between the outer eye corners and the chin.
        eyes: (T,) pixels between the outer eye corners.
        roll: (T,) radians, clockwise.
    """

    name: str
    face: Face
    place: np.ndarray
    eyes: np.ndarray
    roll: np.ndarray


class Head:
    """A person's sprite and its motion."""

    def __init__(self, part: Part) -> None:
        face = part.face
        between = float(np.linalg.norm(face.points[36] - face.points[45]))
        shrink = min(1.0, SPRITE_PX * float(part.eyes.max()) / between)
        size = tuple(round(n * shrink) for n in face.image.shape[1::-1])
        ratio = np.array(size) / face.image.shape[1::-1]
        points = (face.points + 0.5) * ratio - 0.5
        alpha = np.zeros(size[::-1], np.uint8)
        outline = head_outline(points)
        outline = outline.mean(0) + HAIR * (outline - outline.mean(0))
        cv2.fillPoly(alpha, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        alpha = cv2.GaussianBlur(alpha, (0, 0), 1.5)
        image = cv2.resize(face.image, size, interpolation=cv2.INTER_AREA)
        self._sprite = np.dstack([image, alpha])
        middle = points[[36, 45, 8]].mean(0)
        scale = part.eyes / np.linalg.norm(points[36] - points[45])
        cos, sin = scale * np.cos(part.roll), scale * np.sin(part.roll)
        turn = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], 1)
        shift = part.place - turn @ middle
        self._maps = np.concatenate([turn, shift[..., None]], -1)
        self.xy = points @ np.swapaxes(turn, 1, 2) + shift[:, None]

    def layer(self, t: int) -> np.ndarray:
        """Return frame t's layer (H, W, 4)."""
        return cv2.warpAffine(self._sprite, self._maps[t], (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)


@dataclass(frozen=True)
class Shot:
    """A background with people before it, the farthest first, and its weight (T,) in the mix."""

    background: np.ndarray
    parts: Sequence[Part]
    weight: np.ndarray


class Scene:
    """A scene that is drawn as it is read, and its truth.

    Args:
        shots: what is mixed; weights that add up to less than 1 fade to black.
        camera: what it makes of each frame.

    Attributes:
        frames: T.
        names: (P,) the person of each part, of all shots.
        xy: (T, P, 68, 2) landmarks.
        seen: (T, P, 68) bool: inside the picture, nobody in front of it, and the shot weighs most.
        weight: (T, P) share of the part's shot in the picture's light; 0 where the picture is all
            but black.
    """

    def __init__(self, shots: Sequence[Shot], camera: Camera = lambda frame, t: frame) -> None:
        self._shots, self._camera = shots, camera
        self._heads = [[Head(part) for part in shot.parts] for shot in shots]
        self.frames = len(shots[0].weight)
        self.names = [part.name for shot in shots for part in shot.parts]
        self.xy = np.stack([head.xy for heads in self._heads for head in heads], 1)
        light = np.sum([shot.weight for shot in shots], 0)
        shares = [
            np.where(light >= LEAST_LIGHT, shot.weight / np.maximum(light, LEAST_LIGHT), 0)
            for shot in shots
        ]
        self.weight = np.stack(
            [share for share, shot in zip(shares, shots, strict=True) for _ in shot.parts], 1
        )
        limit = np.array([WIDTH, HEIGHT]) - 0.5
        self.seen = ((self.xy > -0.5) & (self.xy < limit)).all(-1) & (self.weight > 0.5)[..., None]
        self._cover()

    def _cover(self) -> None:
        """Mark as unseen the landmarks before which somebody else is."""
        start = 0
        for heads in self._heads:
            for near in range(1, len(heads)):
                for t in range(self.frames):
                    alpha = heads[near].layer(t)[..., 3]
                    for far in range(near):
                        x, y = np.moveaxis(self.xy[t, start + far], -1, 0).round().astype(int)
                        at = alpha[y.clip(0, HEIGHT - 1), x.clip(0, WIDTH - 1)]
                        self.seen[t, start + far] &= at < 128
            start += len(heads)

    def render(self, t: int) -> np.ndarray:
        """Return frame t, (HEIGHT, WIDTH, 3) uint8 RGB."""
        total = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        for shot, heads in zip(self._shots, self._heads, strict=True):
            weight = float(shot.weight[t])
            if not weight:
                continue
            picture = shot.background
            for head in heads:
                picture = blend(picture, head.layer(t))
            total += weight * picture.astype(np.float32)
        return self._camera(np.round(total).astype(np.uint8), t)


def dark(gain: float, noise: float, seed: int = 0) -> Camera:
    """Return a camera in the dark: `gain` of the light, noise of a deviation in grey levels."""

    def shoot(frame: np.ndarray, t: int) -> np.ndarray:
        random = np.random.default_rng([seed, t])
        noisy = frame * gain + random.normal(0, noise, frame.shape)
        return np.clip(np.round(noisy), 0, 255).astype(np.uint8)

    return shoot


def infrared(noise: float, seed: int = 0) -> Camera:
    """Return a camera for infrared light beside it: grey, flat skin, dark towards the corners."""
    x, y = np.meshgrid(np.linspace(-1, 1, WIDTH), np.linspace(-1, 1, HEIGHT))
    light = 1 / (1 + 0.9 * (x**2 + y**2))

    def shoot(frame: np.ndarray, t: int) -> np.ndarray:
        random = np.random.default_rng([seed, t])
        # Skin and hair reflect more infrared light than red light.
        grey = 255 * (frame[..., 0] / 255.0) ** 0.7 * light * 0.8
        noisy = grey + random.normal(0, noise, grey.shape)
        return np.repeat(np.clip(np.round(noisy), 0, 255).astype(np.uint8)[..., None], 3, -1)

    return shoot
