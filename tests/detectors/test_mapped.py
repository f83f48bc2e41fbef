"""Landmarks in another layout than their detector's."""

from __future__ import annotations

import numpy as np
import pytest

from facetrack.detectors import DetectorOptions, mapped
from facetrack.detectors.base import Landmarks
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes


class Wflw:
    """98 landmarks, each at its own number."""

    name, scheme = "wflw", "98"

    def detect(self, image, boxes):
        number = np.tile(np.arange(98, dtype=np.float32), (len(boxes), 1))
        return Landmarks(np.stack([number, -number], -1), number / 98)

    def detect_many(self, images, boxes):
        return [self.detect(*one) for one in zip(images, boxes, strict=True)]

    def describe(self):
        return {"name": self.name, "scheme": self.scheme, "weights": "w"}


IMAGE, BOXES = np.zeros((9, 9, 3), np.uint8), np.zeros((2, 4))


def test_points_and_scores_are_picked_by_the_published_map() -> None:
    detector = mapped.MappedDetector(Wflw(), "68")
    for found in (detector.detect(IMAGE, BOXES), *detector.detect_many([IMAGE], [BOXES])):
        for values in (found.xy[..., 0], -found.xy[..., 1], found.score * 98):
            np.testing.assert_allclose(values, [schemes.MAP_98_TO_68] * 2, rtol=1e-6)


def test_no_face_has_68_points() -> None:
    found = mapped.MappedDetector(Wflw(), "68").detect(IMAGE, BOXES[:0])
    assert (found.xy.shape, found.score.shape) == ((0, 68, 2), (0, 68))


def test_both_layouts_are_said() -> None:
    message = mapped.MappedDetector(Wflw(), "68").describe()
    assert message == {"name": "wflw", "scheme": "68", "mapped_from": "98", "weights": "w"}


@pytest.mark.parametrize("scheme", [None, "68"])
def test_a_detectors_own_layout_is_left_alone(scheme: str | None) -> None:
    assert not isinstance(mapped.create("ert", DetectorOptions(), scheme), mapped.MappedDetector)


@pytest.mark.parametrize(
    ("source", "target"), [("68", "98"), ("98", "29"), ("29", "68"), ("points-106", "68")]
)
def test_other_maps_are_refused(source: str, target: str) -> None:
    with pytest.raises(FacetrackError, match=f"{source} cannot be converted to layout {target}"):
        schemes.index_map(source, target)


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(FacetrackError, match="no point layout"):
        schemes.index_map("68", "77")


@pytest.mark.parametrize("name", ["68", "98", "29", "19", "points-5"])
def test_a_layout_is_its_own_map(name: str) -> None:
    assert schemes.index_map(name, name) == tuple(range(schemes.get(name).count))
