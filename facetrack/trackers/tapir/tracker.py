"""TAPIR as a point tracker of the pipeline: pixel-centre coordinates, face-following window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.files import sha256_of
from facetrack.runtime.device import precision_name
from facetrack.runtime.thread_map import thread_map
from facetrack.trackers.base import PointTracker, StepResult
from facetrack.trackers.tapir.config import RESOLUTION
from facetrack.trackers.tapir.face_window import Window, WindowFollower
from facetrack.trackers.tapir.flow_smoothing import FlowSmoother
from facetrack.trackers.tapir.predictor import TAPIR, VISIBLE, Output, StreamState
from facetrack.trackers.tapir.recovery import FEWEST, FaceRecovery
from facetrack.weights import Weights
from facetrack.weights.store import describe

LOST = 8
"""Frames without the face in its window, after which all of a frame is searched, and again."""
OFFLINE_WINDOW = (48, 16)
"""Frames a stretch and overlap for networks that look both ways. Their temporal convolutions see
some way to both sides; the query points' features come from the query frame in every stretch."""


@dataclass
class State:
    """A stream of frames with its query points.

    Attributes:
        stream: what the network remembers.
        follower: the window, or None when the whole frame is used.
        steady: what steadies the points, or None for the network's own.
        search: what looks for them once the window has lost them.
    """

    stream: StreamState
    follower: WindowFollower | None
    steady: FlowSmoother | None
    search: FaceRecovery | None = None


