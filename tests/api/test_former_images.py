"""Results of `detect` that a later run may replace, and those it may not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import still_images

import facetrack.api.detect as detect_module
from facetrack.api.detect import ImageOutputs, ImagesReport, detect_to_files
from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import FaceBoxes
from facetrack.face_detectors.dlib_hog import DlibHog
from facetrack.images.pipeline import ImageOptions
from facetrack.orientation.detector import OrientedDetector
from facetrack.runtime.interrupts import StopState

ALL = ("csv", "pts")


@pytest.fixture(autouse=True)
def _quick_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A face in the middle of every picture."""
    boxes = FaceBoxes(np.array([[8, 8, 40, 40]], np.float32), np.ones(1, np.float32))
    monkeypatch.setattr(DlibHog, "detect", lambda self, image: boxes)
    # The pictures are noise, which no turn makes a face.
    monkeypatch.setattr(OrientedDetector, "_place", lambda *_: None)


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    return [
        still_images.save(tmp_path / f"in/{name}.png", rng.integers(0, 255, (48, 48, 3), np.uint8))
        for name in "abc"
    ]


def detect(images: list[Path], out: Path, overwrite: bool = False) -> ImagesReport:
    options = ImageOptions(init="ert", face_detector="hog")
    outputs = ImageOutputs(out, ALL, overlay=True)
    return detect_to_files(list(map(str, images)), options, outputs, overwrite=overwrite)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def refuse(images: list[Path], out: Path, match: str) -> None:
    before = contents(out)
    with pytest.raises(FacetrackError, match=match):
        detect(images, out)
    assert contents(out) == before


def test_the_same_and_more_images_need_no_option(images: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    detect(images[:2], out)
    detect(images[:2], out)
    detect(images, out)
    assert len(json.loads((out / "landmarks.json").read_text())["images"]) == 3
    assert {f"{n}{end}" for n in "abc" for end in (".pts", ".overlay.png")} < contents(out).keys()


def test_results_of_other_images_are_kept(images: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    detect(images[:2], out)
    refuse(images[1:], out, r"the results of other images, .*a\.png: .*--overwrite")
    detect(images[1:], out, overwrite=True)
    assert [row["image"][-5:] for row in still_images.rows(out)] == ["b.png", "c.png"]


def test_images_that_were_moved_are_the_same(images: list[Path], tmp_path: Path) -> None:
    detect(images, tmp_path / "out")
    shutil.move(tmp_path / "in", tmp_path / "moved")
    detect(sorted((tmp_path / "moved").iterdir()), tmp_path / "out")


@pytest.mark.parametrize("name", ["a.pts", "b.overlay.png", "landmarks.csv", "landmarks.json"])
def test_a_file_of_the_user_s_is_kept(name: str, images: list[Path], tmp_path: Path) -> None:
    """300-W has the annotations of `a.png` in `a.pts` beside it."""
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    refuse(images, out, f"{name} exists.*--overwrite")
    detect(images, out, overwrite=True)
    assert (out / name).read_bytes() != b"mine"


def test_a_failure_late_in_the_run_replaces_nothing(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    detect(images, out)

    def fail(*_: object) -> None:
        raise FacetrackError("the disk is full")

    monkeypatch.setattr(detect_module, "write_record", fail)
    refuse(images, out, "disk is full")


class Stopped(StopState):
    """The state of a process that was asked to stop."""

    requested = True


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request to stop comes with the first image, of batches of one."""
    from contextlib import nullcontext

    from facetrack.images import pipeline

    monkeypatch.setattr(pipeline, "MAX_BATCH_FACES", 1)
    monkeypatch.setattr(detect_module, "defer_interrupts", lambda: nullcontext(Stopped()))


def test_an_interrupted_run_keeps_what_is_done(
    images: list[Path], tmp_path: Path, interrupted: None
) -> None:
    result = detect(images, tmp_path / "out")
    assert (result.interrupted, result.images) == (True, 1)
    assert set(contents(tmp_path / "out")) == {
        *("a.pts", "a.overlay.png", "landmarks.csv", "landmarks.json")
    }
    content = json.loads((tmp_path / "out/landmarks.json").read_text())
    assert content["interrupted"] is True
    assert [i["status"] for i in content["images"]] == ["ok", "not reached", "not reached"]


def test_an_interrupted_run_does_not_replace_more_results(
    images: list[Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    out = tmp_path / "out"
    detect(images, out)
    before = contents(out)
    request.getfixturevalue("interrupted")
    with pytest.raises(KeyboardInterrupt, match="the files of the earlier run stay"):
        detect(images, out)
    assert contents(out) == before
