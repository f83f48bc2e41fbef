"""The group of all commands: `facetrack clip.mp4` is understood as `facetrack track clip.mp4`."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import Any

from typer.core import TyperGroup

from facetrack.cli import synonyms
from facetrack.cli.command import UsageError, option_names, stopped_by
from facetrack.cli.help import write_help
from facetrack.suggestions import did_you_mean

DEFAULT_COMMAND = "track"
STDIN = "-"
_PATTERN_CHARACTERS = frozenset("*?[")


class Group(TyperGroup):
    """A group of commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page."""
        write_help(ctx, formatter, everything=True)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options before the command; print an error in one sentence, and exit with 2."""
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            raise stopped_by(error, ctx) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return name, command and remaining arguments of a command line."""
        if args and self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            raise stopped_by(self._unknown(ctx, args[0]), ctx)
        return super().resolve_command(ctx, args)

    def _unknown(self, ctx: Any, word: str) -> Exception:
        names = self.list_commands(ctx)
        hint = did_you_mean(word, names)
        meant = synonyms.COMMANDS.get(word.casefold(), "") if ctx.parent is None else ""
        if meant and not hint:
            hint = f"; did you mean {ctx.command_path} {meant}?"
        if ctx.parent is not None:
            hint = hint or f"; choose {', '.join(names[:-1])} or {names[-1]}."
            return UsageError(f"There is no command {word!r}{hint}")
        return UsageError(
            f"There is no command {word!r} and no file here is called so{hint or '.'}"
        )


class CommandGroup(Group):
    """A group whose first argument may be an input of its default command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options before the command.

        `-` (standard input) and options of the default command mean the default command.
        """
        if args and args[0].startswith("-"):
            name = args[0].partition("=")[0]
            default = option_names(self.commands[DEFAULT_COMMAND])
            if args[0] == STDIN or (name in default and name not in option_names(self)):
                args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return name, command and remaining arguments of a command line.

        An existing file or folder, a path, a pattern of names, an address and the number of a
        camera are inputs. Another word that is no command may be a typing mistake, so it stays an
        error.
        """
        if args and self.get_command(ctx, args[0]) is None and looks_like_input(args[0]):
            return super().resolve_command(ctx, [DEFAULT_COMMAND, *args])
        return super().resolve_command(ctx, args)


def looks_like_input(argument: str) -> bool:
    """Return True if an argument names an input rather than a command."""
    if argument == STDIN:
        return True
    if argument.startswith("-"):
        return False
    path = PurePath(argument)
    return bool(
        os.path.lexists(argument)
        or len(path.parts) > 1
        or path.suffix
        or argument.isdecimal()
        or _PATTERN_CHARACTERS & set(argument)
    )
