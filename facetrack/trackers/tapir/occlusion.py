"""The occlusion head: compare the pixels around doubtful points with those of the query frame.

Refinement describes a point's surroundings by features of cells of 2 to 8 pixels. Near the edge of
an object that covers a face, it cannot tell on which side of the edge a point lies. Here a small
network compares pixels: those around the point now, turned and scaled back to the query frame, and
those around it there. It runs on doubtful points only, so an uncovered face costs almost nothing.

Positions are (x, y) in pixels of the 256 x 256 picture, origin at the CORNER of its top-left pixel.
G groups of N points each, T frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrack.runtime.batches import run_in_batches
from facetrack.trackers.tapir.config import RESOLUTION
from facetrack.trackers.tapir.types import Estimate, visibility

DOUBTFUL_VISIBILITY = (0.01, 0.8)
"""Probabilities of being visible between which a point counts as doubtful. Outside of them the head
changes no result on rendered clips, and half of a calm face lies between 0.8 and 0.97."""
LOGIT_FRAMES = 4
"""Frames whose logits the head receives: the present one and those before it."""
NEIGHBOURHOODS_PX = (8.0, 20.0)
"""Pixels of the query frame: standard deviations of the neighbourhoods over which the visibility of
the other points is averaged."""
MAX_SCALE_CHANGE = 2.0
"""Factor, either way, up to which patches are scaled with the face."""
NUM_FEATURES = 2 * LOGIT_FRAMES + len(NEIGHBOURHOODS_PX)
"""Numbers that the head receives for each point besides the patches."""
CERTAIN_DISTANCE_LOGIT = -30.0
"""Expected-distance logit of the points that the head has corrected: its occlusion logit covers
both."""


class OcclusionSamples(NamedTuple):
    """The head's input for M doubtful points.

    Attributes:
        indices: (M, 3) int64, group, point and frame.
        patches: (M, 6, S, S) RGB in [-1, 1]: around the point now, and in the query frame.
        features: (M, NUM_FEATURES) logits of the last frames and the neighbours' probabilities.
        logits: (M,) of being hidden or far off, before the correction.
    """

    indices: Tensor
    patches: Tensor
    features: Tensor
    logits: Tensor


class OcclusionHead(nn.Module):
    """Convolutions over both patches of a point.

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
        self.weigh = nn.Linear(hidden + NUM_FEATURES, hidden)
        self.out = nn.Linear(hidden, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, samples: OcclusionSamples) -> Tensor:
        """Return (M,) logits of being hidden or far off."""
        x = samples.patches.contiguous(memory_format=torch.channels_last)
        x = F.relu(self.down(F.relu(self.stem(x))))
        x = F.relu(x + self.second(F.relu(self.first(x))))
        x = F.relu(self.last(x)).flatten(1)
        x = F.dropout(x, 0.1, self.training)
        x = torch.cat([F.relu(self.read(x)), samples.features.to(x.dtype)], 1)
        return samples.logits + self.out(F.relu(self.weigh(x)))[:, 0].float()


MAX_POINTS_AT_ONCE = 1 << 13
"""Points of one or more frames that the head sees at once on a device other than a CPU."""
FrameGetter = Callable[[int], Tensor]
"""Returns frame t of a chunk, (1, 3, 256, 256) in [-1, 1]."""


