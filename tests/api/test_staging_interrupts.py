"""A signal at any moment of a run leaves no folder behind."""

from __future__ import annotations

import contextlib
import inspect
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from facetrack import files
from facetrack.api import staging
from facetrack.api.staging import publish, staged
from facetrack.errors import FacetrackError
from facetrack.runtime import interrupts
from facetrack.runtime.interrupts import interruptible

TRACED = {module.__file__ for module in (contextlib, files, interrupts, staging)}
NAMES = ["a.csv", "a.json"]


@contextlib.contextmanager
def counting(at: int | None) -> Iterator[Callable[[], int]]:
    """Count the lines and returns executed in staging; send a signal at the one of number `at`."""
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename not in TRACED or frame.f_code.co_name == "stop":
            return None
        # An error of a trace function at a yield kills the generator, which no signal does.
        is_yield = event == "return" and frame.f_code.co_flags & inspect.CO_GENERATOR
        if event in ("line", "return") and not is_yield:
            count += 1
            if count == at:
                signal.raise_signal(signal.SIGTERM)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lambda: count
    finally:
        sys.settrace(before)


def succeed(folder: Path) -> None:
    with staged(folder) as place:
        for name in NAMES:
            (place / name).write_text("new")
        publish(place, [folder / name for name in NAMES])


def fail(folder: Path) -> None:
    with contextlib.suppress(FacetrackError), staged(folder) as place:
        (place / "a.csv").write_text("new")
        raise FacetrackError("The video cannot be read.")


@pytest.mark.parametrize("run", [succeed, fail])
def test_a_signal_at_any_moment_leaves_nothing(run: Callable[[Path], None], tmp_path: Path) -> None:
    at = interrupted = 0
    while True:
        at += 1
        out = tmp_path / str(at) / "out"
        with interruptible([signal.SIGTERM]) as state:
            with contextlib.suppress(KeyboardInterrupt), counting(at):
                run(out)
            if not state.requested:
                break
        interrupted += 1
        left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
        whole = [f"{at}", f"{at}/out", *(f"{at}/out/{name}" for name in NAMES)]
        assert left == [] or (run is succeed and left == whole), f"after event {at}"
        for path in sorted(tmp_path.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    assert interrupted > 100
