"""TAPIR as users meet it: load a checkpoint, track a clip, or stream frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.runtime import onednn
from facetrack.runtime.device import cast_weights
from facetrack.runtime.malloc import keep_freed_memory
from facetrack.trackers.tapir import checkpoint
from facetrack.trackers.tapir.backbone import FeatureMaps
from facetrack.trackers.tapir.config import RESOLUTION
from facetrack.trackers.tapir.matching import joined
from facetrack.trackers.tapir.mixer import MixerCache, TimeConv
from facetrack.trackers.tapir.network import Look, TapirNetwork
from facetrack.trackers.tapir.occlusion import Memory, Pictures, look
from facetrack.trackers.tapir.stream_state import Grouping, StreamState
from facetrack.trackers.tapir.types import Estimate, Queries, visibility
from facetrack.trackers.tapir.winograd import with_winograd

BACKBONE_CHUNK = 10
"""Frames that go through the backbone of a compact network, or on a GPU, at once."""
PUBLISHED_CHUNK = 2
"""Those of a published one on a CPU: what its caches hold, and enough for its products."""

AT_ONCE = 64
"""Frames that a step takes at once, at most; fewer once a device's memory has not sufficed."""
ROWS_AT_ONCE = 1 << 14
"""Points, over all frames, that a step on a CPU takes at once, at most: each has maps of its own,
and with more of them a frame takes longer."""

VISIBLE = 0.5
"""Probability above which a point counts as seen."""

Size = tuple[int, int]
"""(height, width) in pixels."""


