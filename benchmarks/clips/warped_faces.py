"""Render clips of faces from still pictures, with exactly known landmark tracks.

A picture of a face with its 68 landmarks is warped, frame by frame, over another moving picture;
hands and other objects cross it; the camera may be bad. The warp goes from the frame back to the
picture and is bilinear between the nodes of a lattice. So the truth is not modelled but solved for:
it is the place in the frame that the map used for drawing sends to the landmark.

This module shares no code with `facetrack.training`, so that a tracker is not evaluated by the
renderer that trained it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from benchmarks.clips.face_motion import (
    CELL,
    bilinear,
    canonical_fields,
    coefficients,
    map_at,
    smallest_area,
    wander,
)
from benchmarks.clips.face_occluders import Occluder, blend, blob, hand, occlusions
from benchmarks.clips.open_mouths import OpenMouth
from benchmarks.clips.real_motion import Motion, fields_on
from benchmarks.common.heldout import Face, Faces

WIDTH, HEIGHT, FPS = 640, 480, 25
BACKGROUND = 800  # side of the background's picture, more than is ever seen of it
CANONICAL_NODES = 73  # a side, of the lattice on which the face's deformation is held
EXACT = 0.02  # pixels by which a landmark may be missed; beyond, it is unknown
FLATTEST = 0.08  # smallest area (over the rest area) a face's pixel may come from: below, it folds
WHOLE = 0.95  # opacity of the picture where a landmark of it is known
RIGHT_EYE, LEFT_EYE = 36, 45  # outer corners


@dataclass(frozen=True)
class Variant:
    """A kind of clip.

    Attributes:
        frames: T.
        interocular: mean distance of the outer eye corners in pixels.
        occluders: "none", "once", or "often" (every few seconds).
        liveliness: factor on the speed and size of all motion.
        zoom: standard deviation of the logarithm of the face's size.
        cut_outs: in every other clip the head is cut out of its photograph.
        roll: degrees by which the head is rolled in the middle of the clip, beside all else.
        talking: the mouth opens and shuts, and its inside is seen.
        bad_camera: motion blur, low light, gamma, flicker, noise and JPEG compression.
    """

    frames: int = 60
    interocular: float = 80.0
    occluders: str = "none"
    liveliness: float = 1.0
    zoom: float = 0.06
    bad_camera: bool = False
    cut_outs: bool = True
    roll: float = 0.0
    talking: bool = False


REAL = "real"
VARIANTS = {
    "clean": Variant(),
    "occluded": Variant(occluders="once"),
    "hard": Variant(occluders="once", liveliness=1.6, zoom=0.2, bad_camera=True),
    "long": Variant(frames=600, occluders="often"),
    "small": Variant(interocular=25.0, occluders="once"),
    "calm": Variant(liveliness=0.5, cut_outs=False),
    "calm-occluded": Variant(occluders="once", liveliness=0.5, cut_outs=False),
    "calm-hard": Variant(
        occluders="once", liveliness=0.8, zoom=0.2, bad_camera=True, cut_outs=False
    ),
    "calm-long": Variant(frames=600, liveliness=0.5, cut_outs=False),
    "calm-talking": Variant(liveliness=0.5, cut_outs=False, talking=True),
    "calm-rolling": Variant(liveliness=0.5, cut_outs=False, roll=60.0),
    REAL: Variant(),
}


def make_clip(
    faces: Faces, variant: str, index: int, seed: int = 0, motions: Sequence[Motion] = ()
) -> Clip:
    """Return clip number `index`; the same arguments give the same pixels.

    A number has the same face in every variant; even numbers are cut out. Background and occluders
    are painted with other faces' pictures, scrambled so that no detector takes them for a face.
    In the variant REAL the faces move as in `motions`, in turn.
    """
    order = np.random.default_rng([seed, 0]).permutation(len(faces.names))
    chosen = [int(order[(index + k) % len(order)]) for k in (0, len(order) // 3, len(order) // 2)]
    face, behind, before = (faces[k] for k in chosen)
    rng = np.random.default_rng([seed, zlib.crc32(variant.encode()), index])
    # Its face in the four corners, its borders in the middle: a room rather than a face.
    height, width = behind.image.shape[:2]
    background = np.roll(np.rot90(behind.image, 2), (height // 2, width // 2), (0, 1))
    kind, motion = VARIANTS[variant], None
    if variant == REAL:
        motion = motions[index % len(motions)]
        kind = replace(kind, frames=len(motion.place))
    return Clip(face, background, before, kind, rng, kind.cut_outs and index % 2 == 0, motion)


class Clip:
    """A clip that is drawn as it is read, and its truth.

    Attributes:
        frames: T.
        xy: (T, 68, 2) float64 pixels, origin at the centre of the top-left pixel; NaN where the
            landmark lies outside the picture of the face or on its faded edge, or where its place
            is not exact.
        visible: (T, 68) bool: known, inside the frame, and no more than half covered.
        interocular: (T,) pixels between the outer eye corners.
        cut_out: the head alone moves over the background, not its picture.
    """

    def __init__(
        self,
        face: Face,
        background: np.ndarray,
        other: Face,
        variant: Variant,
        rng: np.random.Generator,
        cut_out: bool,
        motion: Motion | None = None,
    ) -> None:
        """background: (h, w, 3); other: a face whose skin and picture occluders are made of."""
        self.frames, self._variant = variant.frames, variant
        self.cut_out = cut_out
        self._paint(face, variant.interocular * rng.uniform(0.88, 1.12))
        size = (BACKGROUND, BACKGROUND)
        self._background = cv2.resize(background, size, interpolation=cv2.INTER_CUBIC)
        self._move(variant, rng)
        if motion is not None:
            self._move_as(motion, variant.interocular)
        self._lattices = np.stack([self._lattice(t) for t in range(self.frames)])
        self._mouth = OpenMouth(self._annotated, self.frames, rng) if variant.talking else None
        self.xy = self._solve()
        self.interocular = np.linalg.norm(self.xy[:, RIGHT_EYE] - self.xy[:, LEFT_EYE], axis=-1)
        self.occluders = self._occluders(other, variant, rng)
        inside = ((self.xy > -0.5) & (self.xy < (WIDTH - 0.5, HEIGHT - 0.5))).all(-1)
        covered = np.zeros(inside.shape, bool)
        for occluder in self.occluders:
            for t in range(occluder.first, occluder.first + len(occluder.maps)):
                covered[t] |= occluder.cover(t, self.xy[t]) > 0.5
        self.visible = inside & ~covered
        if variant.bad_camera:
            self._camera(rng)

    # ------------------------------------------------------------- the face at rest

    def _paint(self, face: Face, interocular: float) -> None:
        """Return the face's picture at about its size in the frame, with an alpha channel."""
        known, content = content_of(face)
        enlarge = interocular / float(np.linalg.norm(face.points[36] - face.points[45]))
        # A head seen from the side has its eyes close together: it need not fill the frame.
        tall = float(np.ptp(face.points[:, 1])) * enlarge
        enlarge *= min(1.0, 2.6 * interocular / tall)
        height, width = face.image.shape[:2]
        shrink = min(1.0, 1.15 * enlarge)
        size = (round(width * shrink), round(height * shrink))
        image = cv2.resize(face.image, size, interpolation=cv2.INTER_AREA)
        ratio = np.array(size) / (width, height)
        points = (face.points + 0.5) * ratio - 0.5
        self._middle = points.mean(0)
        self._unit = ratio[0] / enlarge  # pixels of the picture in a pixel of the frame, at rest
        self._rest = (points - self._middle) / self._unit
        alpha = np.zeros(size[::-1], np.uint8)
        if self.cut_out:
            cv2.fillPoly(
                alpha, [np.round(head_outline(points) * 16).astype(np.int32)], 255, shift=4
            )
            alpha = cv2.GaussianBlur(alpha, (0, 0), 1.5)
        margin = int(0.06 * size[0]) + 1
        frame = np.zeros_like(alpha)
        x0, y0, x1, y1 = (content * np.tile(ratio, 2)).astype(int)
        frame[y0 + margin : y1 - margin, x0 + margin : x1 - margin] = 255
        frame = cv2.GaussianBlur(frame, (0, 0), margin / 2.5)
        # Where the picture fades, half of a pixel is the background, which moves differently.
        at = np.float32(points)[:, None]
        whole = cv2.remap(frame, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        known &= whole[:, 0] >= WHOLE * 255
        self._annotated, self._points = points, np.where(known[:, None], points, np.nan)
        self._picture = np.dstack([image, np.minimum(alpha, frame) if self.cut_out else frame])
        self._reach = 0.6 * max(size) / self._unit

    # ------------------------------------------------------------- motion and truth

    def _move(self, variant: Variant, rng: np.random.Generator) -> None:
        """Choose the pose of head and background in each frame, and the deformation of the face."""
        frames, lively = self.frames, variant.liveliness
        size = variant.interocular / 80
        limit = np.array([150.0, 70.0]) if lively == 1 else np.array([250.0, 150.0])
        path = np.stack([wander(rng, frames, lively) for _ in range(2)], -1)
        path = (path - path[0]) * [26 * lively, 18 * lively] * max(size, 0.5)
        path += rng.uniform(-15, 15, 2)
        self._place = np.array([WIDTH, HEIGHT]) / 2 + limit * np.tanh(path / limit)
        self._angle = 0.12 * lively * wander(rng, frames, lively) + rng.normal() * 0.1
        self._angle += np.radians(variant.roll) * np.sin(np.pi * np.arange(frames) / frames)
        zoom = wander(rng, frames, lively)
        self._zoom = np.exp(variant.zoom * np.clip(zoom, -2, 2))
        pan = np.stack([wander(rng, frames, lively) for _ in range(4)], -1)
        self._pan = pan * [22 * lively, 14 * lively, 0.02, 0.03] + [0, 0, 0, rng.normal() * 0.1]

        self._fields = canonical_fields(self._rest, self._reach, CANONICAL_NODES, rng)
        weights = coefficients(rng, frames, FPS, len(self._fields), lively)
        self._weights = weights * self._flattening(weights)

    def _move_as(self, motion: Motion, interocular: float) -> None:
        """Move like a real face, around the middle of the frame."""
        limit = np.array([150.0, 70.0])
        path = (motion.place - motion.place.mean(0)) * interocular
        self._place = np.array([WIDTH, HEIGHT]) / 2 + limit * np.tanh(path / limit)
        self._angle, self._zoom = motion.angle, np.clip(motion.zoom, 0.6, 1.6)
        self._fields = fields_on(self._rest, self._reach, CANONICAL_NODES, motion)
        weights = np.eye(self.frames)
        self._weights = weights * self._flattening(weights)

    def _flattening(self, weights: np.ndarray) -> float:
        """Return the factor, at most 1, with which no deformation (T, K) folds the picture."""
        step = 2 * self._reach / (CANONICAL_NODES - 1)
        factor = 1.0
        for w in weights:
            field = np.tensordot(w, self._fields, 1)
            while smallest_area(factor * field, step) < 1.5 * FLATTEST:
                factor *= 0.92
        return factor

    def _lattice(self, t: int) -> np.ndarray:
        """Return the source in the picture of each node of frame t's lattice, (R, C, 2) float32.

        `map_at` describes the positions of the nodes.
        """
        nodes = [CELL * (np.arange(n // CELL + 2) - 1) + (CELL - 1) / 2 for n in (WIDTH, HEIGHT)]
        x, y = np.meshgrid(nodes[0] - self._place[t, 0], nodes[1] - self._place[t, 1])
        cos, sin = np.cos(self._angle[t]), np.sin(self._angle[t])
        face = np.stack([cos * x + sin * y, -sin * x + cos * y], -1) / self._zoom[t]
        field = np.tensordot(self._weights[t], self._fields, 1)
        step = 2 * self._reach / (CANONICAL_NODES - 1)
        face = face + bilinear(field, (face + self._reach) / step)
        return (face * self._unit + self._middle).astype(np.float32)

    def _solve(self) -> np.ndarray:
        """Return (T, 68, 2) positions of the landmarks, by Newton's method on each frame's map."""
        known = np.isfinite(self._points).all(-1)
        shut = np.where(known[:, None], self._points, 0)
        found = np.empty((self.frames, len(shut), 2))
        for t, lattice in enumerate(self._lattices):
            c, s = np.cos(self._angle[t]), np.sin(self._angle[t])
            turn = self._zoom[t] * np.array([[c, s], [-s, c]])
            xy = self._rest @ turn + self._place[t]
            target = shut
            if self._mouth is not None:
                target = np.where(known[:, None], self._mouth.targets(t), 0)
            best, least = xy, np.full(len(xy), np.inf)
            for _ in range(60):
                there, dx, dy = map_at(lattice, xy)
                miss = there - target
                distance = np.linalg.norm(miss, axis=-1) * self._zoom[t] / self._unit
                best = np.where((distance < least)[:, None], xy, best)
                least = np.minimum(least, distance)
                if (least[known] < EXACT / 10).all():
                    break
                area = dx[:, 0] * dy[:, 1] - dx[:, 1] * dy[:, 0]
                area = np.where(np.abs(area) > 1e-4, area, np.inf)
                move = np.stack(
                    [
                        dy[:, 1] * miss[:, 0] - dy[:, 0] * miss[:, 1],
                        dx[:, 0] * miss[:, 1] - dx[:, 1] * miss[:, 0],
                    ],
                    -1,
                )
                # Short steps: the map is smooth over a cell or two, not over the whole face.
                xy = xy - np.clip(move / area[:, None], -6, 6)
            _, dx, dy = map_at(lattice, best)
            area = (dx[:, 0] * dy[:, 1] - dx[:, 1] * dy[:, 0]) * (self._zoom[t] / self._unit) ** 2
            exact = known & (least < EXACT) & (area > FLATTEST)
            found[t] = np.where(exact[:, None], best, np.nan)
        return found

    def _occluders(self, other: Face, variant: Variant, rng: np.random.Generator) -> list[Occluder]:
        """Return the occluders of the clip, in painting order."""
        made = []
        for first, last in occlusions(rng, self.frames, variant.occluders):
            make = hand if rng.random() < 0.6 else blob
            sprite = make(rng, other.image, other.points)
            size = variant.interocular * rng.uniform(1.5, 2.3)
            over = int(rng.choice([57, 57, 30, 39, 42, 3, 13, 8]))
            aim = self._rest[over]
            made.append(Occluder.crossing(rng, sprite, size, first, last, self._place, aim))
        return made

    # ------------------------------------------------------------- drawing

    def render(self, t: int) -> np.ndarray:
        """Return frame t, (480, 640, 3) uint8 RGB."""
        pan = self._pan[t]
        scale, angle = np.exp(-pan[2]), pan[3]
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        turn = np.array([[cos, sin], [-sin, cos]])
        shift = BACKGROUND / 2 - turn @ (np.array([WIDTH, HEIGHT]) / 2 + pan[:2])
        frame = cv2.warpAffine(
            self._background,
            np.column_stack([turn, shift]),
            (WIDTH, HEIGHT),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        size = (WIDTH + 2 * CELL, HEIGHT + 2 * CELL)
        whole = cv2.resize(self._lattices[t], size, interpolation=cv2.INTER_LINEAR)
        xy = np.ascontiguousarray(whole[CELL:-CELL, CELL:-CELL])
        if self._mouth is not None:
            xy, inside, colour = self._mouth.show(t, xy)
        picture = cv2.remap(
            self._picture, xy, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        if self._mouth is not None:
            mixed = picture[..., :3] + inside * (colour - picture[..., :3])
            picture[..., :3] = np.round(mixed).astype(np.uint8)
        frame = blend(frame, picture)
        for occluder in self.occluders:
            if occluder.first <= t < occluder.first + len(occluder.maps):
                occluder.paint(frame, t)
        return self._shoot(frame, t) if self._variant.bad_camera else frame

    def chunks(self, length: int = 8) -> Iterator[np.ndarray]:
        """Yield the frames in order, (K, 480, 640, 3) at a time, K at most `length`."""
        for first in range(0, self.frames, length):
            upto = min(first + length, self.frames)
            yield np.stack([self.render(t) for t in range(first, upto)])

    def _camera(self, rng: np.random.Generator) -> None:
        """Degrade a frame like a bad camera."""
        frames = self.frames
        self._shutter = rng.uniform(0.25, 0.6)
        drift = wander(rng, frames, 1.0)
        flicker = 1 + rng.uniform(0, 0.06) * np.sin(rng.uniform(0.5, 3) * np.arange(frames))
        self._gain = np.exp(np.log(rng.uniform(0.3, 1.0)) + 0.12 * drift) * flicker
        self._gamma = rng.uniform(0.8, 1.4)
        self._quality = int(rng.integers(25, 65))
        deviation = rng.uniform(3, 9)
        self._noise = rng.normal(0, deviation, (HEIGHT + 64, WIDTH + 64, 3)).astype(np.int16)
        self._shift = rng.integers(0, 64, (frames, 2))

    def _shoot(self, frame: np.ndarray, t: int) -> np.ndarray:
        near = np.clip([t - 1, t + 1], 0, self.frames - 1)
        motion = (self._place[near[1]] - self._place[near[0]]) / (near[1] - near[0])
        frame = _motion_blur(frame, motion * self._shutter)
        levels = 255 * self._gain[t] * (np.arange(256) / 255) ** self._gamma
        frame = cv2.LUT(frame, np.clip(np.round(levels), 0, 255).astype(np.uint8))
        y, x = self._shift[t]
        noise = self._noise[y : y + HEIGHT, x : x + WIDTH]
        frame = np.clip(frame + noise, 0, 255).astype(np.uint8)
        quality = [cv2.IMWRITE_JPEG_QUALITY, self._quality]
        return cv2.imdecode(cv2.imencode(".jpg", frame, quality)[1], cv2.IMREAD_COLOR)


def content_of(face: Face) -> tuple[np.ndarray, np.ndarray]:
    """Return which landmarks (68,) lie in the photograph itself, and its box in the picture.

    Crops that reach beyond their photograph are filled up with black.
    """
    lit = face.image.max(-1) > 12
    columns, rows = (np.flatnonzero(lit.mean(a) > 0.02) for a in (0, 1))
    if not len(columns) or not len(rows):
        columns, rows = (np.arange(n) for n in face.image.shape[1::-1])
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)
    known = (face.points >= box[:2] + 1).all(-1) & (face.points <= box[2:] - 2).all(-1)
    return known, box


def head_outline(points: np.ndarray) -> np.ndarray:
    """Return a head's outline (K, 2) from its 68 landmarks: the jaw, and a forehead."""
    jaw = points[:17] + 0.05 * (points[:17] - points[27:36].mean(0))
    temples, top = points[[0, 16]], points[27] + 0.75 * (points[27] - points[57])
    across = (temples[1] - temples[0]) / 2
    angles = np.linspace(0, np.pi, 15)[:, None]
    dome = temples.mean(0) + 1.08 * across * np.cos(angles)
    dome = dome + (top - temples.mean(0)) * np.sin(angles)
    return np.concatenate([jaw, dome])


def _motion_blur(frame: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Average along `motion` (2,) pixels, centred, so that nothing moves."""
    length = float(np.abs(motion).max())
    if length < 1:
        return frame
    half = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for share in np.linspace(-0.5, 0.5, 4 * half + 1):
        x, y = share * motion + half
        left, top = int(x), int(y)
        weights = np.outer([1 - (y - top), y - top], [1 - (x - left), x - left])
        kernel[top : top + 2, left : left + 2] += weights
    return cv2.filter2D(frame, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)
