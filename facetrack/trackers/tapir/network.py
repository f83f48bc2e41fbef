"""The TAPIR network: per-frame initialisation, then temporal refinement.

Doersch et al., "TAPIR: Tracking Any Point with per-frame Initialization and temporal Refinement",
ICCV 2023, arXiv 2306.08637; BootsTAPIR: arXiv 2402.00847.

Shapes: B clips, T frames, N points; or B groups of points in one clip, whose maps (1, T, h, w, C)
they share. Positions are (x, y) in pixels of the 256 x 256 picture, origin at the CORNER of its
top-left pixel, at every resolution of refinement.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrack.runtime.transfers import constant
from facetrack.trackers.tapir.backbone import ExtraConvs, FeatureMaps, ResNet, TopDown, unit_length
from facetrack.trackers.tapir.config import RESOLUTION, TapirConfig
from facetrack.trackers.tapir.cost_head import CostVolumeHead
from facetrack.trackers.tapir.matching import (
    cost_volume,
    patches_from_features,
    soft_argmax,
    trilinear,
)
from facetrack.trackers.tapir.mixer import Mixer, MixerCache
from facetrack.trackers.tapir.occlusion import OcclusionHead
from facetrack.trackers.tapir.types import Estimate, Match, QueryFeatures, RefineVisibility


class TapirNetwork(nn.Module):
    """TAPIR and BootsTAPIR as published.

    Parameter names are those of the official PyTorch checkpoints. `compact.CompactTapirNetwork`
    extends it; `compact.build_network` creates the right class for a configuration.

    Raises:
        ValueError: the configuration is that of a compact network.
    """

    occlusion_head: OcclusionHead | None

    def __init__(self, config: TapirConfig) -> None:
        super().__init__()
        self.config = config
        self.resnet_torch = ResNet(config)
        self.extra_convs = (
            ExtraConvs(config.lowres_channels, config.extra_conv_blocks)
            if config.extra_conv_blocks
            else None
        )
        self.top_down = TopDown(config) if config.top_down else None
        self.occlusion_head = None
        self._build_heads()

    def _build_heads(self) -> None:
        """Create the modules that read the feature maps."""
        config = self.config
        if not config.cost_volume_convs:
            raise ValueError("this is the configuration of a compact network: use build_network")
        features = config.hires_channels + config.lowres_channels
        patches = config.levels * config.patch_size**2
        self.torch_cost_volume_track_mods = CostVolumeHead()
        self.torch_pips_mixer = Mixer(config, 4 + features + patches, 4 + features)

    # ---------------------------------------------------------------- features

    def extract_features(self, frames: Tensor) -> FeatureMaps:
        """Compute the feature maps of frames (M, 3, H, W), RGB in [-1, 1].

        Raises:
            ValueError: H or W is not a multiple of 8.
        """
        if frames.shape[-1] % 8 or frames.shape[-2] % 8:
            raise ValueError(f"frames must be a multiple of 8 px a side, not {frames.shape[-2:]}")
        stem, hires, lowres = self.resnet_torch(frames)
        fine: Tensor | None = None
        if self.extra_convs is not None:
            lowres = self.extra_convs(lowres)
        if self.top_down is not None:
            hires, lowres, fine = self.top_down(stem, hires, lowres)
        if fine is None:
            fine = stem[:, :0]
        hires, lowres, fine = (x.permute(0, 2, 3, 1) for x in (hires, lowres, fine))
        return FeatureMaps(unit_length(hires), unit_length(lowres), fine)

    def get_query_features(self, grids: Sequence[FeatureMaps], txy: Tensor) -> QueryFeatures:
        """Sample the features of query points.

        Args:
            grids: one per resolution, maps (B, T, h, w, C).
            txy: (B, N, 3) frame and position.
        """
        sampled: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
        for grid in grids:
            for kind, maps in enumerate((grid.hires, grid.lowres, unit_length(grid.fine))):
                size = constant((maps.shape[3], maps.shape[2]), txy)
                cells = torch.cat([txy[..., :1], txy[..., 1:] * size / RESOLUTION], -1)
                sampled[kind].append(trilinear(maps, cells))
        return QueryFeatures(*sampled, txy[..., 1:])

    # ---------------------------------------------------------------- stage 1

    def match(self, queries: QueryFeatures, grid: FeatureMaps) -> Match:
        """Find every point in every frame by itself (the paper's track initialisation).

        Args:
            grid: maps (B, T, h, w, C) of resolution 0.
        """
        cost = cost_volume(queries.lowres[0], grid.lowres)
        shape = cost.shape[:3]
        scores, logits = self.torch_cost_volume_track_mods(cost.flatten(0, 2))
        scores = scores * self.config.softmax_temperature
        pixel = constant((RESOLUTION / cost.shape[4], RESOLUTION / cost.shape[3]), scores)
        xy = soft_argmax(scores) * pixel
        occlusion, expected = logits.view(*shape, 2).unbind(-1)
        estimate = Estimate(xy.view(*shape, 2).detach(), occlusion, expected)
        return Match(estimate)

    # ---------------------------------------------------------------- stage 2

    def refine(
        self,
        queries: QueryFeatures,
        grid: FeatureMaps,
        level: int,
        match: Match,
        start: Estimate,
        caches: list[MixerCache] | None,
        size: tuple[int, int],
        refine_visibility: RefineVisibility | None = None,
    ) -> list[Estimate]:
        """Run all iterations of refinement at one resolution.

        Args:
            queries: of all resolutions; `level` selects the one in use.
            grid: maps (B, T, h, w, C) at this resolution.
            match: stage 1; its occlusion and expected distance start every resolution.
            start: positions to start from.
            caches: one mixer cache per iteration when streaming, updated in place.
            size: (height, width) in pixels of this resolution.
            refine_visibility: corrects the visibility of doubtful points (compact networks).

        Returns:
            The estimate after each iteration.
        """
        hires, lowres = queries.hires[level], queries.lowres[level]
        points, frames = match.estimate.xy.shape[1:3]
        first = torch.cat([hires, lowres], -1)[:, :, None].expand(-1, -1, frames, -1)
        pyramid = self._pyramid(grid)
        pixel = constant((RESOLUTION / size[1], RESOLUTION / size[0]), first)
        estimate = Estimate(start.xy, match.estimate.occlusion, match.estimate.expected_dist)
        feature = first
        done = []
        for iteration in range(self.config.iterations):
            hires, lowres = feature.split([hires.shape[-1], lowres.shape[-1]], -1)
            patches = [
                self._correlate(maps, hires if i == 0 else lowres, estimate.xy)
                for i, maps in enumerate(pyramid)
            ]
            slots = torch.stack([estimate.occlusion, estimate.expected_dist], -1)
            tokens = torch.cat([torch.zeros_like(slots), slots, feature, *patches], -1).flatten(
                0, 1
            )
            cache = caches[iteration] if caches is not None else None
            out = self.torch_pips_mixer(tokens, points, cache).view(*feature.shape[:3], -1)
            estimate = Estimate(
                estimate.xy.detach() + out[..., :2] * pixel,
                estimate.occlusion + out[..., 2],
                estimate.expected_dist + out[..., 3],
            )
            feature = feature + out[..., 4:]
            done.append(estimate)
        return done

    def _pyramid(self, grid: FeatureMaps) -> list[Tensor]:
        """Return the maps (B, T, h, w, C) of all levels, the pooled ones last."""
        maps = [grid.hires, grid.lowres]
        for _ in range(self.config.pyramid_level):
            last = maps[-1]
            pooled = F.avg_pool2d(last.flatten(0, 1).permute(0, 3, 1, 2), 2)
            maps.append(pooled.permute(0, 2, 3, 1).unflatten(0, last.shape[:2]))
        return maps

    def _correlate(
        self, maps: Tensor, feature: Tensor, xy: Tensor, normalise: bool = False
    ) -> Tensor:
        """Correlate features (B, N, T, C) with the cells of maps around positions.

        Args:
            maps: (B, T, h, w, C), or (1, T, h, w, C) shared by all B.
            xy: (B, N, T, 2).
            normalise: bring the cells in use to unit length first.

        Returns:
            (B, N, T, patch_size**2) correlation patches.
        """
        patch = self.config.patch_size
        groups = xy.shape[:2]
        if maps.shape[0] == 1:
            xy, feature = xy.flatten(0, 1)[None], feature.flatten(0, 1)[None]
        batch, _, frames = xy.shape[:3]
        cells = xy.detach() * constant((maps.shape[3] / RESOLUTION, maps.shape[2] / RESOLUTION), xy)
        cells = cells.transpose(1, 2).flatten(0, 1)
        targets = feature.transpose(1, 2).flatten(0, 1)
        out = patches_from_features(maps.flatten(0, 1), targets, cells, patch, normalise)
        out = out.view(batch, frames, -1, patch * patch).transpose(1, 2)
        return out.reshape(*groups, frames, patch * patch)
