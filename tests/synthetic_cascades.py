"""The networks that regress shapes at their least size, with weights that mean nothing."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from facetrack.detectors import pipnet_meanface
from facetrack.detectors.cascades.base import ShapeConfig, ShapeNetwork
from facetrack.detectors.cascades.cfan import CfanNetwork
from facetrack.detectors.cascades.coarse_to_fine import CoarseToFineNetwork
from facetrack.detectors.cascades.dan import DanNetwork
from facetrack.detectors.cascades.dcnn import DcnnNetwork, five_points
from facetrack.detectors.cascades.fifa import FifaNetwork
from facetrack.detectors.cascades.mdm import MdmNetwork
from facetrack.detectors.cascades.san import SanNetwork

NETWORKS: dict[str, type[ShapeNetwork]] = {
    network.arch: network
    for network in (
        CfanNetwork,
        CoarseToFineNetwork,
        DanNetwork,
        DcnnNetwork,
        FifaNetwork,
        MdmNetwork,
        SanNetwork,
    )
}


def config(arch: str) -> ShapeConfig:
    return ShapeConfig(5 if arch == "dcnn" else 68, 8, 8)


def least(arch: str) -> ShapeNetwork:
    """A network that has seen a few mean faces that differ in size and width."""
    torch.manual_seed(0)
    network = NETWORKS[arch](config(arch))
    face = torch.from_numpy(pipnet_meanface.read("data_300W")).float() * 1.2 - 0.6
    wide = torch.tensor([[1.1, 1.0], [0.9, 1.0], [1.0, 1.15], [1.0, 0.9], [1.05, 1.1]])
    shapes = face * wide[:, None]
    network.basis.fit(five_points(shapes) if arch == "dcnn" else shapes)
    return network.eval()


def written(name: str, folder: Path, **changes: str) -> Path:
    """Write the weights as training does; `changes` replace its metadata."""
    path = folder / f"{name}.safetensors"
    metadata = {"arch": name, "config": json.dumps(config(name)._asdict()), **changes}
    state = {k: v for k, v in least(name).state_dict().items() if v.is_floating_point()}
    save_file(state, path, metadata)
    return path
