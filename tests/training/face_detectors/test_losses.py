"""The three losses count for their kinds, and the hard 70 % pass back."""

from __future__ import annotations

import math

import pytest
import torch

from facetrack.training.face_detectors import losses
from facetrack.training.face_detectors.losses import Answers, Targets, TaskWeights
from facetrack.training.face_detectors.samples import LANDMARK, NEGATIVE, PART, POSITIVE

ONES = TaskWeights(1, 1, 1)


def zeros(kinds: list[int]) -> tuple[Answers, Targets]:
    count = len(kinds)
    answers = Answers(*(torch.zeros(count, n, requires_grad=True) for n in (4, 10, 2)))
    return answers, Targets(torch.tensor(kinds), torch.zeros(count, 4), torch.zeros(count, 10))


def test_the_hardest_seven_of_ten_pass_back() -> None:
    values = torch.tensor([5.0, 1, 9, 2, 8, 3, 7, 4, 6, 0], requires_grad=True)
    mean = losses.hardest(values)
    assert float(mean.detach()) == pytest.approx((9 + 8 + 7 + 6 + 5 + 4 + 3) / 7)
    mean.backward()
    assert values.grad is not None
    assert (values.grad > 0).tolist() == [v >= 3 for v in values.tolist()]


@pytest.mark.parametrize(("count", "kept"), [(1, 1), (2, 2), (10, 7), (20, 14), (100, 70)])
def test_seventy_percent_of_a_count(count: int, kept: int) -> None:
    values = torch.arange(float(count), requires_grad=True)
    losses.hardest(values).backward()
    assert values.grad is not None
    assert int((values.grad > 0).sum()) == kept


def test_no_samples_have_no_loss() -> None:
    assert float(losses.hardest(torch.zeros(0))) == 0


def test_each_kind_counts_for_its_tasks() -> None:
    """Of negatives the class, of positives class and box, of part faces the box, then points."""
    wanted = {
        NEGATIVE: {"face"}, POSITIVE: {"face", "box"}, PART: {"box"}, LANDMARK: {"points"},
    }  # fmt: skip
    for kind, tasks in wanted.items():
        answers, targets = zeros([kind])
        targets = targets._replace(offsets=torch.ones(1, 4), points=torch.ones(1, 10))
        total, parts = losses.multi_task_loss(answers, targets, ONES)
        assert {name for name, value in parts.items() if value} == tasks
        total.backward()
        touched = {
            name
            for name, value in zip(("box", "points", "face"), answers, strict=True)
            if value.grad is not None and value.grad.any()
        }
        assert touched == tasks


def test_the_losses_are_entropy_and_squared_distances() -> None:
    answers, targets = zeros([POSITIVE, LANDMARK])
    targets = targets._replace(offsets=torch.full((2, 4), 0.5), points=torch.full((2, 10), 0.1))
    total, parts = losses.multi_task_loss(answers, targets, losses.OUTPUT_WEIGHTS)
    assert parts["face"] == pytest.approx(math.log(2))
    assert parts["box"] == pytest.approx(4 * 0.25)
    assert parts["points"] == pytest.approx(10 * 0.01)
    assert float(total.detach()) == pytest.approx(math.log(2) + 0.5 * 1.0 + 1.0 * 0.1)
    total, _ = losses.multi_task_loss(answers, targets, losses.PROPOSAL_WEIGHTS)
    assert float(total.detach()) == pytest.approx(math.log(2) + 0.5 * 1.0 + 0.5 * 0.1)


def test_positives_are_faces_and_negatives_are_not() -> None:
    answers, targets = zeros([POSITIVE, NEGATIVE])
    logits = torch.tensor([[-5.0, 5.0], [5.0, -5.0]])
    _, right = losses.multi_task_loss(answers._replace(logits=logits), targets, ONES)
    _, wrong = losses.multi_task_loss(answers._replace(logits=-logits), targets, ONES)
    assert right["face"] < 0.01 < 5 < wrong["face"]
