"""`--out FOLDER` of all commands: the option, and a check of its value before any work is done."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from facetrack.errors import FacetrackError

TABLES = {
    ".csv": " for a table",
    ".txt": " for a table",
    ".xlsx": " for a table (CSV)",
    ".npz": " --format npz",
    ".pts": " --format pts",
    ".json": " for a record",
    ".html": " --report",
    ".png": " for pictures",
    ".jpg": " for pictures",
}
VIDEOS = dict.fromkeys((".mp4", ".mov"), " for an overlay video")
"""Suffixes of files rather than folders, and how to get such a file."""


def folder_option(help: str = "Output folder.", **settings: Any) -> Any:
    """Return the option; `settings` are those of `typer.Option`."""
    return typer.Option("--out", "--output", "-o", metavar="FOLDER", help=help, **settings)


def output_folder(
    out: str, inputs: Sequence[str | os.PathLike[str]] = (), several: bool = False
) -> Path:
    """Return the folder that --out names; refuse what is surely a mistake.

    A folder may be called like a file where that is meant: it exists, or its name ends with a
    slash, or is that of an input (`track videos/a.mp4 --out results/a.mp4`), or several videos are
    tracked, of which there is no single overlay.

    Args:
        out: the value.
        inputs: of the command.
        several: True if the command tracks several videos.

    Raises:
        FacetrackError: `out` is empty, a file, a link to nothing, or looks like a file.
    """
    if not out:
        raise FacetrackError(
            "--out is empty: name a folder, or . for this one (is a shell variable unset?)."
        )
    path = Path(out)
    if os.path.isdir(path):
        return path
    if os.path.lexists(path):
        raise FacetrackError(f"--out is a folder, and {path} is {_kind(path, inputs)}.")
    kind = {**TABLES, **({} if several else VIDEOS)}.get(path.suffix.lower())
    names = {os.path.basename(os.fspath(name)).casefold() for name in inputs}
    if kind is None or path.name.casefold() in names or out.endswith(("/", os.sep)):
        return path
    raise FacetrackError(
        f"--out is a folder, and {path} looks like a file: give --out {path.parent}{kind} (files "
        f"are named after their input), or --out {path}{os.sep} for a folder of that name."
    )


def _kind(path: Path, inputs: Sequence[str | os.PathLike[str]]) -> str:
    """Say what lies where a folder is wanted."""
    if not os.path.exists(path):
        return "a link to what does not exist: make that folder, or choose another"
    if any(os.path.exists(name) and os.path.samefile(path, name) for name in inputs):
        return "the input itself: choose another"
    return "a file: choose another"
