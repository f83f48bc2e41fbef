"""Combine, over time, a tracker's points with the landmarks detected in patches.

A tracker follows the texture of a point and has little noise. The network of `part_network` knows
the shape of eyelids and lips and sees every frame independently. A recurrent network reads both
positions, their uncertainties and their motion. For each landmark it mixes four corrections of the
tracker's position: the correction of the previous frame, the detected motion since the query frame,
the detected position itself, or none. Each direction of the patch has its own mixture: eyelids and
lips mostly move up and down, and across that the texture is the better witness. The filter was
trained on rendered clips with known ground truth.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from facetrack.trackers.expression.face_parts import PatchLayout

TOKEN_CHANNELS, HIDDEN_CHANNELS, EMBEDDING_CHANNELS = 96, 64, 8
"""Channels of a landmark's input token, of its hidden state, and of its learned embedding."""
POSITION_SCALE = 20.0
"""Factor that brings positions in units of the face to a magnitude of about 1."""
NUM_CORRECTIONS = 4
INITIAL_LOGITS = (2.0, 0.5, -1.0, 0.0)
"""Logits of the four corrections before training."""


class PartObservation(NamedTuple):
    """The observations of M parts in one frame.

    Positions are relative to those in the query frame, in units of the face.

    Attributes:
        tracked: (M, points, 2) the tracker's positions.
        detected: (M, points, 2) the network's positions, relative to its own in the query frame.
        spread: (M, points) the network's uncertainties, in units of the face.
        confidence: (M, points) the tracker's confidences in [0, 1].
        motion: (M, 2) the distance that the part has moved since the previous frame, in units of
            the face, and the logarithm of the unit in hundreds of pixels.
    """

    tracked: Tensor
    detected: Tensor
    spread: Tensor
    confidence: Tensor
    motion: Tensor


class QueryReference(NamedTuple):
    """Measurements of M parts in the query frame, in units of the face.

    Attributes:
        positions: (M, points, 2) the initial points in the patches.
        bias: (M, points, 2) these positions minus the network's.
        spread: (M, points) the network's uncertainties.
    """

    positions: Tensor
    bias: Tensor
    spread: Tensor


class FilterState(NamedTuple):
    """The recurrent state of M parts.

    Attributes:
        hidden: (M, points, HIDDEN_CHANNELS).
        correction: (M, points, 2) added to the tracker's positions in the previous frame.
        tracked, detected: (M, points, 2) positions in the previous frame.
    """

    hidden: Tensor
    correction: Tensor
    tracked: Tensor
    detected: Tensor


class PartFilter(nn.Module):
    """The recurrent filter for the parts of one layout.

    All landmarks share its weights. Each landmark has a learned embedding, and gets features of the
    whole part: its opening, and the mean of all landmarks' hidden states.

    Args:
        layout: the layout of the parts.
    """

    def __init__(self, layout: PatchLayout) -> None:
        super().__init__()
        self.layout = layout
        self.name = nn.Parameter(torch.randn(layout.num_points, EMBEDDING_CHANNELS) * 0.3)
        self.enter = nn.Linear(17 + 15 + HIDDEN_CHANNELS + EMBEDDING_CHANNELS, TOKEN_CHANNELS)
        self.cell = nn.GRUCell(TOKEN_CHANNELS, HIDDEN_CHANNELS)
        self.out = nn.Linear(TOKEN_CHANNELS + HIDDEN_CHANNELS, 2 * NUM_CORRECTIONS + 1)
        nn.init.normal_(self.out.weight, std=1e-2)
        with torch.no_grad():
            self.out.bias.copy_(torch.tensor([*np.repeat(INITIAL_LOGITS, 2), 0.0]))

    def initial_state(self, observation: PartObservation) -> FilterState:
        """Return the state before the first frame, whose observation is given."""
        return FilterState(
            observation.tracked.new_zeros(*observation.tracked.shape[:2], HIDDEN_CHANNELS),
            torch.zeros_like(observation.tracked),
            observation.tracked,
            observation.detected,
        )

    def forward(
        self, reference: QueryReference, observation: PartObservation, state: FilterState
    ) -> tuple[Tensor, Tensor, FilterState]:
        """Filter the next frame.

        Returns:
            Positions (M, points, 2) relative to the query frame, visibility logits (M, points), and
            the new state.
        """
        tracked, detected = observation.tracked, observation.detected
        difference = detected - tracked
        confidence = torch.logit(observation.confidence.clamp(1e-3, 1 - 1e-3))
        positions = torch.cat(
            [
                tracked,
                detected,
                state.correction,
                difference,
                tracked - state.tracked,
                detected - state.detected,
                reference.bias,
            ],
            -1,
        )
        spreads = torch.stack([observation.spread, reference.spread], -1).log() / 2 + 2
        point_features = torch.cat(
            [POSITION_SCALE * positions, spreads, confidence[..., None] / 4], -1
        )
        opening = positions[:, self.layout.lower, 1::2] - positions[:, self.layout.upper, 1::2]
        part_features = torch.cat(
            [
                POSITION_SCALE * opening.mean(1),
                POSITION_SCALE * difference.mean(1),
                POSITION_SCALE * difference.square().mean((1, 2))[:, None].sqrt(),
                point_features[..., -3:].mean(1),
                POSITION_SCALE * observation.motion[:, :1],
                observation.motion[:, 1:],
                state.hidden.mean(1),
            ],
            1,
        )
        count, points = confidence.shape
        shared = part_features[:, None].expand(-1, points, -1), self.name.expand(count, -1, -1)
        tokens = torch.relu(self.enter(torch.cat([point_features, *shared], -1))).flatten(0, 1)
        hidden = self.cell(tokens, state.hidden.flatten(0, 1))
        out = self.out(torch.cat([tokens, hidden], 1)).unflatten(0, (count, points))
        logits = out[..., :-1].unflatten(-1, (NUM_CORRECTIONS, 2))
        share = logits.softmax(-2)
        # The fourth correction is zero.
        correction = (
            share[..., 0, :] * state.correction
            + share[..., 1, :] * difference
            + share[..., 2, :] * (difference - reference.bias)
        )
        hidden = hidden.unflatten(0, (count, points))
        new_state = FilterState(hidden, correction, tracked, detected)
        return tracked + correction, confidence + out[..., -1], new_state
