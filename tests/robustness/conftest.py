"""What runs the cases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fuzz import Runner


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """One worker for all tests: its start takes longer than most cases."""
    with Runner(tmp_path_factory.mktemp("fuzz")) as running:
        yield running
