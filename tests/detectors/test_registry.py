"""The landmark detectors' registry."""

from __future__ import annotations

import pytest

from facetrack import detectors
from facetrack.errors import FacetrackError


def test_unknown_name_lists_the_choices() -> None:
    with pytest.raises(FacetrackError, match=r"no landmark detector 'ears'.*ert"):
        detectors.create("ears")


@pytest.mark.parametrize("name", detectors.available())
def test_every_registered_detector_can_be_made(name: str) -> None:
    assert detectors.create(name).name == name
