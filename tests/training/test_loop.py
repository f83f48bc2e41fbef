"""What all trainings share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import program
import pytest

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
