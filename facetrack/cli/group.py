"""The group of all commands: `facetrack clip.mp4` is understood as `facetrack track clip.mp4`."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import Any

from typer.core import TyperGroup

DEFAULT_COMMAND = "track"
_PATTERN_CHARACTERS = frozenset("*?[")


class CommandGroup(TyperGroup):
    """A group whose first argument may be an input of its default command."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return name, command and remaining arguments of a command line.

        An existing file or folder, a path and a pattern of names are inputs. Another word that is
        no command may be a typing mistake, so it stays an error.
        """
        if args and self.get_command(ctx, args[0]) is None and looks_like_input(args[0]):
            return super().resolve_command(ctx, [DEFAULT_COMMAND, *args])
        return super().resolve_command(ctx, args)


def looks_like_input(argument: str) -> bool:
    """Return True if an argument names a file rather than a command."""
    if argument.startswith("-"):
        return False
    path = PurePath(argument)
    return bool(
        os.path.lexists(argument)
        or len(path.parts) > 1
        or path.suffix
        or _PATTERN_CHARACTERS & set(argument)
    )
