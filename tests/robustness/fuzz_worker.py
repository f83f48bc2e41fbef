"""Run command lines one after another, each in its own process with limits.

A process that has already imported facetrack forks for every case, which takes milliseconds, while
a new Python process takes seconds. Each case has its own process group, which isolates hangs,
crashes and remaining processes. Requests are JSON lines on standard input, responses JSON lines on
standard output.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from contextlib import suppress
from typing import Any

SAMPLE_INTERVAL = 0.05
"""Seconds between two samples of the memory of all processes of a case."""
EXIT_TIMEOUT = 10.0
"""Seconds in which the child processes of a case must end after it."""


def serve() -> None:
    _import_modules()
    responses = os.dup(1)
    # The runner may have been interrupted.
    with suppress(BrokenPipeError, KeyboardInterrupt):
        for line in sys.stdin:
            os.write(responses, f"{json.dumps(_run(json.loads(line)))}\n".encode())


def _import_modules() -> None:
    import cv2
    import torch

    import facetrack.api.detect
    import facetrack.api.track
    import facetrack.cli
    import facetrack.detectors.ert
    import facetrack.detectors.pipnet
    import facetrack.evaluation.scores
    import facetrack.report
    import facetrack.trackers.lk
    import facetrack.trackers.tapir.tracker  # noqa: F401

    # No threads before a fork.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _run(case: dict[str, Any]) -> dict[str, Any]:
    sys.stdout.flush()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        _run_child(case)
    with suppress(OSError):  # parent or child, whichever is first
        os.setpgid(child, child)
    ended = os.pidfd_open(child)
    hung, all_bytes = True, 0
    while hung and time.monotonic() < start + case["seconds"]:
        hung = not select.select([ended], [], [], SAMPLE_INTERVAL)[0]
        all_bytes = max(all_bytes, _resident_bytes(child))
    os.close(ended)
    if hung:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "hung": hung,
        "left": _has_remaining_processes(child),
        "seconds": time.monotonic() - start,
        "megabytes": usage.ru_maxrss / 1024,
        "all_megabytes": all_bytes / 2**20,
    }


def _resident_bytes(group: int) -> int:
    """Return the memory of all processes of a group; shared pages count for each."""
    pages = 0
    for process in os.scandir("/proc"):
        if not process.name.isdigit():
            continue
        with suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{process.name}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            # In /proc/PID/stat, the group is the 5th field and the resident pages are the 24th.
            if int(fields[2]) == group:
                pages += int(fields[21])
    return pages * resource.getpagesize()


def _has_remaining_processes(group: int) -> bool:
    """Return True if processes of the group outlive the case, and end them."""
    deadline = time.monotonic() + EXIT_TIMEOUT
    try:
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.01)
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _run_child(case: dict[str, Any]) -> None:
    """Run the command of a case in the child process; never returns."""
    code: object = 1
    try:
        os.setpgid(0, 0)
        os.chdir(case["folder"])
        os.environ.update(case["environment"])
        for number, name, flags in (
            (0, os.devnull, os.O_RDONLY),
            (1, case["stdout"], os.O_WRONLY | os.O_CREAT),
            (2, case["stderr"], os.O_WRONLY | os.O_CREAT),
        ):
            os.dup2(os.open(name, flags), number)
        sys.stdin = os.fdopen(0, "r")
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (case["address_space"], case["address_space"]))
        if case["file_size"] is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (case["file_size"], case["file_size"]))
        from facetrack.cli import app

        app(case["arguments"])
    except SystemExit as end:
        code = 0 if end.code is None else end.code
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    serve()
