"""Define the defaults shared by the CLI and the API."""

from __future__ import annotations

INIT = "star"
"""Landmark detector: the most accurate of those bundled with facetrack, and no slower than the
others (`benchmarks/accuracy/detectors.py`)."""

STALL_TIMEOUT = 600.0
"""Seconds without a sign of work after which the process of a video in a batch is ended."""
