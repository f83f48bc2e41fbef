"""Compute the checksum of a run's input."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from facetrack.files import sha256_of
from facetrack.video.image_files import list_images


def input_sha256(video: Path) -> str:
    """Return the SHA-256 of a video file or a folder of images.

    For a folder, it is the SHA-256 of the lines `<SHA-256>  <name>` of its images in the order of
    the video, as `sha256sum` prints them.

    Raises:
        OSError: a file cannot be read.
        FacetrackError: the folder has no images.
    """
    if not video.is_dir():
        return sha256_of(video)
    lines = [
        f"{sha256_of(image)}  ".encode() + os.fsencode(image.name) for image in list_images(video)
    ]
    return hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest()
