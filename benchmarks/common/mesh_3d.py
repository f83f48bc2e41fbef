"""Write the 3-D vertices of MediaPipe's face mesh of a video, with a Python that has MediaPipe.

    PYTHON benchmarks/common/mesh_3d.py VIDEO OUT.npy

The file holds (T, 478, 3) numbers: x and y in pixels from the centre of the top-left pixel, z in
the same unit, away from the camera; NaN where no face is found. The number of frames and the
seconds that they took, without the start of the program, are printed.
"""

from __future__ import annotations

import sys
import time

import numpy as np


def main() -> None:
    """Run the mesh on every frame."""
    import cv2
    from mediapipe.python.solutions.face_mesh import FaceMesh

    mesh = FaceMesh(static_image_mode=False, max_num_faces=1, refine_landmarks=True)
    capture = cv2.VideoCapture(sys.argv[1])
    found, began = [], time.perf_counter()
    while True:
        is_read, image = capture.read()
        if not is_read:
            break
        height, width = image.shape[:2]
        faces = mesh.process(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).multi_face_landmarks
        if not faces:
            found.append(np.full((478, 3), np.nan))
            continue
        points = np.array([(p.x, p.y, p.z) for p in faces[0].landmark])
        found.append(points * (width, height, width) - (0.5, 0.5, 0))
    np.save(sys.argv[2], np.array(found))
    print(len(found), time.perf_counter() - began)


if __name__ == "__main__":
    main()
