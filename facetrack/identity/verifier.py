"""Verify detected faces: identity and face-shape plausibility."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.identity.descriptors import SAME_PERSON_DISTANCE, FaceDescriptor, Gallery
from facetrack.identity.shape_model import ShapeModel, yaw_score
from facetrack.landmarks import schemes

OTHER_PERSON_DISTANCE = SAME_PERSON_DISTANCE + 0.15
"""Distance of descriptors beyond which they show another person, even an unknown one. Between the
two distances it may be the same person in another pose."""
UNKNOWN_PERSON = -1
"""In place of a face_id: a person who has not been seen before."""


class FaceVerifier:
    """Recognise the people of one video, and judge whether landmarks have the shape of a face.

    Works on layouts that are, or contain, the 68 points. With other layouts every shape is
    plausible, and nobody is recognised.

    Args:
        scheme: name of the landmark layout.
        shapes: the shape model.
        identities: describes faces.
    """

    def __init__(self, scheme: str, shapes: ShapeModel, identities: FaceDescriptor) -> None:
        self._shapes, self._identities, self._gallery = shapes, identities, Gallery()
        self._undescribed: list[tuple[int, np.ndarray]] = []
        try:
            self._indices: list[int] | None = list(schemes.index_map(scheme, "68"))
        except FacetrackError:
            self._indices = None

    def shape_error(self, xy: np.ndarray, visible: np.ndarray | None = None) -> float:
        """Return how far landmarks are from the shape of a face: up to 1 for faces.

        Args:
            xy: (N, 2) pixels.
            visible: (N,) bool; hidden points do not count. None: all count.

        Returns:
            The error (`ShapeModel.shape_error`); 0 where it is unknown.
        """
        if self._indices is None:
            return 0.0
        seen = np.ones(len(xy), bool) if visible is None else visible
        weight = seen[self._indices].astype(np.float32)
        error = float(self._shapes.shape_error(xy[self._indices], weight))
        return error if np.isfinite(error) else 0.0

    def yaw_score(self, xy: np.ndarray) -> float:
        """Return how far a face with landmarks (N, 2) is turned to a side.

        Returns:
            The score (`shape_model.yaw_score`); 0 where it is unknown.
        """
        return 0.0 if self._indices is None else yaw_score(xy[self._indices])

    def describe(self, image: np.ndarray, xy: np.ndarray) -> np.ndarray | None:
        """Compute a face's descriptor.

        Args:
            image: (H, W, 3) uint8 RGB.
            xy: (N, 2) landmarks in pixels.

        Returns:
            (128,) float64; None where the face cannot be described (`FaceDescriptor.describe`).
        """
        if self._indices is None:
            return None
        return self._identities.describe(image, xy[self._indices])

    def enroll(self, face_id: int, descriptor: np.ndarray | None) -> None:
        """Remember a descriptor (128,) of a person; None is ignored."""
        if descriptor is not None:
            self._people.remember(face_id, descriptor)

    def enroll_face(self, face_id: int, image: np.ndarray, xy: np.ndarray) -> None:
        """Remember a person's face, given by landmarks (N, 2) in an image (H, W, 3) uint8 RGB.

        It is described when a person is to be recognised for the first time, so that runs start
        sooner.
        """
        if self._indices is None:
            return
        chip = self._identities.extract_chip(image, xy[self._indices])
        if chip is not None:
            self._undescribed.append((face_id, chip))

    def identify(self, descriptor: np.ndarray | None, among: Collection[int]) -> int | None:
        """Return whose descriptor (128,) it is, among some people's face_ids; None if nobody's."""
        return None if descriptor is None else self._people.identify(descriptor, among)

    def identify_other(self, face_id: int, descriptor: np.ndarray | None) -> int | None:
        """Return who a descriptor (128,) shows instead of an expected person.

        Returns:
            Another person's face_id, or UNKNOWN_PERSON; None where it may well be the expected
            person.
        """
        if descriptor is None:
            return None
        distance = self._people.distance(face_id, descriptor)
        if not np.isfinite(distance) or distance <= SAME_PERSON_DISTANCE:
            return None
        nearest = self._people.identify(descriptor)
        if nearest is not None and nearest != face_id:
            return nearest
        return UNKNOWN_PERSON if distance > OTHER_PERSON_DISTANCE else None

    @property
    def _people(self) -> Gallery:
        """The gallery, after all enrolled faces have been described."""
        for face_id, chip in self._undescribed:
            self._gallery.remember(face_id, self._identities.describe_chip(chip))
        self._undescribed = []
        return self._gallery
