"""The benchmark of steadiness: a detector that errs nowhere is steady, whatever is changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import groups
from facetrack.detectors import pipnet_meanface
from facetrack.detectors.base import Landmarks
from facetrack.landmarks import schemes

FACE = pipnet_meanface.read("data_300W") * 120 + 40
BOX = np.concatenate([FACE.min(0), FACE.max(0)])


class InBox:
    """Places the face in the box that it is given."""

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = offset

    def detect_many(self, images: list[np.ndarray], boxes: list[np.ndarray]) -> list[Landmarks]:
        answers = []
        for image, box in zip(images, boxes, strict=True):
            scale = (box[0, 2:] - box[0, :2]) / (BOX[2:] - BOX[:2])
            xy = (FACE - BOX[:2]) * scale + box[0, :2]
            if image[0, 0, 0] < image[0, -1, 0]:  # the picture is brighter at the left
                xy = schemes.get("68").mirror(xy, image.shape[1])
                xy += box[0, :2] - xy.min(0) + self.offset
            answers.append(Landmarks(xy[None].astype(np.float32), np.ones((1, 68), np.float32)))
        return answers


@pytest.fixture
def picture() -> tuple[np.ndarray, np.ndarray]:
    row = np.linspace(200, 60, 200).astype(np.uint8)
    return row[None, :, None].repeat(200, 0).repeat(3, 2), BOX


def test_changes_are_undone(picture: tuple[np.ndarray, np.ndarray]) -> None:
    moved = groups.measure(InBox(), [picture, picture])  # type: ignore[arg-type]
    names = [change.name for change in groups.CHANGES]
    assert moved.shape == (2, len(names))
    expected = dict(zip(names, moved[0], strict=True))
    assert expected["mirrored"] < 0.01
    assert expected["half"] < 0.01
    assert expected["blurred"] == 0
    # This detector believes its box.
    assert expected["box"] > 5


def test_errors_of_the_mirror_image_are_seen(picture: tuple[np.ndarray, np.ndarray]) -> None:
    unit = np.linalg.norm(FACE[36] - FACE[45])
    moved = groups.measure(InBox(offset=0.03 * unit), [picture])  # type: ignore[arg-type]
    assert moved[0, 0] == pytest.approx(3 * 2**0.5, abs=0.05)


def test_groups_follow_from_the_names(tmp_path: Path) -> None:
    for name in ("utkface/7_0_1_2017.jpg", "utkface/93_1_4_2017.jpg", "masks/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "utkface" / "7_0_2017.jpg").touch()  # UTKFace itself has such names
    found = {group: [p.name for p in paths] for group, paths in groups.groups_of(tmp_path).items()}
    assert found == {
        "0 to 9": ["7_0_1_2017.jpg"],
        "80 years and more": ["93_1_4_2017.jpg"],
        "Black": ["7_0_1_2017.jpg"],
        "other": ["93_1_4_2017.jpg"],
        "masks": ["1.png"],
    }