def refinement_sizes(full: Size) -> list[Size]:
    """Resolutions to refine at, from 256 x 256 to the picture's own, log-spaced, multiples of 8.

    >>> refinement_sizes((480, 640))
    [(256, 256), (344, 400), (480, 640)]
    """
    base = RESOLUTION
    ratio = max(full) / base
    count = math.ceil(math.log2(ratio)) + 1 if ratio > 1 else 1
    if count <= 1:
        return [(base, base)]

    def between(side: int, share: float) -> int:
        return max(8, round((base * (side / base) ** share) // 8) * 8)

    shares = [i / (count - 1) for i in range(count)]
    return [(between(full[0], s), between(full[1], s)) for s in shares]


@dataclass(frozen=True)
class Output:
    """Points of one stretch of frames; `...` is nothing, or (G,) for groups of points.

    Attributes:
        tracks: (..., N, T, 2) xy in the video's pixels, TAPIR's raster: origin at the CORNER of
            the top-left pixel.
        occlusion, expected_dist: (..., N, T) logits.
        own_tracks, own_visibility: what `tracks` and `visibility` are before a closer look: the
            better guide to where a face is, as one that is hardly seen is doubtful all over.
    """

    tracks: np.ndarray
    occlusion: np.ndarray
    expected_dist: np.ndarray
    own_tracks: np.ndarray
    own_visibility: np.ndarray

    @staticmethod
    def concatenate(parts: Sequence[Output]) -> Output:
        """One stretch after the other, along T."""
        if len(parts) == 1:
            return parts[0]
        joined = {}
        for field in fields(Output):
            axis = -2 if field.name.endswith("tracks") else -1
            joined[field.name] = np.concatenate([getattr(p, field.name) for p in parts], axis)
        return Output(**joined)

    def __iter__(self) -> Any:
        return iter((self.tracks, self.occlusion, self.expected_dist))

    @property
    def visibility(self) -> np.ndarray:
        """(..., N, T) probability that the point is seen and where it is said to be."""
        return 1 / ((1 + np.exp(self.occlusion)) * (1 + np.exp(self.expected_dist)))


class TAPIR:
    """A TAPIR network with everything around it: resizing, resolutions, streaming.

    Positions are in TAPIR's raster coordinates here; the conversion to pixel centres happens in
    `TapirTracker`, once.

    Attributes:
        at_once: frames that a step takes at once, at most.
        warnings: sentences about a device that did not suffice.
    """

    warnings: list[str]

    def __init__(
        self,
        network: TapirNetwork,
        device: str | torch.device = "cpu",
        precision: torch.dtype = torch.float32,
    ) -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device)
        self.config = network.config
        self.precision = precision
        self.at_once, self.warnings = AT_ONCE, []
        # Compact networks learned with rounded features and positions. With a published one's
        # features, two places that look alike would change their ranks: only what is within its
        # mixer is rounded, which is half of its time.
        self._autocasts = precision != torch.float32 and self.config.motion_inputs
        if precision != torch.float32:
            within = network if self._autocasts else network.torch_pips_mixer.blocks
            cast_weights(within, precision, TimeConv)
        if self.device.type == "cpu":
            keep_freed_memory()
            if not self._autocasts:
                with_winograd(network)
            onednn.pack(network)

    @staticmethod
    def from_checkpoint(
        path: str | Path,
        *,
        causal: bool | None = None,
        softmax_temperature: float | None = None,
        device: str | torch.device = "cpu",
        precision: torch.dtype = torch.float32,
    ) -> TAPIR:
        """Load an official `.pt` or `.npy` checkpoint, or one of ours (`.safetensors`).

        Args:
            causal: an official file does not say: None goes by its name ("causal" in it).
            softmax_temperature: None takes the file's, else 20 as the official PyTorch demos do.
                The official JAX configurations of BootsTAPIR use 10.
            precision: of convolutions and linear layers; correlations stay in float32. Of
                published networks, of the layers within the mixer.

        Raises:
            FacetrackError: the file is missing or is no TAPIR checkpoint.
        """
        return TAPIR(checkpoint.load(Path(path), causal, softmax_temperature), device, precision)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self._autocasts)

    # ---------------------------------------------------------------- pieces

    def sizes(self, full: Size) -> list[Size]:
        """Resolutions used for a picture: entry 0 for matching, the rest for refinement."""
        if self.config.motion_inputs:
            return [(RESOLUTION, RESOLUTION)] * 2
        return [(RESOLUTION, RESOLUTION), *refinement_sizes(full)]

    def _grids(self, frames: np.ndarray, sizes: Sequence[Size]) -> list[FeatureMaps]:
        """Feature maps of frames (T, H, W, 3) uint8, (1, T, h, w, C) at each size."""
        published = self.device.type == "cpu" and not self.config.motion_inputs
        chunk = PUBLISHED_CHUNK if published else BACKBONE_CHUNK
        made: dict[Size, FeatureMaps] = {}
        for size in dict.fromkeys(sizes):
            parts = []
            for start in range(0, len(frames), chunk):
                batch = self._input(frames[start : start + chunk], size)
                with self._autocast():
                    parts.append(self.network.features(batch))
            made[size] = FeatureMaps(*(joined(kind)[None] for kind in zip(*parts, strict=True)))
        return [made[size] for size in sizes]

    def _input(self, frames: np.ndarray, size: Size) -> Tensor:
        batch = torch.from_numpy(np.ascontiguousarray(frames)).to(self.device)
        batch = batch.permute(0, 3, 1, 2).float().div_(255 / 2).sub_(1)
        if batch.shape[-2:] != size:
            batch = F.interpolate(batch, size=size, mode="bilinear", align_corners=False)
        return batch.contiguous(memory_format=torch.channels_last)

    def _queries(self, frames: np.ndarray, tyx: np.ndarray) -> tuple[Queries, list[FeatureMaps]]:
        """Features of queries (B, N, 3), sampled from the frames they name; and the frames' grids,
        which all B share."""
        height, width = frames.shape[1:3]
        grids = self._grids(frames, self.sizes((height, width)))
        scale = np.array([1, RESOLUTION / width, RESOLUTION / height])
        txy = torch.as_tensor(np.float32(tyx[..., [0, 2, 1]] * scale), device=self.device)
        shared = [FeatureMaps(*(m.expand(len(txy), -1, -1, -1, -1) for m in g)) for g in grids]
        return self.network.query_features(shared, txy), grids

    def _run(
        self,
        queries: Queries,
        grids: Sequence[FeatureMaps],
        sizes: Sequence[Size],
        caches: list[list[MixerCache]] | None,
        given: tuple[Tensor, Tensor] | None = None,
        look: Look | None = None,
    ) -> list[Estimate]:
        """The last estimate of each resolution; `given` = (frame (N,), xy (N, 2)) fixes positions
        of stage 1. All groups of queries look at the one clip of `grids`."""
        match = self.network.match(queries, grids[0])
        start = match.estimate
        if given is not None:
            frame, xy = given
            fixed = start.xy.clone()
            fixed[0, torch.arange(len(frame), device=xy.device), frame] = xy
            start = start._replace(xy=fixed)
            match = match._replace(estimate=start)
        done = []
        for level in range(1, len(sizes)):
            cache = caches[level - 1] if caches is not None else None
            with self._autocast():
                estimates = self.network.refine(
                    queries, grids[level], level, match, start, cache, sizes[level], look
                )
            done.append(estimates[-1])
            start = start._replace(xy=done[-1].xy)
        return done

    def _pictures(self, frames: np.ndarray) -> Pictures:
        return cache(lambda t: self._input(frames[t : t + 1], (RESOLUTION, RESOLUTION)))

    def _memory(self, frames: np.ndarray, when: Tensor, xy: Tensor) -> Memory | None:
        """Of points xy (G, N, 2) in frames `when` (G, N) of (T, H, W, 3), if the network looks."""
        side = self.config.occlusion_patch
        return Memory(self._pictures(frames), when, xy, side) if side else None

    def _look(self, memory: Memory | None, frames: np.ndarray) -> Look | None:
        """What judges anew which points are seen in frames (T, H, W, 3)."""
        head = self.network.occlusion_head
        if memory is None or head is None:
            return None
        return partial(look, head, memory, self._pictures(frames))

    def _output(self, estimates: Sequence[Estimate], full: Size, grouping: Grouping) -> Output:
        kinds = zip(*(e[:3] for e in estimates), strict=True)
        xy, occlusion, expected = (torch.stack(kind).mean(0) for kind in kinds)
        mean = Estimate(xy, occlusion, expected)
        own = estimates[-1].own or mean
        scale = mean.xy.new_tensor([full[1] / RESOLUTION, full[0] / RESOLUTION])
        said = (mean.xy * scale, mean.occlusion, mean.expected_dist)
        arrays = (*said, own.xy * scale, visibility(own))
        return Output(*(grouping.join(x).float().cpu().numpy() for x in arrays))

    # ---------------------------------------------------------------- whole clips

    @torch.inference_mode()
    def track(self, video: np.ndarray, queries_tyx: np.ndarray) -> Output:
        """Track points through a clip that fits in memory.

        Args:
            video: (T, H, W, 3) uint8 RGB.
            queries_tyx: (N, 3) frame, y, x; raster coordinates, origin at the corner.

        Returns:
            Output, which also unpacks as tracks (N, T, 2) xy, occlusion (N, T) and expected_dist
            (N, T). A causal network sees each frame's past alone, as in streaming (the last
            resolution's answer); others see the whole clip (the mean over resolutions).
        """
        video, queries_tyx = np.asarray(video), np.asarray(queries_tyx, np.float32)
        if video.ndim != 4 or video.shape[-1] != 3 or video.dtype != np.uint8:
            raise ValueError(f"video must be (T, H, W, 3) uint8, not {video.shape} {video.dtype}")
        if queries_tyx.ndim != 2 or queries_tyx.shape[1] != 3:
            raise ValueError(f"queries_tyx must be (N, 3), not {queries_tyx.shape}")
        full: Size = (video.shape[1], video.shape[2])
        queries, grids = self._queries(video, queries_tyx[None])
        sizes = self.sizes(full)
        whole = Grouping((), len(queries_tyx), 1)
        frame = torch.as_tensor(np.round(queries_tyx[:, 0]), device=self.device).long()
        if self.config.causal:
            look = self._look(self._memory(video, frame[None], queries.xy), video)
            return self._output(self._run(queries, grids, sizes, None, look=look)[-1:], full, whole)
        given = frame, queries.xy[0]
        return self._output(self._run(queries, grids, sizes, None, given), full, whole)

    # ---------------------------------------------------------------- streaming

    @torch.inference_mode()
    def start(self, frame: np.ndarray, points_yx: np.ndarray) -> StreamState:
        """Remember points y, x (raster) of one frame (H, W, 3) uint8.

        Args:
            points_yx: (N, 2), or (G, N, 2) for G groups that do not know of each other; they
                share the frames' feature maps. Of more than TOGETHER points, too, each knows of
                some of the others.
        """
        grouping = Grouping.of(points_yx)
        points = grouping.split(points_yx)
        tyx = np.concatenate([np.zeros((*points.shape[:2], 1)), points], -1)
        queries, _ = self._queries(frame[None], tyx)
        when = torch.zeros(queries.xy.shape[:2], dtype=torch.long, device=self.device)
        memory = self._memory(frame[None], when, queries.xy)
        levels = len(self.sizes(frame.shape[:2])) - 1
        return StreamState(self.network, queries, levels, grouping, memory)

    def step(self, state: StreamState, frames: np.ndarray) -> Output:
        """Points of the next frames (K, H, W, 3) uint8; updates the state in place.

        A network that is not causal takes the K frames as one clip of its own and remembers
        nothing but the query points.
        """
        return self.step_many([state], frames)[0]

    @torch.inference_mode()
    def step_many(self, states: Sequence[StreamState], frames: np.ndarray) -> list[Output]:
        """As `step`, for several states, which share the frames' feature maps."""
        if not self.config.causal:
            return self._step(states, frames)
        parts: list[list[Output]] = []
        done = 0
        while done < len(frames):
            before = [state.copy() for state in states]
            part = frames[done : done + min(map(self._most, states))]
            try:
                parts.append(self._step(states, part))
                done += len(part)
                continue
            except torch.OutOfMemoryError:
                # As before the step: what it had changed belongs to frames that have no answer.
                for state, old in zip(states, before, strict=True):
                    state.caches, state.memory = old.caches, old.memory
                if len(part) == 1:
                    raise
            # Not before the error is gone, which holds on to what the step had made.
            self._take_less(len(part))
        return [Output.concatenate(own) for own in zip(*parts, strict=True)]

    def _most(self, state: StreamState) -> int:
        """Frames that a step takes at once."""
        if self.device.type != "cpu":
            return self.at_once
        return min(self.at_once, max(1, ROWS_AT_ONCE // state.queries.xy[..., 0].numel()))

    def _step(self, states: Sequence[StreamState], frames: np.ndarray) -> list[Output]:
        full: Size = (frames.shape[1], frames.shape[2])
        sizes = self.sizes(full)
        grids = self._grids(frames, sizes)
        made = []
        for state in states:
            if self.config.causal:
                look = self._look(state.memory, frames)
                done = self._run(state.queries, grids, sizes, state.caches, look=look)[-1:]
            else:
                done = self._run(state.queries, grids, sizes, None)
            made.append(self._output(done, full, state.grouping))
        return made

    def _take_less(self, frames: int) -> None:
        """Give the device half as many frames at once from now on."""
        self.at_once = frames // 2
        torch.cuda.empty_cache()
        self.warnings.append(
            f"{self.device} has too little free memory for {frames} frames at once: it went on "
            f"with {self.at_once}."
        )
