"""Images that claim to be far larger than their file."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

SIDE = 30_000  # within OpenCV's own limits, but 2.7 GB as RGB


def _jpeg() -> bytes:
    data = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", SIDE, SIDE)
    return bytes(data)


def _bmp() -> bytes:
    data = bytearray(cv2.imencode(".bmp", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    data[18:26] = struct.pack("<ii", SIDE, SIDE)
    return bytes(data)


def _gif() -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", SIDE, SIDE, 0x80, 0, 0) + bytes(6)
    return head + b"\x2c" + struct.pack("<HHHHB", 0, 0, SIDE, SIDE, 0) + b"\x02\x02\x4c\x01\0\x3b"


@pytest.mark.parametrize("kind", ["jpeg", "bmp", "gif"])
def test_a_small_file_of_a_huge_image_takes_little_memory(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    path.write_bytes({"jpeg": _jpeg, "bmp": _bmp, "gif": _gif}[kind]())
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from facetrack.errors import FacetrackError\n"
        "from facetrack.video.image_files import read_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    read_image(Path(sys.argv[1]))\n"
        "except FacetrackError:\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) < 200_000  # kB
