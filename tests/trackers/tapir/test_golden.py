"""Parity with the official PyTorch TAPIR on synthetic weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from synthetic_tapir import CAUSAL_BOOTS, PANNING, synthetic_state

from facetrack.trackers.tapir import TAPIR

PIXELS, LOGITS = 1e-3, 1e-3


def _load(config, tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(synthetic_state(config), path)
    return TAPIR.from_checkpoint(path, causal=config.causal)


def _agree(output, golden):
    np.testing.assert_allclose(output.tracks, golden["tracks"], atol=PIXELS)
    np.testing.assert_allclose(output.occlusion, golden["occlusion"], atol=LOGITS)
    np.testing.assert_allclose(output.expected_dist, golden["expected_dist"], atol=LOGITS)


def test_offline_network_agrees_with_the_reference(golden, tmp_path):
    expected = np.load(golden / "tapir_panning_256.npz")
    tapir = _load(PANNING, tmp_path)
    _agree(tapir.track(expected["video_u8"], expected["query_tyx"]), expected)


@pytest.fixture(scope="module")
def causal(golden, tmp_path_factory):
    expected = np.load(golden / "causal_bootstapir_256_stepwise.npz")
    return _load(CAUSAL_BOOTS, tmp_path_factory.mktemp("weights")), expected


def test_causal_network_agrees_with_the_reference(causal):
    tapir, expected = causal
    _agree(tapir.track(expected["video_u8"], expected["query_tyx"]), expected)


def test_streamed_frames_and_state_agree_with_the_reference(causal):
    tapir, expected = causal
    state = tapir.start(expected["video_u8"][0], expected["query_tyx"][:, 1:])
    steps = [tapir.step(state, frame[None]) for frame in expected["video_u8"]]
    tracks = np.concatenate([s.tracks for s in steps], 1)
    np.testing.assert_allclose(tracks, expected["tracks"], atol=PIXELS)
    first, last = state.caches[0][0], state.caches[0][-1]
    np.testing.assert_allclose(first["block_0_causal_1"], expected["state_b0_c1"], atol=1e-3)
    np.testing.assert_allclose(last["block_11_causal_2"], expected["state_b11_c2"], atol=1e-3)
