"""The closer look at doubtful points: what it is shown, and what it may change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facetrack.trackers.tapir import occlusion
from facetrack.trackers.tapir.occlusion import Memory, OcclusionHead, look, patches, turn_of
from facetrack.trackers.tapir.types import Estimate, visibility

SIDE = 16
LEAST, MOST = occlusion.DOUBTFUL


def picture(turn: complex = 1 + 0j, shift: complex = 0j) -> torch.Tensor:
    """(1, 3, 256, 256): a smooth pattern, turned and scaled about the origin, then shifted."""
    axis = np.arange(256) + 0.5
    here = axis[None] + 1j * axis[:, None]
    there = (here - shift) / turn
    waves = [
        np.sin(there.real / 9),
        np.cos(there.imag / 11),
        np.sin((there.real + there.imag) / 13),
    ]
    return torch.from_numpy(np.stack(waves)[None]).float()


def memory_of(xy: torch.Tensor) -> Memory:
    return Memory(lambda t: picture(), torch.zeros(xy.shape[:2], dtype=torch.long), xy, SIDE)


def logit_for(probability: torch.Tensor) -> torch.Tensor:
    """The occlusion logit with which a point whose place is sure is seen so probably."""
    return -torch.logit(probability)


def estimate_of(xy: torch.Tensor, seen: torch.Tensor) -> Estimate:
    return Estimate(xy, logit_for(seen), torch.full_like(seen, -30.0))


@given(st.floats(0.6, 1.8), st.floats(-3.0, 3.0), st.integers(0, 1000))
def test_the_turn_is_that_of_a_similarity(size, angle, seed):
    random = np.random.default_rng(seed)
    query = random.uniform(60, 200, (1, 9, 2))
    turn = size * np.exp(1j * angle)
    moved = (query @ [1, 1j]) * turn + (5 - 3j)
    xy = np.stack([moved.real, moved.imag], -1)[:, :, None]
    xy[0, 3] += 90  # a point that counts for nothing
    weights = torch.ones(1, 9, 1)
    weights[0, 3] = 0
    found = turn_of(torch.from_numpy(query).float(), torch.from_numpy(xy).float(), weights)
    assert abs(complex(found[0, 0]) - turn) < 1e-3


def test_points_that_fall_together_leave_patches_as_they_are():
    query = torch.rand(1, 5, 2) * 200
    found = turn_of(query, torch.full((1, 5, 2, 2), 77.0), torch.ones(1, 5, 2))
    np.testing.assert_allclose(found.numpy(), 1)


def test_a_lone_point_of_a_larger_array_has_no_turn():
    """Its numbers begin at an odd place in memory, where no complex number may."""
    query = torch.tensor([[[0.0, 50.0, 60.0]]])[..., 1:]
    np.testing.assert_allclose(turn_of(query, query[:, :, None] + 3, torch.ones(1, 1, 1)), 1)


def test_patches_do_not_grow_without_bounds():
    query = torch.rand(1, 5, 2) * 20
    found = turn_of(query, 50 * query[:, :, None], torch.ones(1, 5, 1))
    np.testing.assert_allclose(found.abs().numpy(), occlusion.LARGEST_CHANGE, rtol=1e-4)


def test_a_face_that_has_turned_looks_the_same_around_its_points():
    turn, shift = 1.3 * np.exp(0.5j), 20 - 60j
    query = np.array([[120.0, 130.0], [140.5, 120.25]])
    moved = (query @ [1, 1j]) * turn + shift
    now = torch.from_numpy(np.stack([moved.real, moved.imag], -1)).float()
    factor = torch.full((2,), turn, dtype=torch.complex64)
    there = patches(picture(turn, shift), now, factor, SIDE)
    first = memory_of(torch.from_numpy(query)[None].float()).first
    assert (there - first).abs().max() < 0.02
    upright = patches(picture(turn, shift), now, torch.ones_like(factor), SIDE)
    assert (upright - first).abs().max() > 0.3


def test_each_point_is_compared_with_its_own_query_frame():
    xy = torch.tensor([[[100.0, 100.0], [100.0, 100.0]]])
    when = torch.tensor([[0, 2]])
    shown = {0: picture(), 2: picture(shift=7 + 2j)}
    first = Memory(shown.__getitem__, when, xy, SIDE).first
    one = torch.ones(1, dtype=torch.complex64)
    for row, frame in zip(first, (shown[0], shown[2]), strict=True):
        torch.testing.assert_close(row, patches(frame, xy[0, :1], one, SIDE)[0])


def test_only_doubtful_points_are_looked_at():
    xy = torch.rand(2, 4, 2) * 100 + 80
    seen = torch.tensor([LEAST / 2, 0.3, 0.7, (1 + MOST) / 2])[None, :, None].expand(2, 4, 3)
    samples = memory_of(xy).samples(
        lambda t: picture(), estimate_of(xy[:, :, None].expand(-1, -1, 3, -1), seen)
    )
    assert samples is not None
    wanted = [[g, n, t] for t in range(3) for g in range(2) for n in (1, 2)]
    assert samples.where.tolist() == wanted
    np.testing.assert_allclose(samples.logits, logit_for(seen)[tuple(samples.where.T)], atol=1e-4)


def test_nothing_is_looked_at_where_nothing_is_doubtful():
    xy = torch.rand(1, 4, 2) * 100 + 80
    sure = estimate_of(xy[:, :, None], torch.full((1, 4, 1), (1 + MOST) / 2))

    def not_asked_for(t: int) -> torch.Tensor:
        raise AssertionError("a picture was asked for")

    assert look(OcclusionHead(SIDE), memory_of(xy), not_asked_for, sure) is sure


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_chunks_do_not_matter(chunk):
    torch.manual_seed(3)
    xy = torch.rand(1, 6, 2) * 100 + 80
    paths = xy[:, :, None] + torch.randn(1, 6, 7, 2).cumsum(2)
    whole = estimate_of(paths, torch.rand(1, 6, 7).clamp(0.02, 0.96))
    wanted = memory_of(xy).samples(lambda t: picture(shift=t), whole)
    memory, got = memory_of(xy), []
    for start in range(0, 7, chunk):
        part = Estimate(*(x[:, :, start : start + chunk] for x in whole[:3]))
        samples = memory.samples(lambda t, start=start: picture(shift=start + t), part)
        assert samples is not None
        got.append(samples)
    assert wanted is not None
    for name in ("pictures", "facts", "logits"):
        joined = torch.cat([getattr(part, name) for part in got])
        torch.testing.assert_close(joined, getattr(wanted, name), atol=1e-4, rtol=1e-4)


def test_facts_are_the_last_logits_and_what_is_said_of_the_neighbours():
    """Two points side by side and one far off: the first frame stands for those before it."""
    xy = torch.tensor([[[100.0, 100.0], [101.0, 100.0], [200.0, 200.0]]])
    seen = torch.tensor([[[0.5, 0.2], [0.9, 0.9], [0.05, 0.05]]])
    estimate = estimate_of(xy[:, :, None].expand(-1, -1, 2, -1), seen)
    samples = memory_of(xy).samples(lambda t: picture(), estimate)
    assert samples is not None
    later = samples.facts[[w == [0, 0, 1] for w in samples.where.tolist()].index(True)] * 4
    logits = logit_for(torch.tensor([0.2, 0.5, 0.5, 0.5]))
    np.testing.assert_allclose(later[: 2 * occlusion.FRAMES : 2], logits, atol=1e-5)
    np.testing.assert_allclose(later[1 : 2 * occlusion.FRAMES : 2], -12)
    np.testing.assert_allclose(later[2 * occlusion.FRAMES :], 4 * 0.9, atol=1e-3)


def test_an_untrained_look_changes_no_probability():
    torch.manual_seed(0)
    xy = torch.rand(1, 5, 2) * 100 + 80
    estimate = Estimate(
        xy[:, :, None].expand(-1, -1, 4, -1), torch.randn(1, 5, 4), torch.randn(1, 5, 4)
    )
    judged = look(OcclusionHead(SIDE).eval(), memory_of(xy), lambda t: picture(), estimate)
    assert (judged.expected_dist != estimate.expected_dist).any()
    torch.testing.assert_close(visibility(judged), visibility(estimate), atol=1e-5, rtol=1e-4)


def test_a_look_changes_what_it_has_looked_at_alone():
    torch.manual_seed(0)
    xy = torch.rand(1, 4, 2) * 100 + 80
    seen = torch.tensor([LEAST / 2, 0.3, 0.7, (1 + MOST) / 2])[None, :, None]
    estimate = estimate_of(xy[:, :, None], seen)
    head = OcclusionHead(SIDE).eval()
    with torch.no_grad():
        head.out.bias.fill_(5.0)  # everything is hidden
    judged = visibility(look(head, memory_of(xy), lambda t: picture(), estimate))[0, :, 0]
    torch.testing.assert_close(judged[[0, 3]], seen[0, [0, 3], 0])
    assert (judged[[1, 2]] < 0.05).all()
