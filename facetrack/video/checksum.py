"""Compute the checksum of a run's input."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from facetrack.files import sha256_of
from facetrack.video.image_files import images_of


def input_sha256(video: Path) -> str:
    """Return the SHA-256 of a video file, or of a folder or series of images.

    For images, it is the SHA-256 of the lines `<SHA-256>  <name>` of the files in the order of the
    video, as `sha256sum` prints them: none for a file that cannot be read.

    Raises:
        OSError: the file cannot be read.
        FacetrackError: the folder has no images.
    """
    images = images_of(video)
    if images is None:
        return sha256_of(video)
    lines = []
    for image in images:
        with contextlib.suppress(OSError):
            lines.append(f"{sha256_of(image)}  ".encode() + os.fsencode(image.name))
    return hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest()
