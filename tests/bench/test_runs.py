"""The time of whole runs, by stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from facetrack.bench.runs import run_speed
from facetrack.pipeline.options import Options

CLIP = Path(__file__).parents[2] / "examples" / "astronaut.mp4"


@pytest.mark.parametrize("tracker", ["tapir", "lk"])
def test_the_tracker_is_booked_under_its_own_stages(tracker):
    speed = run_speed(CLIP, Options(tracker=tracker, end=0.6), overlay=False)
    spent = speed.milliseconds
    assert all(time >= 0 for name, time in spent.items() if name != "other")
    own = ["features", "matching", "refinement"] if tracker == "tapir" else ["track"]
    assert all(spent[name] > 0 for name in own)
    per_frame = 1000 * (speed.total - speed.load - speed.first) / speed.frames
    assert sum(spent.values()) == pytest.approx(per_frame)
