"""Learn from trained networks besides the annotation (knowledge distillation).

Annotators put the same face's landmarks at other places each time, above all along the jaw. A small
network that is shown the annotations alone learns part of that scatter by heart. Trained networks
agree better with each other than with an annotation, so the mean of both scatters less about the
place that is to be learned (Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural
Network", 2015, blend annotations and a teacher's answers in the same way).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from facetrack.detectors.crops import hog_box
from facetrack.training.detectors.data import Faces
from facetrack.training.detectors.pseudo_labels import BATCH, Teacher

SHARE = 0.5
"""Of the teacher in the mean with the annotation."""


def teach(faces: Faces, teacher: Teacher, progress: Callable[[str], None] | None = None) -> Faces:
    """Move the landmarks of annotated faces towards where a teacher finds them.

    Args:
        faces: M annotated faces of 68 points, none of them held out.
        teacher: looks at each in the box of its annotation. Where it finds no face, the annotation
            stays.
        progress: called with a line now and then.

    Returns:
        The same pictures with other points.
    """
    points = faces.points.cpu().numpy().astype(float)
    count = len(points)
    for first in range(0, count, BATCH):
        part = slice(first, first + BATCH)
        images = [np.ascontiguousarray(p.permute(1, 2, 0).cpu()) for p in faces.pictures[part]]
        found = teacher.label(images, list(hog_box(points[part]))).mean(0)
        points[part] += SHARE * np.nan_to_num(found - points[part])
        if progress is not None and first // BATCH % 10 == 9:
            progress(f"{first + len(images)} of {count} faces seen by the teachers")
    return faces._replace(points=torch.from_numpy(points).to(faces.points))
