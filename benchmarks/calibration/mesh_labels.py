"""Label faces without annotations, with MediaPipe's mesh.

    python benchmarks/calibration/mesh_labels.py OUT.npz --faces FACES FOLDER...

FACES holds annotated faces (`landmarks68.npz`). A ridge regression learns the landmarks from the
mesh, in the frame of the outer eye corners. The faces of `heldout_faces.txt` only measure its
error. OUT.npz has `names` (paths of the pictures in the folders that show a face) and `points`
(M, 68, 2). `facetrack train expressions --labelled` reads its eyes, mouths and chins, and
`facetrack train pseudo-labels --labels` takes it as another opinion. The script needs MediaPipe
(`mediapipe==0.10.21`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

CORNERS = {33: 36, 263: 45, 152: 8}
"""Vertices of the mesh that are landmarks: the outer eye corners and the chin."""
PARTS = {"jaw": slice(17), "brows": slice(17, 27), "nose": slice(27, 36)}
PARTS |= {"eyes": slice(36, 48), "mouth": slice(48, 68)}
NUM_COMPONENTS = 120
"""Principal components of the mesh from which the landmarks are regressed."""
RIDGE_WEIGHT = 1e-5
"""Weight of the squared coefficients relative to the mean squared error."""
MAX_MESH_DISTANCE = 0.12
"""Mean distance of mesh and landmarks, in distances of the outer eye corners, from which the mesh
is of another face."""
MARGIN = 0.25
"""Border around a picture, as a share of its larger side, for MediaPipe's face detector."""
HELD_OUT = Path(__file__).resolve().parents[1] / "common" / "heldout_faces.txt"


def detect_meshes(paths: list[Path]) -> tuple[list[Path], np.ndarray]:
    """Return the pictures that show a face, and its vertices (M, 478, 2).

    Vertices are in pixels, origin at the centre of the top-left pixel.
    """
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
        margin = int(MARGIN * max(image.shape[:2]))
        padded = cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
        faces = mesh.process(cv2.cvtColor(padded, cv2.COLOR_BGR2RGB)).multi_face_landmarks
        if faces:
            size = np.array([padded.shape[1], padded.shape[0]])
            found.append(path)
            vertices.append(np.array([(v.x, v.y) for v in faces[0].landmark]) * size - margin - 0.5)
    return found, np.array(vertices)


def to_eye_frame(mesh: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Convert points (M, N, 2) to complex numbers in the frame of the mesh's outer eye corners."""
    right, left = (mesh[:, i] @ np.array([1, 1j]) for i in (33, 263))
    return np.asarray(
        (points @ np.array([1, 1j]) - (right + left)[:, None] / 2) / (left - right)[:, None]
    )


def from_eye_frame(mesh: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Convert complex numbers in the eye-corner frame to points (M, N, 2)."""
    right, left = (mesh[:, i] @ np.array([1, 1j]) for i in (33, 263))
    there = values * (left - right)[:, None] + (right + left)[:, None] / 2
    return np.stack([there.real, there.imag], -1)


class Regression:
    """Regress landmarks from the mesh, both in the eye-corner frame.

    The mesh is described by its principal components: neighbouring vertices hardly differ.

    Args:
        mesh: (M, V) complex vertices.
        points: (M, 68) complex landmarks.
    """

    def __init__(self, mesh: np.ndarray, points: np.ndarray) -> None:
        flat = np.concatenate([mesh.real, mesh.imag], 1)
        self.mean = flat.mean(0)
        self.components = np.linalg.svd(flat - self.mean, full_matrices=False)[2][:NUM_COMPONENTS]
        known = self._inputs(mesh)
        square = known.T @ known + RIDGE_WEIGHT * len(known) * np.eye(known.shape[1])
        wanted = np.concatenate([points.real, points.imag], 1)
        self.weights = np.linalg.solve(square, known.T @ wanted)

    def _inputs(self, mesh: np.ndarray) -> np.ndarray:
        flat = np.concatenate([mesh.real, mesh.imag], 1)
        return np.concatenate([(flat - self.mean) @ self.components.T, np.ones((len(mesh), 1))], 1)

    def __call__(self, mesh: np.ndarray) -> np.ndarray:
        """Return landmarks (M, 68), complex."""
        flat = self._inputs(mesh) @ self.weights
        count = flat.shape[1] // 2
        return np.asarray(flat[:, :count] + 1j * flat[:, count:])


def main() -> None:
    """Label the pictures and save the labels."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--faces", type=Path, required=True)
    options = parser.parse_args()
    with np.load(options.faces / "landmarks68.npz", allow_pickle=False) as data:
        known = dict(zip(data["names"].tolist(), data["points"], strict=True))
    paths, mesh = detect_meshes(sorted(options.faces.glob("*.jpg")))
    points = np.array([known[path.name] for path in paths], float)
    inside, wanted = to_eye_frame(mesh, mesh), to_eye_frame(mesh, points)
    held_out = set(HELD_OUT.read_text().split())
    apart = np.array([path.name in held_out for path in paths])
    away = inside[:, list(CORNERS)] - wanted[:, list(CORNERS.values())]
    good = np.abs(away).mean(1) < MAX_MESH_DISTANCE
    regression = Regression(inside[good & ~apart], wanted[good & ~apart])
    off = 100 * np.abs(regression(inside[good & apart]) - wanted[good & apart])
    by_part = ", ".join(f"{name} {off[:, part].mean():.2f}" for name, part in PARTS.items())
    print(
        f"error of held-out faces, % of the distance between the eye corners: "
        f"{off.mean():.2f} ({by_part})"
    )
    pictures = [
        p for f in options.folders for p in sorted(f.rglob("*")) if p.suffix in (".jpg", ".png")
    ]
    paths, mesh = detect_meshes(pictures)
    labels = from_eye_frame(mesh, regression(to_eye_frame(mesh, mesh)))
    np.savez_compressed(
        options.out, names=np.array([str(p) for p in paths]), points=labels.astype(np.float32)
    )
    print(f"{len(paths)} faces in {len(pictures)} pictures")


if __name__ == "__main__":
    main()
