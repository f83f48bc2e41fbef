"""Deform faces and read the lattices of a warp, for `warped_faces`.

Deformations are thin-plate splines through the landmarks, one for each movement of a face, mixed
over time. They map each place of the deformed face to its source in the resting face.
Lengths are pixels of the frame at the face's mean size, origin at the mean of its landmarks.
"""

from __future__ import annotations

import cv2
import numpy as np

BLINK, SPEECH = 0, 1
RANDOM_FIELDS = 3
CELL = 4  # pixels between the nodes of a frame's lattice


def wander(rng: np.random.Generator, frames: int, speed: float, low: float = 0.1) -> np.ndarray:
    """Return (T,) a smooth signal of zero mean and unit deviation: four waves of 0.1 to 0.6 Hz."""
    rate = rng.uniform(low, 0.6, 4) * speed / 25
    weight = rng.uniform(0.4, 1, 4)
    phase = rng.uniform(0, 2 * np.pi, 4)
    waves = np.sin(2 * np.pi * rate * np.arange(frames)[:, None] + phase)
    return waves @ weight / np.sqrt((weight**2).sum() / 2)


def _moves(rest: np.ndarray) -> list[np.ndarray]:
    """Return (68, 2) displacements in pixels of each expression at its strongest."""
    eyes = rest[45] - rest[36]
    unit = float(np.linalg.norm(eyes))
    right = eyes / unit
    down = np.array([-right[1], right[0]])
    moves = []

    def add(*parts: tuple[list[int], float, float]) -> None:
        move = np.zeros((68, 2))
        for which, across, along in parts:
            move[which] += unit * (across * right + along * down)
        moves.append(move)

    blink = np.zeros((68, 2))
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        blink[upper] = 0.75 * (rest[lower] - rest[upper])
        blink[lower] = 0.05 * (rest[upper] - rest[lower])
    moves.append(blink)
    lower_lip, chin = [55, 56, 57, 58, 59, 65, 66, 67], [5, 6, 7, 8, 9, 10, 11]
    add(
        (lower_lip, 0, 0.2), (chin, 0, 0.18), ([3, 4, 12, 13], 0, 0.09), ([48, 54, 60, 64], 0, 0.05)
    )
    add(([48, 60], -0.1, -0.07), ([54, 64], 0.1, -0.07), ([40, 41, 46, 47], 0, -0.015))  # smile
    add(([48, 60], 0.09, 0), ([54, 64], -0.09, 0), ([51, 62, 57, 66], 0, 0.02))  # pucker
    add((list(range(17, 27)), 0, -0.1))  # brows up
    add(([20, 21], 0.04, 0.05), ([22, 23], -0.04, 0.05))  # frown
    add(([*lower_lip, *chin], 0.04, 0))  # jaw aside
    return moves


