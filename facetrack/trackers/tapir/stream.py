"""TAPIR as a point tracker of the pipeline: pixel-centre coordinates, face-following window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.output.sidecar import sha256_of
from facetrack.trackers.base import StepResult
from facetrack.trackers.tapir.config import RESOLUTION
from facetrack.trackers.tapir.tracker import TAPIR, Output, StreamState
from facetrack.trackers.window import Follower
from facetrack.weights import Weights

VISIBLE = 0.5
OFFLINE_WINDOW = (48, 16)
"""Frames a stretch and overlap for networks that look both ways. Their temporal convolutions see
some way to both sides; the query points' features come from the query frame in every stretch."""


@dataclass
class State:
    """A stream of frames with its query points.

    Attributes:
        stream: what the network remembers.
        follower: the window, or None when the whole frame is used.
    """

    stream: StreamState
    follower: Follower | None


class TapirTracker:
    """Streams frames through a TAPIR network (see `facetrack.trackers.base.PointTracker`).

    Args:
        tapir: the network.
        follow: track in a window that follows the points rather than in the whole frame.
        path: the checkpoint, for the sidecar.
        bundled: what is known of it when it is one of facetrack's own.
    """

    name = "tapir"

    def __init__(
        self, tapir: TAPIR, follow: bool, path: Path, bundled: Weights | None = None
    ) -> None:
        self.tapir = tapir
        self.follow = follow and tapir.config.causal
        self.window = None if tapir.config.causal else OFFLINE_WINDOW
        self._path, self._bundled = path, bundled

    def start(self, frame: np.ndarray, points: np.ndarray) -> State:
        """Remember points (N, 2), pixel-centre coordinates, of a frame (H, W, 3) uint8 RGB."""
        raster = np.asarray(points, np.float64) + 0.5
        follower = Follower(raster) if self.follow else None
        if follower is not None:
            frame = follower.window.crop(frame, RESOLUTION)
            raster = follower.window.into(raster, RESOLUTION)
        return State(self.tapir.start(frame, raster[:, ::-1]), follower)

    def step(self, state: State, frames: np.ndarray) -> StepResult:
        """Find the points in the next frames (K, H, W, 3) uint8 RGB."""
        size = (frames.shape[2], frames.shape[1])
        if state.follower is None:
            return self._result(self.tapir.step(state.stream, frames), size)
        parts = [self._step_window(state.stream, state.follower, frame) for frame in frames]
        return StepResult(*(np.concatenate(kind) for kind in zip(*parts, strict=True)))

    def _step_window(
        self, stream: StreamState, follower: Follower, frame: np.ndarray
    ) -> StepResult:
        window = follower.window
        output = self.tapir.step(stream, window.crop(frame, RESOLUTION)[None])
        mapped = Output(
            window.out_of(output.tracks, RESOLUTION), output.occlusion, output.expected_dist
        )
        follower.update(mapped.tracks[:, 0], mapped.visibility[:, 0])
        return self._result(mapped, (frame.shape[1], frame.shape[0]))

    @staticmethod
    def _result(output: Output, size: tuple[int, int]) -> StepResult:
        raster = output.tracks.transpose(1, 0, 2)
        confidence = output.visibility.T.astype(np.float32)
        inside = ((raster >= 0) & (raster <= np.array(size))).all(-1)
        return StepResult(
            (raster - 0.5).astype(np.float32), (confidence > VISIBLE) & inside, confidence
        )

    def describe(self) -> dict[str, Any]:
        """For the sidecar."""
        weights = (
            self._bundled.describe()
            if self._bundled
            else {"weights": str(self._path), "sha256": sha256_of(self._path)}
        )
        return {
            "name": self.name,
            **weights,
            "causal": self.tapir.config.causal,
            "follow_face": self.follow,
            "softmax_temperature": None
            if self.tapir.config.motion_inputs
            else self.tapir.config.softmax_temperature,
            "device": str(self.tapir.device),
            "precision": str(self.tapir.precision).removeprefix("torch."),
        }
