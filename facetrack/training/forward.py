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
    """(B, T, 3, H, W) in [0, 1] -> (B*T, 3, H, W) in [-1, 1], channels last."""
    return (video.flatten(0, 1) * 2 - 1).contiguous(memory_format=torch.channels_last)


FINE_ERROR = 4.0
"""Pixels by which the place is off, along either axis, around which the fine map must find it."""


class Answer(NamedTuple):
    """What a network makes of a clip.

    Attributes:
        match: stage 1.
        estimates: after each iteration.
        fine: scores of the fine map around places near the truth, and the truth's offsets from
            them in its cells; None for networks without one.
    """

    match: Match
    estimates: list[Estimate]
    fine: tuple[Tensor, Tensor] | None


def forward(network: CompactTapirNetwork, clip: Clip, random: Random | None = None) -> Answer:
    """Track a clip's points from their true positions in its first frame.

    `random` is for what training alone needs: the places from which the fine map is supervised.
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
        off = random.uniform(-FINE_ERROR, FINE_ERROR, *clip.xy.shape)
        scores = network.fine_scores(queries, grid.fine, clip.xy + off)
        fine = scores, -off * (grid.fine.shape[3] / size[1])
    return Answer(match, estimates, fine)
