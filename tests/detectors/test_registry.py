"""The landmark detectors' registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from facetrack import detectors
from facetrack.errors import FacetrackError


def test_unknown_name_lists_the_choices() -> None:
    with pytest.raises(FacetrackError, match=r"no landmark detector 'ears'.*ert"):
        detectors.create("ears")


def test_ert_needs_no_options() -> None:
    assert detectors.create("ert").name == "ert"


@pytest.mark.parametrize("name", [n for n in detectors.available() if n != "star+fan"])
def test_every_registered_detector_reads_its_weights_when_made(name: str, tmp_path: Path) -> None:
    wrong = tmp_path / "page.html"
    wrong.write_text("<html>not weights</html>")
    with pytest.raises(FacetrackError, match=r"page\.html is not a"):
        detectors.create(name, detectors.DetectorOptions(weights=str(wrong), device="cpu"))
