"""A server, and weights that it has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import http_files
import pytest
from http_files import BODY, Server

from facetrack.weights import Weights


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    http_files.prepare(monkeypatch, tmp_path / "home")
    with http_files.serving() as running:
        yield running


@pytest.fixture
def entry(server: Server) -> Weights:
    """Weights whose size and whole digest are known, at /net.pth."""
    return Weights(
        name="net",
        part="pipnet",
        file="net.pth",
        licence="MIT",
        paper="none",
        url=f"{server.url}/net.pth",
        bytes=len(BODY),
        sha256=hashlib.sha256(BODY).hexdigest(),
    )
