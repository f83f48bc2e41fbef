"""Run MediaPipe's face mesh in a separate process, with another Python that has MediaPipe.

    PYTHON benchmarks/common/mesh_process.py

It reads frames from the standard input, each as its height and width (two unsigned 32-bit numbers)
and RGB bytes. For each frame it writes to the standard output the number of vertices (0 without a
face) and their positions as shares of width and height (64-bit floats). `MeshProcess` is its
client.
"""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np


class MeshProcess:
    """Client of the process; the mesh follows a face through the frames of a clip.

    Args:
        python: the interpreter that has MediaPipe.
    """

    def __init__(self, python: Path) -> None:
        self._process = subprocess.Popen(
            [python, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def detect(self, frame: np.ndarray) -> np.ndarray | None:
        """Detect the mesh in the next frame (H, W, 3).

        Returns:
            (V, 2) vertices in pixels, origin at the centre of the top-left pixel; None without a
            face.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        height, width = frame.shape[:2]
        try:
            self._process.stdin.write(struct.pack("<II", height, width) + frame.tobytes())
            self._process.stdin.flush()
            head = self._process.stdout.read(4)
        except BrokenPipeError:
            head = b""
        if len(head) < 4:
            self.close()
            raise SystemExit("MediaPipe's process has ended: is mediapipe installed there?")
        (count,) = struct.unpack("<I", head)
        if not count:
            return None
        places = np.frombuffer(self._process.stdout.read(16 * count), "<f8").reshape(-1, 2)
        return places * (width, height) - 0.5

    def close(self) -> None:
        """Stop the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                assert pipe is not None
                pipe.close()
        self._process.wait()


def serve() -> None:
    """Detect meshes until the standard input ends."""
    from mediapipe.python.solutions.face_mesh import FaceMesh

    mesh = FaceMesh(static_image_mode=False, max_num_faces=1, refine_landmarks=True)
    while len(head := sys.stdin.buffer.read(8)) == 8:
        height, width = struct.unpack("<II", head)
        pixels = np.frombuffer(sys.stdin.buffer.read(3 * height * width), np.uint8)
        found = mesh.process(pixels.reshape(height, width, 3)).multi_face_landmarks
        places = [(p.x, p.y) for p in found[0].landmark] if found else []
        sys.stdout.buffer.write(struct.pack("<I", len(places)))
        sys.stdout.buffer.write(np.array(places, "<f8").tobytes())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve()
