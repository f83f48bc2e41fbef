"""Make the README's moving picture: `python examples/make_picture.py out/astronaut.overlay.mp4`."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
from PIL import Image

CROP = (slice(30, 350), slice(95, 415))
EVERY = 2
"""Each second frame of the overlay is shown."""
QUALITY = 60


def main(overlay: Path, target: Path) -> None:
    """Write the face of the overlay as an animated WebP that repeats for ever."""
    video = cv2.VideoCapture(str(overlay))
    milliseconds = 1000 * EVERY / video.get(cv2.CAP_PROP_FPS)
    images = []
    while (read := video.read())[0]:
        images.append(Image.fromarray(cv2.cvtColor(read[1][CROP], cv2.COLOR_BGR2RGB)))
    if not images:
        sys.exit(f"{overlay} has no frames")
    first, *rest = images[::EVERY]
    first.save(
        target,
        save_all=True,
        append_images=rest,
        duration=round(milliseconds),
        loop=0,
        quality=QUALITY,
        method=6,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).with_name("overlay.webp"))
