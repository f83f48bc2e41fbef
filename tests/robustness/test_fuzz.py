"""Test invalid and unusual input: each case ends in a result or one sentence, within limits.

`python -m pytest tests/robustness -m "slow or not slow"` runs the whole corpus.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import fuzz_damage
import fuzz_images
import fuzz_lists
import fuzz_names
import fuzz_tables
import fuzz_videos
import fuzz_weights
import pytest
from fuzz import Case, Runner
from fuzz_known import KNOWN

CASES = [
    *fuzz_damage.cases(),
    *fuzz_videos.cases(),
    *fuzz_images.cases(),
    *fuzz_names.cases(),
    *fuzz_lists.cases(),
    *fuzz_tables.cases(),
    *fuzz_weights.cases(),
]


def _parameter(case: Case) -> Any:
    marks = [] if case.fast else [pytest.mark.slow]
    if case.name in KNOWN:
        marks.append(pytest.mark.xfail(reason=KNOWN[case.name], strict=True))
    return pytest.param(case, id=case.name.replace(" ", "-"), marks=marks)


@pytest.mark.parametrize("case", [_parameter(case) for case in CASES])
def test_case(runner: Runner, case: Case) -> None:
    outcome = runner.run(case)
    assert not outcome.problems, f"{outcome.problems}\n{outcome.stderr}"


def test_case_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert len(names) >= 200
    assert set(names) >= KNOWN.keys()


def test_the_trap_creates_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trap, which must not run when weights are read, would leave a file."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(fuzz_tables.Trap())).close()
    assert (tmp_path / "TRAPPED").exists()
