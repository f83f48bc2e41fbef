"""A short run to correct, for tests that need no page."""

from __future__ import annotations

from pathlib import Path

import pytest
import sample_run

FRAMES = 12


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_run.write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", FRAMES)


@pytest.fixture
def record(clip: Path, tmp_path: Path) -> Path:
    return sample_run.save_run(tmp_path / "run", clip, FRAMES)
