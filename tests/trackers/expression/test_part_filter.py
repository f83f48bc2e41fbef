"""The filter combines a tracker's points with detected landmarks."""

from __future__ import annotations

import pytest
import torch

from facetrack.trackers.expression.face_parts import EYE
from facetrack.trackers.expression.part_filter import (
    NUM_CORRECTIONS,
    PartFilter,
    PartObservation,
    QueryReference,
)

PARTS, POINTS = 2, EYE.num_points


def _values(*shape: int) -> torch.Tensor:
    return torch.randn(PARTS, POINTS, *shape, generator=torch.Generator().manual_seed(len(shape)))


REFERENCE = QueryReference(_values(2), 0.1 * _values(2), torch.full((PARTS, POINTS), 0.02))


def _observation(tracked: torch.Tensor, detected: torch.Tensor) -> PartObservation:
    half = torch.full((PARTS, POINTS), 0.5)
    return PartObservation(tracked, detected, half / 10, half, torch.zeros(PARTS, 2))


def _choosing(across: int | None, down: int | None) -> PartFilter:
    """Return a filter that always selects one correction in each direction; None selects none."""
    part_filter = PartFilter(EYE)
    with torch.no_grad():
        part_filter.out.weight.zero_()
        part_filter.out.bias.zero_()
        for direction, choice in enumerate((across, down)):
            chosen = NUM_CORRECTIONS - 1 if choice is None else choice
            part_filter.out.bias[2 * chosen + direction] = 50.0
    return part_filter


@pytest.mark.parametrize("choice", [None, 1, 2])
def test_each_correction_gives_its_position(choice):
    part_filter = _choosing(choice, choice)
    tracked, detected = 0.3 * _values(2), 0.2 * _values(2)
    observation = _observation(tracked, detected)
    places, _, _ = part_filter(REFERENCE, observation, part_filter.initial_state(observation))
    expected = {None: tracked, 1: detected, 2: detected - REFERENCE.bias}[choice]
    torch.testing.assert_close(places, expected)


def test_directions_are_corrected_separately():
    part_filter = _choosing(None, 1)
    observation = _observation(0.3 * _values(2), 0.2 * _values(2))
    places, _, _ = part_filter(REFERENCE, observation, part_filter.initial_state(observation))
    torch.testing.assert_close(places[..., 0], observation.tracked[..., 0])
    torch.testing.assert_close(places[..., 1], observation.detected[..., 1])


def test_the_previous_correction_moves_with_the_tracker():
    observation = _observation(0.3 * _values(2), 0.2 * _values(2))
    following = _choosing(1, 1)
    _, _, state = following(REFERENCE, observation, following.initial_state(observation))
    later = _observation(observation.tracked + 0.5, observation.detected - 3)
    places, _, _ = _choosing(0, 0)(REFERENCE, later, state)
    torch.testing.assert_close(places, observation.detected + 0.5)


def test_a_zero_logit_keeps_the_trackers_confidence():
    part_filter = _choosing(0, 0)
    observation = _observation(_values(2), _values(2))
    _, logits, _ = part_filter(REFERENCE, observation, part_filter.initial_state(observation))
    torch.testing.assert_close(logits.sigmoid(), observation.confidence)


def test_parts_are_filtered_independently():
    part_filter = PartFilter(EYE)
    observation = _observation(_values(2), 0.5 * _values(2))
    both = part_filter(REFERENCE, observation, part_filter.initial_state(observation))[0]
    first = PartObservation(*(x[:1] for x in observation))
    alone = part_filter(
        QueryReference(*(x[:1] for x in REFERENCE)), first, part_filter.initial_state(first)
    )[0]
    torch.testing.assert_close(both[:1], alone)
