"""Test a full disk and a limit on file sizes: one sentence, and no lost files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz import Case, Runner, Workshop
from fuzz_videos import CONTAINERS


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 256 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = (
        shutil.which("mount")
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(path)], capture_output=True
        ).returncode
    )
    if not mounted:
        pytest.skip("only root can mount a small file system")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def _clip(workshop: Workshop, count: int = 25) -> str:
    noise = "noise=alls=100:allf=t"
    data = workshop.clip(
        ".mp4", codec=CONTAINERS[".mp4"], count=count, size=(192, 128), filters=noise
    )
    return workshop.write("clip.mp4", data)


def _into(folder: str, *options: str, overlay: bool) -> Case:
    def make(workshop: Workshop) -> list[str]:
        command = workshop.track(_clip(workshop), *options, overlay=overlay)
        command[command.index("out")] = folder
        return command

    return Case("full", make, expected="refused")


@pytest.mark.parametrize("output", ["overlay", "csv", "npz", "report"])
def test_full_disk(runner: Runner, disk: Path, output: str) -> None:
    existing = {disk / "clip.csv": b"older", disk / "clip.json": b"older", disk / "x": b"x"}
    for path, data in existing.items():
        path.write_bytes(data)
    if output != "overlay":
        free = os.statvfs(disk)
        (disk / "ballast").write_bytes(bytes(free.f_bavail * free.f_frsize))
    options = {"npz": ["--format", "npz"], "report": ["--report"]}.get(output, [])
    case = _into(str(disk), *options, "--overwrite", overlay=output == "overlay")
    outcome = runner.run(Case(f"full disk {output}", case.make, expected="refused"))
    assert not outcome.problems, f"{outcome.problems}\n{outcome.stderr}"
    assert re.search("No space left on device", outcome.stderr, re.IGNORECASE)
    remaining = {path for path in disk.iterdir() if path.name != "ballast"}
    assert remaining == set(existing)
    assert all(path.read_bytes() == data for path, data in existing.items())


@pytest.mark.parametrize(
    ("output", "max_bytes"), [("overlay", 20_000), ("csv", 1000), ("npz", 1000)]
)
def test_limit_on_files(runner: Runner, output: str, max_bytes: int) -> None:
    """RLIMIT_FSIZE, as set by batch systems, kills ffmpeg and raises an error in Python."""
    options = ["--format", "npz"] if output == "npz" else []
    case = _into("out", *options, overlay=output == "overlay")
    case = Case(f"limit {output}", case.make, expected="refused", file_size=max_bytes)
    outcome = runner.run(case)
    assert not outcome.problems, f"{outcome.problems}\n{outcome.stderr}"
    assert "cannot be written" in outcome.stderr
