"""The detectors' losses: least at the truth, and weighed as their papers say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from facetrack.detectors import pipnet_meanface
from facetrack.detectors.heatmap1d_maps import draw
from facetrack.detectors.pipnet import PipMaps
from facetrack.landmarks import schemes
from facetrack.training.detectors import losses, targets


def lobe(x: float, y: float, along: float, across: float, angle: float, size: int = 64):
    """(1, 1, size, size) Gaussian, its longer axis at `angle`, from -1 to 1 across cells."""
    axis = torch.linspace(-1, 1, size, dtype=torch.float64)
    dx, dy = axis[None] - x, axis[:, None] - y
    u = dx * math.cos(angle) + dy * math.sin(angle)
    v = -dx * math.sin(angle) + dy * math.cos(angle)
    return torch.exp(-((u / along) ** 2) / 2 - ((v / across) ** 2) / 2)[None, None].float()


ONE = torch.ones(1, 1)


# ---------------------------------------------------------------- STAR


@pytest.mark.parametrize("angle", [0.0, 0.5, 1.2, -0.7])
def test_moments_are_those_of_the_distribution(angle):
    places, covariance = losses.moments(lobe(0.1, -0.2, 0.15, 0.05, angle))
    values, axes = losses.principal(covariance)
    torch.testing.assert_close(places[0, 0], torch.tensor([0.1, -0.2]), atol=1e-4, rtol=0)
    expected = torch.tensor([0.15**2, 0.05**2])
    torch.testing.assert_close(values[0, 0], expected, rtol=0.03, atol=0)
    first = torch.tensor([math.cos(angle), math.sin(angle)])
    assert abs(float(axes[0, 0, 0] @ first)) > 0.999


def without_variances(maps, x, y):
    return float(losses.star_loss(maps, torch.tensor([[[x, y]]]), ONE, restriction=0.0))


@pytest.mark.parametrize("angle", [0.0, 0.8])
def test_error_along_an_ambiguous_direction_weighs_less(angle):
    """d / sqrt(lambda): three times the spread takes a third of the loss."""
    maps = lobe(0.0, 0.0, 0.15, 0.05, angle)
    c, s = 0.1 * math.cos(angle), 0.1 * math.sin(angle)
    along, across = without_variances(maps, c, s), without_variances(maps, -s, c)
    assert across / along == pytest.approx(3.0, rel=0.03)
    assert along == pytest.approx((0.1 - losses.SMOOTH / 2) / 0.15, rel=0.03)


def test_turning_map_and_truth_together_changes_nothing():
    straight = without_variances(lobe(0.0, 0.0, 0.15, 0.05, 0.0), 0.08, 0.03)
    angle = 0.9
    c, s = math.cos(angle), math.sin(angle)
    turned = without_variances(
        lobe(0.0, 0.0, 0.15, 0.05, angle), 0.08 * c - 0.03 * s, 0.08 * s + 0.03 * c
    )
    assert turned == pytest.approx(straight, rel=0.02)


def test_star_loss_is_least_at_the_truth():
    maps = lobe(0.1, -0.2, 0.1, 0.06, 0.4)
    best = without_variances(maps, 0.1, -0.2)
    assert best < 0.01
    for x, y in ((0.14, -0.2), (0.1, -0.16), (0.06, -0.24)):
        assert without_variances(maps, x, y) > best + 0.1


def test_the_variances_themselves_are_restricted():
    """At equal error over spread, the wider map costs its own variance more."""
    truth = torch.zeros(1, 1, 2)
    narrow, wide = (lobe(0.0, 0.0, s, s, 0.0) for s in (0.05, 0.2))
    difference = losses.star_loss(wide, truth, ONE) - losses.star_loss(narrow, truth, ONE)
    assert float(difference) == pytest.approx(2 * (0.2**2 - 0.05**2), rel=0.05)


def test_round_and_empty_maps_have_finite_gradients():
    for maps in (lobe(0, 0, 0.1, 0.1, 0), torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8)):
        maps = maps.clone().requires_grad_()
        losses.star_loss(maps, torch.full((1, 1, 2), 0.3), ONE).backward()
        assert torch.isfinite(maps.grad).all()


# ---------------------------------------------------------------- PIPNet


def perfect(places: torch.Tensor, near: torch.Tensor, size: int = 8) -> PipMaps:
    """What a PIPNet without error answers; what it is not asked of is nonsense."""
    batch, points, _ = places.shape
    count = near.shape[1]
    maps = PipMaps(
        torch.zeros(batch, points, size, size),
        *(torch.full((batch, points, size, size), 9.0) for _ in range(2)),
        *(torch.full((batch, points * count, size, size), 9.0) for _ in range(2)),
    )
    for b in range(batch):
        for n in range(points):
            column, row = (min(max(int(v), 0), size - 1) for v in (places[b, n] * size).floor())
            maps.score[b, n, row, column] = 1
            for axis, (own, around) in enumerate(((maps.x, maps.near_x), (maps.y, maps.near_y))):
                first = (column, row)[axis]
                own[b, n, row, column] = places[b, n, axis] * size - first
                for k in range(count):
                    other = places[b, near[n, k], axis] * size - first
                    around[b, n * count + k, row, column] = other
    return maps


@pytest.fixture
def places() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(2, 6, 2) * 1.2 - 0.1  # some of them outside the crop


def test_pip_loss_is_nothing_for_a_perfect_answer(places):
    near = torch.from_numpy(pipnet_meanface.neighbours(places[0].numpy(), 3))
    loss, parts = losses.pip_loss(perfect(places, near), places, near, torch.ones(2, 6))
    assert float(loss) < 1e-5
    assert set(parts) == {"score", "offset", "neighbours"}


@pytest.mark.parametrize("spoilt", ["score", "x", "y", "near_x", "near_y"])
def test_pip_loss_grows_with_an_error_in_any_map(places, spoilt):
    near = torch.from_numpy(pipnet_meanface.neighbours(places[0].numpy(), 3))
    maps = perfect(places, near)
    wrong = maps._replace(**{spoilt: getattr(maps, spoilt) + 0.5})
    expected = 10 * 0.25 if spoilt == "score" else 0.5
    assert float(losses.pip_loss(wrong, places, near, torch.ones(2, 6))[0]) == pytest.approx(
        expected, rel=1e-4
    )


# ---------------------------------------------------------------- heat maps


@pytest.mark.parametrize("loss", [losses.adaptive_wing, losses.squared])
def test_heat_map_losses_are_least_at_the_truth(loss):
    cells = torch.tensor([[[20.3, 30.6]]])
    wanted = targets.point_maps(cells, 64, 1.5)
    shifted = targets.point_maps(cells + 0.3, 64, 1.5)
    assert float(loss(wanted, wanted)) < 1e-2
    assert float(loss(wanted, wanted)) < float(loss(shifted, wanted))
    assert float(loss(shifted, wanted)) < float(loss(wanted * 0, wanted))


def test_adaptive_wing_follows_its_definition_and_has_no_jump():
    """In the middle of a flat target of height y, where every cell is close to the peak."""

    def of(error: float, y: float) -> float:
        wanted = torch.full((1, 1, 5, 5), y)
        return float(losses.adaptive_wing(wanted + error, wanted)) / 11

    assert of(0.3, 0.8) == pytest.approx(14 * math.log(1 + 0.3 ** (2.1 - 0.8)), rel=1e-5)
    assert of(0.4999, 0.8) == pytest.approx(of(0.5001, 0.8), abs=0.02)
    slope = (of(0.9, 0.8) - of(0.7, 0.8)) / 0.2
    before = (of(0.4999, 0.8) - of(0.4899, 0.8)) / 0.01
    assert slope == pytest.approx(before, rel=0.02)


def test_the_gradient_of_adaptive_wing_is_the_one_of_its_values():
    random = torch.Generator().manual_seed(0)
    wanted = targets.point_maps(torch.tensor([[[3.2, 4.1], [6.0, 2.0]]]), 9, 1.5).double()
    drawn = torch.rand(wanted.shape, generator=random, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(losses.adaptive_wing, (drawn, wanted), eps=1e-7, atol=1e-4)


def test_marginal_loss_is_least_at_the_truth():
    truth = torch.tensor([[[100.0, 80.0]]])
    wanted = draw(truth, 768, 4.0)
    assert float(losses.marginal_loss(wanted, wanted, ONE)) == 0
    off = draw(truth + 2, 768, 4.0)
    assert float(losses.marginal_loss(off, wanted, ONE)) > 1


def test_landmarks_of_no_weight_do_not_count():
    truth = torch.tensor([[[100.0, 80.0], [20.0, 30.0]]])
    wanted, drawn = draw(truth, 768, 4.0), draw(truth + torch.tensor([[0.0], [9.0]]), 768, 4.0)
    assert float(losses.marginal_loss(drawn, wanted, torch.tensor([[1.0, 0.0]]))) == 0


# ---------------------------------------------------------------- targets


def test_lines_run_through_their_points_and_between_them():
    scheme = schemes.get("68")
    random = np.random.default_rng(0)
    cells = torch.from_numpy(random.uniform(5, 58, (1, 68, 2))).float().round()
    maps = targets.line_maps(cells, scheme, 64, 1.5)
    assert maps.shape == (1, 9, 64, 64)
    for e, line in enumerate(scheme.lines):
        x, y = cells[0, list(line.indices)].long().T
        torch.testing.assert_close(maps[0, e, y, x], torch.ones(len(line.indices)))
        a, b = cells[0, line.indices[0]], cells[0, line.indices[-1]]
        halfway = ((a + b) / 2).round().long()
        if line.closed:
            assert maps[0, e, halfway[1], halfway[0]] > 0.8


def test_membership_is_that_of_the_layout():
    on, alone = targets.membership(schemes.get("68"))
    assert (on.sum(1) == 1).all()
    assert not alone.any()
    assert targets.membership(schemes.get("98"))[1].nonzero().flatten().tolist() == [96, 97]


# ---------------------------------------------------------------- deep CCA


def test_correlation_is_one_up_to_an_invertible_map_and_none_by_chance():
    torch.manual_seed(0)
    first = torch.randn(400, 6)
    mixed = first @ torch.randn(6, 6) + 3
    assert float(losses.correlation(first, mixed)) == pytest.approx(1, abs=0.04)
    assert float(losses.correlation(first, torch.randn(400, 6))) < 0.15


def test_correlation_is_the_papers_trace_norm():
    torch.manual_seed(1)
    first = torch.randn(300, 4)
    second = first @ torch.randn(4, 4) + 2 * torch.randn(300, 4)
    a, b = (v - v.mean(0) for v in (first, second))

    def root(v: torch.Tensor) -> torch.Tensor:
        values, vectors = torch.linalg.eigh(v.T @ v / 299)
        return vectors @ torch.diag(values**-0.5) @ vectors.T

    expected = torch.linalg.svdvals(root(a) @ (a.T @ b / 299) @ root(b)).sum() / 4
    assert float(losses.correlation(first, second)) == pytest.approx(float(expected), abs=0.01)


def test_more_agreement_is_learned():
    torch.manual_seed(0)
    fixed = torch.randn(8, 12, 8, 8)
    other = torch.randn(8, 12, 8, 8, requires_grad=True)
    before = losses.agreement(fixed, other)
    before.backward()
    with torch.no_grad():
        after = losses.agreement(fixed, other + 20 * other.grad / other.grad.norm())
    assert float(after) > float(before.detach()) + 0.01
