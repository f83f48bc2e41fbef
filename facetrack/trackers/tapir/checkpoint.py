"""Read TAPIR checkpoints: official PyTorch and JAX files, and facetrack's own.

No code in a file is executed: `.pt` is read with `weights_only=True`, `.npy` by an unpickler that
accepts only NumPy arrays and dictionaries, and `.safetensors` holds no code.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facetrack.errors import FacetrackError
from facetrack.trackers.tapir.compact import build_network
from facetrack.trackers.tapir.config import TapirConfig
from facetrack.trackers.tapir.network import TapirNetwork
from facetrack.weights import state_dict
from facetrack.weights.arrays import read_params

StateDict = dict[str, Tensor]
_KIND = "a TAPIR checkpoint (.pt, .npy or .safetensors)"


def load(path: Path, causal: bool | None, softmax_temperature: float | None) -> TapirNetwork:
    """Load the network of a checkpoint, in evaluation mode.

    Args:
        path: `.pt`/`.pth` (official PyTorch), `.npy` (official JAX) or facetrack's `.safetensors`.
        causal: True if the network streams. Official files do not record this: None decides by the
            file's name ("causal" in it).
        softmax_temperature: None means the checkpoint's own if it has any, else 20.

    Raises:
        FacetrackError: the file is missing, unreadable or not a TAPIR checkpoint.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise FacetrackError(f"The tracker weights {path} do not exist.")
    try:
        if path.suffix == ".safetensors":
            state, config = _read_safetensors(path)
        elif path.suffix == ".npy":
            state, config = from_jax(read_params(path)), None
        else:
            state, config = _read_torch(path), None
    except FacetrackError:
        raise
    except Exception as error:
        # Damaged files make the readers fail in many ways.
        raise _not_tapir(
            path, str(error).splitlines()[0] if str(error) else "unreadable"
        ) from error
    if config is None:
        is_causal = "causal" in path.name.lower() if causal is None else causal
        config = replace(_infer_config(path, state), causal=is_causal)
    elif causal is not None and causal != config.causal:
        raise FacetrackError(
            f"{path} holds a network that is {'causal' if config.causal else 'not causal'}: it "
            "cannot be used otherwise."
        )
    if softmax_temperature is not None:
        config = replace(config, softmax_temperature=softmax_temperature)
    network = state_dict.build(lambda: build_network(config), state, path, _KIND)
    return network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _not_tapir(path: Path, why: str) -> FacetrackError:
    """Return the error for a file that is not a TAPIR checkpoint."""
    return FacetrackError(f"{path} is not {_KIND}: {why[:200]}")


def _infer_config(path: Path, state: Mapping[str, Tensor]) -> TapirConfig:
    """Infer the configuration from the keys and shapes of an official state_dict."""
    key = "torch_pips_mixer.linear.weight"
    if key not in state or state[key].ndim != 2:
        raise _not_tapir(path, f"it has no matrix {key}.")
    mixer_width, inputs = state[key].shape
    hires, lowres = 128, 256
    patches = 49
    levels, rest = divmod(inputs - (4 + hires + lowres), patches)
    if rest or levels < 2:
        raise _not_tapir(path, f"its mixer takes {inputs} inputs, which fits no TAPIR.")
    blocks = {
        int(m[1]) for name in state if (m := re.match(r"torch_pips_mixer\.blocks\.(\d+)\.", name))
    }
    extra = {int(m[1]) for name in state if (m := re.match(r"extra_convs\.blocks\.(\d+)\.", name))}
    return TapirConfig(
        pyramid_level=levels - 2,
        extra_conv_blocks=len(extra),
        mixer_width=int(mixer_width),
        mixer_blocks=len(blocks),
    )


def _read_torch(path: Path) -> StateDict:
    try:
        state = state_dict.read_state_dict(path)
    except FacetrackError as error:
        raise ValueError("no network weights can be read from it.") from error
    return {name: value.float() for name, value in state.items()}


def _read_safetensors(path: Path) -> tuple[StateDict, TapirConfig | None]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    config = TapirConfig.from_json(metadata["config"]) if "config" in metadata else None
    return state, config


_RENAMED = {
    "cost_volume_regression_1": "torch_cost_volume_track_mods.hid1",
    "cost_volume_regression_2": "torch_cost_volume_track_mods.hid2",
    "cost_volume_occlusion_1": "torch_cost_volume_track_mods.hid3",
    "cost_volume_occlusion_2": "torch_cost_volume_track_mods.hid4",
    "occlusion_out": "torch_cost_volume_track_mods.occ_out",
}
_NORMS = {"instancenorm_0": "bn_0", "instancenorm_1": "bn_1", "shortcut_conv": "proj_conv"}


def from_jax(params: Mapping[str, Mapping[str, np.ndarray]]) -> StateDict:
    """Convert Haiku parameters of the official JAX model to a PyTorch state_dict.

    Convolutions become OIHW from HWIO, linear layers are transposed, and depthwise kernels become
    (C, 1, k) from (k, 1, C).
    """
    state: StateDict = {}
    for module, entries in params.items():
        for kind, value in entries.items():
            array = torch.from_numpy(np.array(value, np.float32))
            name, suffix = (
                _torch_module(module),
                {"w": "weight", "scale": "weight"}.get(kind, "bias"),
            )
            if kind == "w" and array.ndim == 4:
                array = array.permute(3, 2, 0, 1)
            elif kind == "w" and array.ndim == 3:
                array = array.permute(2, 1, 0)
            elif kind == "w":
                array = array.T
            state[f"{name}.{suffix}"] = array.contiguous()
    return state


def _torch_module(module: str) -> str:
    """Return the PyTorch name of a Haiku module."""
    parts = [p for p in module.split("/") if p != "~"]
    if parts[0] != "tapir":
        raise ValueError(f"it has parameters named {module}, which no TAPIR has.")
    parts = parts[1:]
    if parts[0] in _RENAMED:
        return _RENAMED[parts[0]]
    if parts[0] == "resnet":
        if parts[1] == "initial_conv":
            return "resnet_torch.initial_conv"
        group, block = parts[1].rsplit("_", 1)[1], parts[2].rsplit("_", 1)[1]
        layer = _NORMS.get(parts[3], parts[3])
        return f"resnet_torch.block_groups.{group}.blocks.{block}.{layer}"
    if parts[0] == "extra_convs":
        index = int(m[1]) if (m := re.search(r"_(\d+)$", parts[1])) else 0
        if parts[1].startswith("layer_norm"):
            return f"extra_convs.blocks.{index}.layer_norm"
        return f"extra_convs.blocks.{index // 2}.{'conv_1' if index % 2 else 'conv'}"
    if parts[0] == "pips_mlp_mixer":
        if not parts[1].startswith("block"):
            return f"torch_pips_mixer.{parts[1]}"
        index = int(m[1]) if (m := re.search(r"_(\d+)$", parts[1])) else 0
        layer = parts[2]
        if layer.startswith("mlp2"):
            layer = f"conv_channels_mixer.{layer}"
        return f"torch_pips_mixer.blocks.{index}.{layer}"
    raise ValueError(f"it has parameters named {module}, which no TAPIR has.")
