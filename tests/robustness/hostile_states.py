"""Make saved states of interrupted runs, and records of finished runs, to be damaged."""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import struct
import subprocess
import sys
from pathlib import Path

from fuzz import ROOT, Workshop
from fuzz_tables import Trap
from fuzz_videos import CONTAINERS
from hostile_mutations import mutate

_FRAMES = 90
_INTERRUPTED = """
import os, signal, sys
from facetrack.pipeline import resume
resume.SAVE_INTERVAL_S = 0.0
saved, save = [], resume.ResumeStore.save
def save_twice(*arguments):
    save(*arguments)
    saved.append(1)
    if len(saved) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
resume.ResumeStore.save = save_twice
from facetrack.cli import app
app(sys.argv[1:])
"""
_PICKLES = (
    pickle.dumps(Trap()),
    b"\x80\x02" + b"(" * 300_000 + b"l" * 300_000 + b".",
    b"\x80\x04\x8e" + struct.pack("<Q", 10**15) + b"abc",
    b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
    b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
    b"\x80\x02cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85R.",
    b"\x80\x02cbuiltins\nset\ncbuiltins\nslice\nK\x01\x85R\x85R.",
    b"\x80\x02ccollections\ndeque\n]K\x01a\x85R.",
)
"""Pickles that run code, nest, allocate or hold other types than a state."""


def make(workshop: Workshop, rng: random.Random) -> list[str]:
    """Write a damaged state of an interrupted run, and return the command that resumes it."""
    clip = workshop.clip(".mkv", codec=CONTAINERS[".mkv"], count=_FRAMES)
    video = workshop.write("long.mkv", clip)
    query_frame = rng.choice(("0", "40"))
    command = workshop.track(video, "--query-frame", query_frame)
    files = _files_after(workshop, f"interrupted at {query_frame}", command, _INTERRUPTED)
    saved = {name: data for name, data in files.items() if ".unfinished/" in name}
    for name, data in saved.items():
        workshop.write(name, data)
    target = workshop.folder / rng.choice([*saved, *(n for n in saved if n.endswith("state"))])
    data = target.read_bytes() or b"x"
    if target.name == "state" and rng.random() < 0.8:
        # A correct checksum over a damaged state.
        stored = data[32:]
        stored = rng.choice(_PICKLES) if rng.random() < 0.3 else mutate(rng, stored)
        data = hashlib.sha256(stored).digest() + stored
    else:
        data = mutate(rng, data)
    target.write_bytes(data)
    return ["track", "--resume", *command[1:]]


def finished_run(workshop: Workshop, command: list[str]) -> dict[str, bytes]:
    """Return the files in `out` after a command, by path; it runs once for all cases."""
    return _files_after(workshop, "finished", command)


def _files_after(
    workshop: Workshop, name: str, command: list[str], program: str | None = None
) -> dict[str, bytes]:
    folder = workshop.seeds / name
    if not folder.exists():
        folder.mkdir()
        for path in workshop.folder.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        start = [sys.executable, *(["-c", program] if program else ["-m", "facetrack"])]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        subprocess.run([*start, *command], cwd=folder, env=environment, capture_output=True)
    return {str(p.relative_to(folder)): p.read_bytes() for p in _files(folder / "out")}


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file()) if folder.exists() else []
