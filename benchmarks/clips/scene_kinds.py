"""Kinds of scenes of staged people: half outside the picture, late, crossing, dissolving, dark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.clips.face_motion import wander
from benchmarks.clips.staged_faces import (
    HEIGHT,
    WIDTH,
    Camera,
    Part,
    Scene,
    Shot,
    dark,
    infrared,
    room,
)
from benchmarks.common.heldout import Face

CENTRE = np.array([WIDTH / 2, HEIGHT / 2])


def steps(frames: int, *keys: tuple[float, float]) -> np.ndarray:
    """Return (T,) a signal with values at shares of the clip, smooth between them."""
    at, values = np.array(keys).T
    time = np.linspace(0, 1, frames)
    k = np.clip(np.searchsorted(at, time, "right") - 1, 0, len(at) - 2)
    share = np.clip((time - at[k]) / (at[k + 1] - at[k]), 0, 1)
    return np.asarray(values[k] + share**2 * (3 - 2 * share) * (values[k + 1] - values[k]))


def person(
    name: str,
    face: Face,
    random: np.random.Generator,
    frames: int,
    x: np.ndarray | float = 0.0,
    y: np.ndarray | float = 0.0,
    eyes: np.ndarray | float = 60.0,
) -> Part:
    """Return a person who sways about (x, y) pixels from the middle of the picture."""
    sway = np.stack([wander(random, frames, 1.0) for _ in range(3)], -1)
    place = CENTRE + np.stack(np.broadcast_arrays(x, y, np.zeros(frames))[:2], -1)
    place = place + sway[:, :2] * (3, 2)
    sizes = np.broadcast_to(eyes, frames) * np.exp(0.02 * wander(random, frames, 1.0))
    return Part(name, face, place, sizes, 0.05 * sway[:, 2] + random.normal() * 0.05)


@dataclass(frozen=True)
class Kind:
    """A kind of scene: how to make one from people and a random generator.

    Attributes:
        people: number of pictures it needs; the last ones are backgrounds.
        make: returns the scene.
        max_faces: `--faces`; None: all.
    """

    people: int
    make: Callable[[list[Face], np.random.Generator], Scene]
    max_faces: int | None = 1


def single(frames: int, **motion: Callable[[int], np.ndarray] | float) -> Kind:
    """Return a kind with one person, whose motion is given by functions of the frame count."""

    def make(faces: list[Face], random: np.random.Generator) -> Scene:
        moved = {k: v(frames) if callable(v) else v for k, v in motion.items()}
        part = person("a", faces[0], random, frames, **moved)  # type: ignore[arg-type]
        return Scene([Shot(room(faces[-1].image), [part], np.ones(frames))])

    return Kind(2, make)


def keyed(*keys: tuple[float, float]) -> Callable[[int], np.ndarray]:
    return lambda frames: steps(frames, *keys)


def crossing(
    frames: int, passes: int, gap: float, twins: bool, max_faces: int | None = None
) -> Kind:
    """Return a kind in which two people change places, the second before the first."""

    def make(faces: list[Face], random: np.random.Generator) -> Scene:
        first, second = faces[0], faces[0 if twins else 1]
        turns = [(k / passes, 110.0 * (-1) ** k) for k in range(passes + 1)]
        path = steps(frames, *turns)
        parts = [
            person("a", first, random, frames, -path, -gap / 2, 48),
            person("b", second, random, frames, path, gap / 2, 56),
        ]
        return Scene([Shot(room(faces[-1].image), parts, np.ones(frames))])

    return Kind(3, make, max_faces)


def dissolve(
    length: int, apart: float, via: str = "mix", second: bool = True, frames: int = 90
) -> Kind:
    """Return a kind in which a shot of one person dissolves into a shot of another.

    Args:
        length: frames of the dissolve.
        apart: pixels between the two people.
        via: "mix", or "black" for a fade out and a fade in.
        second: whether the second shot shows a person.
    """

    def make(faces: list[Face], random: np.random.Generator) -> Scene:
        first = frames // 2 - length // 2
        later = np.clip((np.arange(frames) - first + 1) / (length + 1), 0, 1)
        weights = (1 - later, later)
        if via == "black":
            weights = (np.clip(1 - 2 * later, 0, 1), np.clip(2 * later - 1, 0, 1))
        a = person("a", faces[0], random, frames, -apart / 2, 0, 62)
        b = person("b", faces[1], random, frames, apart / 2, 8, 56)
        shots = [
            Shot(room(faces[-1].image), [a], weights[0]),
            Shot(room(faces[-2].image), [b] if second else [], weights[1]),
        ]
        return Scene(shots)

    return Kind(4, make)


def filmed(make_camera: Callable[[int], Camera]) -> Kind:
    """Return a kind with one person who moves before a bad camera."""

    def make(faces: list[Face], random: np.random.Generator) -> Scene:
        frames = 75
        x, y = 30 * wander(random, frames, 1.0), 12 * wander(random, frames, 1.0)
        part = person("a", faces[0], random, frames, x, y, 60)
        shot = Shot(room(faces[-1].image), [part], np.ones(frames))
        return Scene([shot], make_camera(int(random.integers(1 << 30))))

    return Kind(2, make)


KINDS: dict[str, Kind] = {
    "half out left": single(90, x=keyed((0, 0), (0.3, -245), (0.65, -245), (1, 0))),
    "half out below": single(90, y=keyed((0, 0), (0.3, 175), (0.65, 175), (1, 0))),
    "half out above": single(90, y=keyed((0, 0), (0.3, -185), (0.65, -185), (1, 0))),
    "begins half out": single(90, x=keyed((0, 240), (0.4, 240), (0.8, 0), (1, 0))),
    "stays half out": single(75, x=-238.0),
    "goes and comes": single(125, x=keyed((0, 0), (0.25, 350), (0.6, 350), (0.85, 0), (1, 0))),
    "enters late": single(150, x=keyed((0, 340), (0.55, 340), (0.75, 0), (1, 0))),
    "comes from afar": single(150, eyes=keyed((0, 5), (0.3, 5), (0.9, 70), (1, 70))),
    "rises late": single(130, y=keyed((0, 330), (0.6, 330), (0.75, 0), (1, 0))),
    "cross": crossing(100, 1, 10, twins=False),
    "cross twice": crossing(150, 2, 10, twins=False),
    "pass by": crossing(100, 1, 110, twins=False),
    "one of two crosses": crossing(100, 1, 10, twins=False, max_faces=1),
    "twins cross": crossing(100, 1, 10, twins=True),
    "twins cross twice": crossing(150, 2, 10, twins=True),
    "twins pass by": crossing(100, 1, 110, twins=True),
    "dissolve in place": dissolve(25, 0),
    "quick dissolve": dissolve(8, 0),
    "slow dissolve": dissolve(50, 10),
    "dissolve aside": dissolve(25, 190),
    "dissolve to nobody": dissolve(25, 0, second=False),
    "through black": dissolve(30, 20, "black"),
    "dark 0.2": filmed(lambda seed: dark(0.2, 4, seed)),
    "dark 0.1": filmed(lambda seed: dark(0.1, 4, seed)),
    "infrared": filmed(lambda seed: infrared(14, seed)),
}
