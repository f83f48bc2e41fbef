"""Networks see batches of a few sizes, and each row's output is its own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facetrack.runtime.batches import SIZES, run_in_batches, split_rows


@given(st.integers(1, 1000))
def test_batches_hold_all_rows_once(count: int) -> None:
    parts = list(split_rows(count))
    rows = [i for part, _ in parts for i in range(count)[part]]
    assert rows == list(range(count))
    assert all(part.stop - part.start <= size and size in SIZES for part, size in parts)


@pytest.mark.parametrize("count", [1, 16, 17, 128, 300])
def test_outputs_are_those_of_all_rows_at_once(count: int) -> None:
    seen: list[int] = []

    def run(a: torch.Tensor, b: torch.Tensor) -> list[torch.Tensor]:
        seen.append(len(a))
        return [a.sum((1, 2)) + b, b[:, None] * 2]

    a, b = torch.rand(count, 3, 5), torch.arange(count).float()
    total, doubled = run_in_batches(run, a, b)
    torch.testing.assert_close(total, a.sum((1, 2)) + b)
    torch.testing.assert_close(doubled, b[:, None] * 2)
    assert set(seen) <= set(SIZES)
