"""Tracks: the one value that detectors, trackers and writers exchange."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tracks:
    """Landmarks of F faces over T frames, N points each.

    Attributes:
        xy: (T, F, N, 2) float32, pixels (x right, y down), origin at the CENTRE of the top-left
            pixel (OpenCV's convention); NaN where unknown.
        visible: (T, F, N) bool, False where the point is hidden, outside the picture or unknown.
        confidence: (T, F, N) float32 in [0, 1].
        time: (T,) float64, presentation time of each frame in seconds, from the container.
        face_id: (F,) int64, stable identity of each face.
        scheme: name of the point layout (`facetrack.schemes`), e.g. "68".
        size: (width, height) of the frames in pixels, as displayed (rotation applied).
        first_frame: 0-based index of the first row's frame in the decoded video.
    """

    xy: np.ndarray
    visible: np.ndarray
    confidence: np.ndarray
    time: np.ndarray
    face_id: np.ndarray
    scheme: str
    size: tuple[int, int]
    first_frame: int = 0

    def __post_init__(self) -> None:
        if self.xy.ndim != 4 or self.xy.shape[-1] != 2:
            raise ValueError(f"xy must be (T, F, N, 2), not {self.xy.shape}")
        frames, faces, points = self.xy.shape[:3]
        for name, wanted in (
            ("visible", (frames, faces, points)),
            ("confidence", (frames, faces, points)),
            ("time", (frames,)),
            ("face_id", (faces,)),
        ):
            if getattr(self, name).shape != wanted:
                raise ValueError(f"{name} must be {wanted}, not {getattr(self, name).shape}")

    def __len__(self) -> int:
        """Number of frames."""
        return self.xy.shape[0]

    @property
    def face_confidence(self) -> np.ndarray:
        """(T, F) float32: mean confidence of the known points, 0 where there is none."""
        known = np.isfinite(self.xy).all(-1)
        total = np.where(known, self.confidence, 0).sum(-1)
        return (total / np.maximum(known.sum(-1), 1)).astype(np.float32)

    @property
    def success(self) -> np.ndarray:
        """(T, F) bool: the face is there, that is, at least a quarter of its points are seen."""
        return self.visible.mean(-1) >= 0.25

    @staticmethod
    def concatenate(parts: Iterable[Tracks]) -> Tracks:
        """Join consecutive stretches of one video, in order."""
        parts = list(parts)
        if not parts:
            raise ValueError("no tracks to join")
        first = parts[0]
        return Tracks(
            xy=np.concatenate([p.xy for p in parts]),
            visible=np.concatenate([p.visible for p in parts]),
            confidence=np.concatenate([p.confidence for p in parts]),
            time=np.concatenate([p.time for p in parts]),
            face_id=first.face_id,
            scheme=first.scheme,
            size=first.size,
            first_frame=first.first_frame,
        )
