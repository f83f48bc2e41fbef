"""A command goes on when nobody reads its output."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from facetrack.pipeline.options import Options


def command(video: Path, options: Options, out: Path, *more: str) -> list[str]:
    words = ["track", str(video), "--init", "points", "--points", str(options.points)]
    words += ["--tracker", "lk", "--no-overlay", "--json", "--out", str(out), *more]
    return [sys.executable, "-m", "facetrack", *words]


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize(
    "number",
    [pytest.param(1, id="stdout"), pytest.param(2, id="stderr", marks=pytest.mark.slow)],
)
def test_without_a_reader_the_run_goes_on(
    number: int, dots: Path, own_points: Options, tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    streams = {1: subprocess.PIPE, 2: subprocess.PIPE, number: writer}
    ran = subprocess.run(
        command(dots, own_points, tmp_path),
        stdout=streams[1],
        stderr=streams[2],
        check=False,
    )
    os.close(writer)
    assert ran.returncode == 0
    assert not ran.stderr
    assert names(tmp_path) == ["dots.csv", "dots.json"]


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("latin-1", b"caf\xe9 \\u2193 \\udcff"),
        ("utf-8:strict", "caf\xe9 \u2193 \\udcff".encode()),
        ("utf-8:surrogateescape", "caf\xe9 \u2193 ".encode() + b"\xff"),
        ("ascii:ignore", b"caf  "),
    ],
)
def test_signs_that_an_encoding_lacks_are_escaped(encoding: str, printed: bytes) -> None:
    program = (
        "from facetrack.cli.streams import survive_closed_output as survive; survive(); "
        r"print('caf\xe9 \u2193 \udcff', end='', flush=True)"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=False
    )
    assert (ran.stdout, ran.stderr) == (printed, b"")


@pytest.mark.slow
def test_a_batch_goes_on_too(dots: Path, own_points: Options, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = command(dots, own_points, tmp_path, "--shard", "1/1")
    assert subprocess.run(words, stdout=writer, stderr=writer, check=False).returncode == 0
    os.close(writer)
    assert {"dots.csv", "dots.json", "batch.1-of-1.csv"} <= set(names(tmp_path))


def test_outputs_that_are_closed_from_the_beginning(
    dots: Path, own_points: Options, tmp_path: Path
) -> None:
    words = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command(dots, own_points, tmp_path)]
    assert subprocess.run(words, check=False).returncode == 0
    assert names(tmp_path) == ["dots.csv", "dots.json"]


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_output_that_is_lost_on_a_full_disk_is_an_error(
    dots: Path, own_points: Options, tmp_path: Path
) -> None:
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            command(dots, own_points, tmp_path),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
        )
    assert ran.returncode == 2
    assert ran.stderr == (
        "facetrack: standard output cannot be written: No space left on device; "
        "the files are complete.\n"
    )
    assert names(tmp_path) == ["dots.csv", "dots.json"]


@pytest.mark.slow
def test_bad_input_without_a_reader_keeps_its_code(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "facetrack", "track", str(tmp_path / "none.mp4"), "--json"]
    assert subprocess.run(words, stdout=writer, stderr=writer, check=False).returncode == 2
    os.close(writer)
