"""What the stages of a TAPIR network hand to each other. For shapes and positions see `network`."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

POSITIONS = frozenset({"held_xy", "previous_xy", "settled_xy", "judged_xy"})
"""Entries of a mixer cache that are positions in the picture."""


class Queries(NamedTuple):
    """What is remembered of the query points.

    Attributes:
        hires, lowres, fine: (B, N, C) features, one entry a resolution (0: the
            initialisation's).
        xy: (B, N, 2) where they were asked for.
        closeness: (B, 2N, N) of the points to each other (compact networks).
    """

    hires: list[Tensor]
    lowres: list[Tensor]
    fine: list[Tensor]
    xy: Tensor
    closeness: Tensor | None = None


class Estimate(NamedTuple):
    """A guess for every point and frame.

    Attributes:
        xy: (B, N, T, 2).
        occlusion, expected_dist: (B, N, T) logits; expected distance: of the position being more
            than 6 px off.
        own: the estimate as it was before a closer look changed it; None without one.
    """

    xy: Tensor
    occlusion: Tensor
    expected_dist: Tensor
    own: Estimate | None = None


class Match(NamedTuple):
    """Stage 1: the per-frame guess, and what training needs of it.

    Attributes:
        estimate: the guess; its positions carry no gradient.
        sureness: (B, N, T) share of the softmax within the local window (compact networks).
        maps: cost volumes (B, N, T, h, w), fine and coarse (compact networks).
        logits: matching scores over cells for every SUPERVISED_EVERY-th point, (B, n, T, h, w)
            each, coarse to fine; only in training.
    """

    estimate: Estimate
    sureness: Tensor | None = None
    maps: tuple[Tensor, ...] = ()
    logits: tuple[Tensor, ...] = ()


def sharpen(probability: Tensor) -> Tensor:
    """Cube the odds: many doubtful points must not outvote a few certain ones."""
    yes, no = probability**3, (1 - probability) ** 3
    return yes / (yes + no)


def visibility(estimate: Estimate) -> Tensor:
    """(B, N, T) probability that a point is seen and where it is said to be."""
    return torch.sigmoid(-estimate.occlusion) * torch.sigmoid(-estimate.expected_dist)
