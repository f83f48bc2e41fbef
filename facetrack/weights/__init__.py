"""Manage weights files: the registry, the files on this machine, downloads and file formats.

`registry` holds the known weights, as data; `store` finds their files; `download` fetches them;
`state_dict` reads them. Only `state_dict` imports PyTorch.
"""

from facetrack.weights.base import Weights
from facetrack.weights.registry import BUNDLED, REGISTRY
from facetrack.weights.store import ResolvedWeights, get, resolve

__all__ = ["BUNDLED", "REGISTRY", "ResolvedWeights", "Weights", "get", "resolve"]
