"""Define a case of the fuzz corpus, run it and check the result."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import clips

from facetrack.formats.csv import read_csv

SEED = 20240607
ROOT = Path(__file__).parents[2]
SECONDS = 60
"""Limit of wall-clock time; on an idle machine the slowest case takes a few seconds."""
MEGABYTES = 800
"""Limit of memory for facetrack and for each program that it starts."""
ADDRESS_SPACE = 12 * 2**30
"""Limit of the address space in bytes, so that a broken case does not exhaust the machine."""


class Workshop:
    """Create the files of a case in `folder`, the working folder of its command.

    Attributes:
        folder: folder of the case, initially empty.
        random: random generator, with the same seed in every run of the case.
    """

    def __init__(self, folder: Path, seeds: Path, name: str) -> None:
        self.folder = folder
        self.seeds = seeds
        self.random = random.Random(f"{SEED} {name}")

    def write(self, name: str, data: bytes | str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return name

    def clip(self, suffix: str, *options: str, **settings: Any) -> bytes:
        """Return the bytes of a small clip, which is encoded once for all cases."""
        key = hashlib.sha256(
            repr((suffix, options, sorted(settings.items()))).encode()
        ).hexdigest()[:16]
        path = self.seeds / f"{key}{suffix}"
        if not path.exists():
            clips.write_clip(path, settings.pop("count", 12), *options, **settings)
        return path.read_bytes()

    def points(self) -> list[str]:
        """Return the options of a run on the user's own points, without a face."""
        name = self.write("points.csv", "20,12\n24,20\n40,30\n10,8\n")
        return ["--init", "points", "--points", name, "--tracker", "lk"]

    def track(self, video: str, *options: str, overlay: bool = False) -> list[str]:
        """Return the command line that tracks `video`."""
        no_overlay = [] if overlay else ["--no-overlay"]
        return ["track", *self.points(), "--out", "out", *no_overlay, *options, "--", video]


@dataclass(frozen=True)
class Case:
    """An invalid or unusual input.

    Attributes:
        name: unique name of the case.
        make: writes the files and returns the command's arguments.
        fast: True for cases that run by default.
        expected: "done", "refused", or None if both are acceptable.
        message: regular expression that must match stderr.
        seconds, megabytes: limits of the run.
        file_size: maximum size of a file in bytes, to simulate a full disk.
        many: True for several inputs: valid ones must be processed and each invalid one named.
        environment: additional environment variables.
        may_change: regular expression of the paths of files that the command may change.
    """

    name: str
    make: Callable[[Workshop], list[str]]
    fast: bool = False
    expected: str | None = None
    message: str = ""
    seconds: float = SECONDS
    megabytes: float = MEGABYTES
    file_size: int | None = None
    many: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    may_change: str = "$^"


@dataclass(frozen=True)
class Outcome:
    """Result of a case: exit code, output, resources and `problems` found.

    Attributes:
        megabytes: peak memory of the process that took most.
        all_megabytes: peak memory of all its processes together, as sampled.
    """

    code: int
    stdout: str
    stderr: str
    seconds: float
    megabytes: float
    all_megabytes: float
    problems: list[str]
    folder: Path


