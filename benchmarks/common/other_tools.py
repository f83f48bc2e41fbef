"""Wrap alternatives to facetrack as trackers, so that the benchmark can compare them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from benchmarks.clips.real_motion import rotate, similarity
from facetrack.errors import FacetrackError
from facetrack.trackers import PointTracker, StepResult


class Riding(NamedTuple):
    """Points that ride on a mesh.

    Attributes:
        mesh: a running FaceMesh.
        vertex: (N,) the vertex nearest to each point at first.
        first: (V, 2) the mesh then; None if no face was found.
        offset: (N, 2) from that vertex to the point.
    """

    mesh: Any
    vertex: np.ndarray
    first: np.ndarray | None
    offset: np.ndarray


class MediaPipe(PointTracker):
    """MediaPipe's face mesh on every frame, in its usual mode (it follows the face by itself).

    Its 478 vertices are not the 68 landmarks. Each requested point rides on the nearest vertex of
    the first frame; its offset is rotated and scaled with the mesh. So it starts at the truth, like
    the other trackers, and keeps all that the mesh gets right.
    """

    name = "mediapipe"

    def __init__(self) -> None:
        """
        Raises:
            FacetrackError: mediapipe is not installed, or has no `solutions`.
        """
        try:
            import mediapipe
            from mediapipe.python.solutions.face_mesh import FaceMesh
        except ImportError as error:
            raise FacetrackError(
                'mediapipe needs its package: pip install "mediapipe==0.10.21" "protobuf<5"'
            ) from error
        self._version = mediapipe.__version__
        self._make = FaceMesh

    def mesh(self) -> Any:
        """Return a mesh that has seen no frame yet."""
        return self._make(static_image_mode=False, max_num_faces=1, refine_landmarks=True)

    def look(self, mesh: Any, frame: np.ndarray) -> np.ndarray | None:
        """(V, 2) vertices in the next frame (H, W, 3), pixels, origin at the CENTRE of the top-left
        pixel; None without a face."""
        found = mesh.process(frame).multi_face_landmarks
        if not found:
            return None
        size = np.array([frame.shape[1], frame.shape[0]])
        return np.array([(p.x, p.y) for p in found[0].landmark]) * size - 0.5

    def start(self, frame: np.ndarray, points: np.ndarray) -> Riding:
        """Attach points (N, 2) to the mesh of the first frame."""
        mesh = self.mesh()
        first = self.look(mesh, frame)
        if first is None:
            return Riding(mesh, np.zeros(len(points), int), None, np.zeros_like(points))
        away = np.linalg.norm(points[:, None] - first[None], axis=-1)
        vertex = away.argmin(1)
        return Riding(mesh, vertex, first, points - first[vertex])

    def step(self, state: Riding, frames: np.ndarray) -> StepResult:
        """Return the points in frames (K, H, W, 3): all visible, NaN where no face is found."""
        xy = np.full((len(frames), len(state.vertex), 2), np.nan, np.float32)
        for place, frame in zip(xy, frames, strict=True):
            now = self.look(state.mesh, frame)
            if now is None or state.first is None:
                continue
            scale, angle, _ = similarity(state.first, now)
            place[:] = now[state.vertex] + scale * rotate(state.offset, angle)
        found = np.isfinite(xy[..., 0])
        return StepResult(xy, found, found.astype(np.float32))

    def describe(self) -> dict[str, Any]:
        """Return its name and version."""
        return {"name": self.name, "version": self._version}
