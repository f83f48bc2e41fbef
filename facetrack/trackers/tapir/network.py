"""The TAPIR network: per-frame initialisation, then temporal refinement.

Shapes: B clips, T frames, N points; or B groups of points in one clip, whose maps (1, T, h, w, C)
they share. Positions are (x, y) in the raster of the 256 x 256 picture, origin at the CORNER of its
top-left pixel, whatever the resolution that is refined on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrack.trackers.tapir.backbone import ExtraConvs, FeatureMaps, ResNet, TopDown, unit_length
from facetrack.trackers.tapir.config import RESOLUTION, TapirConfig
from facetrack.trackers.tapir.cost_head import CostVolumeHead
from facetrack.trackers.tapir.matching import (
    cost_volume,
    expected_offset,
    patches_from_features,
    patches_from_maps,
    soft_argmax,
    trilinear,
    upsampled,
)
from facetrack.trackers.tapir.mixer import Mixer, MixerCache
from facetrack.trackers.tapir.motion import neighbour_weights, predict_from_others
from facetrack.trackers.tapir.occlusion import OcclusionHead
from facetrack.trackers.tapir.types import Estimate, Match, Queries, sharpen, visibility

Look = Callable[[Estimate], Estimate]

SAME = 1e-3
"""Pixels below which two memories of where points are held count as one."""

SUPERVISED_EVERY = 3
"""One point out of so many has its matching scores supervised: whole maps are dear to go back
through, and all points share the features."""


class TapirNetwork(nn.Module):
    """TAPIR (arXiv 2306.08637), BootsTAPIR (arXiv 2402.00847) and compact relatives.

    Parameter names are those of the official PyTorch checkpoints.
    """

    def __init__(self, config: TapirConfig) -> None:
        super().__init__()
        self.config = config
        self.resnet_torch = ResNet(config)
        hires, lowres = config.hires_channels, config.lowres_channels
        self.extra_convs = (
            ExtraConvs(lowres, config.extra_conv_blocks) if config.extra_conv_blocks else None
        )
        self.top_down = TopDown(config) if config.top_down else None
        patches = config.levels * config.patch_size**2
        if config.motion_inputs:
            self.log_temperature = nn.Parameter(torch.full((2,), 2.5))
            self.log_patch_temperature = nn.Parameter(torch.full((config.levels,), 2.5))
            inputs = hires + lowres + patches + 3 * config.levels + 16
            outputs = 2 + (3 + config.levels) + 2
            if config.fine_dim:
                self.log_fine_temperature = nn.Parameter(torch.full((), 2.5))
                inputs += config.patch_size**2 + 3
                outputs += 1
        else:
            self.torch_cost_volume_track_mods = CostVolumeHead()
            inputs = 4 + hires + lowres + patches
            outputs = 4 + hires + lowres
        self.torch_pips_mixer = Mixer(config, inputs, outputs)
        patch = config.occlusion_patch
        self.occlusion_head = OcclusionHead(patch) if patch else None
        if config.motion_inputs:
            nn.init.normal_(self.torch_pips_mixer.linear_1.weight, std=1e-3)
            nn.init.zeros_(self.torch_pips_mixer.linear_1.bias)

    # ---------------------------------------------------------------- features

    def features(self, frames: Tensor) -> FeatureMaps:
        """(M, 3, H, W) RGB in [-1, 1], H and W multiples of 8 -> maps."""
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

    def query_features(self, grids: Sequence[FeatureMaps], txy: Tensor) -> Queries:
        """Features of points txy (B, N, 3) in grids whose maps are (B, T, h, w, C)."""
        sampled: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
        for grid in grids:
            for kind, maps in enumerate((grid.hires, grid.lowres, unit_length(grid.fine))):
                size = txy.new_tensor([maps.shape[3], maps.shape[2]])
                cells = torch.cat([txy[..., :1], txy[..., 1:] * size / RESOLUTION], -1)
                sampled[kind].append(trilinear(maps, cells))
        xy = txy[..., 1:]
        closeness = neighbour_weights(xy) if self.config.motion_inputs else None
        return Queries(*sampled, xy, closeness)

    # ---------------------------------------------------------------- stage 1

    def match(self, queries: Queries, grid: FeatureMaps) -> Match:
        """Find every point in every frame by itself; grid is that of resolution 0."""
        if self.config.motion_inputs:
            return self._match_both_strides(queries, grid)
        cost = cost_volume(queries.lowres[0], grid.lowres)
        shape = cost.shape[:3]
        scores, logits = self.torch_cost_volume_track_mods(cost.flatten(0, 2))
        scores = scores * self.config.softmax_temperature
        size = scores.new_tensor([cost.shape[4], cost.shape[3]])
        xy = soft_argmax(scores) * (RESOLUTION / size)
        occlusion, expected = logits.view(*shape, 2).unbind(-1)
        estimate = Estimate(xy.view(*shape, 2).detach(), occlusion, expected)
        return Match(estimate)

    def _match_both_strides(self, queries: Queries, grid: FeatureMaps) -> Match:
        """Coarse scores sharpened by fine ones, each with its learned temperature."""
        fine = cost_volume(queries.hires[0], grid.hires)
        coarse = cost_volume(queries.lowres[0], grid.lowres)
        shape = fine.shape[:3]
        # Group by group: the maps of one fit into the processor's cache.
        found = [self._peaks(*maps) for maps in zip(fine.split(1), coarse.split(1), strict=True)]
        xy, sureness = (torch.cat(kind) for kind in zip(*found, strict=True))
        zero = xy.new_zeros(shape)
        estimate = Estimate(xy.view(*shape, 2), zero, zero)
        logits: tuple[Tensor, ...] = ()
        if self.training:
            logits = self._scores(fine[:, ::SUPERVISED_EVERY], coarse[:, ::SUPERVISED_EVERY])
        return Match(estimate, sureness.view(shape), (fine, coarse), logits)

    @torch.no_grad()
    def _peaks(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Where each map is highest, (M, 2) pixels, and how much of its softmax is there (M,)."""
        flat = self._scores(fine, coarse)[1].flatten(0, 2)
        height, width = flat.shape[1:]
        best = flat.flatten(1).argmax(1)
        centre = torch.stack([best % width, best // width], -1) + 0.5
        size = self.config.patch_size
        patch = patches_from_maps(flat, centre, size).flatten(1)
        xy = centre + expected_offset(patch.softmax(1), size)
        xy = xy * (RESOLUTION / flat.new_tensor([width, height]))
        return xy, (patch.logsumexp(1) - flat.flatten(1).logsumexp(1)).exp().clamp(max=1)

    def _scores(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Coarse scores, and fine ones upon them, each with its learned temperature."""
        temperature = self.log_temperature.exp()
        coarse = coarse * temperature[0]
        return coarse, upsampled(coarse, *fine.shape[3:]).addcmul_(fine, temperature[1])

    # ---------------------------------------------------------------- stage 2

    def refine(
        self,
        queries: Queries,
        grid: FeatureMaps,
        level: int,
        match: Match,
        start: Estimate,
        caches: list[MixerCache] | None,
        size: tuple[int, int],
        look: Look | None = None,
    ) -> list[Estimate]:
        """All iterations at one resolution.

        Args:
            queries: of all resolutions; `level` says which is used.
            grid: maps (B, T, h, w, C) at this resolution.
            match: stage 1 (its occlusion and expected distance start every resolution).
            start: positions to start from.
            caches: one mixer cache an iteration when streaming, updated in place.
            size: (height, width) in pixels of this resolution.
            look: judges anew which points are seen (compact networks).

        Returns:
            The estimate after each iteration.
        """
        if self.config.motion_inputs:
            return self._refine_compact(queries, grid, match, caches, look)
        hires, lowres = queries.hires[level], queries.lowres[level]
        points, frames = match.estimate.xy.shape[1:3]
        first = torch.cat([hires, lowres], -1)[:, :, None].expand(-1, -1, frames, -1)
        pyramid = self._pyramid(grid)
        pixel = first.new_tensor([RESOLUTION / size[1], RESOLUTION / size[0]])
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
        maps = [grid.hires, grid.lowres]
        for _ in range(self.config.pyramid_level):
            last = maps[-1]
            pooled = F.avg_pool2d(last.flatten(0, 1).permute(0, 3, 1, 2), 2)
            maps.append(pooled.permute(0, 2, 3, 1).unflatten(0, last.shape[:2]))
        return maps

    def _correlate(
        self, maps: Tensor, feature: Tensor, xy: Tensor, normalise: bool = False
    ) -> Tensor:
        """Patches of maps (B, T, h, w, C), or (1, ...) that all B share, against feature
        (B, N, T, C) -> (B, N, T, size**2)."""
        patch = self.config.patch_size
        groups = xy.shape[:2]
        if maps.shape[0] == 1:
            xy, feature = xy.flatten(0, 1)[None], feature.flatten(0, 1)[None]
        batch, _, frames = xy.shape[:3]
        cells = xy.detach() * (xy.new_tensor([maps.shape[3], maps.shape[2]]) / RESOLUTION)
        cells = cells.transpose(1, 2).flatten(0, 1)
        wanted = feature.transpose(1, 2).flatten(0, 1)
        out = patches_from_features(maps.flatten(0, 1), wanted, cells, patch, normalise)
        out = out.view(batch, frames, -1, patch * patch).transpose(1, 2)
        return out.reshape(*groups, frames, patch * patch)

    def _refine_compact(
        self,
        queries: Queries,
        grid: FeatureMaps,
        match: Match,
        caches: list[MixerCache] | None,
        look: Look | None,
    ) -> list[Estimate]:
        """Compact networks work at one resolution and look up what stage 1 has computed; only
        the fine map is matched here, around each estimate."""
        hires, lowres = queries.hires[0], queries.lowres[0]
        maps = list(match.maps)
        for _ in range(self.config.pyramid_level):
            maps.append(F.avg_pool2d(maps[-1].flatten(0, 1), 2).unflatten(0, maps[-1].shape[:2]))
        shape, points = match.estimate.xy.shape[:3], hires.shape[1]
        feature = torch.cat([hires, lowres], -1)[:, :, None].expand(*shape, -1)
        assert match.sureness is not None
        assert queries.closeness is not None
        estimate = match.estimate
        done = []
        for iteration in range(self.config.iterations):
            cache = caches[iteration] if caches is not None else None
            xy = estimate.xy.detach()
            # Gradients reach the maps through the last iteration alone: each look costs a pass
            # over whole maps on the way back, and earlier ones teach the features little more.
            last = iteration == self.config.iterations - 1
            patches, offsets, peaks = self._look(maps if last else [m.detach() for m in maps], xy)
            fine = self._look_closely(queries, grid.fine if last else grid.fine.detach(), xy)
            with torch.no_grad():
                sure = match.sureness if iteration == 0 else visibility(estimate)
                held = queries.xy if cache is None else cache.get("held_xy", queries.xy)
                others, weight, held = predict_from_others(
                    queries.xy,
                    xy.transpose(1, 2),
                    sharpen(sure).transpose(1, 2),
                    queries.closeness,
                    held,
                )
                if cache is not None:
                    cache["held_xy"] = held
                others = others.transpose(1, 2) - xy
                weight = (weight.transpose(1, 2) / points)[..., None]
                velocity = self._velocity(xy, cache)
            matched = match.estimate.xy - xy
            ways = [torch.zeros_like(matched), *offsets, matched, others, *fine[1:2]]
            where = torch.stack(ways, -2)
            tokens = torch.cat(
                [
                    feature,
                    *(4 * patch for patch in patches),
                    *(offset / 8 for offset in offsets),
                    *peaks,
                    torch.tanh(matched / 16),
                    match.sureness[..., None],
                    torch.tanh(others / 16),
                    weight,
                    torch.tanh(velocity / 8),
                    (xy - queries.xy[:, :, None]) / 64,
                    xy / (RESOLUTION / 2) - 1,
                    (queries.xy[:, :, None] / (RESOLUTION / 2) - 1).expand_as(xy),
                    torch.stack([estimate.occlusion, estimate.expected_dist], -1).detach() / 4,
                    *(x / 8 for x in fine),
                ],
                -1,
            ).flatten(0, 1)
            out = self.torch_pips_mixer(tokens, points, cache).float().view(*shape, -1)
            gates = out[..., 4:].softmax(-1)
            estimate = Estimate(
                xy + 4 * out[..., :2] + (gates[..., None] * where).sum(-2),
                estimate.occlusion + out[..., 2],
                estimate.expected_dist + out[..., 3],
            )
            done.append(estimate)
        if not self.training:
            done[-1] = self._settle(queries, estimate, caches[-1] if caches else None, look)
        return done

    @staticmethod
    def _settle(
        queries: Queries, estimate: Estimate, cache: MixerCache | None, look: Look | None
    ) -> Estimate:
        """Put the points that are not seen where the motion of the seen ones puts them: nearer
        the truth than what the mixer makes of them, and without its noise."""
        closeness = queries.closeness
        assert closeness is not None

        def settled(judged: Estimate, before: Tensor) -> tuple[Estimate, Tensor]:
            seen = visibility(judged)
            xy, sure = estimate.xy.transpose(1, 2), sharpen(seen).transpose(1, 2)
            others, _, held = predict_from_others(queries.xy, xy, sure, closeness, before)
            own = (2 * seen).clamp(max=1)[..., None]  # all of it for what counts as visible
            there = torch.lerp(others.transpose(1, 2), estimate.xy, own)
            return judged._replace(xy=there), held

        # Two memories: what the closer look is shown must not depend on what it said before.
        memory: MixerCache = {} if cache is None else cache
        first, second = (memory.get(name, queries.xy) for name in ("settled_xy", "judged_xy"))
        found, memory["settled_xy"] = settled(estimate, first)
        if look is None:
            return found
        judged, memory["judged_xy"] = look(found), memory["settled_xy"]
        if judged is not found or not torch.allclose(first, second, rtol=0, atol=SAME):
            judged, memory["judged_xy"] = settled(judged, second)
        return judged

    def _look(
        self, maps: list[Tensor], xy: Tensor
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Patches (B, N, T, size**2), soft-argmax offsets in pixels (.., 2) and peaks (.., 1)."""
        size, shape = self.config.patch_size, xy.shape[:3]
        temperature = self.log_patch_temperature.exp()
        patches, offsets, peaks = [], [], []
        for i, scores in enumerate(maps):
            scale = RESOLUTION / xy.new_tensor([scores.shape[4], scores.shape[3]])
            patch = patches_from_maps(scores.flatten(0, 2), (xy / scale).flatten(0, 2), size)
            patch = patch.flatten(1)
            offset = expected_offset((patch * temperature[i]).softmax(1), size)
            patches.append(patch.view(*shape, -1))
            offsets.append(offset.view(*shape, 2) * scale)
            peaks.append(patch.amax(1).view(*shape, 1))
        return patches, offsets, peaks

    def fine_scores(self, queries: Queries, fine: Tensor, xy: Tensor) -> Tensor:
        """Logits of the fine map's cells around xy (B, N, T, 2) -> (B, N, T, size**2)."""
        feature = queries.fine[0][:, :, None].expand(*xy.shape[:3], -1)
        return self._correlate(fine, feature, xy, True) * self.log_fine_temperature.exp()

    def _look_closely(self, queries: Queries, fine: Tensor, xy: Tensor) -> list[Tensor]:
        """The fine map around xy: patch (B, N, T, size**2), soft-argmax offset in pixels (.., 2)
        and peak (.., 1); nothing for networks without one."""
        if not self.config.fine_dim:
            return []
        scores = self.fine_scores(queries, fine, xy)
        offset = expected_offset(scores.softmax(-1).flatten(0, 2), self.config.patch_size)
        offset = offset.view(xy.shape) * (RESOLUTION / fine.shape[3])
        return [scores, offset, scores.amax(-1, keepdim=True)]

    @staticmethod
    def _velocity(xy: Tensor, cache: MixerCache | None) -> Tensor:
        """Motion (B, N, T, 2) since the frame before; 0 in the first frame of a video."""
        first = xy[:, :, :1]
        if cache is not None:
            first = cache.get("previous_xy", first)
            cache["previous_xy"] = xy[:, :, -1:].clone()
        return xy - torch.cat([first, xy[:, :, :-1]], 2)
