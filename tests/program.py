"""Provide `facetrack` as a program on the search path."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def environment(folder: Path) -> dict[str, str]:
    """Return an environment with this checkout's `facetrack` and `python` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, command in (("facetrack", "-m facetrack "), ("python", "")):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command}"$@"\n')
        script.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    python_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PATH": path, "PYTHONPATH": python_path}


@contextlib.contextmanager
def holder(script: str, folder: Path, programs: Path) -> Iterator[None]:
    """Run a script that takes hold of a folder until the context ends, which kills it.

    Args:
        script: Python; its argument is the folder, and it prints "held".
        programs: for `environment`.
    """
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(programs),
    ) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "held\n"
            yield
        finally:
            running.kill()