class OcclusionMemory:
    """Query patches and recent logits of the points of a stream.

    Its tensors are replaced, never changed, so a shallow copy preserves a state.

    Args:
        get_frame: gives the frames that have query points.
        query_frames: (G, N) int64, each query point's frame.
        xy: (G, N, 2), each query point's position.
        side: S, pixels of a patch.
    """

    def __init__(self, get_frame: FrameGetter, query_frames: Tensor, xy: Tensor, side: int) -> None:
        self.query, self.side = xy, side
        points = xy.flatten(0, 1)
        self.query_patches = points.new_empty(len(points), side, side, 3)
        for t in query_frames.unique().tolist():
            here = (query_frames == t).flatten()
            upright = torch.ones(int(here.sum()), dtype=torch.complex64, device=xy.device)
            self.query_patches[here] = cut_patches(get_frame(t), points[here], upright, side)
        self._earlier_logits: Tensor | None = None
        distance = (xy[:, :, None] - xy[:, None]).square().sum(-1)
        off_diagonal = 1 - torch.eye(xy.shape[1], device=xy.device)
        near = [torch.exp(-distance / (2 * s * s)) * off_diagonal for s in NEIGHBOURHOODS_PX]
        self._neighbours = [w / w.sum(-1, keepdim=True).clamp_min(1e-6) for w in near]

    def collect_samples(
        self, get_frame: FrameGetter, estimate: Estimate
    ) -> OcclusionSamples | None:
        """Collect the doubtful points of the next frames, frame after frame.

        Args:
            get_frame: gives the T frames; called only for frames with doubtful points.
            estimate: (G, N, T, ...) of the network for them.

        Returns:
            None if no point is doubtful.
        """
        with torch.autocast(estimate.xy.device.type, enabled=False):
            return self._collect_samples(get_frame, estimate)

    def _collect_samples(
        self, get_frame: FrameGetter, estimate: Estimate
    ) -> OcclusionSamples | None:
        visible = visibility(estimate).float()
        features = self._features(estimate, visible)
        turns = fit_turns(self.query, estimate.xy, visible)
        doubtful = (visible > DOUBTFUL_VISIBILITY[0]) & (visible < DOUBTFUL_VISIBILITY[1])
        patches, doubtful_indices = [], []
        for t in range(visible.shape[2]):
            here = doubtful[:, :, t].nonzero()
            if not len(here):
                continue
            group, point = here.unbind(1)
            xy, turn = estimate.xy[group, point, t], turns[group, t]
            patches.append(cut_patches(get_frame(t), xy, turn, self.side))
            doubtful_indices.append(torch.cat([here, here.new_full((len(here), 1), t)], 1))
        if not doubtful_indices:
            return None
        indices = torch.cat(doubtful_indices)
        then = self.query_patches[indices[:, 0] * self.query.shape[1] + indices[:, 1]]
        both = torch.cat([torch.cat(patches), then], 3).permute(0, 3, 1, 2)  # channels last
        logits = -torch.logit(visible.clamp(1e-4, 1 - 1e-4))[tuple(indices.T)]
        return OcclusionSamples(indices, both, features[tuple(indices.T)], logits)

    def all_samples(
        self, get_frame: FrameGetter, estimate: Estimate
    ) -> Iterator[tuple[slice, Tensor, OcclusionSamples]]:
        """Yield all points of the next frames, doubtful or not, some frames at a time.

        The shapes do not depend on the points, so a GPU need not wait for the processor.

        Args:
            get_frame, estimate: as of `collect_samples`.

        Yields:
            Frames; (G, N, frames) bool, True for the doubtful points; their samples, group by
            group, point by point, whose `indices` are empty.
        """
        groups, points, frames = estimate.occlusion.shape
        visible = visibility(estimate).float()
        features = self._features(estimate, visible)
        turns = fit_turns(self.query, estimate.xy, visible)
        doubtful = (visible > DOUBTFUL_VISIBILITY[0]) & (visible < DOUBTFUL_VISIBILITY[1])
        logits = -torch.logit(visible.clamp(1e-4, 1 - 1e-4))
        at_once = max(1, MAX_POINTS_AT_ONCE // (groups * points))
        for start in range(0, frames, at_once):
            part = slice(start, min(start + at_once, frames))
            patches = [
                cut_patches(
                    get_frame(t),
                    estimate.xy[:, :, t].flatten(0, 1),
                    turns[:, t].repeat_interleave(points),
                    self.side,
                )
                for t in range(part.start, part.stop)
            ]
            count = len(patches)
            then = self.query_patches[:, None].expand(-1, count, -1, -1, -1)
            both = torch.cat([torch.stack(patches, 1), then], 4).flatten(0, 1).permute(0, 3, 1, 2)
            samples = OcclusionSamples(
                features.new_zeros((0, 3), dtype=torch.int64),
                both,
                features[:, :, part].flatten(0, 2),
                logits[:, :, part].flatten(),
            )
            yield part, doubtful[:, :, part], samples

    def _features(self, estimate: Estimate, visible: Tensor) -> Tensor:
        """Return (G, N, T, NUM_FEATURES), and remember the last frames' logits."""
        logits = torch.stack([estimate.occlusion, estimate.expected_dist], -1)
        logits = logits.float().clamp(-12, 12)
        if self._earlier_logits is None:
            self._earlier_logits = logits[:, :, :1].expand(-1, -1, LOGIT_FRAMES - 1, -1)
        history = torch.cat([self._earlier_logits, logits], 2)
        frames = logits.shape[2]
        self._earlier_logits = history[:, :, frames:]
        delayed = [
            history[:, :, LOGIT_FRAMES - 1 - d :][:, :, :frames] for d in range(LOGIT_FRAMES)
        ]
        nearby = [(weights @ visible)[..., None] * 4 for weights in self._neighbours]
        return torch.cat([*delayed, *nearby], -1) / 4


def refine_visibility(
    head: OcclusionHead, memory: OcclusionMemory, get_frame: FrameGetter, estimate: Estimate
) -> Estimate:
    """Correct the visibility of doubtful points in an estimate (G, N, T, ...) of the next frames.

    Returns:
        The corrected estimate, which keeps the given one as `unrefined`; the given one itself if no
        point is doubtful.
    """
    if estimate.xy.device.type != "cpu":
        return _refine_all(head, memory, get_frame, estimate)
    samples = memory.collect_samples(get_frame, estimate)
    if samples is None:
        return estimate
    index = tuple(samples.indices.T)
    occlusion, expected = estimate.occlusion.float().clone(), estimate.expected_dist.float().clone()
    (judged,) = run_in_batches(lambda *batch: [head(OcclusionSamples(*batch))], *samples)
    occlusion[index], expected[index] = judged, CERTAIN_DISTANCE_LOGIT
    return estimate._replace(occlusion=occlusion, expected_dist=expected, unrefined=estimate)


def _refine_all(
    head: OcclusionHead, memory: OcclusionMemory, get_frame: FrameGetter, estimate: Estimate
) -> Estimate:
    """As `refine_visibility`, but run the head on all points; only doubtful ones are changed."""
    occlusion, expected = [], []
    device = estimate.xy.device.type
    reduces = torch.is_autocast_enabled(device)
    with torch.autocast(device, enabled=False):
        for part, doubtful, samples in memory.all_samples(get_frame, estimate):
            with torch.autocast(device, enabled=reduces):
                logits = head(samples).view(doubtful.shape)
            occlusion.append(torch.where(doubtful, logits, estimate.occlusion[:, :, part].float()))
            before = estimate.expected_dist[:, :, part].float()
            expected.append(before.masked_fill(doubtful, CERTAIN_DISTANCE_LOGIT))
    return estimate._replace(
        occlusion=torch.cat(occlusion, 2), expected_dist=torch.cat(expected, 2), unrefined=estimate
    )


def fit_turns(query: Tensor, xy: Tensor, weights: Tensor) -> Tensor:
    """Fit the rotation and scale of faces since the query frame, by weighted least squares.

    The scale is limited to MAX_SCALE_CHANGE either way.

    Args:
        query: (G, N, 2) positions in the query frame.
        xy: (G, N, T, 2) positions now.
        weights: (G, N, T).

    Returns:
        (G, T) complex64 factors on vectors x + iy of the query frame.
    """
    then, now = (torch.complex(*p.float().unbind(-1)) for p in (query[:, :, None], xy))
    total = weights.sum(1, keepdim=True).clamp_min(1e-6)
    then = then - (weights * then).sum(1, keepdim=True) / total
    now = now - (weights * now).sum(1, keepdim=True) / total
    spread = (weights * then.abs().square()).sum(1).clamp_min(1e-3)
    turn = (weights * then.conj() * now).sum(1) / spread
    scale = turn.abs()
    bounded = turn / scale.clamp_min(1e-3) * scale.clamp(1 / MAX_SCALE_CHANGE, MAX_SCALE_CHANGE)
    return torch.where(scale > 1e-3, bounded, torch.ones_like(turn))


def cut_patches(frame: Tensor, xy: Tensor, turn: Tensor, side: int) -> Tensor:
    """Cut out patches around points, turned and scaled back to the query frame.

    Args:
        frame: (1, C, 256, 256); its border repeats.
        xy: (M, 2) centres of the patches.
        turn: (M,) complex factors from `fit_turns`.
        side: pixels of a patch.

    Returns:
        (M, side, side, C).
    """
    axis = torch.arange(side, device=xy.device, dtype=torch.float32) - (side - 1) / 2
    offsets = torch.complex(axis.expand(side, side), axis[:, None].expand(side, side))
    around = torch.view_as_real(turn[:, None, None] * offsets) + xy[:, None, None].float()
    grid = (around * (2 / RESOLUTION) - 1).view(1, -1, side, 2)
    sampled = F.grid_sample(frame, grid, padding_mode="border", align_corners=False)
    return sampled[0].unflatten(1, (-1, side)).permute(1, 2, 3, 0)
