"""What `facetrack detect` refuses, and what it leaves behind when it fails."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import http_files
import numpy as np
import pytest
from still_images import (
    AT,
    files_in,
    refused,
    rows,
    run,
    save,
    stand_in,
)

from facetrack.errors import FacetrackError
from facetrack.face_detectors.dlib_hog import DlibHog


@pytest.fixture(autouse=True)
def _quick_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--box", "1,2,3"), "four numbers"),
        (("--box", "1,2,3,x"), "four numbers"),
        (("--box", "9,9,5,30"), "x0 left of x1"),
        (("--box", "9,9,nan,30"), "x0 left of x1"),
        (("--box", "900,900,950,950"), "lies outside the 320x256 picture"),
        (("--box", AT, "--faces", "all"), "does not go with --faces all"),
        (("--faces", "some"), "choose largest or all"),
        (("--format", "dlc"), "choose csv or pts"),
        (("--init", "none"), "no landmark detector 'none'"),
        (("--init", "points"), "no landmark detector 'points'"),
        (("--face-detector", "none"), "no face detector 'none'"),
        (("--scheme", "77"), "no point layout '77'"),
        (("--scheme", "98"), "only 98 to 68 can"),
        (("--detector-weights", "none.dat"), "neither a file nor"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_options_are_one_sentence_and_no_file(
    options: tuple[str, ...], message: str, face: Path, tmp_path: Path, monkeypatch
) -> None:
    http_files.prepare(monkeypatch, tmp_path / "home")
    refused(run(face, *options, "--out", tmp_path / "out"), message)
    assert not (tmp_path / "out").exists() or files_in(tmp_path / "out") == []


def test_a_video_is_refused_with_the_command_that_takes_it(tmp_path: Path) -> None:
    video = Path(__file__).parents[2] / "examples/astronaut.mp4"
    refused(run(video, "--out", tmp_path / "out"), "give it to `facetrack track`")


def test_a_box_is_for_one_image(face: Path, empty: Path, tmp_path: Path) -> None:
    refused(run(face, empty, "--box", AT, "--out", tmp_path / "out"), "in one image, not in 2")


@pytest.mark.parametrize("options", [("--format", "pts"), ("--overlay",)], ids=" ".join)
@pytest.mark.parametrize("other", ["in/face.jpg", "b/face.png", "b/FACE.png"])
def test_images_of_one_stem_are_refused(
    options: tuple[str, ...], other: str, face: Path, tmp_path: Path
) -> None:
    twin = save(tmp_path / other)
    refused(run(face, twin, *options, "--out", tmp_path / "out"), "would write the same files")
    assert run(face, twin, "--out", tmp_path / "out").exit_code == 0
    assert len(rows(tmp_path / "out")) == 2


def test_a_stem_like_a_numbered_face_is_refused(face: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "in/face.1.png")
    words = (face, other, "--format", "pts", "--out", tmp_path / "out")
    refused(run(*words, "--faces", "all"), "would write the file of a face of")
    assert run(*words).exit_code == 0


def test_an_overlay_is_not_written_over_an_input(face: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "in/face.overlay.png")
    before = other.read_bytes()
    refused(run(face, other, "--overlay", "--out", tmp_path / "in"), "is an input itself")
    assert other.read_bytes() == before


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    refused(run(tmp_path / "in"), "is a folder without images")
    save(tmp_path / "in/a.overlay.png", np.zeros((8, 8, 3), np.uint8))
    refused(run(tmp_path / "in"), "but overlays")
    refused(run(tmp_path / "*.png"), "No image matches")


def test_a_failure_keeps_the_table_of_an_earlier_run(
    face: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(face, "--out", out)
    before = (out / "landmarks.csv").read_bytes()

    def fail(self, image):
        raise FacetrackError("the detector gave up")

    monkeypatch.setattr(DlibHog, "detect", fail)
    refused(run(face, "--out", out), "gave up")
    assert (out / "landmarks.csv").read_bytes() == before
    assert len(files_in(out)) == 2


def test_an_interrupted_run_leaves_no_table(face: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (
        "import sys, time\n"
        "from facetrack.cli import main\n"
        "from facetrack.face_detectors.dlib_hog import DlibHog\n"
        f"marker = {str(tmp_path / 'detecting')!r}\n"
        "DlibHog.detect = lambda self, image: (open(marker, 'w').close(), time.sleep(60))\n"
        "main()\n"
    )
    words = ["detect", str(face), "--face-detector", "hog", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True
    )
    try:
        http_files.wait_until((tmp_path / "detecting").exists, 30)
        assert files_in(out)
        process.send_signal(signal.SIGTERM)
        _, message = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "interrupted" in message
    assert files_in(out) == []
