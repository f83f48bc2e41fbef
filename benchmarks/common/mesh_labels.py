"""Landmarks of faces without annotations, from MediaPipe's mesh: eyes and mouths to learn from.

    python benchmarks/mesh_labels.py OUT.npz --faces FACES FOLDER...

FACES holds annotated faces (`landmarks68.npz`), on which it is learned how the landmarks of eyes
and mouth lie beside the vertices of the mesh: a ridge regression from the 24 nearest, in the frame
of the outer eye corners. The faces of `heldout_faces.txt` are not looked at but to say how far
landmarks are off there. OUT.npz then has `names` (paths of the pictures in the folders that show a
face) and `points` (M, 68, 2), of which those of eyes, mouth and chin count: what `facetrack train
expressions --labelled` takes. It runs where MediaPipe is installed (`mediapipe==0.10.21`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

EYES = [33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380]
OUTER_LIPS = [61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181]
INNER_LIPS = [78, 81, 13, 311, 308, 402, 14, 178]
VERTICES = EYES + OUTER_LIPS + INNER_LIPS
LANDMARKS = range(36, 68)
CHIN, CHIN_VERTEX = 8, 152
NEAREST = 24
STIFFNESS = 1e-5
"""Weight of the coefficients' squares beside the errors' mean."""
FAR = 0.12
"""Mean distance, in those of the eye corners, from which the mesh is of another face."""
ROOM = 0.25
HELD_OUT = Path(__file__).with_name("heldout_faces.txt")


def meshes_of(paths: list[Path]) -> tuple[list[Path], np.ndarray]:
    """The pictures in which a face is found, and its vertices (M, 478, 2), pixel centres."""
    from mediapipe.python.solutions.face_mesh import FaceMesh

    mesh = FaceMesh(
        static_image_mode=True,
        max_num_faces=1,
        refine_landmarks=True,
        min_detection_confidence=0.3,
    )
    found, vertices = [], []
    for path in paths:
        image = cv2.imread(str(path))
        if image is None:
            continue
        room = int(ROOM * max(image.shape[:2]))
        wide = cv2.copyMakeBorder(image, room, room, room, room, cv2.BORDER_REPLICATE)
        faces = mesh.process(cv2.cvtColor(wide, cv2.COLOR_BGR2RGB)).multi_face_landmarks
        if faces:
            size = np.array([wide.shape[1], wide.shape[0]])
            found.append(path)
            vertices.append(np.array([(v.x, v.y) for v in faces[0].landmark]) * size - room - 0.5)
    return found, np.array(vertices)


def framed(mesh: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (M, N, 2) as complex numbers in the frame of the mesh's outer eye corners."""
    right, left = (mesh[:, i] @ np.array([1, 1j]) for i in (33, 263))
    return np.asarray(
        (points @ np.array([1, 1j]) - (right + left)[:, None] / 2) / (left - right)[:, None]
    )


def unframed(mesh: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The way back."""
    right, left = (mesh[:, i] @ np.array([1, 1j]) for i in (33, 263))
    there = values * (left - right)[:, None] + (right + left)[:, None] / 2
    return np.stack([there.real, there.imag], -1)


class Regression:
    """From the mesh to landmarks, all in the frame of the eye corners.

    Args:
        mesh: (M, V) complex; points: (M, 68).
    """

    def __init__(self, mesh: np.ndarray, points: np.ndarray) -> None:
        mean = mesh.mean(0)
        self.near = [np.abs(mean - mean[v]).argsort()[:NEAREST] for v in VERTICES]
        self.weights = []
        for near, vertex, landmark in zip(self.near, VERTICES, LANDMARKS, strict=True):
            known = self._inputs(mesh, near)
            off = points[:, landmark] - mesh[:, vertex]
            square = known.T @ known + STIFFNESS * len(known) * np.eye(known.shape[1])
            wanted = np.stack([off.real, off.imag], -1)
            self.weights.append(np.linalg.solve(square, known.T @ wanted))

    @staticmethod
    def _inputs(mesh: np.ndarray, near: np.ndarray) -> np.ndarray:
        some = mesh[:, near]
        return np.concatenate([some.real, some.imag, np.ones((len(some), 1))], 1)

    def __call__(self, mesh: np.ndarray) -> np.ndarray:
        """(M, 68) complex; 0 where the mesh does not tell."""
        points = np.zeros((len(mesh), 68), complex)
        for i, landmark in enumerate(LANDMARKS):
            off = self._inputs(mesh, self.near[i]) @ self.weights[i]
            points[:, landmark] = mesh[:, VERTICES[i]] + off[:, 0] + 1j * off[:, 1]
        points[:, CHIN] = mesh[:, CHIN_VERTEX]
        return points


def main() -> None:
    """Label the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--faces", type=Path, required=True)
    options = parser.parse_args()
    with np.load(options.faces / "landmarks68.npz", allow_pickle=False) as data:
        known = dict(zip(data["names"].tolist(), data["points"], strict=True))
    paths, mesh = meshes_of(sorted(options.faces.glob("*.jpg")))
    points = np.array([known[path.name] for path in paths], float)
    inside, wanted = framed(mesh, mesh), framed(mesh, points)
    held_out = set(HELD_OUT.read_text().split())
    apart = np.array([path.name in held_out for path in paths])
    good = np.abs(inside[:, VERTICES] - wanted[:, list(LANDMARKS)]).mean(1) < FAR
    regression = Regression(inside[good & ~apart], wanted[good & ~apart])
    off = np.abs(regression(inside[good & apart]) - wanted[good & apart])
    print(
        f"held-out faces: eyes {100 * off[:, 36:48].mean():.2f} %, "
        f"mouths {100 * off[:, 48:].mean():.2f} % of the eye corners' distance"
    )
    pictures = [
        p for f in options.folders for p in sorted(f.rglob("*")) if p.suffix in (".jpg", ".png")
    ]
    paths, mesh = meshes_of(pictures)
    labels = unframed(mesh, regression(framed(mesh, mesh)))
    np.savez_compressed(
        options.out, names=np.array([str(p) for p in paths]), points=labels.astype(np.float32)
    )
    print(f"{len(paths)} faces in {len(pictures)} pictures")


if __name__ == "__main__":
    main()
