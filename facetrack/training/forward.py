"""Run the tracker's network on a batch of training clips."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from facetrack.trackers.tapir.backbone import FeatureMaps
from facetrack.trackers.tapir.compact import CompactTapirNetwork
from facetrack.trackers.tapir.types import Estimate, Match
from facetrack.training.render import Clip
from facetrack.training.signals import Random


def to_input(video: Tensor) -> Tensor:
    """Convert clips (B, T, 3, H, W) in [0, 1] to the input (B*T, 3, H, W) in [-1, 1]."""
    return (video.flatten(0, 1) * 2 - 1).contiguous(memory_format=torch.channels_last)


MAX_FINE_OFFSET = 4.0
"""Maximum error in pixels, along each axis, of the start positions of the fine map's search."""


class ForwardOutput(NamedTuple):
    """The network's output for a batch of clips.

    Attributes:
        match: initial estimates from matching.
        estimates: after each iteration of the refinement.
        fine: scores of the fine map around positions near the truth, and the truth's offsets from
            them in its cells; None for networks without a fine map.
    """

    match: Match
    estimates: list[Estimate]
    fine: tuple[Tensor, Tensor] | None


def forward(
    network: CompactTapirNetwork, clip: Clip, random: Random | None = None
) -> ForwardOutput:
    """Track a clip's points from their true positions in its first frame.

    Args:
        network: the tracker's network.
        clip: the clips.
        random: draws the positions from which the fine map is supervised; None outside training.
    """
    batch = clip.video.shape[0]
    maps = network.extract_features(to_input(clip.video))
    grid = FeatureMaps(*(m.unflatten(0, (batch, -1)) for m in maps))
    first = clip.xy[:, :, 0]
    queries = network.get_query_features(
        [grid], torch.cat([torch.zeros_like(first[..., :1]), first], -1)
    )
    match = network.match(queries, grid)
    size = (clip.video.shape[-2], clip.video.shape[-1])
    estimates = network.refine(queries, grid, 0, match, match.estimate, None, size)
    fine = None
    if random is not None and network.config.fine_dim:
        offset = random.uniform(-MAX_FINE_OFFSET, MAX_FINE_OFFSET, *clip.xy.shape)
        scores = network.fine_scores(queries, grid.fine, clip.xy + offset)
        fine = scores, -offset * (grid.fine.shape[3] / size[1])
    return ForwardOutput(match, estimates, fine)
