"""Which weights there are, what they are, and where on this machine.

`registry` is data alone; `store` knows the folders; `download` fetches; nothing here imports torch.
"""

from facetrack.weights.base import Weights
from facetrack.weights.registry import BUNDLED, REGISTRY
from facetrack.weights.store import Found, get, resolve

__all__ = ["BUNDLED", "REGISTRY", "Found", "Weights", "get", "resolve"]
