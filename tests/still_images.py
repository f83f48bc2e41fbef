"""Run `facetrack detect` on a photograph of one face."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from facetrack.cli import app
from facetrack.face_detectors.base import FaceBoxes
from facetrack.face_detectors.dlib_hog import DlibHog

BOX = (60, 60, 200, 200)
AT = ",".join(map(str, BOX))


def photo() -> np.ndarray:
    """Return a photograph (256, 320, 3) RGB of a face of about 90 pixels."""
    skimage = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(skimage.astronaut()[:256, 90:410])


def save(path: Path, image: np.ndarray | None = None) -> Path:
    """Write an RGB image in the format of the file name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded, data = cv2.imencode(path.suffix, (photo() if image is None else image)[..., ::-1])
    assert encoded
    path.write_bytes(data.tobytes())
    return path


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the HOG detector by one that knows the photograph."""

    def detect(self: DlibHog, image: np.ndarray) -> FaceBoxes:
        boxes = np.array([BOX] * bool(image.std()), np.float32).reshape(-1, 4)
        return FaceBoxes(boxes, np.ones(len(boxes), np.float32))

    monkeypatch.setattr(DlibHog, "detect", detect)


def run(*words: object) -> Result:
    """Run `facetrack detect` with the replaced HOG detector."""
    return CliRunner().invoke(app, ["detect", "--face-detector", "hog", *map(str, words)])


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "landmarks.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def points(row: dict[str, str]) -> np.ndarray:
    count = sum(name.startswith("x_") for name in row)
    cells = [[row[f"{axis}_{i}"] or "nan" for axis in "xy"] for i in range(count)]
    return np.array(cells, float)


def record(folder: Path) -> dict:
    return json.loads((folder / "landmarks.json").read_text(encoding="utf-8"))


def files_in(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def refused(result: Result, message: str) -> None:
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("facetrack: ")
    assert message in line
