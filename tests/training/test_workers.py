"""Trainings of several processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import program
import pytest
import torch

COUNTS = """
import signal
import sys
import time
from pathlib import Path

import torch
import typer
from torch import nn

from facetrack.cli.entry import friendly
from facetrack.errors import FacetrackError
from facetrack.training import loop


class Count(loop.Run):
    result = "count.safetensors"

    def __init__(self, recipe, out, rank, device):
        if (out / "bad").exists():
            raise FacetrackError("These faces are bad.")
        super().__init__(lambda: nn.Linear(2, 1), recipe, out, rank, device)

    def losses(self, random, progress):
        (self.out / f"worker-{self.rank}").write_text(str(self.step))
        time.sleep(0.05)
        return self.network(random.normal(4, 2)).square().mean(), {}

    def measure(self):
        return {}


def train():
    loop.launch(Count, loop.Recipe(workers=2), Path("out"), torch.device("cpu"))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as shells do for jobs in the background
        sys.argv.pop()
    typer.run(friendly(train))
"""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals")


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    (folder / "counts.py").write_text(COUNTS)
    return subprocess.Popen(
        [sys.executable, "counts.py", *words],
        cwd=folder,
        env=program.environment(folder / "bin"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(happened) -> bool:
    until = time.monotonic() + 120
    while not happened() and time.monotonic() < until:
        time.sleep(0.05)
    return happened()


def test_a_stopped_training_saves_the_steps_of_all_its_processes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with started(tmp_path) as process:
        try:
            assert wait_for(lambda: len(list(out.glob("worker-*"))) == 2)
            process.send_signal(signal.SIGTERM)  # to it alone, not to its workers
            _, told = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    step = torch.load(out / "checkpoint.pt", weights_only=True)["step"]
    assert f"saved up to step {step}; --resume continues" in told
    assert "Traceback" not in told


def test_workers_do_not_outlive_a_main_process_that_was_killed(tmp_path: Path) -> None:
    """Not even if they ignore SIGINT, which is sent to them at its death."""
    out = tmp_path / "out"
    with started(tmp_path, "ignore") as process:
        try:
            assert wait_for(lambda: len(list(out.glob("worker-*"))) == 2)
            process.kill()
            process.wait(60)

            def has_ended() -> bool:
                try:
                    os.killpg(process.pid, 0)
                except ProcessLookupError:
                    return True
                return False

            assert wait_for(has_ended)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert (out / "checkpoint.pt").is_file()


def test_what_is_wrong_with_the_faces_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "bad").write_text("")
    with started(tmp_path) as process:
        _, told = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "facetrack: These faces are bad." in told
    assert "Traceback" not in told
