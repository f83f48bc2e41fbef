"""TAPIR as a point tracker of the pipeline: pixel-centre coordinates, face-following window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
from facetrack.trackers.tapir.interpolation import choose_frames, follow_flow_back, interpolate
from facetrack.trackers.tapir.output import VISIBLE_PROBABILITY, Output
from facetrack.trackers.tapir.predictor import TAPIR, StreamState
from facetrack.trackers.tapir.recovery import MIN_POINTS, FaceRecovery
from facetrack.trackers.tapir.search_region import Region, choose_region
from facetrack.weights import Weights
from facetrack.weights.store import describe

MAX_LOST_FRAMES = 8
"""Frames without the face in its window after which the whole frame is searched; then again after
as many."""
OFFLINE_WINDOW = (48, 16)
"""Length and overlap in frames of the windows of networks that are not causal. Their temporal
convolutions use some frames to both sides; the query points' features come from the query frame in
every window."""


@dataclass
class TapirState:
    """A stream of frames with its query points.

    Attributes:
        stream: the network's state.
        follower: chooses the window; None for whole frames.
        steady: smooths the points by optical flow; None for the network's own positions.
        search: searches the frame once the window has lost the face; None for whole frames, and for
            few points.
        recent: the network's output for the last two frames, or the last one, in the frame's raster
            coordinates; None where there are none.
    """

    stream: StreamState
    follower: WindowFollower | None
    steady: FlowSmoother | None
    search: FaceRecovery | None = None
    recent: Output | None = None

    def remember(self, output: Output, is_lost: bool) -> None:
        """Keep the last two frames of `recent` and `output`; nothing of a lost face."""
        parts = [output] if self.recent is None else [self.recent, output]
        self.recent = None if is_lost else Output.concatenate(parts).last(2)


class TapirTracker(PointTracker):
    """Streams frames through a TAPIR network (see `facetrack.trackers.base.PointTracker`).

    It can track G groups of points at once, for example the same N landmarks placed by several
    detectors. They share the frames' feature maps, which are most of the work, and the window. It
    follows the median of the groups, so a bad group does not affect the others. Otherwise the
    groups are independent.

    Args:
        tapir: the network.
        follow: track in a window that follows the points instead of the whole frame (causal
            networks only).
        path: the checkpoint, for the record.
        bundled: its entry if it is a bundled one.
        steady: smooth the points by optical flow (causal networks only).
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
        """Return and clear warnings about a device that ran out of memory."""
        warnings, self.tapir.warnings = self.tapir.warnings, []
        return warnings

    def start(self, frame: np.ndarray, points: np.ndarray) -> TapirState:
        """Return a new state that follows points of a frame (H, W, 3) uint8 RGB.

        Args:
            points: (N, 2) pixels, origin at the centre of the top-left pixel; or (G, N, 2) for
                groups, and `step` then returns (K, G, N, ...).
        """
        raster = np.asarray(points, np.float64) + 0.5
        middle = _median(raster)
        follower = WindowFollower(middle) if self.follow else None
        window = None if follower is None else follower.window
        steady = FlowSmoother(frame, raster.reshape(-1, 2), window) if self.steady else None
        if follower is None:
            return TapirState(self.tapir.start(frame, raster[..., ::-1]), None, steady)
        shown = follower.window.crop(frame, RESOLUTION)
        inside = follower.window.to_crop(raster, RESOLUTION)
        stream = self.tapir.start(shown, inside[..., ::-1])
        search = None
        if len(middle) >= MIN_POINTS:
            search = FaceRecovery(self.tapir, frame, middle, follower.window)
        return TapirState(stream, follower, steady, search)

    def step(self, state: TapirState, frames: np.ndarray) -> StepResult:
        """Track the points through frames (K, H, W, 3) uint8 RGB; update `state` in place."""
        if state.follower is None:
            return self._result(state, self.tapir.step(state.stream, frames), frames)
        parts, done = [], 0
        while done < len(frames):
            upto = done + state.follower.hold
            parts.append(self._step_window(state, state.follower, frames[done:upto]))
            done = upto
        return StepResult(*(np.concatenate(kind) for kind in zip(*parts, strict=True)))

    def step_many(self, states: Sequence[TapirState], frames: np.ndarray) -> list[StepResult]:
        """Track several faces through the same frames.

        On a CPU each face has a thread. In whole frames they share the feature maps instead.
        """
        if any(state.follower is not None for state in states):
            step = partial(self.step, frames=frames)
            on_cpu = self.tapir.device.type == "cpu"
            return thread_map(step, states) if on_cpu else [step(state) for state in states]
        outputs = self.tapir.step_many([state.stream for state in states], frames)
        pairs = zip(states, outputs, strict=True)
        return [self._result(state, output, frames) for state, output in pairs]

    def _step_window(
        self, state: TapirState, follower: WindowFollower, frames: np.ndarray
    ) -> StepResult:
        """Track through frames that share a window: no more than the follower holds it."""
        window, before = follower.window, state.recent
        crops = np.stack([window.crop(frame, RESOLUTION) for frame in frames])
        region = self._region(state, follower, len(frames))
        # Without smoothing, every position is the network's own.
        if before is None or state.steady is None or not follower.is_calm:
            output = self.tapir.step(state.stream, crops, region).moved(window)
        else:
            shown = choose_frames(len(frames))
            output = self.tapir.step(state.stream, crops[shown], region).moved(window)
            output = interpolate(before, output, shown, len(frames))
            output = follow_flow_back(output, shown, frames, window, crops)
        for xy, seen in zip(
            *_by_frame(output.unrefined_tracks, output.unrefined_visibility), strict=True
        ):
            follower.update(_median(xy), _median(seen[..., None])[..., 0])
        is_lost = follower.lost > 0  # in these frames: a search may find it in the last
        if follower.lost >= MAX_LOST_FRAMES and state.search is not None:
            self._search_frame(state.search, follower, frames[-1])
        if follower.window != window:
            # The corner and the axes of the old window, in the new one.
            old = window.to_frame(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), RESOLUTION)
            shift, *axes = follower.window.to_crop(old, RESOLUTION)
            state.stream.move(np.stack(axes, 1) - shift[:, None], shift)
        state.remember(output, is_lost)
        return self._result(state, output, frames, window, crops)

    def _region(self, state: TapirState, follower: WindowFollower, frames: int) -> Region | None:
        """Return where the network seeks the points in the next crops; None for everywhere.

        On other devices than a CPU, shapes that change cost more than they save.
        """
        on_cpu = self.tapir.device.type == "cpu"
        if not (on_cpu and self.tapir.config.motion_inputs) or state.recent is None:
            return None
        recent = np.moveaxis(follower.window.to_crop(state.recent.tracks, RESOLUTION), -2, 0)
        if len(recent) < 2:
            return None
        before, now = recent.reshape(2, -1, 2)
        return choose_region(before, now, frames)

    @staticmethod
    def _search_frame(search: FaceRecovery, follower: WindowFollower, frame: np.ndarray) -> None:
        """Move the window to the face, or search again after MAX_LOST_FRAMES if it is not found."""
        found = search.find(frame)
        if found is None:
            follower.lost = 0
        else:
            follower.move_to(found.matrix, found.scale)

    @staticmethod
    def _result(
        state: TapirState,
        output: Output,
        frames: np.ndarray,
        window: Window | None = None,
        crops: np.ndarray | None = None,
    ) -> StepResult:
        tracks, visibility, unrefined = _by_frame(
            output.tracks, output.visibility, output.unrefined_visibility
        )
        raster = tracks.astype(np.float64)
        confidence = visibility.astype(np.float32)
        seen = confidence > VISIBLE_PROBABILITY
        # In a whole frame, the flow propagates the points that the network does not recognise.
        recognised = seen if window is not None else unrefined > VISIBLE_PROBABILITY
        if state.steady is not None:
            for t, frame in enumerate(frames):
                smoothed = state.steady.step(
                    frame,
                    window,
                    raster[t].reshape(-1, 2),
                    recognised[t].reshape(-1),
                    None if crops is None else crops[t],
                )
                raster[t] = smoothed.reshape(raster[t].shape)
        size = np.array([frames.shape[2], frames.shape[1]])
        seen &= ((raster >= 0) & (raster <= size)).all(-1)
        return StepResult((raster - 0.5).astype(np.float32), seen, confidence)

    def describe(self) -> dict[str, Any]:
        """Return the tracker's entry in the record."""
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
    """Return the median (N, C) of points (..., N, C) over the groups."""
    return np.asarray(np.median(points.reshape(-1, *points.shape[-2:]), axis=0))


def _by_frame(tracks: np.ndarray, *probabilities: np.ndarray) -> tuple[np.ndarray, ...]:
    """Move the axis T of positions (..., N, T, 2) and probabilities (..., N, T) to the front."""
    return np.moveaxis(tracks, -2, 0), *(np.moveaxis(p, -1, 0) for p in probabilities)
