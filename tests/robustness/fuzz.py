"""What a case of the fuzz corpus is, how it is run, and what must come of it."""

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
"""Of wall clock, on a busy machine too: the slowest case takes a few seconds on an idle one."""
MEGABYTES = 800
"""Of memory, of facetrack and of each program that it starts."""
ADDRESS_SPACE = 12 * 2**30
"""What a case can ask for at all, so that a broken one does not take the machine with it."""


class Workshop:
    """Where a case makes its files: the current folder of its command is `folder`.

    Attributes:
        folder: of the case; empty.
        random: the same for a case in every run.
    """

    def __init__(self, folder: Path, seeds: Path, name: str) -> None:
        self.folder = folder
        self._seeds = seeds
        self.random = random.Random(f"{SEED} {name}")

    def write(self, name: str, data: bytes | str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return name

    def clip(self, suffix: str, *options: str, **how: Any) -> bytes:
        """The bytes of a small clip; the same clip is made once for all cases."""
        key = hashlib.sha256(repr((suffix, options, sorted(how.items()))).encode()).hexdigest()[:16]
        path = self._seeds / f"{key}{suffix}"
        if not path.exists():
            clips.write_clip(path, how.pop("count", 12), *options, **how)
        return path.read_bytes()

    def points(self) -> list[str]:
        """The options of a run on points of the user's own, without a face."""
        name = self.write("points.csv", "20,12\n24,20\n40,30\n10,8\n")
        return ["--init", "points", "--points", name, "--tracker", "lk"]

    def track(self, video: str, *options: str, overlay: bool = False) -> list[str]:
        """The command line that tracks `video`."""
        drawn = [] if overlay else ["--no-overlay"]
        return ["track", *self.points(), "--out", "out", *drawn, *options, "--", video]


@dataclass(frozen=True)
class Case:
    """One bad, or odd, input.

    Attributes:
        make: writes the files, and returns the command's arguments.
        fast: belongs to what is run by default.
        wanted: "done", "refused", or None where either is right.
        says: a regular expression for what is to be said on stderr.
        seconds, megabytes: limits.
        file_size: bytes that a file may have, as on a full disk.
        many: of several inputs, those that are good are to be done, and each bad one to be named.
    """

    name: str
    make: Callable[[Workshop], list[str]]
    fast: bool = False
    wanted: str | None = None
    says: str = ""
    seconds: float = SECONDS
    megabytes: float = MEGABYTES
    file_size: int | None = None
    many: bool = False
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What came of a case: the exit code, what was said, and what `problems` there are."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    megabytes: float
    problems: list[str]
    folder: Path


class Runner:
    """Runs cases by a worker of its own; use as a context manager."""

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
        """Make the files of `case`, run it, and look at what it has left."""
        whole = self._folder / re.sub(r"\W", "_", case.name)
        folder, temporary = whole / "case", whole / "tmp"
        folder.mkdir(parents=True)
        temporary.mkdir()
        arguments = case.make(Workshop(folder, self._folder / "seeds", case.name))
        before = _files(folder)
        request = {
            "arguments": arguments,
            "folder": str(folder),
            "stdout": str(whole / "stdout"),
            "stderr": str(whole / "stderr"),
            "seconds": case.seconds,
            "address_space": ADDRESS_SPACE,
            "file_size": case.file_size,
            "environment": {
                "TMPDIR": str(temporary),
                "FACETRACK_HOME": str(whole / "home"),
                "FACETRACK_OFFLINE": "1",
                "COLUMNS": "200",
                **case.environment,
            },
        }
        answer = self._ask(request)
        stdout, stderr = (_text(whole / name) for name in ("stdout", "stderr"))
        problems = _problems(case, answer, stderr)
        problems += _leftovers(case, folder, temporary, before, answer["code"])
        return Outcome(
            answer["code"],
            stdout,
            stderr,
            answer["seconds"],
            answer["megabytes"],
            problems,
            folder,
        )

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._worker is None:
            self._worker = subprocess.Popen(
                [sys.executable, "-W", "ignore", str(Path(__file__).with_name("fuzz_worker.py"))],
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        requests: IO[str] = self._worker.stdin  # type: ignore[assignment]
        answers: IO[str] = self._worker.stdout  # type: ignore[assignment]
        requests.write(json.dumps(request) + "\n")
        requests.flush()
        return dict(json.loads(answers.readline()))


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "backslashreplace") if path.exists() else ""


def _problems(case: Case, answer: dict[str, Any], stderr: str) -> list[str]:
    """What is wrong with how the command ended and what it said."""
    if answer["hung"]:
        return [f"it hung: not ended after {case.seconds:g} s"]
    problems = []
    code = answer["code"]
    if code not in (0, 2):
        problems.append(f"exit code {code}")
    if "Traceback" in stderr:
        problems.append("a traceback")
    said = [line for line in stderr.splitlines() if line.strip()]
    if code == 2 and not case.many:
        said = [line for line in said if not line.startswith("facetrack: warning: ")]
        if len(said) != 1 or not said[0].startswith("facetrack: "):
            problems.append("refused, but not in one sentence")
    elif code == 0 and any(not line.startswith("facetrack: warning: ") for line in said):
        problems.append("done, but stderr holds more than warnings")
    if case.wanted is not None and code != {"done": 0, "refused": 2}[case.wanted]:
        problems.append(f"exit code {code}, but it was to be {case.wanted}")
    if not re.search(case.says, stderr):
        problems.append(f"stderr does not say /{case.says}/")
    if answer["left"]:
        problems.append("it left a process behind")
    if answer["megabytes"] > case.megabytes:
        problems.append(f"it took {answer['megabytes']:.0f} MB, more than {case.megabytes}")
    return problems


def _files(folder: Path) -> dict[Path, str]:
    """The SHA-256 of every file by its path; links are not followed."""
    found = {}
    for top, _, names in os.walk(folder):
        for name in names:
            path = Path(top, name)
            found[path] = (
                os.readlink(path)
                if path.is_symlink() or not path.is_file()
                else hashlib.sha256(path.read_bytes()).hexdigest()
            )
    return found


def _leftovers(
    case: Case, folder: Path, temporary: Path, before: dict[Path, str], code: int
) -> list[str]:
    """What is wrong with the files after the run."""
    after = _files(folder)
    problems = [
        f"{path.name} was changed" for path, digest in before.items() if after.get(path) != digest
    ]
    problems += [f"{path} was left in TMPDIR" for path in _files(temporary)]
    new = sorted(after.keys() - before.keys())
    for path in new:
        if path.name.startswith(".facetrack"):
            problems.append(f"{path.name} was left behind")
        elif code != 0 and not case.many:
            problems.append(f"it failed, but wrote {path.name}")
        else:
            problems += whole(path)
    return problems


def whole(path: Path) -> list[str]:
    """What is broken in a file that facetrack wrote under its final name."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.name.endswith(".overlay.mp4"):
            table = path.with_name(path.name.removesuffix(".overlay.mp4") + ".csv")
            if not table.exists():
                clips.decoded_count(path)
            elif clips.decoded_count(path) != len(read_csv(table)):
                return [f"{path.name} has other frames than its table"]
        elif path.name in ("landmarks.csv", "batch.csv"):
            list(csv.reader(path.read_text().splitlines(), strict=True))
        elif path.suffix == ".csv" and not path.name.endswith((".dlc.csv", ".openface.csv")):
            read_csv(path)
        elif not path.stat().st_size:
            return [f"{path.name} is empty"]
    except Exception as error:
        return [f"{path.name} is broken: {error}"]
    return []
