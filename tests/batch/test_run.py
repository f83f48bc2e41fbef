"""The summary of a batch, and when it is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facetrack.api.outputs import Outputs
from facetrack.batch.messages import Outcome
from facetrack.batch.plan import Task, summary_paths
from facetrack.batch.run import run
from facetrack.batch.state import Batch
from facetrack.errors import FacetrackError
from facetrack.pipeline.options import Options


class Engine:
    """Tells of one outcome, unless it cannot start, and then fails."""

    def __init__(self, error: BaseException, starts: bool) -> None:
        self.notes: list[str] = []
        self._error, self._starts = error, starts

    def track_all(self, *_: object) -> Iterator[tuple[int, Any]]:
        if self._starts:
            yield 0, Outcome("done")
        raise self._error


class Silent:
    def handle(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "starts", "is_written"),
    [
        (FacetrackError("no Ray"), False, False),
        (FacetrackError("Ray has no worker left"), True, True),
        (KeyboardInterrupt(), False, True),
    ],
)
def test_a_batch_that_cannot_start_keeps_the_former_summary(
    error: BaseException, starts: bool, is_written: bool, tmp_path: Path
) -> None:
    paths = summary_paths(tmp_path, None)
    for path in paths.values():
        path.write_text("former")
    tasks = [Task(tmp_path / f"{name}.mp4", Outputs(tmp_path)) for name in "ab"]
    batch = Batch(tasks, Options(), 1)
    with pytest.raises(type(error)):
        run(batch, Engine(error, starts), Silent(), False, paths)
    assert {path.read_text() != "former" for path in paths.values()} == {is_written}
    if is_written:
        counts = json.loads(paths["json"].read_text())["counts"]
        assert counts["not reached"] == 2 - starts
