"""The compact TAPIR network: initialisation from both strides, refinement that also sees motion.

It differs from the published network (`network`) in this: the cost volumes of both strides are
matched directly, refinement looks correlations up in them, sees the motion of the other points, and
an occlusion head corrects the visibility of doubtful points. Shapes and coordinates are those of
`network`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrack.runtime.transfers import constant
from facetrack.trackers.tapir.backbone import FeatureMaps
from facetrack.trackers.tapir.config import RESOLUTION, TapirConfig
from facetrack.trackers.tapir.matching import (
    cost_volume,
    expected_offset,
    patches_from_maps,
    upsample,
)
from facetrack.trackers.tapir.mixer import Mixer, MixerCache
from facetrack.trackers.tapir.motion import neighbour_weights, predict_from_neighbours
from facetrack.trackers.tapir.network import TapirNetwork
from facetrack.trackers.tapir.occlusion import OcclusionHead
from facetrack.trackers.tapir.types import (
    Estimate,
    Match,
    QueryFeatures,
    RefineVisibility,
    sharpen,
    visibility,
)

SAME_POSITION_PX = 1e-3
"""Pixels below which two memories of the points' positions count as equal."""
SUPERVISED_EVERY = 3
"""The matching scores of every Nth point are supervised: gradients through whole maps are costly,
and all points share the features."""


def build_network(config: TapirConfig) -> TapirNetwork:
    """Create the network of a configuration, published or compact, with random weights."""
    return CompactTapirNetwork(config) if config.motion_inputs else TapirNetwork(config)


