"""Provide weights that the test server serves."""

from __future__ import annotations

import hashlib

import pytest
from http_files import BODY, Server

from facetrack.weights import Weights


@pytest.fixture
def entry(server: Server) -> Weights:
    """Return weights of known size and SHA-256, served at /net.pth."""
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
