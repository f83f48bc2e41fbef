"""Test SIGKILL at random times: no broken final file, and the next run succeeds."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import clips
import fuzz
import pytest

from facetrack.formats.csv import read_csv

KILLS = 20


def _command(folder: Path) -> list[str]:
    start = [sys.executable, "-m", "facetrack", "track", "--quiet", "--init", "points"]
    points = ["--points", str(folder / "points.csv"), "--tracker", "lk"]
    return [*start, *points, "--out", str(folder / "out"), str(folder / "clip.mp4")]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(fuzz.ROOT), "OMP_NUM_THREADS": "1"}


def _ffmpegs(folder: Path) -> list[str]:
    """Return the command lines of processes that use the folder."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        if str(folder) in line:
            commands.append(line)
    return commands


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
def test_killed_at_random_times(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "clip.mp4", 150, codec=("-c:v", "libx264", "-pix_fmt", "yuv420p"))
    (tmp_path / "points.csv").write_text("20,12\n24,20\n")
    out = tmp_path / "out"
    start = time.monotonic()
    subprocess.run(_command(tmp_path), env=_environment(), check=True)
    duration = time.monotonic() - start
    expected = (out / "clip.csv").read_bytes()
    names = {path.name for path in out.iterdir()}
    for path in out.iterdir():
        path.unlink()

    rng = random.Random(fuzz.SEED)
    killed = 0
    for _ in range(KILLS):
        with subprocess.Popen(_command(tmp_path), env=_environment()) as process:
            # The first part of a run starts Python and loads its libraries.
            time.sleep(rng.uniform(0.3, 1.0) * duration)
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
        deadline = time.monotonic() + 20
        while _ffmpegs(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _ffmpegs(tmp_path)
        final = [path for path in out.glob("*") if not path.name.startswith(".")]
        assert {path.name for path in final} <= names
        assert [problem for path in final for problem in fuzz.problems_of_file(path)] == []
    assert killed >= KILLS // 2

    subprocess.run(_command(tmp_path), env=_environment(), check=True)
    assert (out / "clip.csv").read_bytes() == expected
    assert clips.decoded_count(out / "clip.overlay.mp4") == len(read_csv(out / "clip.csv"))
