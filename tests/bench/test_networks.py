"""The speed of networks: the work is counted, the seconds are only there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from synthetic_tapir import CAUSAL_BOOTS, TINY_CAUSAL, synthetic_state

from facetrack.bench.networks import ceiling, gigaflops, network_speed
from facetrack.trackers.tapir.compact import build_network

CPU = torch.device("cpu")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "causal_tiny.pt"
    torch.save(synthetic_state(TINY_CAUSAL), path)
    return path


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_an_official_checkpoint_is_timed(checkpoint, precision):
    speed = network_speed(checkpoint, "tiny", precision, CPU, 5, frames_at_once=2, frames=2)
    assert list(speed.milliseconds) == ["features", "matching", "refinement", "other"]
    assert all(value > 0 for value in speed.milliseconds.values())
    assert speed.precision == str(precision)[6:]
    reached = speed.gigaflops * speed.frames_per_second
    assert speed.share == pytest.approx(reached / speed.ceiling)


def test_the_work_is_that_of_the_network_as_published():
    network = build_network(CAUSAL_BOOTS)
    few, many = gigaflops(network, 1), gigaflops(network, 69)
    assert few == pytest.approx(67, rel=0.02)  # features
    assert many - few == pytest.approx(14, rel=0.03)  # refinement of 68 points


def test_a_processor_multiplies():
    assert ceiling(torch.float32, CPU) > 0
