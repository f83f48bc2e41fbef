"""Parts are made once for many videos, and made anew where they would be others."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import clips
import pytest

from facetrack import trackers
from facetrack.api.outputs import Outputs
from facetrack.api.track import track_to_files
from facetrack.batch.plan import plan
from facetrack.batch.tracking import track_task
from facetrack.pipeline.models import ModelCache, Models
from facetrack.pipeline.options import Options
from facetrack.pipeline.runner import Pipeline
from facetrack.trackers import factory
from facetrack.trackers.expression.tracker import ExpressionTracker


@pytest.fixture
def options(tmp_path: Path) -> Options:
    points = tmp_path / "points.csv"
    points.write_text("x,y\n0,0\n7,7\n")
    return Options(init="points", points=points, tracker="lk")


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    return [clips.write_clip(tmp_path / f"{name}.mp4", 4) for name in "ab"]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The trackers that are made, by name."""
    names: list[str] = []
    create = factory.create

    def noted(name, *arguments):
        names.append(name)
        return create(name, *arguments)

    monkeypatch.setattr(factory, "create", noted)
    return names


def test_videos_of_one_process_share_their_parts(
    videos: list[Path], options: Options, made: list[str], tmp_path: Path
) -> None:
    out, kept = tmp_path / "out", ModelCache()
    for task in plan(videos, Outputs(Path(), overlay=False), out):
        done = track_task(task, options, False, kept, lambda message: None, nullcontext(out))
        assert done.status == "done", done
    assert made == ["lk"]


def test_shared_parts_track_as_new_ones_do(
    videos: list[Path], options: Options, tmp_path: Path
) -> None:
    parts = Models(options)
    for video in videos:
        track_to_files(video, options, Outputs(tmp_path / "kept", overlay=False), parts=parts)
        track_to_files(video, options, Outputs(tmp_path / "new", overlay=False))
        for name in (tmp_path / "kept").glob("*.csv"):
            assert name.read_bytes() == (tmp_path / "new" / name.name).read_bytes()


def test_an_error_of_our_own_takes_the_parts_with_it(
    videos: list[Path], options: Options, tmp_path: Path
) -> None:
    kept = ModelCache()
    before = kept.of(options)

    def mistaken(message: object) -> None:
        raise RuntimeError("a mistake")

    (task,) = plan(videos[:1], Outputs(Path(), overlay=False), tmp_path / "out")
    place = nullcontext(tmp_path / "out")
    assert track_task(task, options, False, kept, mistaken, place).traceback
    assert kept.of(options) is not before


def test_other_options_or_weights_are_other_parts(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ModelCache()
    first = kept.of(options)
    assert first.tracker is kept.of(options).tracker
    other = kept.of(replace(options, query_frame=1))
    assert other is not first
    before = other.tracker
    monkeypatch.setattr(type(before), "describe", lambda self: {"sha256": "another file's"})
    assert kept.of(other.options).tracker is not before


@pytest.mark.parametrize(
    ("chosen", "is_guided"),
    [
        ({}, True),
        ({"init": "ert"}, True),
        ({"expressions": False}, False),
        ({"redetect": "never"}, False),
        ({"redetect": 25}, True),
        ({"tracker_options": trackers.TrackerOptions(steady=False)}, False),
        ({"tracker": "lk"}, False),
    ],
)
def test_the_tracker_has_a_landmark_network_beside_it_unless_it_is_to_be_alone(
    chosen: dict[str, Any], is_guided: bool
) -> None:
    assert isinstance(Models(Options(**chosen)).tracker, ExpressionTracker) == is_guided


def test_a_layout_that_the_network_does_not_place_is_left_to_the_tracker() -> None:
    parts = Models(Options())
    parts.detector.scheme = "98"
    assert not isinstance(parts.tracker, ExpressionTracker)


def test_the_record_says_which_network_is_beside_the_tracker(tmp_path: Path) -> None:
    video = Path(__file__).parents[2] / "examples" / "astronaut.mp4"
    described = Pipeline(video, Options()).describe()
    assert described["expressions"]["weights"] == "star-s"
    assert described["expressions"]["noncommercial"]
    assert "expressions" not in described["tracker"]
    assert "expressions" not in Pipeline(video, Options(expressions=False)).describe()