class Runner:
    """Run cases in a worker process; use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._worker: subprocess.Popen[str] | None = None
        (folder / "seeds").mkdir()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            with self._worker as worker:
                worker.stdin.close()  # type: ignore[union-attr]

    def run(self, case: Case) -> Outcome:
        """Create the files of `case`, run it and check its output."""
        root = self._folder / re.sub(r"\W", "_", case.name)
        folder, temporary = root / "case", root / "tmp"
        folder.mkdir(parents=True)
        temporary.mkdir()
        arguments = case.make(Workshop(folder, self._folder / "seeds", case.name))
        before = _files(folder)
        request = {
            "arguments": arguments,
            "folder": str(folder),
            "stdout": str(root / "stdout"),
            "stderr": str(root / "stderr"),
            "seconds": case.seconds,
            "address_space": ADDRESS_SPACE,
            "file_size": case.file_size,
            "environment": {
                "TMPDIR": str(temporary),
                "FACETRACK_HOME": str(root / "home"),
                "FACETRACK_OFFLINE": "1",
                "COLUMNS": "200",
                **case.environment,
            },
        }
        result = self._request(request)
        stdout, stderr = (_text(root / name) for name in ("stdout", "stderr"))
        problems = _problems(case, result, stderr)
        problems += _leftovers(case, folder, temporary, before, result["code"])
        return Outcome(
            result["code"],
            stdout,
            stderr,
            result["seconds"],
            result["megabytes"],
            result["all_megabytes"],
            problems,
            folder,
        )

    def _request(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._worker is None:
            self._worker = subprocess.Popen(
                [sys.executable, "-W", "ignore", str(Path(__file__).with_name("fuzz_worker.py"))],
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        requests: IO[str] = self._worker.stdin  # type: ignore[assignment]
        responses: IO[str] = self._worker.stdout  # type: ignore[assignment]
        requests.write(json.dumps(request) + "\n")
        requests.flush()
        return dict(json.loads(responses.readline()))


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "backslashreplace") if path.exists() else ""


def _problems(case: Case, result: dict[str, Any], stderr: str) -> list[str]:
    """Return the problems with the exit code, the output and the resources of a command."""
    if result["hung"]:
        return [f"it hung: not ended after {case.seconds:g} s"]
    problems = []
    code = result["code"]
    if code not in (0, 2):
        problems.append(f"exit code {code}")
    if "Traceback" in stderr:
        problems.append("a traceback")
    lines = [line for line in stderr.splitlines() if line.strip()]
    if code == 2 and not case.many:
        lines = [line for line in lines if not line.startswith("facetrack: warning: ")]
        if len(lines) != 1 or not lines[0].startswith("facetrack: "):
            problems.append("refused, but not in one sentence")
    elif (
        code == 0
        and not case.many
        and any(not line.startswith("facetrack: warning: ") for line in lines)
    ):
        problems.append("done, but stderr holds more than warnings")
    if case.expected is not None and code != {"done": 0, "refused": 2}[case.expected]:
        problems.append(f"exit code {code}, expected: {case.expected}")
    if not re.search(case.message, stderr):
        problems.append(f"stderr does not match /{case.message}/")
    if result["left"]:
        problems.append("it left a process behind")
    if result["megabytes"] > case.megabytes:
        problems.append(f"it took {result['megabytes']:.0f} MB, more than {case.megabytes}")
    return problems


def _files(folder: Path) -> dict[Path, str]:
    """Return the SHA-256 of every file by its path, without following links."""
    digests = {}
    for top, _, names in os.walk(folder):
        for name in names:
            path = Path(top, name)
            digests[path] = (
                os.readlink(path)
                if path.is_symlink() or not path.is_file()
                else hashlib.sha256(path.read_bytes()).hexdigest()
            )
    return digests


def _leftovers(
    case: Case, folder: Path, temporary: Path, before: dict[Path, str], code: int
) -> list[str]:
    """Return the problems with the files after the run."""
    after = _files(folder)
    problems = [
        f"{path.name} was changed"
        for path, digest in before.items()
        if after.get(path) != digest
        and not re.search(case.may_change, path.relative_to(folder).as_posix())
    ]
    problems += [f"{path} was left in TMPDIR" for path in _files(temporary)]
    new = sorted(after.keys() - before.keys())
    for path in new:
        if path.name.startswith(".facetrack"):
            problems.append(f"{path.name} was left behind")
        elif code != 0 and not case.many:
            problems.append(f"it failed, but wrote {path.name}")
        else:
            problems += problems_of_file(path)
    return problems


def problems_of_file(path: Path) -> list[str]:
    """Return the problems with a file that facetrack wrote under its final name."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.name.endswith(".overlay.mp4"):
            table = path.with_name(path.name.removesuffix(".overlay.mp4") + ".csv")
            if not table.exists():
                clips.decoded_count(path)
            elif clips.decoded_count(path) != len(read_csv(table)):
                return [f"{path.name} has other frames than its table"]
        elif path.name in ("landmarks.csv", "pose.csv", "batch.csv"):
            list(csv.reader(path.read_text().splitlines(), strict=True))
        elif path.suffix == ".csv" and not path.name.endswith((".dlc.csv", ".openface.csv")):
            read_csv(path)
        elif not path.stat().st_size:
            return [f"{path.name} is empty"]
    except Exception as error:
        return [f"{path.name} is broken: {error}"]
    return []
