"""A disk that is full, or a limit on the size of files: one sentence, and nothing lost."""

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
    """A file system of 256 KiB."""
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


def _clip(shop: Workshop, count: int = 25) -> str:
    noise = "noise=alls=100:allf=t"
    data = shop.clip(".mp4", codec=CONTAINERS[".mp4"], count=count, size=(192, 128), filters=noise)
    return shop.write("clip.mp4", data)


def _into(folder: str, *options: str, overlay: bool) -> Case:
    def make(shop: Workshop) -> list[str]:
        command = shop.track(_clip(shop), *options, overlay=overlay)
        command[command.index("out")] = folder
        return command

    return Case("full", make, wanted="refused")


@pytest.mark.parametrize("what", ["overlay", "csv", "npz", "report"])
def test_full_disk(runner: Runner, disk: Path, what: str) -> None:
    older = {disk / "clip.csv": b"older", disk / "clip.json": b"older", disk / "x": b"x"}
    for path, data in older.items():
        path.write_bytes(data)
    if what != "overlay":
        free = os.statvfs(disk)
        (disk / "ballast").write_bytes(bytes(free.f_bavail * free.f_frsize))
    options = {"npz": ["--format", "npz"], "report": ["--report"]}.get(what, [])
    case = _into(str(disk), *options, overlay=what == "overlay")
    outcome = runner.run(Case(f"full disk {what}", case.make, wanted="refused"))
    assert not outcome.problems, f"{outcome.problems}\n{outcome.stderr}"
    assert re.search("No space left on device", outcome.stderr, re.IGNORECASE)
    left = {path for path in disk.iterdir() if path.name != "ballast"}
    assert left == set(older)
    assert all(path.read_bytes() == data for path, data in older.items())


@pytest.mark.parametrize(("what", "bytes_"), [("overlay", 20_000), ("csv", 1000), ("npz", 1000)])
def test_limit_on_files(runner: Runner, what: str, bytes_: int) -> None:
    """RLIMIT_FSIZE, as batch systems set it: ffmpeg is killed by it, Python is refused."""
    options = ["--format", "npz"] if what == "npz" else []
    case = _into("out", *options, overlay=what == "overlay")
    case = Case(f"limit {what}", case.make, wanted="refused", file_size=bytes_)
    outcome = runner.run(case)
    assert not outcome.problems, f"{outcome.problems}\n{outcome.stderr}"
    assert "cannot be written" in outcome.stderr