def spline(centres: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Evaluate at (P, 2) the thin-plate spline through values (M, 2) at centres (M, 2)."""
    scale = float(np.abs(centres).max())

    def kernel(a: np.ndarray) -> np.ndarray:
        square = np.square((a[:, None] - centres) / scale).sum(-1)
        return square * np.log(square + 1e-12)

    def affine(a: np.ndarray) -> np.ndarray:
        return np.column_stack([np.ones(len(a)), a / scale])

    count = len(centres)
    system = np.zeros((count + 3, count + 3))
    # A little slack: where two centres all but meet, no spline through both is smooth.
    system[:count, :count] = kernel(centres) + 1e-3 * np.eye(count)
    system[:count, count:] = affine(centres)
    system[count:, :count] = affine(centres).T
    solution = np.linalg.solve(system, np.concatenate([values, np.zeros((3, 2))]))
    return kernel(at) @ solution[:count] + affine(at) @ solution[count:]


def canonical_fields(
    rest: np.ndarray, reach: float, nodes: int, rng: np.random.Generator
) -> np.ndarray:
    """Return (K, nodes, nodes, 2) backward displacements in pixels of each deformation at full
    strength.

    Args:
        rest: (68, 2) landmarks at rest.
        reach: the lattice covers -reach..reach both ways.

    Expressions, then random smooth fields, then the turns of `coefficients`: parallax to the side,
    narrowing, parallax up and down. The head's depth is a dome and a nose.
    """
    line = np.linspace(-reach, reach, nodes)
    grid = np.stack(np.meshgrid(line, line), -1)
    ring = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    circle = np.column_stack([np.cos(ring), np.sin(ring)])
    still = np.concatenate([reach * circle, 1.35 * reach * circle])
    fields = []
    for move in _moves(rest):
        # The centres sit where the points have gone: there the spline must lead back.
        centres = np.concatenate([rest + move, still])
        values = np.concatenate([-move, np.zeros_like(still)])
        fields.append(spline(centres, values, grid.reshape(-1, 2)).reshape(grid.shape))
    unit = float(np.linalg.norm(rest[45] - rest[36]))
    for _ in range(RANDOM_FIELDS):
        coarse = np.zeros((9, 9, 2), np.float32)
        coarse[2:-2, 2:-2] = rng.normal(0, 0.012 * unit, (5, 5, 2))
        fields.append(cv2.resize(coarse, (nodes, nodes), interpolation=cv2.INTER_CUBIC))

    across = 1.1 * float(np.abs(rest).max(0).mean())
    far = np.linalg.norm(grid / [across, 1.25 * across], axis=-1)
    dome = 0.8 * across * np.exp(-1.2 * far**2)
    nose = np.exp(-np.square(np.linalg.norm(grid - rest[30], axis=-1) / (0.28 * unit)) / 2)
    depth = dome + 0.2 * unit * nose
    zero = np.zeros_like(depth)
    narrow = grid[..., 0] * np.exp(-((far / 1.3) ** 4))
    fields += [np.stack([-depth, zero], -1), np.stack([narrow, zero], -1)]
    fields.append(np.stack([zero, -depth], -1))
    # No single one may come near to folding the picture.
    step = 2 * reach / (nodes - 1)
    for field in fields:
        while smallest_area(field, step) < 0.25:
            field *= 0.92
    return np.stack(fields)


def smallest_area(field: np.ndarray, step: float) -> float:
    """Return the smallest area of a deformed face's pixel in the resting face; below 0 is a fold.

    Args:
        field: (R, C, 2) backward displacements at nodes `step` pixels apart.
    """
    dx = np.diff(field, axis=1)[:-1] / step
    dy = np.diff(field, axis=0)[:, :-1] / step
    area = (1 + dx[..., 0]) * (1 + dy[..., 1]) - dx[..., 1] * dy[..., 0]
    return float(area.min())


def coefficients(
    rng: np.random.Generator, frames: int, fps: int, fields: int, lively: float
) -> np.ndarray:
    """Return (T, K) weights of the fields of `canonical_fields` in each frame."""
    time = np.arange(frames) / fps
    out = np.zeros((frames, fields))
    expressions = fields - RANDOM_FIELDS - 3
    when = rng.uniform(0.2, 1.6)
    while when < frames / fps + 1:
        out[:, BLINK] += np.exp(-np.square((time - when) / rng.uniform(0.06, 0.09)) / 2)
        when += rng.uniform(1.2, 4)
    talk = np.clip(0.5 + 0.5 * wander(rng, frames, 4 * min(lively, 1.3), 0.3), 0, 1.2)
    out[:, SPEECH] = rng.uniform(0.4, 1) * talk * np.clip(0.7 + wander(rng, frames, 1), 0.1, 1)
    for k in range(SPEECH + 1, expressions):
        out[:, k] = rng.uniform(0.4, 1) * np.clip(wander(rng, frames, lively, 0.2), 0, 1.3)
    for k in range(expressions, fields - 3):
        out[:, k] = wander(rng, frames, lively)
    yaw = np.clip(0.14 * lively * wander(rng, frames, lively), -0.4, 0.4)
    pitch = np.clip(0.08 * lively * wander(rng, frames, lively), -0.25, 0.25)
    out[:, -3:] = np.stack([np.sin(yaw), 1 / np.cos(yaw) - 1, np.sin(pitch)], -1)
    return out


def bilinear(grid: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Interpolate grid (R, C, 2) at (column, row) positions (..., 2); clamp at its border."""
    size = np.array(grid.shape[1::-1])
    at = np.clip(at, 0, size - 1.000001)
    low = at.astype(int)
    x, y = np.moveaxis(at - low, -1, 0)[..., None]
    flat, first = grid.reshape(-1, 2), low[..., 1] * size[0] + low[..., 0]
    top = flat[first] * (1 - x) + flat[first + 1] * x
    below = flat[first + size[0]] * (1 - x) + flat[first + size[0] + 1] * x
    return top * (1 - y) + below * y


def map_at(lattice: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Map pixels (N, 2) to their sources by a lattice (R, C, 2), with its slopes along x and y.

    Node (r, c) lies at pixel CELL * (c - 1) + (CELL - 1) / 2 and likewise down: resizing by
    CELL and cutting CELL pixels off every side gives the map of all pixels.
    """
    at = (xy - (CELL - 1) / 2) / CELL + 1
    step = 0.05
    slopes = [
        (bilinear(lattice, at + d) - bilinear(lattice, at - d)) / (2 * step * CELL)
        for d in (np.array([step, 0]), np.array([0, step]))
    ]
    return bilinear(lattice, at), slopes[0], slopes[1]
