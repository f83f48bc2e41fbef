"""Faces for tests of training: dots in colours of their own."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

SIDE = 120


def write(folder: Path, count: int = 8) -> Path:
    """Write faces that are 68 dots where PIPNet's mean face has its landmarks, more or less."""
    from facetrack.detectors import pipnet_meanface

    random = np.random.default_rng(0)
    mean = pipnet_meanface.read("data_300W") * 70 + 25
    names = [f"{i:03d}.jpg" for i in range(count)]
    points = []
    for name in names:
        xy = mean * random.uniform(0.95, 1.05) + random.normal(0, 1, mean.shape)
        picture = np.full((SIDE, SIDE, 3), 120, np.uint8)
        for i, (x, y) in enumerate(xy):
            colour = (3 * i, 255 - 3 * i, 90)
            cv2.circle(picture, (round(x * 16), round(y * 16)), 24, colour, -1, cv2.LINE_AA, 4)
        cv2.imwrite(str(folder / name), picture)
        points.append(xy)
    table = np.array(points, np.float32)
    np.savez(folder / "landmarks68.npz", names=np.array(names), points=table)
    return folder
