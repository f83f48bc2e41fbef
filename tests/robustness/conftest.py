"""Provide the runner of the fuzz cases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fuzz import Runner


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Return a runner with one worker for all tests, because a worker starts slowly."""
    with Runner(tmp_path_factory.mktemp("fuzz")) as running:
        yield running
