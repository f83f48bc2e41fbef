"""Trainings use bfloat16 only where the hardware multiplies it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import facetrack.training
from facetrack.runtime import device
from facetrack.training.precision import autocast, in_float32

CPU = torch.device("cpu")


@pytest.mark.parametrize(("native", "wanted"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_processor_decides(monkeypatch, native, wanted):
    monkeypatch.setattr(device, "multiplies_bfloat16", lambda: native)
    layer = torch.nn.Linear(4, 4)
    with autocast(CPU):
        assert layer(torch.ones(2, 4)).dtype == wanted


def test_gradients_stay_in_float32(monkeypatch):
    monkeypatch.setattr(device, "multiplies_bfloat16", lambda: True)
    layer = torch.nn.Linear(4, 4)
    with autocast(CPU):
        answer = layer(torch.ones(2, 4))
    answer.float().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


def test_a_block_within_autocast_can_stay_in_float32(monkeypatch):
    monkeypatch.setattr(device, "multiplies_bfloat16", lambda: True)
    ones = torch.ones(2, 2)
    with autocast(CPU):
        assert (ones @ ones).dtype == torch.bfloat16
        with in_float32(CPU):
            assert (ones @ ones).dtype == torch.float32


def test_no_training_chooses_for_itself():
    """Every module of the trainings asks the one function."""
    for folder in facetrack.training.__path__:
        for path in Path(folder).rglob("*.py"):
            if path.name != "precision.py":
                assert "torch.autocast(" not in path.read_text(encoding="utf-8"), path
