"""Print text with names of files, which may hold anything."""

from __future__ import annotations

import typer

from facetrack.files import printable


def echo(line: object, err: bool = False) -> None:
    """Print one line of text, without the characters that would steer a terminal.

    Args:
        line: the text.
        err: print on standard error.
    """
    typer.echo(printable(str(line)), err=err)
