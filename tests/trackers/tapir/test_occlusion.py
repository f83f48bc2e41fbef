"""The occlusion head: its input, and the estimates that it may change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facetrack.trackers.tapir import occlusion
from facetrack.trackers.tapir.occlusion import (
    OcclusionHead,
    OcclusionMemory,
    cut_patches,
    fit_turns,
    refine_visibility,
)
from facetrack.trackers.tapir.types import Estimate, visibility

SIDE = 16
LOW, HIGH = occlusion.DOUBTFUL_VISIBILITY


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


def memory_of(xy: torch.Tensor) -> OcclusionMemory:
    return OcclusionMemory(
        lambda t: picture(), torch.zeros(xy.shape[:2], dtype=torch.long), xy, SIDE
    )


def logit_for(probability: torch.Tensor) -> torch.Tensor:
    """Return the occlusion logit of a point of certain position with this visibility."""
    return -torch.logit(probability)


def estimate_of(xy: torch.Tensor, seen: torch.Tensor) -> Estimate:
    return Estimate(xy, logit_for(seen), torch.full_like(seen, -30.0))


@given(st.floats(0.6, 1.8), st.floats(-3.0, 3.0), st.integers(0, 1000))
def test_turn_is_that_of_a_similarity(size, angle, seed):
    random = np.random.default_rng(seed)
    query = random.uniform(60, 200, (1, 9, 2))
    turn = size * np.exp(1j * angle)
    moved = (query @ [1, 1j]) * turn + (5 - 3j)
    xy = np.stack([moved.real, moved.imag], -1)[:, :, None]
    xy[0, 3] += 90  # a point without weight
    weights = torch.ones(1, 9, 1)
    weights[0, 3] = 0
    found = fit_turns(torch.from_numpy(query).float(), torch.from_numpy(xy).float(), weights)
    assert abs(complex(found[0, 0]) - turn) < 1e-3


def test_coinciding_points_leave_patches_upright():
    query = torch.rand(1, 5, 2) * 200
    found = fit_turns(query, torch.full((1, 5, 2, 2), 77.0), torch.ones(1, 5, 2))
    np.testing.assert_allclose(found.numpy(), 1)


def test_a_single_point_of_a_larger_array_has_no_turn():
    """Its numbers begin at an odd offset in memory, which complex numbers do not allow."""
    query = torch.tensor([[[0.0, 50.0, 60.0]]])[..., 1:]
    np.testing.assert_allclose(fit_turns(query, query[:, :, None] + 3, torch.ones(1, 1, 1)), 1)


def test_scale_of_patches_is_bounded():
    query = torch.rand(1, 5, 2) * 20
    found = fit_turns(query, 50 * query[:, :, None], torch.ones(1, 5, 1))
    np.testing.assert_allclose(found.abs().numpy(), occlusion.MAX_SCALE_CHANGE, rtol=1e-4)


def test_patches_of_a_turned_face_are_unchanged():
    turn, shift = 1.3 * np.exp(0.5j), 20 - 60j
    query = np.array([[120.0, 130.0], [140.5, 120.25]])
    moved = (query @ [1, 1j]) * turn + shift
    now = torch.from_numpy(np.stack([moved.real, moved.imag], -1)).float()
    factor = torch.full((2,), turn, dtype=torch.complex64)
    there = cut_patches(picture(turn, shift), now, factor, SIDE)
    first = memory_of(torch.from_numpy(query)[None].float()).query_patches
    assert (there - first).abs().max() < 0.02
    upright = cut_patches(picture(turn, shift), now, torch.ones_like(factor), SIDE)
    assert (upright - first).abs().max() > 0.3


def test_each_point_is_compared_with_its_own_query_frame():
    xy = torch.tensor([[[100.0, 100.0], [100.0, 100.0]]])
    when = torch.tensor([[0, 2]])
    shown = {0: picture(), 2: picture(shift=7 + 2j)}
    first = OcclusionMemory(shown.__getitem__, when, xy, SIDE).query_patches
    one = torch.ones(1, dtype=torch.complex64)
    for row, frame in zip(first, (shown[0], shown[2]), strict=True):
        torch.testing.assert_close(row, cut_patches(frame, xy[0, :1], one, SIDE)[0])


def test_samples_hold_doubtful_points_only():
    xy = torch.rand(2, 4, 2) * 100 + 80
    seen = torch.tensor([LOW / 2, 0.3, 0.7, (1 + HIGH) / 2])[None, :, None].expand(2, 4, 3)
    samples = memory_of(xy).collect_samples(
        lambda t: picture(), estimate_of(xy[:, :, None].expand(-1, -1, 3, -1), seen)
    )
    assert samples is not None
    expected = [[g, n, t] for t in range(3) for g in range(2) for n in (1, 2)]
    assert samples.indices.tolist() == expected
    np.testing.assert_allclose(samples.logits, logit_for(seen)[tuple(samples.indices.T)], atol=1e-4)


def test_no_frame_is_read_without_doubtful_points():
    xy = torch.rand(1, 4, 2) * 100 + 80
    sure = estimate_of(xy[:, :, None], torch.full((1, 4, 1), (1 + HIGH) / 2))

    def unexpected_call(t: int) -> torch.Tensor:
        raise AssertionError("a frame was read")

    assert refine_visibility(OcclusionHead(SIDE), memory_of(xy), unexpected_call, sure) is sure


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_chunk_sizes_do_not_change_the_samples(chunk):
    torch.manual_seed(3)
    xy = torch.rand(1, 6, 2) * 100 + 80
    paths = xy[:, :, None] + torch.randn(1, 6, 7, 2).cumsum(2)
    whole = estimate_of(paths, torch.rand(1, 6, 7).clamp(0.02, 0.96))
    expected = memory_of(xy).collect_samples(lambda t: picture(shift=t), whole)
    memory, got = memory_of(xy), []
    for start in range(0, 7, chunk):
        part = Estimate(*(x[:, :, start : start + chunk] for x in whole[:3]))
        samples = memory.collect_samples(lambda t, start=start: picture(shift=start + t), part)
        assert samples is not None
        got.append(samples)
    assert expected is not None
    for name in ("patches", "features", "logits"):
        joined = torch.cat([getattr(part, name) for part in got])
        torch.testing.assert_close(joined, getattr(expected, name), atol=1e-4, rtol=1e-4)


def test_features_are_the_last_logits_and_the_visibility_of_neighbours():
    """Two adjacent points and a distant one; the first frame is repeated for the frames before."""
    xy = torch.tensor([[[100.0, 100.0], [101.0, 100.0], [200.0, 200.0]]])
    seen = torch.tensor([[[0.5, 0.2], [0.9, 0.9], [0.05, 0.05]]])
    estimate = estimate_of(xy[:, :, None].expand(-1, -1, 2, -1), seen)
    samples = memory_of(xy).collect_samples(lambda t: picture(), estimate)
    assert samples is not None
    later = samples.features[[w == [0, 0, 1] for w in samples.indices.tolist()].index(True)] * 4
    logits = logit_for(torch.tensor([0.2, 0.5, 0.5, 0.5]))
    np.testing.assert_allclose(later[: 2 * occlusion.LOGIT_FRAMES : 2], logits, atol=1e-5)
    np.testing.assert_allclose(later[1 : 2 * occlusion.LOGIT_FRAMES : 2], -12)
    np.testing.assert_allclose(later[2 * occlusion.LOGIT_FRAMES :], 4 * 0.9, atol=1e-3)


def test_an_untrained_head_changes_no_probability():
    torch.manual_seed(0)
    xy = torch.rand(1, 5, 2) * 100 + 80
    estimate = Estimate(
        xy[:, :, None].expand(-1, -1, 4, -1), torch.randn(1, 5, 4), torch.randn(1, 5, 4)
    )
    refined = refine_visibility(
        OcclusionHead(SIDE).eval(), memory_of(xy), lambda t: picture(), estimate
    )
    assert (refined.expected_dist != estimate.expected_dist).any()
    torch.testing.assert_close(visibility(refined), visibility(estimate), atol=1e-5, rtol=1e-4)


def test_the_head_changes_doubtful_points_only():
    torch.manual_seed(0)
    xy = torch.rand(1, 4, 2) * 100 + 80
    seen = torch.tensor([LOW / 2, 0.3, 0.7, (1 + HIGH) / 2])[None, :, None]
    estimate = estimate_of(xy[:, :, None], seen)
    head = OcclusionHead(SIDE).eval()
    with torch.no_grad():
        head.out.bias.fill_(5.0)  # all points are hidden
    refined = visibility(refine_visibility(head, memory_of(xy), lambda t: picture(), estimate))[
        0, :, 0
    ]
    torch.testing.assert_close(refined[[0, 3]], seen[0, [0, 3], 0])
    assert (refined[[1, 2]] < 0.05).all()
