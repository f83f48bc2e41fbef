"""MTCNN's losses, and the mining of hard samples in each mini-batch.

Zhang et al., IEEE Signal Processing Letters 2016, section II-C.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.training.face_detectors.samples import LANDMARK, NEGATIVE, PART, POSITIVE

HARD_SHARE = 0.7
"""Share of a mini-batch, the samples with the largest losses, whose gradients pass back."""


class TaskWeights(NamedTuple):
    """Weights of the three tasks.

    Attributes:
        face: cross-entropy of face and not-face.
        box: squared distance of the box's offsets.
        points: squared distance of the five points.
    """

    face: float
    box: float
    points: float


PROPOSAL_WEIGHTS, OUTPUT_WEIGHTS = TaskWeights(1, 0.5, 0.5), TaskWeights(1, 0.5, 1)
"""Of P-Net and R-Net, and of O-Net, which has to place the points."""


class Targets(NamedTuple):
    """What a network should answer for B windows: see `samples.Samples`."""

    kind: Tensor
    offsets: Tensor
    points: Tensor


class Answers(NamedTuple):
    """What it answers.

    Attributes:
        offsets: (B, 4).
        points: (B, 10).
        logits: (B, 2) not-face, face.
    """

    offsets: Tensor
    points: Tensor
    logits: Tensor


def hardest(losses: Tensor, share: float = HARD_SHARE) -> Tensor:
    """Return the mean of the largest `share` of losses (B,); 0 if there are none.

    The others get no gradient: easy samples would otherwise weaken that of the hard ones.
    """
    if not len(losses):
        return losses.sum()
    count = math.ceil(share * len(losses) - 1e-9)
    return losses.topk(count).values.mean()


def multi_task_loss(
    answers: Answers, targets: Targets, weights: TaskWeights
) -> tuple[Tensor, dict[str, float]]:
    """Return the weighted sum of the three losses, and each of them.

    A sample counts only for the tasks of its kind: negatives and positives for the classification,
    positives and part faces for the box, landmark faces for the points. The hard samples of each
    task are chosen on their own.
    """
    kind = targets.kind
    judged = (kind == NEGATIVE) | (kind == POSITIVE)
    boxed = (kind == POSITIVE) | (kind == PART)
    marked = kind == LANDMARK
    entropy = F.cross_entropy(
        answers.logits[judged], (kind[judged] == POSITIVE).long(), reduction="none"
    )
    box = (answers.offsets - targets.offsets)[boxed].square().sum(1)
    points = (answers.points - targets.points)[marked].square().sum(1)
    parts = torch.stack([hardest(entropy), hardest(box), hardest(points)])
    total = (parts * torch.tensor(weights, device=parts.device)).sum()
    return total, dict(zip(TaskWeights._fields, parts.detach().tolist(), strict=True))
