"""A schematic face, whose landmarks are known exactly."""

from __future__ import annotations

import numpy as np


def drawn_face() -> np.ndarray:
    """(68, 2) landmarks of a schematic face in a picture of 352 x 352."""

    def arc(x: float, y: float, wide: float, high: float, *degrees: float) -> np.ndarray:
        turn = np.radians(degrees)
        return np.column_stack([x + wide * np.cos(turn), y + high * np.sin(turn)])

    return np.concatenate(
        [
            arc(176, 160, 85, 110, *np.linspace(185, -5, 17)),
            arc(136, 130, 30, 14, *np.linspace(190, 350, 5)),
            arc(216, 130, 30, 14, *np.linspace(190, 350, 5)),
            np.column_stack([np.full(4, 176.0), np.linspace(150, 195, 4)]),
            np.column_stack([np.linspace(160, 192, 5), [205, 208, 210, 208, 205]]),
            arc(136, 150, 18, 7, 180, 240, 300, 360, 60, 120),
            arc(216, 150, 18, 7, 180, 240, 300, 360, 60, 120),
            arc(176, 236, 32, 13, *np.linspace(180, 360, 7), *np.linspace(30, 150, 5)),
            arc(176, 236, 26, 5, 180, 225, 270, 315, 360, 45, 90, 135),
        ]
    )
