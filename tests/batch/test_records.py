"""What is complete, and what is not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from facetrack.api.outputs import Outputs
from facetrack.api.track import track_to_files
from facetrack.batch.plan import Task
from facetrack.batch.records import complete
from facetrack.detectors import DetectorOptions
from facetrack.errors import FacetrackError
from facetrack.files import stem_of
from facetrack.pipeline.options import Options
from facetrack.video.checksum import input_sha256


@pytest.fixture
def done(dots: Path, own_points: Options, tmp_path: Path) -> tuple[Task, Options]:
    """A video that was tracked, with points of this test's own."""
    video, points = tmp_path / "x.mp4", tmp_path / "points.csv"
    shutil.copy(dots, video)
    shutil.copy(own_points.points, points)
    options = replace(own_points, points=points)
    task = Task(video, Outputs(tmp_path / "out", overlay=False))
    track_to_files(video, options, task.outputs)
    return task, options


def test_what_was_tracked_is_complete(done: tuple[Task, Options]) -> None:
    record = complete(*done)
    assert record is not None
    assert record["input"]["frames"] == 12


def _change_video(task: Task) -> None:
    task.video.write_bytes(task.video.read_bytes() + b"\0")


def _rewrite(task: Task, **changes: object) -> None:
    sidecar = task.paths["sidecar"]
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | changes))


def _nest(task: Task) -> None:
    """Python reads no JSON of this depth."""
    task.paths["sidecar"].write_text("[" * 200_000)


def _change_points(task: Task) -> None:
    """Put other points there, with the time of an older file, as `cp -p` and `mv` do."""
    points = task.video.with_name("points.csv")
    points.write_text("1,1\n6,6\n")
    os.utime(points, (0, 0))


def _make_points_newer(task: Task) -> None:
    later = task.paths["sidecar"].stat().st_mtime + 5
    os.utime(task.video.with_name("points.csv"), (later, later))


def _forget_points(task: Task) -> None:
    """Leave a record of a version that did not write the SHA-256 of the points."""
    _rewrite(task, detector={"name": "points"})


def _forget_points_and_make_them_newer(task: Task) -> None:
    _forget_points(task)
    _make_points_newer(task)


@pytest.mark.parametrize(
    "change",
    [
        lambda task: task.paths["csv"].unlink(),
        lambda task: task.paths["sidecar"].unlink(),
        lambda task: task.paths["sidecar"].write_text("{"),
        lambda task: task.paths["sidecar"].write_text("[]"),
        _nest,
        lambda task: task.paths["sidecar"].write_text('{"options": {}}'),
        lambda task: _rewrite(task, interrupted=True),
        lambda task: task.video.unlink(),
        _change_video,
        _change_points,
        _forget_points_and_make_them_newer,
        lambda task: task.video.with_name("points.csv").unlink(),
    ],
    ids=[
        "csv",
        "record",
        "broken",
        "list",
        "nested",
        "other json",
        "ended early",
        "no video",
        "video",
        "points",
        "points of an earlier version",
        "no points",
    ],
)
def test_what_is_missing_or_changed_is_not_complete(
    change: Callable[[Task], object], done: tuple[Task, Options]
) -> None:
    task, options = done
    change(task)
    assert complete(task, options) is None


@pytest.mark.parametrize("change", [_make_points_newer, _forget_points])
def test_the_same_points_are_complete(
    change: Callable[[Task], object], done: tuple[Task, Options]
) -> None:
    task, options = done
    change(task)
    assert complete(task, options) is not None


def test_other_options_are_another_run(done: tuple[Task, Options]) -> None:
    task, options = done
    assert complete(task, replace(options, query_frame=3)) is None


@pytest.mark.parametrize("changed", [{"overlay": True}, {"formats": ("csv", "npz")}], ids=str)
def test_other_outputs_are_another_run(changed, done: tuple[Task, Options]) -> None:
    task, options = done
    assert complete(replace(task, outputs=replace(task.outputs, **changed)), options) is None


def test_fewer_outputs_are_another_run_too(dots: Path, own_points: Options, tmp_path: Path) -> None:
    outputs = Outputs(tmp_path, ("csv", "npz"), overlay=False)
    track_to_files(dots, own_points, outputs)
    assert complete(Task(dots, replace(outputs, formats=("csv",))), own_points) is None


def test_weights_that_were_trained_on_are_another_run(
    done: tuple[Task, Options], tmp_path: Path
) -> None:
    task, _ = done
    weights = tmp_path / "own.safetensors"
    weights.write_bytes(b"first")
    options = Options(init="pipnet", detector_options=DetectorOptions(str(weights)), tracker="lk")
    record = json.loads(task.paths["sidecar"].read_text())
    record["options"].update(init="pipnet", points=None)
    record["options"]["detector_options"]["weights"] = str(weights)
    record["detector"]["sha256"] = hashlib.sha256(b"first").hexdigest()
    task.paths["sidecar"].write_text(json.dumps(record))
    assert complete(task, options) is not None
    weights.write_bytes(b"second")
    assert complete(task, options) is None


# ---------------------------------------------------------------- what an input is


def test_a_folder_of_images_has_the_hash_of_its_sums(tmp_path: Path) -> None:
    for name, value in (("2.png", 10), ("10.png", 20)):
        cv2.imwrite(str(tmp_path / name), np.full((8, 8, 3), value, np.uint8))
    (tmp_path / "notes.txt").write_text("not an image")
    lines = b"".join(
        f"{hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}  {name}\n".encode()
        for name in ("2.png", "10.png")
    )
    assert input_sha256(tmp_path) == hashlib.sha256(lines).hexdigest()


def test_a_folder_without_images_has_no_hash(tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match="without images"):
        input_sha256(tmp_path)


def test_stems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "take 1.a"
    (folder / "in").mkdir(parents=True)
    assert stem_of(Path("a.b.mp4")) == "a.b"
    assert stem_of(folder) == "take 1.a"
    monkeypatch.chdir(folder)
    assert stem_of(Path()) == "take 1.a"
    assert stem_of(Path("in/..")) == "take 1.a"
