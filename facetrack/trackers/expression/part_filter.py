"""Decides over time between a tracker's points and what a network sees of lids and lips.

A tracker knows a point by its texture, and has little noise; the network of `part_network` knows
what a lid is, and sees every frame anew. A recurrent network looks at both, at how sure either is
and at how they move, and says for each landmark by how much the tracker's place is to be corrected:
as in the frame before, as the network has moved since the query frame, to where the network has
it, or not at all. It learned that on rendered clips whose truth is known.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from facetrack.trackers.expression.face_parts import Kind

WIDTH, MEMORY, NAMED = 64, 48, 8
"""Channels of a landmark's token, of what is remembered of it, and of its name."""
UNIT = 20.0
"""What places in units of the face are multiplied by, to be about 1."""
WAYS = 4
FIRST = (2.0, 0.5, -1.0, 0.0)
"""How likely the four ways are before anything is learned."""


class Seen(NamedTuple):
    """What is known of M parts in one frame; places are in their patches, from where the points
    were in the query frame's.

    Attributes:
        tracked, looked: (M, points, 2) of the tracker and of the network (from where it had them in
            the query frame).
        spread: (M, points) the network's; sure: (M, points) the tracker's confidences.
        motion: (M, 2) how far the part has moved since the frame before, in units of the face, and
            the logarithm of a unit's pixels.
    """

    tracked: Tensor
    looked: Tensor
    spread: Tensor
    sure: Tensor
    motion: Tensor


class Known(NamedTuple):
    """What is known of M parts from the query frame.

    Attributes:
        rest: (M, points, 2) their points in the patches.
        bias: (M, points, 2) the same, less where the network has them.
        spread: (M, points) the network's.
    """

    rest: Tensor
    bias: Tensor
    spread: Tensor


class Memory(NamedTuple):
    """What is remembered of M parts from frame to frame.

    Attributes:
        hidden: (M, points, MEMORY).
        correction: (M, points, 2) of the tracker's places.
        tracked, looked: (M, points, 2) of the frame before.
    """

    hidden: Tensor
    correction: Tensor
    tracked: Tensor
    looked: Tensor


class PartFilter(nn.Module):
    """The parts of one kind. All landmarks share one network, which is told their names and what
    the part as a whole does: above all how far it is open.

    Args:
        kind: of the parts.
    """

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind
        self.name = nn.Parameter(torch.randn(kind.points, NAMED) * 0.3)
        self.enter = nn.Linear(17 + 15 + NAMED, WIDTH)
        self.cell = nn.GRUCell(WIDTH, MEMORY)
        self.out = nn.Linear(WIDTH + MEMORY, WAYS + 1)
        nn.init.normal_(self.out.weight, std=1e-2)
        with torch.no_grad():
            self.out.bias.copy_(torch.tensor([*FIRST, 0.0]))

    def begin(self, seen: Seen) -> Memory:
        """Before the first frame, in which they are seen so."""
        return Memory(
            seen.tracked.new_zeros(*seen.tracked.shape[:2], MEMORY),
            torch.zeros_like(seen.tracked),
            seen.tracked,
            seen.looked,
        )

    def forward(self, known: Known, seen: Seen, memory: Memory) -> tuple[Tensor, Tensor, Memory]:
        """The next frame: places (M, points, 2) from where they were, logits (M, points) of being
        seen, and what to remember."""
        apart = seen.looked - seen.tracked
        sure = torch.logit(seen.sure.clamp(1e-3, 1 - 1e-3))
        places = torch.cat(
            [
                seen.tracked,
                seen.looked,
                memory.correction,
                apart,
                seen.tracked - memory.tracked,
                seen.looked - memory.looked,
                known.bias,
            ],
            -1,
        )
        spreads = torch.stack([seen.spread, known.spread], -1).log() / 2 + 2
        own = torch.cat([UNIT * places, spreads, sure[..., None] / 4], -1)
        opening = places[:, self.kind.lower, 1::2] - places[:, self.kind.upper, 1::2]
        part = torch.cat(
            [
                UNIT * opening.mean(1),
                UNIT * apart.mean(1),
                UNIT * apart.square().mean((1, 2))[:, None].sqrt(),
                own[..., -3:].mean(1),
                UNIT * seen.motion[:, :1],
                seen.motion[:, 1:],
            ],
            1,
        )
        count, points = sure.shape
        every = part[:, None].expand(-1, points, -1), self.name.expand(count, -1, -1)
        entered = torch.relu(self.enter(torch.cat([own, *every], -1))).flatten(0, 1)
        hidden = self.cell(entered, memory.hidden.flatten(0, 1))
        out = self.out(torch.cat([entered, hidden], 1)).unflatten(0, (count, points))
        share = out[..., :WAYS].softmax(-1)[..., None]
        correction = (
            share[..., 0, :] * memory.correction
            + share[..., 1, :] * apart
            + share[..., 2, :] * (apart - known.bias)
        )
        hidden = hidden.unflatten(0, (count, points))
        now = Memory(hidden, correction, seen.tracked, seen.looked)
        return seen.tracked + correction, sure + out[..., WAYS], now
