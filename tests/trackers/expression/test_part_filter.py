"""The filter between a tracker's points and what a network sees."""

from __future__ import annotations

import pytest
import torch

from facetrack.trackers.expression.face_parts import EYE
from facetrack.trackers.expression.part_filter import WAYS, Known, PartFilter, Seen

PARTS, POINTS = 2, EYE.points


def _values(*shape: int) -> torch.Tensor:
    return torch.randn(PARTS, POINTS, *shape, generator=torch.Generator().manual_seed(len(shape)))


KNOWN = Known(_values(2), 0.1 * _values(2), torch.full((PARTS, POINTS), 0.02))


def _seen(tracked: torch.Tensor, looked: torch.Tensor) -> Seen:
    half = torch.full((PARTS, POINTS), 0.5)
    return Seen(tracked, looked, half / 10, half, torch.zeros(PARTS, 2))


def _deciding(way: int | None) -> PartFilter:
    """A filter that goes one way always; None is none of them."""
    made = PartFilter(EYE)
    with torch.no_grad():
        made.out.weight.zero_()
        made.out.bias.zero_()
        made.out.bias[WAYS - 1 if way is None else way] = 50.0
    return made


@pytest.mark.parametrize("way", [None, 1, 2])
def test_the_ways_are_the_tracker_what_is_seen_and_that_without_the_first_difference(way):
    filtering = _deciding(way)
    tracked, looked = 0.3 * _values(2), 0.2 * _values(2)
    seen = _seen(tracked, looked)
    places, _, _ = filtering(KNOWN, seen, filtering.begin(seen))
    wanted = {None: tracked, 1: looked, 2: looked - KNOWN.bias}[way]
    torch.testing.assert_close(places, wanted)


def test_a_correction_that_is_kept_goes_with_the_tracker():
    seen = _seen(0.3 * _values(2), 0.2 * _values(2))
    following = _deciding(1)
    _, _, memory = following(KNOWN, seen, following.begin(seen))
    later = _seen(seen.tracked + 0.5, seen.looked - 3)
    places, _, _ = _deciding(0)(KNOWN, later, memory)
    torch.testing.assert_close(places, seen.looked + 0.5)


def test_confidences_stay_where_the_network_says_nothing_of_them():
    filtering = _deciding(0)
    seen = _seen(_values(2), _values(2))
    _, logits, _ = filtering(KNOWN, seen, filtering.begin(seen))
    torch.testing.assert_close(logits.sigmoid(), seen.sure)


def test_parts_do_not_know_of_each_other():
    filtering = PartFilter(EYE)
    seen = _seen(_values(2), 0.5 * _values(2))
    both = filtering(KNOWN, seen, filtering.begin(seen))[0]
    first = Seen(*(x[:1] for x in seen))
    alone = filtering(Known(*(x[:1] for x in KNOWN)), first, filtering.begin(first))[0]
    torch.testing.assert_close(both[:1], alone)
