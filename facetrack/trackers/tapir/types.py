"""Values that the stages of a TAPIR network pass to each other.

Shapes and coordinates are those of `network`: B clips (or groups of points in one clip), N points,
T frames; positions (x, y) in pixels of the 256 x 256 picture, origin at the CORNER of its top-left
pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

POSITION_KEYS = frozenset({"held_xy", "previous_xy", "predicted_xy", "refined_xy"})
"""Entries of a mixer cache that are positions in the picture."""


class QueryFeatures(NamedTuple):
    """Features of the query points.

    Attributes:
        hires, lowres, fine: (B, N, C) features, one entry per resolution; entry 0 is that of the
            initialisation.
        xy: (B, N, 2) positions in the query frame.
        closeness: (B, 2N, N) closeness of the points to each other, from
            `motion.neighbour_weights` (compact networks).
    """

    hires: list[Tensor]
    lowres: list[Tensor]
    fine: list[Tensor]
    xy: Tensor
    closeness: Tensor | None = None


class Estimate(NamedTuple):
    """An estimate for every point and frame.

    Attributes:
        xy: (B, N, T, 2) positions.
        occlusion: (B, N, T) logits of being hidden.
        expected_dist: (B, N, T) logits of the position being more than 6 px off.
        unrefined: the estimate before the occlusion head corrected its visibility; None where it
            did not.
    """

    xy: Tensor
    occlusion: Tensor
    expected_dist: Tensor
    unrefined: Estimate | None = None


RefineVisibility = Callable[[Estimate], Estimate]
"""Corrects the visibility of an estimate's doubtful points."""


class Match(NamedTuple):
    """Stage 1: the estimate for each frame by itself, and values that stage 2 and training need.

    Attributes:
        estimate: the per-frame estimate; its positions carry no gradient.
        confidence: (B, N, T) share of the softmax within the local window (compact networks).
        cost_volumes: (B, N, T, h, w) each, fine and coarse (compact networks).
        logits: matching scores over cells for every SUPERVISED_EVERY-th point, (B, n, T, h, w)
            each, coarse to fine; only in training.
    """

    estimate: Estimate
    confidence: Tensor | None = None
    cost_volumes: tuple[Tensor, ...] = ()
    logits: tuple[Tensor, ...] = ()


def sharpen(probability: Tensor) -> Tensor:
    """Cube the odds of a probability, so that many doubtful points do not outvote a few sure ones.

    Any shape -> the same shape.
    """
    yes, no = probability**3, (1 - probability) ** 3
    return yes / (yes + no)


def visibility(estimate: Estimate) -> Tensor:
    """Return (B, N, T) probabilities that a point is visible and its position right."""
    return torch.sigmoid(-estimate.occlusion) * torch.sigmoid(-estimate.expected_dist)
