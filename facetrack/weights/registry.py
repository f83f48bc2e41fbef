"""Register all weights that facetrack knows by name.

"auto" chooses the first suitable entry, in this order.
"""

from __future__ import annotations

from facetrack.weights.base import Weights
from facetrack.weights.bundled import BUNDLED_WEIGHTS
from facetrack.weights.published import PUBLISHED_WEIGHTS

BUNDLED: dict[str, Weights] = {entry.name: entry for entry in BUNDLED_WEIGHTS}
"""Weights in facetrack's `weights` folder, by name."""
REGISTRY: dict[str, Weights] = BUNDLED | {entry.name: entry for entry in PUBLISHED_WEIGHTS}
"""All weights, by name."""
