"""The TAPIR predictor: load a checkpoint, track a clip, or stream frames."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.runtime import onednn
from facetrack.runtime.device import cast_weights
from facetrack.runtime.malloc import keep_freed_memory
from facetrack.runtime.transfers import constant, download, upload
from facetrack.trackers.tapir import checkpoint
from facetrack.trackers.tapir.backbone import FeatureMaps
from facetrack.trackers.tapir.config import RESOLUTION, Size, refinement_sizes
from facetrack.trackers.tapir.matching import concatenate
from facetrack.trackers.tapir.mixer import MixerCache, TimeConv
from facetrack.trackers.tapir.network import TapirNetwork
from facetrack.trackers.tapir.occlusion import FrameGetter, OcclusionMemory, refine_visibility
from facetrack.trackers.tapir.output import Output
from facetrack.trackers.tapir.search_region import Region, extract_within
from facetrack.trackers.tapir.stream_state import Grouping, StreamState
from facetrack.trackers.tapir.types import Estimate, QueryFeatures, RefineVisibility, visibility
from facetrack.trackers.tapir.winograd import use_winograd

BACKBONE_CHUNK = 10
"""Frames per pass through the backbone of a compact network, or of any network on a GPU."""
PUBLISHED_CHUNK = 2
"""Frames per pass through the backbone of a published network on a CPU: they fit into its caches,
and suffice for fast products."""

MAX_FRAMES_AT_ONCE = 64
"""Frames that a step processes at once, at most; fewer once a device has run out of memory."""
MAX_CPU_ROWS = 1 << 14
"""Points times frames that a step on a CPU processes at once, at most: each has its own maps, and
with more of them a frame takes longer."""


class TAPIR:
    """A TAPIR network with resizing, resolutions and streaming.

    Positions are TAPIR's raster coordinates: pixels, origin at the CORNER of the top-left pixel.
    `TapirTracker` converts them to pixel centres.

    Attributes:
        at_once: frames that a step processes at once, at most.
        warnings: sentences about a device that ran out of memory.
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
        self.at_once, self.warnings = MAX_FRAMES_AT_ONCE, []
        # Compact networks were trained with rounded features and positions. In a published network,
        # rounded features would swap the ranks of two similar places: only the layers within its
        # mixer, half of its time, are rounded.
        self._autocasts = precision != torch.float32 and self.config.motion_inputs
        if precision != torch.float32:
            within = network if self._autocasts else network.torch_pips_mixer.blocks
            cast_weights(within, precision, TimeConv)
        if self.device.type == "cpu":
            keep_freed_memory()
            if not self._autocasts:
                use_winograd(network)
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
            causal: official files do not record this: None decides by the file's name ("causal" in
                it).
            softmax_temperature: None means the file's, else 20 as in the official PyTorch demos.
                The official JAX configurations of BootsTAPIR use 10.
            precision: of convolutions and linear layers; correlations stay in float32. In published
                networks only of the layers within the mixer.

        Raises:
            FacetrackError: the file is missing or is no TAPIR checkpoint.
        """
        return TAPIR(checkpoint.load(Path(path), causal, softmax_temperature), device, precision)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.precision, enabled=self._autocasts)

    # ---------------------------------------------------------------- stages

    def sizes(self, full: Size) -> list[Size]:
        """Return the resolutions for a picture: entry 0 for matching, the rest for refinement."""
        if self.config.motion_inputs:
            return [(RESOLUTION, RESOLUTION)] * 2
        return [(RESOLUTION, RESOLUTION), *refinement_sizes(full)]

    def _upload(self, frames: np.ndarray) -> Tensor:
        """Return frames (T, H, W, 3) uint8 on the device."""
        return upload([frames], self.device)[0]

    def _get_feature_grids(
        self, frames: Tensor, sizes: Sequence[Size], region: Region | None = None
    ) -> list[FeatureMaps]:
        """Compute the feature maps of frames (T, H, W, 3) uint8, (1, T, h, w, C) at each size.

        Outside of `region` they are 0, and so is every correlation with them.
        """
        published = self.device.type == "cpu" and not self.config.motion_inputs
        chunk = PUBLISHED_CHUNK if published else BACKBONE_CHUNK
        grids: dict[Size, FeatureMaps] = {}
        for size in dict.fromkeys(sizes):
            parts = []
            for start in range(0, len(frames), chunk):
                batch = self._input(frames[start : start + chunk], size)
                with self._autocast():
                    parts.append(extract_within(self.network, batch, region))
            maps = zip(*parts, strict=True)
            grids[size] = FeatureMaps(*(concatenate(kind)[None] for kind in maps))
        return [grids[size] for size in sizes]

    def _input(self, frames: Tensor, size: Size) -> Tensor:
        batch = frames.permute(0, 3, 1, 2).float().div_(255 / 2).sub_(1)
        if batch.shape[-2:] != size:
            batch = F.interpolate(batch, size=size, mode="bilinear", align_corners=False)
        return batch.contiguous(memory_format=torch.channels_last)

    def _get_query_features(
        self, frames: Tensor, tyx: np.ndarray
    ) -> tuple[QueryFeatures, list[FeatureMaps]]:
        """Sample the features of queries (B, N, 3) t, y, x from frames (T, H, W, 3).

        Returns:
            The features, and the frames' feature maps, which all B share.
        """
        height, width = frames.shape[1:3]
        grids = self._get_feature_grids(frames, self.sizes((height, width)))
        scale = np.array([1, RESOLUTION / width, RESOLUTION / height])
        (txy,) = upload([np.float32(tyx[..., [0, 2, 1]] * scale)], self.device)
        shared = [FeatureMaps(*(m.expand(len(txy), -1, -1, -1, -1) for m in g)) for g in grids]
        return self.network.get_query_features(shared, txy), grids

    def _estimate_trajectories(
        self,
        queries: QueryFeatures,
        grids: Sequence[FeatureMaps],
        sizes: Sequence[Size],
        caches: list[list[MixerCache]] | None,
        given: tuple[Tensor, Tensor] | None = None,
        refiner: RefineVisibility | None = None,
    ) -> list[Estimate]:
        """Run both stages: match, then refine at every resolution.

        Args:
            queries: features of all groups of points.
            grids: feature maps of the clip, shared by all groups.
            caches: [resolution][iteration] mixer caches when streaming, updated in place.
            given: frame (N,) and xy (N, 2) of positions that replace those of stage 1.
            refiner: corrects the visibility of doubtful points.

        Returns:
            The last estimate of each resolution.
        """
        match = self.network.match(queries, grids[0])
        start = match.estimate
        if given is not None:
            frame, xy = given
            fixed = start.xy.clone()
            fixed[0, torch.arange(len(frame), device=xy.device), frame] = xy
            start = start._replace(xy=fixed)
            match = match._replace(estimate=start)
        refined = []
        for level in range(1, len(sizes)):
            cache = caches[level - 1] if caches is not None else None
            with self._autocast():
                estimates = self.network.refine(
                    queries, grids[level], level, match, start, cache, sizes[level], refiner
                )
            refined.append(estimates[-1])
            start = start._replace(xy=refined[-1].xy)
        return refined

    def _frame_getter(self, frames: Tensor) -> FrameGetter:
        """Return a function that converts single frames of (T, H, W, 3) on demand."""
        return cache(lambda t: self._input(frames[t : t + 1], (RESOLUTION, RESOLUTION)))

    def _memory(self, frames: Tensor, when: Tensor, xy: Tensor) -> OcclusionMemory | None:
        """Create the occlusion head's memory, or None for networks without that head.

        Args:
            frames: (T, H, W, 3).
            when, xy: (G, N) query frames and (G, N, 2) query points.
        """
        side = self.config.occlusion_patch
        return OcclusionMemory(self._frame_getter(frames), when, xy, side) if side else None

    def _visibility_refiner(
        self, memory: OcclusionMemory | None, frames: Tensor
    ) -> RefineVisibility | None:
        """Return the occlusion head's correction for frames (T, H, W, 3).

        None for networks without that head.
        """
        head = self.network.occlusion_head
        if memory is None or head is None:
            return None
        return partial(refine_visibility, head, memory, self._frame_getter(frames))

    def _output(self, estimates: Sequence[Estimate], full: Size, grouping: Grouping) -> Output:
        """Average estimates of several resolutions, and scale them to a picture of size `full`."""
        kinds = zip(*(e[:3] for e in estimates), strict=True)
        xy, occlusion, expected = (torch.stack(kind).mean(0) for kind in kinds)
        mean = Estimate(xy, occlusion, expected)
        unrefined = estimates[-1].unrefined or mean
        scale = constant((full[1] / RESOLUTION, full[0] / RESOLUTION), mean.xy)
        refined = (mean.xy * scale, mean.occlusion, mean.expected_dist)
        arrays = (*refined, unrefined.xy * scale, visibility(unrefined))
        return Output(*download(*(grouping.join(x) for x in arrays)))

    # ---------------------------------------------------------------- whole clips

    @torch.inference_mode()
    def track(self, video: np.ndarray, queries_tyx: np.ndarray) -> Output:
        """Track points through a clip that fits in memory.

        Args:
            video: (T, H, W, 3) uint8 RGB.
            queries_tyx: (N, 3) frame, y, x; raster coordinates, origin at the corner.

        Returns:
            Output, which also unpacks as tracks (N, T, 2) xy, occlusion (N, T) and expected_dist
            (N, T). Causal networks use the past of each frame only, as in streaming, and return the
            last resolution's estimate. Others use the whole clip, and return the mean over the
            resolutions.
        """
        video, queries_tyx = np.asarray(video), np.asarray(queries_tyx, np.float32)
        if video.ndim != 4 or video.shape[-1] != 3 or video.dtype != np.uint8:
            raise ValueError(f"video must be (T, H, W, 3) uint8, not {video.shape} {video.dtype}")
        if queries_tyx.ndim != 2 or queries_tyx.shape[1] != 3:
            raise ValueError(f"queries_tyx must be (N, 3), not {queries_tyx.shape}")
        full: Size = (video.shape[1], video.shape[2])
        shown = self._upload(video)
        queries, grids = self._get_query_features(shown, queries_tyx[None])
        sizes = self.sizes(full)
        whole = Grouping((), len(queries_tyx), 1)
        frame = torch.as_tensor(np.round(queries_tyx[:, 0]), device=self.device).long()
        if self.config.causal:
            refiner = self._visibility_refiner(self._memory(shown, frame[None], queries.xy), shown)
            estimates = self._estimate_trajectories(queries, grids, sizes, None, refiner=refiner)
            return self._output(estimates[-1:], full, whole)
        given = frame, queries.xy[0]
        estimates = self._estimate_trajectories(queries, grids, sizes, None, given)
        return self._output(estimates, full, whole)

    # ---------------------------------------------------------------- streaming

    @torch.inference_mode()
    def start(self, frame: np.ndarray, points_yx: np.ndarray) -> StreamState:
        """Start a stream with the query points of a frame (H, W, 3) uint8.

        Args:
            points_yx: (N, 2) y, x in raster coordinates, or (G, N, 2) for G independent groups that
                share the frames' feature maps. More than MAX_GROUP_POINTS points are tracked in
                independent groups too.
        """
        grouping = Grouping.of(points_yx)
        points = grouping.split(points_yx)
        tyx = np.concatenate([np.zeros((*points.shape[:2], 1)), points], -1)
        shown = self._upload(frame[None])
        queries, _ = self._get_query_features(shown, tyx)
        when = torch.zeros(queries.xy.shape[:2], dtype=torch.long, device=self.device)
        memory = self._memory(shown, when, queries.xy)
        levels = len(self.sizes(frame.shape[:2])) - 1
        return StreamState(self.network, queries, levels, grouping, memory)

    def step(self, state: StreamState, frames: np.ndarray, region: Region | None = None) -> Output:
        """Track the points through the next frames (K, H, W, 3) uint8; update `state` in place.

        A network that is not causal treats the K frames as a separate clip, and remembers the query
        points only.

        Args:
            region: where the points are sought, in frames of 256 x 256 pixels and by compact
                networks only; None for everywhere. Most of the work goes with its area.
        """
        return self.step_many([state], frames, region)[0]

    @torch.inference_mode()
    def step_many(
        self, states: Sequence[StreamState], frames: np.ndarray, region: Region | None = None
    ) -> list[Output]:
        """As `step`, for several states, which share the frames' feature maps."""
        if not self.config.causal:
            return self._step(states, frames, region)
        parts: list[list[Output]] = []
        done = 0
        while done < len(frames):
            before = [state.copy() for state in states]
            part = frames[done : done + min(map(self._most, states))]
            try:
                parts.append(self._step(states, part, region))
                done += len(part)
                continue
            except torch.OutOfMemoryError:
                # Undo the step's changes: they belong to frames without a result.
                for state, old in zip(states, before, strict=True):
                    state.caches, state.memory = old.caches, old.memory
                if len(part) == 1:
                    raise
            # Only after the error is released: it holds references to the step's tensors.
            self._take_less(len(part))
        return [Output.concatenate(own) for own in zip(*parts, strict=True)]

    def _most(self, state: StreamState) -> int:
        """Return the number of frames that a step processes at once."""
        if self.device.type != "cpu":
            return self.at_once
        return min(self.at_once, max(1, MAX_CPU_ROWS // state.queries.xy[..., 0].numel()))

    def _step(
        self, states: Sequence[StreamState], frames: np.ndarray, region: Region | None
    ) -> list[Output]:
        full: Size = (frames.shape[1], frames.shape[2])
        sizes = self.sizes(full)
        shown = self._upload(frames)
        grids = self._get_feature_grids(shown, sizes, region)
        outputs = []
        for state in states:
            if self.config.causal:
                refiner = self._visibility_refiner(state.memory, shown)
                done = self._estimate_trajectories(
                    state.queries, grids, sizes, state.caches, refiner=refiner
                )[-1:]
            else:
                done = self._estimate_trajectories(state.queries, grids, sizes, None)
            outputs.append(self._output(done, full, state.grouping))
        return outputs

    def _take_less(self, frames: int) -> None:
        """Halve the number of frames processed at once from now on."""
        self.at_once = frames // 2
        torch.cuda.empty_cache()
        self.warnings.append(
            f"{self.device} has too little free memory for {frames} frames at once: it went on "
            f"with {self.at_once}."
        )
