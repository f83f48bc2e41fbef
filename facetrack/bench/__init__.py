"""Measure the speed of facetrack on this machine, stage by stage (`facetrack bench`)."""

from __future__ import annotations

from facetrack.bench.networks import NetworkSpeed, network_speed
from facetrack.bench.runs import RunSpeed, run_speed

__all__ = ["NetworkSpeed", "RunSpeed", "network_speed", "run_speed"]
