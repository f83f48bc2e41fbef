"""Create images of noise with landmarks in a ring, for tests of training."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def make(folder: Path, count: int = 6) -> Path:
    """Fill a folder with training data for `facetrack train`, and return it."""
    random = np.random.default_rng(0)
    names = [f"{i:03d}.jpg" for i in range(count)]
    for name in names:
        image = cv2.resize(random.integers(0, 255, (20, 20, 3)).astype(np.uint8), (128, 128))
        cv2.imwrite(str(folder / name), image)
    angle = np.linspace(0, 6.28, 68)
    ring = 64 + 30 * np.stack([np.cos(angle), np.sin(angle)], -1)
    points = np.repeat(ring[None], count, 0).astype(np.float32)
    np.savez(folder / "landmarks68.npz", names=np.array(names), points=points)
    return folder
