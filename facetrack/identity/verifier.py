"""What a detection says of the faces that are followed: who it is, and whether it can be a face."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.identity.descriptors import SAME, FaceDescriptor, Gallery
from facetrack.identity.shape_model import ShapeModel, yaw_score
from facetrack.landmarks import schemes

STRANGE = SAME + 0.15
"""Distance of descriptors beyond which it is another person, though perhaps an unknown one: in
between it may be the same one in another pose."""


class FaceVerifier:
    """Knows the people of one video by their looks, and faces by their shape.

    Landmarks of 68 points, or of a layout that holds these, can be judged; of others nothing is
    known: none is impossible, and nobody is recognised.
    """

    def __init__(self, scheme: str, shapes: ShapeModel, identities: FaceDescriptor) -> None:
        """
        Args:
            scheme: layout of the landmarks.
        """
        self._shapes, self._identities, self._gallery = shapes, identities, Gallery()
        self._faces: list[tuple[int, np.ndarray]] = []
        try:
            self._indices: list[int] | None = list(schemes.index_map(scheme, "68"))
        except FacetrackError:
            self._indices = None

    def shape_error(self, xy: np.ndarray, visible: np.ndarray | None = None) -> float:
        """How far landmarks (N, 2) are from a face's shape; up to 1 they may be one. Hidden points
        do not count. 0 where nothing can be said."""
        if self._indices is None:
            return 0.0
        seen = np.ones(len(xy), bool) if visible is None else visible
        weight = seen[self._indices].astype(np.float32)
        found = float(self._shapes.shape_error(xy[self._indices], weight))
        return found if np.isfinite(found) else 0.0

    def yaw_score(self, xy: np.ndarray) -> float:
        """How far a face with landmarks (N, 2) is turned to a side (`shape_model.yaw_score`). 0 where
        nothing can be said."""
        return 0.0 if self._indices is None else yaw_score(xy[self._indices])

    def describe(self, image: np.ndarray, xy: np.ndarray) -> np.ndarray | None:
        """A face's look, from its landmarks (N, 2) in an image (H, W, 3) uint8 RGB; None where it
        does not tell."""
        if self._indices is None:
            return None
        return self._identities.describe(image, xy[self._indices])

    def remember(self, face_id: int, look: np.ndarray | None) -> None:
        """This is what a person looks like."""
        if look is not None:
            self._known.remember(face_id, look)

    def remember_face(self, face_id: int, image: np.ndarray, xy: np.ndarray) -> None:
        """This is a person's face, landmarks (N, 2) in an image (H, W, 3) uint8 RGB: a run begins
        sooner when it is described only once somebody is to be recognised."""
        if self._indices is None:
            return
        picture = self._identities.picture(image, xy[self._indices])
        if picture is not None:
            self._faces.append((face_id, picture))

    @property
    def _known(self) -> Gallery:
        for face_id, picture in self._faces:
            self._gallery.remember(face_id, self._identities.descriptor(picture))
        self._faces = []
        return self._gallery

    def who(self, look: np.ndarray | None, among: Collection[int]) -> int | None:
        """Whose look it is, of some known people; None where it is nobody's."""
        return None if look is None else self._known.who(look, among)

    def someone_else(self, face_id: int, look: np.ndarray | None) -> int | None:
        """Who it is instead of a known person, or STRANGER; None where it may well be them."""
        if look is None:
            return None
        distance = self._known.distance(face_id, look)
        if not np.isfinite(distance) or distance <= SAME:
            return None
        who = self._known.who(look)
        if who is not None and who != face_id:
            return who
        return STRANGER if distance > STRANGE else None


STRANGER = -1
"""In place of a face_id: someone who has not been seen before."""
