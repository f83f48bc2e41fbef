"""What all trainings share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import program
import pytest
import torch
from torch import nn

from facetrack.errors import FacetrackError
from facetrack.runtime.interrupts import interruptible
from facetrack.training import loop
from facetrack.training.folder import training_folder

CPU = torch.device("cpu")

WAITS = """
import signal
import sys
import time
from pathlib import Path

import torch

from facetrack.training import loop


def make(recipe, out, rank, device):
    (out / f"worker-{rank}").write_text("")
    time.sleep(600)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    loop.launch(make, loop.Recipe(workers=2), Path("out"), torch.device("cpu"))
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_training_that_is_stopped_stops_its_workers(tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text(WAITS)
    out = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "waits.py"],
        cwd=tmp_path,
        env=program.environment(tmp_path / "bin"),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            until = time.monotonic() + 120
            while len(list(out.glob("worker-*"))) < 2 and time.monotonic() < until:
                time.sleep(0.1)
            process.send_signal(signal.SIGTERM)  # to it alone, not to its workers
            process.wait(60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode != -signal.SIGKILL


class Line(loop.Run):
    """Learns a line; `at_step` and `at_measure` are called in its steps and measurements."""

    result = "line.safetensors"
    at_step: Callable[[], object] = staticmethod(lambda: None)
    at_measure: Callable[[], object] = staticmethod(lambda: None)

    def __init__(self, recipe: loop.Recipe, out: Path, rank: int, device: torch.device) -> None:
        super().__init__(lambda: nn.Linear(2, 1), recipe, out, rank, device)

    def losses(self, random, progress):
        if self.step == 2:
            self.at_step()
        return self.network(random.normal(4, 2)).square().mean(), {}

    def measure(self):
        self.at_measure()
        return {}


def launch(out: Path, resume: bool = False, make: loop.Make = Line) -> None:
    with interruptible([signal.SIGINT]):
        loop.launch(make, loop.Recipe(steps=5, workers=1), out, CPU, resume)


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_an_interrupted_training_keeps_its_steps(tmp_path: Path) -> None:
    class Interrupted(Line):
        at_step = staticmethod(interrupt)

    with pytest.raises(KeyboardInterrupt, match="saved up to step 3; --resume continues"):
        launch(tmp_path, make=Interrupted)
    launch(tmp_path, resume=True)
    launch(tmp_path / "whole")
    ended, whole = (
        torch.load(folder / "checkpoint.pt", weights_only=True)
        for folder in (tmp_path, tmp_path / "whole")
    )
    assert ended["step"] == 5
    torch.testing.assert_close(ended["network"], whole["network"])


def test_an_interrupted_measurement_ends_at_once(tmp_path: Path) -> None:
    class Interrupted(Line):
        at_measure = staticmethod(interrupt)

    with pytest.raises(KeyboardInterrupt, match="saved up to step 5"):
        launch(tmp_path, make=Interrupted)
    assert not (tmp_path / "log.jsonl").exists()


def test_a_second_interrupt_does_not_wait_for_the_step(tmp_path: Path) -> None:
    class Interrupted(Line):
        @staticmethod
        def at_step() -> None:
            interrupt()
            interrupt()
            raise AssertionError

    with pytest.raises(KeyboardInterrupt, match="no step"), interruptible([signal.SIGINT], 0):
        loop.launch(Interrupted, loop.Recipe(steps=5, workers=1), tmp_path, CPU)


def test_a_second_training_keeps_out_of_a_folder(tmp_path: Path) -> None:
    with (
        training_folder(tmp_path),
        pytest.raises(FacetrackError, match="Another training writes into"),
    ):
        launch(tmp_path)
    launch(tmp_path)


def test_a_file_is_no_folder_for_a_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FacetrackError, match="is a file"):
        launch(tmp_path / "file")


def test_a_checkpoint_that_does_not_fit_is_said(tmp_path: Path) -> None:
    class Wider(Line):
        def __init__(self, recipe, out, rank, device):
            loop.Run.__init__(self, lambda: nn.Linear(3, 1), recipe, out, rank, device)

    launch(tmp_path)
    with pytest.raises(FacetrackError, match=r"checkpoint\.pt cannot be continued"):
        launch(tmp_path, resume=True, make=Wider)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FacetrackError, match=r"checkpoint\.pt cannot be continued"):
        launch(tmp_path, resume=True)
