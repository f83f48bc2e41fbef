"""Checkpoints: official layouts load, others are refused, nothing in a file runs."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from synthetic_tapir import CAUSAL_BOOTS, PANNING, synthetic_state

from facetrack.errors import FacetrackError
from facetrack.trackers.tapir import TAPIR, TAPIR_S, checkpoint
from facetrack.trackers.tapir.checkpoint import load
from facetrack.trackers.tapir.compact import build_network
from facetrack.trackers.tapir.network import TapirNetwork

SHALLOW = replace(PANNING, mixer_blocks=2)
SHALLOW_BOOTS = replace(CAUSAL_BOOTS, mixer_blocks=2, extra_conv_blocks=2)


def to_jax(state: dict[str, torch.Tensor]) -> dict[str, dict[str, np.ndarray]]:
    """A state_dict as the Haiku parameters it would come from (the inverse of `from_jax`)."""
    params: dict[str, dict[str, np.ndarray]] = {}
    renamed = {
        "hid1": "cost_volume_regression_1",
        "hid2": "cost_volume_regression_2",
        "hid3": "cost_volume_occlusion_1",
        "hid4": "cost_volume_occlusion_2",
        "occ_out": "occlusion_out",
        "bn_0": "instancenorm_0",
        "bn_1": "instancenorm_1",
        "proj_conv": "shortcut_conv",
    }

    def numbered(name: str, index: int) -> str:
        return f"{name}_{index}" if index else name

    for key, value in state.items():
        parts = key.split(".")
        layer = renamed.get(parts[-2], parts[-2])
        norm = "norm" in layer
        if parts[0] == "resnet_torch":
            module = "tapir/~/resnet/~/" + (
                layer
                if layer == "initial_conv"
                else f"block_group_{parts[2]}/~/block_{parts[4]}/~/{layer}"
            )
        elif parts[0] == "extra_convs":
            index = int(parts[2])
            if norm:
                layer = numbered("layer_norm", index)
            else:
                layer = numbered("conv2_d", 2 * index + (layer == "conv_1"))
            module = f"tapir/~/extra_convs/{layer}"
        elif parts[0] == "torch_pips_mixer":
            inside = numbered("block", int(parts[2])) + "/" if parts[1] == "blocks" else ""
            module = f"tapir/~/pips_mlp_mixer/{inside}{layer}"
        else:
            module = f"tapir/~/{layer}"
        array = value.numpy()
        if parts[-1] == "weight" and not norm:
            axes = {4: (2, 3, 1, 0), 3: (2, 1, 0), 2: (1, 0)}[array.ndim]
            kind, array = "w", array.transpose(axes)
        else:
            kind = {"weight": "scale", "bias": "offset" if norm else "b"}[parts[-1]]
        params.setdefault(module, {})[kind] = np.ascontiguousarray(array)
    return params


def _save_npy(path, content) -> None:
    np.save(path, np.array(content, dtype=object), allow_pickle=True)


def _same(network: TapirNetwork, state: dict[str, torch.Tensor]) -> None:
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, state[key], rtol=0, atol=0, msg=key)


@pytest.mark.parametrize("config", [SHALLOW, SHALLOW_BOOTS], ids=["panning", "boots"])
def test_options_are_inferred_from_the_official_torch_layout(config, tmp_path):
    state = synthetic_state(config)
    torch.save(state, tmp_path / "x.pt")
    network = load(tmp_path / "x.pt", config.causal, None)
    assert network.config == config
    _same(network, state)


@pytest.mark.parametrize("config", [SHALLOW, SHALLOW_BOOTS], ids=["panning", "boots"])
def test_official_jax_layout_gives_the_same_network(config, tmp_path):
    state = synthetic_state(config)
    _save_npy(tmp_path / "x.npy", {"params": to_jax(state), "state": {}})
    network = load(tmp_path / "x.npy", config.causal, None)
    assert network.config == config
    _same(network, state)


def test_jax_names_are_those_of_the_official_listing(golden):
    listing = golden.parent / "specs/state_dicts/jax_params_causal_bootstapir.txt"
    wanted = set()
    for line in listing.read_text().splitlines():
        if not line.startswith("#"):
            module, kind, shape = line.split("\t")
            wanted.add((module, kind, shape))
    made = {
        (module, kind, str(array.shape))
        for module, entries in to_jax(synthetic_state(CAUSAL_BOOTS)).items()
        for kind, array in entries.items()
    }
    assert made == wanted


def test_state_dict_keys_are_those_of_the_official_listing(golden):
    listing = golden.parent / "specs/state_dicts/state_dict_causal_bootstapir.txt"
    wanted = {
        tuple(line.split("\t")[:2])
        for line in listing.read_text().splitlines()
        if not line.startswith("#")
    }
    state = build_network(CAUSAL_BOOTS).state_dict()
    assert {(key, str(tuple(value.shape))) for key, value in state.items()} == wanted


def test_safetensors_keep_their_configuration(tmp_path):
    network = build_network(TAPIR_S)
    half = {k: v.half().contiguous() for k, v in network.state_dict().items()}
    save_file(half, tmp_path / "x.safetensors", {"config": TAPIR_S.to_json()})
    assert load(tmp_path / "x.safetensors", None, None).config == TAPIR_S


def test_causal_is_decided_by_the_file_name_unless_given(tmp_path):
    state = synthetic_state(SHALLOW)
    torch.save(state, tmp_path / "causal_x.pt")
    assert load(tmp_path / "causal_x.pt", None, None).config.causal
    assert not load(tmp_path / "causal_x.pt", False, None).config.causal


def test_softmax_temperature_is_an_option(tmp_path):
    torch.save(synthetic_state(SHALLOW), tmp_path / "x.pt")
    assert TAPIR.from_checkpoint(tmp_path / "x.pt").config.softmax_temperature == 20
    tapir = TAPIR.from_checkpoint(tmp_path / "x.pt", softmax_temperature=10)
    assert tapir.config.softmax_temperature == 10


class _Evil:
    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.mark.parametrize("suffix", [".pt", ".npy", ".pth"])
def test_code_in_a_file_is_not_executed(suffix, tmp_path):
    marker = tmp_path / "ran"
    path = tmp_path / f"evil{suffix}"
    content = {"params": {"tapir/~/x": {"w": _Evil(str(marker))}}, "state": {}}
    if suffix == ".npy":
        _save_npy(path, content)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(FacetrackError, match="not a TAPIR checkpoint"):
        load(path, None, None)
    assert not marker.exists()


@pytest.mark.parametrize("suffix", [".pt", ".npy", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\x93NUMPY\x01\x00garbage"])
def test_garbage_raises_an_error_of_one_sentence(suffix, content, tmp_path):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(FacetrackError, match="not a TAPIR checkpoint") as caught:
        load(path, None, None)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_raises_an_error_of_one_sentence(tmp_path):
    path = tmp_path / "x.pt"
    torch.save(synthetic_state(SHALLOW), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FacetrackError, match="not a TAPIR checkpoint"):
        load(path, None, None)


def test_another_network_raises_an_error_of_one_sentence(tmp_path):
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "x.pt")
    with pytest.raises(FacetrackError, match=r"torch_pips_mixer\.linear\.weight"):
        load(tmp_path / "x.pt", None, None)


@pytest.mark.parametrize(
    "options",
    [
        {"mixer_width": 4096, "mixer_blocks": 64, "mixer_expansion": 4096},  # 256 GiB
        {"mixer_width": 3.5},
        {"attention_every": 0},
        {"attention_heads": 5},
        {"group_strides": [0, 0]},
        {"group_strides": 2},
        {"hires_group": 9},
        {"causal": 2},
    ],
)
def test_impossible_networks_are_refused_before_they_are_built(options, tmp_path, monkeypatch):
    built = []
    config = json.loads(TAPIR_S.to_json()) | options
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors", {"config": json.dumps(config)})
    build = checkpoint.build_network

    def watched(config):
        built.append(torch.empty(0).is_meta)
        return build(config)

    monkeypatch.setattr(checkpoint, "build_network", watched)
    with pytest.raises(FacetrackError, match="not a TAPIR checkpoint"):
        load(tmp_path / "x.safetensors", None, None)
    assert all(built)


def test_a_missing_file_raises_an_error_of_one_sentence(tmp_path):
    with pytest.raises(FacetrackError, match="do not exist"):
        load(tmp_path / "none.pt", None, None)
