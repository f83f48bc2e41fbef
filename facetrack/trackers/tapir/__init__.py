"""TAPIR in PyTorch: the published networks and a compact one."""

from facetrack.trackers.tapir.config import TAPIR_S, TapirConfig
from facetrack.trackers.tapir.output import Output
from facetrack.trackers.tapir.predictor import TAPIR, StreamState

__all__ = ["TAPIR", "TAPIR_S", "Output", "StreamState", "TapirConfig"]
