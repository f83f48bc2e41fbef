"""The end of a command that reads many inputs, some of which may have failed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import typer


def end(interrupted: bool, done: int, failed: Mapping[Path, str], kind: str) -> None:
    """End as the result asks for.

    Args:
        interrupted: whether the command was asked to stop.
        done: number of inputs that were read.
        failed: error messages of the others that were reached.
        kind: "images" or "inputs".

    Raises:
        typer.Exit: it was interrupted (code 130).
        FacetrackError: an input could not be read.
    """
    from facetrack.api.read_inputs import failed_sentence
    from facetrack.errors import FacetrackError

    if interrupted:
        typer.echo(f"facetrack: interrupted; the files hold the first {done} {kind}.", err=True)
        raise typer.Exit(130)
    if failed:
        raise FacetrackError(failed_sentence(failed, done + len(failed), kind))