class CompactTapirNetwork(TapirNetwork):
    """The compact network.

    Raises:
        ValueError: the configuration is that of a published network.
    """

    def _build_heads(self) -> None:
        config = self.config
        if not config.motion_inputs:
            raise ValueError("this is the configuration of a published network: use build_network")
        features = config.hires_channels + config.lowres_channels
        patches = config.levels * config.patch_size**2
        self.log_temperature = nn.Parameter(torch.full((2,), 2.5))
        self.log_patch_temperature = nn.Parameter(torch.full((config.levels,), 2.5))
        inputs = features + patches + 3 * config.levels + 16
        outputs = 2 + (3 + config.levels) + 2
        if config.fine_dim:
            self.log_fine_temperature = nn.Parameter(torch.full((), 2.5))
            inputs += config.patch_size**2 + 3
            outputs += 1
        self.torch_pips_mixer = Mixer(config, inputs, outputs)
        if config.occlusion_patch:
            self.occlusion_head = OcclusionHead(config.occlusion_patch)
        nn.init.normal_(self.torch_pips_mixer.linear_1.weight, std=1e-3)
        nn.init.zeros_(self.torch_pips_mixer.linear_1.bias)

    def get_query_features(self, grids: Sequence[FeatureMaps], txy: Tensor) -> QueryFeatures:
        """Sample the features of query points (B, N, 3), and weigh the points' closeness."""
        queries = super().get_query_features(grids, txy)
        return queries._replace(closeness=neighbour_weights(queries.xy))

    # ---------------------------------------------------------------- stage 1

    def match(self, queries: QueryFeatures, grid: FeatureMaps) -> Match:
        """Find every point in every frame by itself, from the cost volumes of both strides.

        Args:
            grid: maps (B, T, h, w, C).
        """
        fine = cost_volume(queries.hires[0], grid.hires)
        coarse = cost_volume(queries.lowres[0], grid.lowres)
        shape = fine.shape[:3]
        # Group by group: the maps of a single group fit into the processor's cache.
        peaks = [
            self._find_peaks(*maps) for maps in zip(fine.split(1), coarse.split(1), strict=True)
        ]
        xy, confidence = (torch.cat(kind) for kind in zip(*peaks, strict=True))
        zero = xy.new_zeros(shape)
        estimate = Estimate(xy.view(*shape, 2), zero, zero)
        logits: tuple[Tensor, ...] = ()
        if self.training:
            logits = self._scores(fine[:, ::SUPERVISED_EVERY], coarse[:, ::SUPERVISED_EVERY])
        return Match(estimate, confidence.view(shape), (fine, coarse), logits)

    @torch.no_grad()
    def _find_peaks(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Return the peak of each score map, (M, 2) pixels, and its share of the softmax (M,)."""
        flat = self._scores(fine, coarse)[1].flatten(0, 2)
        height, width = flat.shape[1:]
        best = flat.flatten(1).argmax(1)
        centre = torch.stack([best % width, best // width], -1) + 0.5
        size = self.config.patch_size
        patch = patches_from_maps(flat, centre, size).flatten(1)
        xy = centre + expected_offset(patch.softmax(1), size)
        xy = xy * constant((RESOLUTION / width, RESOLUTION / height), flat)
        return xy, (patch.logsumexp(1) - flat.flatten(1).logsumexp(1)).exp().clamp(max=1)

    def _scores(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Scale cost volumes by their learned temperatures, and add the coarse to the fine one.

        Returns:
            Coarse scores, and fine scores with the upsampled coarse ones added.
        """
        temperature = self.log_temperature.exp()
        coarse = coarse * temperature[0]
        return coarse, upsample(coarse, *fine.shape[3:]).addcmul_(fine, temperature[1])

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
        """Run all iterations of refinement, from stage 1's own estimate.

        There is only one resolution: `level`, `start` and `size` have no effect. Correlations are
        looked up in stage 1's cost volumes; only the fine map is matched here, around each
        estimate.

        Returns:
            The estimate after each iteration.
        """
        maps = list(match.cost_volumes)
        for _ in range(self.config.pyramid_level):
            maps.append(F.avg_pool2d(maps[-1].flatten(0, 1), 2).unflatten(0, maps[-1].shape[:2]))
        shape, points = match.estimate.xy.shape[:3], queries.xy.shape[1]
        feature = torch.cat([queries.hires[0], queries.lowres[0]], -1)
        feature = feature[:, :, None].expand(*shape, -1)
        assert match.confidence is not None
        estimate = match.estimate
        done = []
        for iteration in range(self.config.iterations):
            cache = caches[iteration] if caches is not None else None
            xy = estimate.xy.detach()
            # Gradients reach the maps through the last iteration alone: each sampling costs a
            # backward pass over whole maps, and earlier ones teach the features little more.
            last = iteration == self.config.iterations - 1
            volumes = maps if last else [m.detach() for m in maps]
            patches, offsets, peaks = self._sample_cost_volumes(volumes, xy)
            fine = self._sample_fine_map(queries, grid.fine if last else grid.fine.detach(), xy)
            with torch.no_grad():
                confidence = match.confidence if iteration == 0 else visibility(estimate)
                predicted, weight = self._predict_motion(queries, xy, confidence, cache)
                velocity = self._velocity(xy, cache)
            matched = match.estimate.xy - xy
            moves = torch.stack(
                [torch.zeros_like(matched), *offsets, matched, predicted, *fine[1:2]], -2
            )
            tokens = torch.cat(
                [
                    feature,
                    *(4 * patch for patch in patches),
                    *(offset / 8 for offset in offsets),
                    *peaks,
                    torch.tanh(matched / 16),
                    match.confidence[..., None],
                    torch.tanh(predicted / 16),
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
                xy + 4 * out[..., :2] + (gates[..., None] * moves).sum(-2),
                estimate.occlusion + out[..., 2],
                estimate.expected_dist + out[..., 3],
            )
            done.append(estimate)
        if not self.training:
            cache = caches[-1] if caches else None
            done[-1] = self._place_hidden_points(queries, estimate, cache, refine_visibility)
        return done

    def _sample_cost_volumes(
        self, maps: list[Tensor], xy: Tensor
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Sample each of the maps around positions.

        Args:
            maps: cost volumes (B, N, T, h, w).
            xy: (B, N, T, 2).

        Returns:
            For each map the patches (B, N, T, patch_size**2), their soft-argmax offsets
            (B, N, T, 2) in pixels and their peaks (B, N, T, 1).
        """
        size, shape = self.config.patch_size, xy.shape[:3]
        temperature = self.log_patch_temperature.exp()
        patches, offsets, peaks = [], [], []
        for i, scores in enumerate(maps):
            scale = constant((RESOLUTION / scores.shape[4], RESOLUTION / scores.shape[3]), xy)
            patch = patches_from_maps(scores.flatten(0, 2), (xy / scale).flatten(0, 2), size)
            patch = patch.flatten(1)
            offset = expected_offset((patch * temperature[i]).softmax(1), size)
            patches.append(patch.view(*shape, -1))
            offsets.append(offset.view(*shape, 2) * scale)
            peaks.append(patch.amax(1).view(*shape, 1))
        return patches, offsets, peaks

    def fine_scores(self, queries: QueryFeatures, fine: Tensor, xy: Tensor) -> Tensor:
        """Return logits of the fine map's cells around xy (B, N, T, 2).

        Args:
            fine: (B, T, h, w, C) the fine feature map.

        Returns:
            (B, N, T, patch_size**2).
        """
        feature = queries.fine[0][:, :, None].expand(*xy.shape[:3], -1)
        return self._correlate(fine, feature, xy, True) * self.log_fine_temperature.exp()

    def _sample_fine_map(self, queries: QueryFeatures, fine: Tensor, xy: Tensor) -> list[Tensor]:
        """Match the fine map around xy (B, N, T, 2).

        Returns:
            The scores (B, N, T, patch_size**2), their soft-argmax offset (B, N, T, 2) in pixels
            and their peak (B, N, T, 1); empty for networks without a fine map.
        """
        if not self.config.fine_dim:
            return []
        scores = self.fine_scores(queries, fine, xy)
        offset = expected_offset(scores.softmax(-1).flatten(0, 2), self.config.patch_size)
        offset = offset.view(xy.shape) * (RESOLUTION / fine.shape[3])
        return [scores, offset, scores.amax(-1, keepdim=True)]

    @staticmethod
    def _predict_motion(
        queries: QueryFeatures, xy: Tensor, confidence: Tensor, cache: MixerCache | None
    ) -> tuple[Tensor, Tensor]:
        """Predict each point from the motion of the others.

        Args:
            xy: (B, N, T, 2) present estimates.
            confidence: (B, N, T) of these.
            cache: holds the positions from the frame before; updated in place.

        Returns:
            (B, N, T, 2) offsets from xy to the predictions, in pixels, and (B, N, T, 1) the mean
            weight of the points that each rests on.
        """
        assert queries.closeness is not None
        held = queries.xy if cache is None else cache.get("held_xy", queries.xy)
        predicted, weight, held = predict_from_neighbours(
            queries.xy,
            xy.transpose(1, 2),
            sharpen(confidence).transpose(1, 2),
            queries.closeness,
            held,
        )
        if cache is not None:
            cache["held_xy"] = held
        weight = weight.transpose(1, 2) / xy.shape[1]
        return predicted.transpose(1, 2) - xy, weight[..., None]

    @staticmethod
    def _velocity(xy: Tensor, cache: MixerCache | None) -> Tensor:
        """Return motion (B, N, T, 2) since the frame before; 0 in the first frame of a video."""
        first = xy[:, :, :1]
        if cache is not None:
            first = cache.get("previous_xy", first)
            cache["previous_xy"] = xy[:, :, -1:].clone()
        return xy - torch.cat([first, xy[:, :, :-1]], 2)

    @staticmethod
    def _place_hidden_points(
        queries: QueryFeatures,
        estimate: Estimate,
        cache: MixerCache | None,
        refine_visibility: RefineVisibility | None,
    ) -> Estimate:
        """Place hidden points by the motion of the visible ones, after refining visibility.

        These positions are nearer to the truth than the mixer's, and have less noise.
        """
        closeness = queries.closeness
        assert closeness is not None

        def placed(judged: Estimate, before: Tensor) -> tuple[Estimate, Tensor]:
            visible = visibility(judged)
            xy, weights = estimate.xy.transpose(1, 2), sharpen(visible).transpose(1, 2)
            predicted, _, held = predict_from_neighbours(queries.xy, xy, weights, closeness, before)
            share = (2 * visible).clamp(max=1)[..., None]  # 1 for what counts as visible
            blended = torch.lerp(predicted.transpose(1, 2), estimate.xy, share)
            return judged._replace(xy=blended), held

        # Two memories: the input of `refine_visibility` must not depend on its earlier output.
        memory: MixerCache = {} if cache is None else cache
        first, second = (memory.get(name, queries.xy) for name in ("predicted_xy", "refined_xy"))
        unrefined, memory["predicted_xy"] = placed(estimate, first)
        if refine_visibility is None:
            return unrefined
        refined, memory["refined_xy"] = refine_visibility(unrefined), memory["predicted_xy"]
        # On a GPU the comparison would take longer than the work that it can save.
        is_same = first.device.type == "cpu" and torch.allclose(
            first, second, rtol=0, atol=SAME_POSITION_PX
        )
        if refined is not unrefined or not is_same:
            refined, memory["refined_xy"] = placed(refined, second)
        return refined
