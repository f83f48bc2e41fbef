"""A closer look at points that may be hidden: the picture around each beside what it once was.

The refinement knows a point's surroundings by features of cells of 2 to 8 pixels, so near the edge
of what covers a face it cannot tell which side of it a point lies on. Here a small network compares
pixels: those around the point now, turned and scaled back as the face was in the query frame, and
those around it there. Only doubtful points are looked at: a face that nothing covers costs next to
nothing.

Positions are (x, y) in the raster of the 256 x 256 picture, origin at the CORNER of its top-left
pixel. G groups of N points each, T frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrack.trackers.tapir.config import RESOLUTION
from facetrack.trackers.tapir.types import Estimate, visibility

DOUBTFUL = (0.01, 0.8)
"""Probabilities of being seen between which a point is looked at. Beyond, looks change no answer on
rendered clips, and half of a calm face lies between 0.8 and 0.97."""
FRAMES = 4
"""Frames whose logits are told: the present one and those before it."""
REACHES = (8.0, 20.0)
"""Pixels of the query frame, standard deviations of the neighbourhoods in which other points tell
whether they are seen."""
LARGEST_CHANGE = 2.0
"""Factor of size, either way, by which patches follow the face."""
FACTS = 2 * FRAMES + len(REACHES)
SETTLED = -30.0
"""Expected-distance logit of points that were looked at: their one logit says it all."""


class Samples(NamedTuple):
    """What there is to be seen of M doubtful points.

    Attributes:
        where: (M, 3) int64, group, point and frame.
        pictures: (M, 6, S, S) RGB in [-1, 1]: around the point now, and in the query frame.
        facts: (M, FACTS) logits of the last frames and neighbours' probabilities.
        logits: (M,) of being hidden or far off, before the look.
    """

    where: Tensor
    pictures: Tensor
    facts: Tensor
    logits: Tensor


class OcclusionHead(nn.Module):
    """The network that looks: convolutions over both views of a point's surroundings.

    Args:
        side: S, pixels of a patch.
        width: channels of its first map.
    """

    def __init__(self, side: int, width: int = 32) -> None:
        super().__init__()
        self.side = side
        inner, last, hidden = width * 3 // 2, width, 2 * width
        self.stem = nn.Conv2d(6, width, 5, 2, 2)
        self.down = nn.Conv2d(width, inner, 3, 2, 1)
        self.first = nn.Conv2d(inner, inner, 3, 1, 1)
        self.second = nn.Conv2d(inner, inner, 3, 1, 1)
        self.last = nn.Conv2d(inner, last, 3, 2, 1)
        self.read = nn.Linear(last * (side // 8) ** 2, hidden)
        self.weigh = nn.Linear(hidden + FACTS, hidden)
        self.out = nn.Linear(hidden, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, samples: Samples) -> Tensor:
        """(M,) logits of being hidden or far off."""
        x = samples.pictures.contiguous(memory_format=torch.channels_last)
        x = F.relu(self.down(F.relu(self.stem(x))))
        x = F.relu(x + self.second(F.relu(self.first(x))))
        x = F.relu(self.last(x)).flatten(1)
        x = F.dropout(x, 0.1, self.training)
        x = torch.cat([F.relu(self.read(x)), samples.facts.to(x.dtype)], 1)
        return samples.logits + self.out(F.relu(self.weigh(x)))[:, 0].float()


Pictures = Callable[[int], Tensor]
"""Gives frame t of a stretch, (1, 3, 256, 256) in [-1, 1]."""


class Memory:
    """What is remembered of the points of a stream, to compare with.

    Its tensors are replaced, never changed, so that a shallow copy keeps a state.

    Args:
        pictures: of the frames that have query points.
        when, xy: (G, N) int64 and (G, N, 2): each query point's frame and place.
        side: S.
    """

    def __init__(self, pictures: Pictures, when: Tensor, xy: Tensor, side: int) -> None:
        self.query, self.side = xy, side
        points = xy.flatten(0, 1)
        self.first = points.new_empty(len(points), side, side, 3)
        for t in when.unique().tolist():
            here = (when == t).flatten()
            upright = torch.ones(int(here.sum()), dtype=torch.complex64, device=xy.device)
            self.first[here] = patches(pictures(t), points[here], upright, side)
        self._before: Tensor | None = None
        away = (xy[:, :, None] - xy[:, None]).square().sum(-1)
        others = 1 - torch.eye(xy.shape[1], device=xy.device)
        near = [torch.exp(-away / (2 * reach * reach)) * others for reach in REACHES]
        self._near = [w / w.sum(-1, keepdim=True).clamp_min(1e-6) for w in near]

    def samples(self, pictures: Pictures, estimate: Estimate) -> Samples | None:
        """The doubtful points of the next frames, in the order of the frames; None without any.

        Args:
            pictures: of the T frames; only those that something is doubtful in are asked for.
            estimate: (G, N, T, ...) what the network says of them.
        """
        with torch.autocast(estimate.xy.device.type, enabled=False):
            return self._samples(pictures, estimate)

    def _samples(self, pictures: Pictures, estimate: Estimate) -> Samples | None:
        seen = visibility(estimate).float()
        facts = self._facts(estimate, seen)
        turns = turn_of(self.query, estimate.xy, seen)
        doubtful = (seen > DOUBTFUL[0]) & (seen < DOUBTFUL[1])
        taken, index = [], []
        for t in range(seen.shape[2]):
            here = doubtful[:, :, t].nonzero()
            if not len(here):
                continue
            group, point = here.unbind(1)
            now = patches(pictures(t), estimate.xy[group, point, t], turns[group, t], self.side)
            taken.append(now)
            index.append(torch.cat([here, here.new_full((len(here), 1), t)], 1))
        if not index:
            return None
        where = torch.cat(index)
        then = self.first[where[:, 0] * self.query.shape[1] + where[:, 1]]
        both = torch.cat([torch.cat(taken), then], 3).permute(0, 3, 1, 2)  # channels last
        logits = -torch.logit(seen.clamp(1e-4, 1 - 1e-4))[tuple(where.T)]
        return Samples(where, both, facts[tuple(where.T)], logits)

    def _facts(self, estimate: Estimate, seen: Tensor) -> Tensor:
        """(G, N, T, FACTS)."""
        said = torch.stack([estimate.occlusion, estimate.expected_dist], -1).float().clamp(-12, 12)
        if self._before is None:
            self._before = said[:, :, :1].expand(-1, -1, FRAMES - 1, -1)
        told = torch.cat([self._before, said], 2)
        frames = said.shape[2]
        self._before = told[:, :, frames:]
        late = [told[:, :, FRAMES - 1 - d :][:, :, :frames] for d in range(FRAMES)]
        around = [(weights @ seen)[..., None] * 4 for weights in self._near]
        return torch.cat([*late, *around], -1) / 4


def look(head: OcclusionHead, memory: Memory, pictures: Pictures, estimate: Estimate) -> Estimate:
    """The estimate (G, N, T, ...) of the next frames with doubtful points judged anew."""
    samples = memory.samples(pictures, estimate)
    if samples is None:
        return estimate
    where = tuple(samples.where.T)
    occlusion, expected = estimate.occlusion.float().clone(), estimate.expected_dist.float().clone()
    occlusion[where], expected[where] = head(samples), SETTLED
    return estimate._replace(occlusion=occlusion, expected_dist=expected, own=estimate)


def turn_of(query: Tensor, xy: Tensor, weights: Tensor) -> Tensor:
    """How faces have turned and grown since the query frame: the similarities that fit their points
    best, of at most LARGEST_CHANGE.

    Args:
        query: (G, N, 2); xy: (G, N, T, 2); weights: (G, N, T).

    Returns:
        (G, T) complex64 factors on arrows x + iy of the query frame.
    """
    then, now = (torch.complex(*p.float().unbind(-1)) for p in (query[:, :, None], xy))
    total = weights.sum(1, keepdim=True).clamp_min(1e-6)
    then = then - (weights * then).sum(1, keepdim=True) / total
    now = now - (weights * now).sum(1, keepdim=True) / total
    spread = (weights * then.abs().square()).sum(1).clamp_min(1e-3)
    turn = (weights * then.conj() * now).sum(1) / spread
    size = turn.abs()
    bounded = turn / size.clamp_min(1e-3) * size.clamp(1 / LARGEST_CHANGE, LARGEST_CHANGE)
    return torch.where(size > 1e-3, bounded, torch.ones_like(turn))


def patches(frame: Tensor, xy: Tensor, turn: Tensor, side: int) -> Tensor:
    """What is around points of frame (1, C, 256, 256): xy (M, 2) and the complex factor (M,) that
    turns the query frame's arrows into this one's -> (M, side, side, C); the border repeats."""
    axis = torch.arange(side, device=xy.device, dtype=torch.float32) - (side - 1) / 2
    arrows = torch.complex(axis.expand(side, side), axis[:, None].expand(side, side))
    around = torch.view_as_real(turn[:, None, None] * arrows) + xy[:, None, None].float()
    grid = (around * (2 / RESOLUTION) - 1).view(1, -1, side, 2)
    taken = F.grid_sample(frame, grid, padding_mode="border", align_corners=False)
    return taken[0].unflatten(1, (-1, side)).permute(1, 2, 3, 0)
