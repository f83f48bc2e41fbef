"""TAPIR's losses (arXiv 2306.08637, section 3.5), plus direct supervision of the matching."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.trackers.tapir.compact import SUPERVISED_EVERY
from facetrack.trackers.tapir.config import RESOLUTION
from facetrack.trackers.tapir.matching import patches_from_maps
from facetrack.trackers.tapir.types import Estimate, Match

FAR = 6.0
"""Distance in pixels above which a position counts as wrong (TAPIR's "expected distance")."""
HIDDEN_WEIGHT = 0.5
"""Weight of hidden points relative to visible points."""
ITERATION_DECAY = 0.6
"""Weight of an iteration relative to the next iteration."""


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp_min(1)


def matching_loss(logits: Sequence[Tensor], xy: Tensor, weight: Tensor) -> Tensor:
    """Return the cross-entropy of score maps with the true cell.

    The target is distributed bilinearly over the four nearest cells.

    Args:
        logits: score maps (B, N, T, h, w).
        xy: (B, N, T, 2) truth in pixels of the RESOLUTION image.
        weight: (B, N, T).
    """
    total = xy.new_zeros(())
    for scores in logits:
        height, width = scores.shape[-2:]
        cells = xy * (xy.new_tensor([width, height]) / RESOLUTION)
        cells = torch.minimum(cells.clamp_min(0.5), xy.new_tensor([width - 0.5, height - 0.5]))
        flat = scores.flatten(0, 2)
        true = patches_from_maps(flat, cells.flatten(0, 2), 1).view(weight.shape)
        log_total = flat.flatten(1).logsumexp(1).view(weight.shape)
        total = total + _mean(log_total - true, weight)
    return total


def local_matching_loss(scores: Tensor, offset: Tensor, weight: Tensor) -> Tensor:
    """Return the cross-entropy of patches of scores with the true cell.

    The target is distributed bilinearly over the four nearest cells.

    Args:
        scores: (..., size**2).
        offset: (..., 2) cells from the patch's centre to the truth, which must lie at least one
            cell inside the patch.
        weight: (...).
    """
    size = round(scores.shape[-1] ** 0.5)
    cells = (offset + size / 2).flatten(0, -2)
    true = patches_from_maps(scores.reshape(-1, size, size), cells, 1).view(weight.shape)
    return _mean(scores.logsumexp(-1) - true, weight)


def tracking_loss(
    match: Match,
    estimates: Sequence[Estimate],
    xy: Tensor,
    visible: Tensor,
    valid: Tensor,
    fine: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """Return the training loss of a batch of clips, and its parts for the log.

    The position loss is a Huber-like error sqrt(d^2 + e^2) - e in pixels, with weight HIDDEN_WEIGHT
    for hidden points; the jitter loss is that of its change between frames. Occlusion and expected
    distance use sigmoid cross-entropies; the target of the latter is an error above FAR.

    Args:
        match: initial estimates from matching.
        estimates: after each iteration.
        xy: (B, N, T, 2) truth in pixels, raster origin; visible, valid: (B, N, T) bool.
        fine: scores and offsets for `local_matching_loss`, if the network has a fine map.
    """
    known = valid.float()
    seen = known * visible
    weight = seen + HIDDEN_WEIGHT * (known - seen)
    pairs = weight[:, :, 1:] * known[:, :, :-1]
    parts: dict[str, Tensor] = {}
    parts["match"] = matching_loss(
        match.logits, xy[:, ::SUPERVISED_EVERY], seen[:, ::SUPERVISED_EVERY]
    )
    parts["fine"] = xy.new_zeros(())
    if fine is not None:
        parts["fine"] = local_matching_loss(*fine, seen)
    for name in ("position", "jitter", "occlusion", "expected"):
        parts[name] = xy.new_zeros(())
    scale = 1.0
    for estimate in reversed(estimates):
        offset = estimate.xy - xy
        error = (offset.square().sum(-1) + 0.04).sqrt() - 0.2
        # Limit the error, so that a lost point does not dominate the loss.
        parts["position"] += scale * _mean(error.clamp(max=64), weight)
        change = offset[:, :, 1:] - offset[:, :, :-1]
        change = (change.square().sum(-1) + 0.01).sqrt() - 0.1
        parts["jitter"] += scale * _mean(change.clamp(max=16), pairs)
        parts["occlusion"] += scale * _mean(
            F.binary_cross_entropy_with_logits(
                estimate.occlusion, 1 - visible.float(), reduction="none"
            ),
            known,
        )
        wrong = (offset.detach().norm(dim=-1) > FAR).float()
        parts["expected"] += scale * _mean(
            F.binary_cross_entropy_with_logits(estimate.expected_dist, wrong, reduction="none"),
            seen,
        )
        scale *= ITERATION_DECAY
    loss = (
        0.3 * (parts["match"] + parts["fine"])
        + 0.4 * parts["position"]
        + 0.35 * parts["jitter"]
        + parts["occlusion"]
        + 0.5 * parts["expected"]
    )
    return loss, {name: float(value.detach()) for name, value in parts.items()}