class TapirTracker(PointTracker):
    """Streams frames through a TAPIR network (see `facetrack.trackers.base.PointTracker`).

    It can carry G groups of points at once: placements of the same N landmarks by several
    detectors, say. They share the window, which follows the median of the groups so that no bad
    one spoils the others, and the frames' feature maps, which are most of the work. Otherwise they
    do not know of each other.

    Args:
        tapir: the network.
        follow: track in a window that follows the points rather than in the whole frame.
        steady: steady the points by optical flow (causal networks only).
        path: the checkpoint, for the sidecar.
        bundled: what is known of it when it is one of facetrack's own.
    """

    name = "tapir"

    def __init__(
        self,
        tapir: TAPIR,
        follow: bool,
        path: Path,
        bundled: Weights | None = None,
        steady: bool = True,
    ) -> None:
        self.tapir = tapir
        self.steady = steady and tapir.config.causal
        self.follow = follow and tapir.config.causal
        self.window = None if tapir.config.causal else OFFLINE_WINDOW
        self._path, self._bundled = path, bundled

    def take_warnings(self) -> list[str]:
        """Sentences about a device that did not suffice; each is given once."""
        warnings, self.tapir.warnings = self.tapir.warnings, []
        return warnings

    def start(self, frame: np.ndarray, points: np.ndarray) -> State:
        """Remember points, pixel-centre coordinates, of a frame (H, W, 3) uint8 RGB.

        Args:
            points: (N, 2), or (G, N, 2) for groups; `step` then answers (K, G, N, ...).
        """
        raster = np.asarray(points, np.float64) + 0.5
        middle = _median(raster)
        follower = WindowFollower(middle) if self.follow else None
        window = None if follower is None else follower.window
        steady = FlowSmoother(frame, raster.reshape(-1, 2), window) if self.steady else None
        if follower is None:
            return State(self.tapir.start(frame, raster[..., ::-1]), None, steady)
        shown = follower.window.crop(frame, RESOLUTION)
        inside = follower.window.into(raster, RESOLUTION)
        stream = self.tapir.start(shown, inside[..., ::-1])
        search = None
        if len(middle) >= FEWEST:
            search = FaceRecovery(self.tapir, frame, middle, follower.window)
        return State(stream, follower, steady, search)

    def step(self, state: State, frames: np.ndarray) -> StepResult:
        """Find the points in the next frames (K, H, W, 3) uint8 RGB."""
        if state.follower is None:
            return self._result(state, self.tapir.step(state.stream, frames), frames)
        parts, done = [], 0
        while done < len(frames):
            upto = done + state.follower.hold
            parts.append(self._step_window(state, state.follower, frames[done:upto]))
            done = upto
        return StepResult(*(np.concatenate(kind) for kind in zip(*parts, strict=True)))

    def step_many(self, states: Sequence[State], frames: np.ndarray) -> list[StepResult]:
        """As `step`, for several faces, each in a thread of its own; in whole frames they share the
        feature maps instead."""
        if any(state.follower is not None for state in states):
            one = partial(self.step, frames=frames)
            on_cpu = self.tapir.device.type == "cpu"
            return thread_map(one, states) if on_cpu else [one(state) for state in states]
        outputs = self.tapir.step_many([state.stream for state in states], frames)
        both = zip(states, outputs, strict=True)
        return [self._result(state, output, frames) for state, output in both]

    def _step_window(
        self, state: State, follower: WindowFollower, frames: np.ndarray
    ) -> StepResult:
        """Frames that share a window, no more than the follower holds it."""
        window = follower.window
        crops = np.stack([window.crop(frame, RESOLUTION) for frame in frames])
        output = self.tapir.step(state.stream, crops)
        own = window.out_of(output.own_tracks, RESOLUTION)
        for xy, seen in zip(*_by_frame(own, output.own_visibility), strict=True):
            follower.update(_median(xy), _median(seen[..., None])[..., 0])
        if follower.lost >= LOST and state.search is not None:
            self._look_everywhere(state.search, follower, frames[-1])
        if follower.window != window:
            # Where the new window shows the corner and the axes of the old one.
            old = window.out_of(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), RESOLUTION)
            shift, *axes = follower.window.into(old, RESOLUTION)
            state.stream.move(np.stack(axes, 1) - shift[:, None], shift)
        mapped = replace(output, tracks=window.out_of(output.tracks, RESOLUTION))
        return self._result(state, mapped, frames, window, crops)

    @staticmethod
    def _look_everywhere(search: FaceRecovery, follower: WindowFollower, frame: np.ndarray) -> None:
        """Send the window to where the points are found; else ask again after LOST frames."""
        found = search.find(frame)
        if found is None:
            follower.lost = 0
        else:
            follower.move_to(found.matrix, found.scale)

    @staticmethod
    def _result(
        state: State,
        output: Output,
        frames: np.ndarray,
        window: Window | None = None,
        crops: np.ndarray | None = None,
    ) -> StepResult:
        tracks, visibility, own = _by_frame(output.tracks, output.visibility, output.own_visibility)
        raster = tracks.astype(np.float64)
        confidence = visibility.astype(np.float32)
        seen = confidence > VISIBLE
        # In a whole frame flow is for what the network itself does not recognise.
        steadied_as = seen if window is not None else own > VISIBLE
        if state.steady is not None:
            for t, frame in enumerate(frames):
                steadied = state.steady.step(
                    frame,
                    window,
                    raster[t].reshape(-1, 2),
                    steadied_as[t].reshape(-1),
                    None if crops is None else crops[t],
                )
                raster[t] = steadied.reshape(raster[t].shape)
        size = np.array([frames.shape[2], frames.shape[1]])
        seen &= ((raster >= 0) & (raster <= size)).all(-1)
        return StepResult((raster - 0.5).astype(np.float32), seen, confidence)

    def describe(self) -> dict[str, Any]:
        """For the sidecar."""
        weights = (
            describe(self._bundled)
            if self._bundled
            else {"weights": str(self._path), "sha256": sha256_of(self._path)}
        )
        return {
            "name": self.name,
            **weights,
            "causal": self.tapir.config.causal,
            "follow_face": self.follow,
            "steady": self.steady,
            "softmax_temperature": None
            if self.tapir.config.motion_inputs
            else self.tapir.config.softmax_temperature,
            "device": str(self.tapir.device),
            "precision": precision_name(self.tapir.precision),
        }


def _median(points: np.ndarray) -> np.ndarray:
    """(..., N, C) -> (N, C): the median over the groups; of a single one, itself."""
    return np.asarray(np.median(points.reshape(-1, *points.shape[-2:]), axis=0))


def _by_frame(tracks: np.ndarray, *probabilities: np.ndarray) -> tuple[np.ndarray, ...]:
    """Positions (..., N, T, 2) and probabilities (..., N, T), frame after frame: T first."""
    return np.moveaxis(tracks, -2, 0), *(np.moveaxis(p, -1, 0) for p in probabilities)
