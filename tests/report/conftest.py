"""Fixtures of the report's tests."""

from __future__ import annotations

import clips
import pytest
from sample_comparison import FRAMES, comparison_of


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    return clips.write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", FRAMES)


@pytest.fixture
def comparison(clip):
    return comparison_of(clip)
