"""A page's server in this process, with quick models."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import requests

pytest.importorskip("uvicorn", reason="uvicorn is not installed")
from facetrack.api import edit_view
from facetrack.api.editing import EditSession
from facetrack.detectors.base import LandmarkDetector, Landmarks
from facetrack.editor.server import EditServer
from facetrack.pipeline.models import Models


class NoFaces(LandmarkDetector):
    """Places all landmarks far from any face, so that none of them counts."""

    scheme = "68"

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        xy = np.full((len(boxes), 68, 2), -1e4, np.float32)
        return Landmarks(xy, np.zeros(xy.shape[:2], np.float32))

    def describe(self) -> dict[str, object]:
        return {"name": "none"}


@dataclass
class Editing:
    """A run that is edited."""

    record: Path
    session: EditSession
    server: EditServer

    @property
    def url(self) -> str:
        return self.server.url

    def get(self, path: str, **kwargs) -> requests.Response:
        return requests.get(self.url + path, timeout=60, **kwargs)

    def post(self, path: str, **message) -> requests.Response:
        return requests.post(self.url + path, json=message, timeout=60)


def open_session(record: Path, who: str = "tester") -> EditSession:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edit_view, "Models", lambda options: Models(options, detector=NoFaces()))
        return EditSession.open(record, who=who)


@contextlib.contextmanager
def serving(record: Path) -> Iterator[Editing]:
    session = open_session(record)
    server = EditServer(session)
    server.start()
    try:
        yield Editing(record, session, server)
    finally:
        server.stop()
