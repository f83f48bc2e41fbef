"""A run to correct, and its page's server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sample_run

pytest.importorskip("uvicorn", reason="uvicorn is not installed")
from edit_servers import Editing, serving


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_run.write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", 80)


@pytest.fixture
def editing(tmp_path: Path, clip: Path) -> Iterator[Editing]:
    with serving(sample_run.save_run(tmp_path / "run", clip)) as running:
        yield running
