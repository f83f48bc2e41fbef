"""What is taken where nothing is said."""

from __future__ import annotations

INIT = "star"
"""The landmark detector: the most exact of those that come with facetrack, and no slower than the
others (`benchmarks/accuracy/detectors.py`)."""
