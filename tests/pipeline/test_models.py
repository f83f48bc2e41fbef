"""Models are shared between videos, and created anew when options or weights change."""

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
    """The names of the created trackers."""
    names: list[str] = []
    create = factory.create

    def noted(name, *arguments):
        names.append(name)
        return create(name, *arguments)

    monkeypatch.setattr(factory, "create", noted)
    return names


def test_videos_of_one_process_share_models(
    videos: list[Path], options: Options, made: list[str], tmp_path: Path
) -> None:
    out, cache = tmp_path / "out", ModelCache()
    for task in plan(videos, Outputs(Path(), overlay=False), out):
        done = track_task(task, options, False, cache, lambda message: None, nullcontext(out))
        assert done.status == "done", done
    assert made == ["lk"]


def test_shared_models_track_like_new_ones(
    videos: list[Path], options: Options, tmp_path: Path
) -> None:
    models = Models(options)
    for video in videos:
        track_to_files(video, options, Outputs(tmp_path / "kept", overlay=False), models=models)
        track_to_files(video, options, Outputs(tmp_path / "new", overlay=False))
        for name in (tmp_path / "kept").glob("*.csv"):
            assert name.read_bytes() == (tmp_path / "new" / name.name).read_bytes()


def test_an_internal_error_drops_the_models(
    videos: list[Path], options: Options, tmp_path: Path
) -> None:
    cache = ModelCache()
    before = cache.get(options)

    def mistaken(message: object) -> None:
        raise RuntimeError("a mistake")

    (task,) = plan(videos[:1], Outputs(Path(), overlay=False), tmp_path / "out")
    place = nullcontext(tmp_path / "out")
    assert track_task(task, options, False, cache, mistaken, place).traceback
    assert cache.get(options) is not before


def test_other_options_or_weights_need_other_models(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ModelCache()
    first = cache.get(options)
    assert first.tracker is cache.get(options).tracker
    other = cache.get(replace(options, query_frame=1))
    assert other is not first
    before = other.tracker
    monkeypatch.setattr(type(before), "describe", lambda self: {"sha256": "another file's"})
    assert cache.get(other.options).tracker is not before


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
def test_a_landmark_network_corrects_the_tracker_unless_disabled(
    chosen: dict[str, Any], is_guided: bool
) -> None:
    assert isinstance(Models(Options(**chosen)).tracker, ExpressionTracker) == is_guided


def test_other_layouts_are_tracked_without_the_landmark_network() -> None:
    models = Models(Options())
    models.detector.scheme = "98"
    assert not isinstance(models.tracker, ExpressionTracker)


def test_the_record_names_the_landmark_network(tmp_path: Path) -> None:
    video = Path(__file__).parents[2] / "examples" / "astronaut.mp4"
    described = Pipeline(video, Options()).describe()
    assert described["expressions"]["weights"] == "expressions-s"
    assert described["expressions"]["noncommercial"]
    assert "expressions" not in described["tracker"]
    assert "expressions" not in Pipeline(video, Options(expressions=False)).describe()
