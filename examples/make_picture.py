"""Make the README's picture: `python examples/make_picture.py out/astronaut.overlay.mp4`."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

FRAMES = (0, 32, 72, 84)
CROP = (slice(30, 350), slice(95, 415))


def main(overlay: Path, target: Path) -> None:
    """Put four frames of the overlay side by side."""
    video = cv2.VideoCapture(str(overlay))
    tiles = []
    for number in FRAMES:
        video.set(cv2.CAP_PROP_POS_FRAMES, number)
        found, image = video.read()
        if not found:
            sys.exit(f"{overlay} has no frame {number}")
        tiles.append(image[CROP])
    cv2.imwrite(str(target), np.hstack(tiles), [cv2.IMWRITE_WEBP_QUALITY, 88])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).with_name("overlay.webp"))
