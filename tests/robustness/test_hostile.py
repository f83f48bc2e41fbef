"""Test a sample of the hostile inputs of benchmarks/checks/hostile.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz import Case, Runner, Workshop
from hostile_inputs import MEGABYTES, SHARES, cases

SEED = 27
EVERY = 25

ALL = cases(SEED)
SAMPLE = [case for _, case in ALL[::EVERY]]


@pytest.mark.slow
@pytest.mark.parametrize("case", SAMPLE, ids=lambda case: case.name.replace(" ", "-"))
def test_a_hostile_input_ends_in_a_result_or_a_sentence(runner: Runner, case: Case) -> None:
    outcome = runner.run(case)
    assert not outcome.problems, f"{outcome.problems}\n{outcome.stderr}"
    assert outcome.all_megabytes < MEGABYTES


def test_there_are_500_inputs_with_different_names() -> None:
    assert len(ALL) == 500
    assert len({case.name for _, case in ALL}) == 500
    assert {kind for kind, _ in ALL} == SHARES.keys()


def test_a_seed_always_makes_the_same_inputs(tmp_path: Path) -> None:
    """The kinds that are quick to make, without a clip or a network."""
    made = []
    for name in ("one", "other"):
        contents = []
        for kind, case in cases(SEED):
            if kind in ("images", "records"):
                folder = tmp_path / name / str(len(contents))
                folder.mkdir(parents=True)
                words = case.make(Workshop(folder, tmp_path, case.name))
                files = sorted(p for p in folder.iterdir() if p.suffix != ".npz")
                contents.append((words, [(p.name, p.read_bytes()) for p in files]))
        made.append(contents)
    assert made[0] == made[1]
