"""The class of all commands: help pages, errors in one sentence, options from a file."""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import Any

import typer
from typer.core import TyperCommand

from facetrack.cli import synonyms
from facetrack.cli.help import write_help
from facetrack.cli.printing import echo
from facetrack.suggestions import did_you_mean

PRINT_CONFIG = "--print-config"
BAD_USAGE = 2
SETTINGS = "facetrack settings"
"""Key of the options from files in a context's `meta`."""
UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""Typer has a Click of its own, or uses the package: this is the class of the one in use."""


class Command(TyperCommand):
    """A command of facetrack."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for param in self.params:
            _refuse_odd_values(param)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the short help page."""
        write_help(ctx, formatter, everything=False)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; print an error in one sentence, and exit with 2."""
        required = [param for param in self.params if param.required]
        try:
            # The options can be printed without an input.
            for param in required if PRINT_CONFIG in args else []:
                param.required = False
            return super().parse_args(ctx, args)
        except UsageError as error:
            raise stopped_by(error, ctx) from None
        finally:
            for param in required:
                param.required = True


def _refuse_odd_values(param: Any) -> None:
    """Let a parameter refuse numbers that are not finite, and what is no name of a file.

    "" would mean the present folder, and infinity lies above any least value.
    """
    process_value = param.process_value

    def process(ctx: Any, value: Any) -> Any:
        given = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(one, str) and "\0" in one for one in given):
            raise typer.BadParameter("a NUL character is in it", ctx=ctx, param=param)
        result = process_value(ctx, value)
        results = result if isinstance(result, list | tuple) else [result]
        if any(isinstance(one, float) and not math.isfinite(one) for one in results):
            raise typer.BadParameter(f"{value} is no finite number", ctx, param)
        if "" in given and any(isinstance(one, PurePath) for one in results):
            raise typer.BadParameter("it is empty (is a shell variable unset?)", ctx, param)
        return result

    param.process_value = process


def stopped_by(error: Any, ctx: Any) -> Exception:
    """Print what is wrong with a command line; return the exception that ends the command.

    Where all arguments are missing, the help says what they are.
    """
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.format_message(), err=True)
        return typer.Exit(BAD_USAGE)
    echo(f"facetrack: {usage_sentence(error, ctx)}", err=True)
    return typer.Exit(BAD_USAGE)


def usage_sentence(error: Any, ctx: Any) -> str:
    """Return a sentence about an error in a command line, with the option that may be meant."""
    ctx = error.ctx or ctx
    help_command = f"`{ctx.command_path} --help`"
    if type(error).__name__ == "NoSuchOption":
        name = error.option_name
        return f"There is no option {name}{option_hint(name, ctx)} See {help_command}."
    message = " ".join(error.format_message().split())
    setting = ctx.meta.get(SETTINGS)
    name = getattr(getattr(error, "param", None), "name", None)
    source = ctx.get_parameter_source(name) if name else None
    if setting is not None and getattr(source, "name", "") == "DEFAULT_MAP":
        message = f"{setting.files[name]}: {message}"
    if message and message[-1] not in ".?!":
        message += "."
    return f"{message} See {help_command}."


def option_hint(name: str, ctx: Any) -> str:
    """Return "; did you mean ...?" for an option that does not exist, or "."."""
    known = option_names(ctx.command)
    meant = synonyms.OPTIONS.get(name.replace("_", "-").casefold(), "")
    if name == "-v" and ctx.parent is None:
        meant = "-V"
    if meant.split(" ")[0] in known:
        return f"; did you mean {meant}?"
    return did_you_mean(name, known) or "."


def option_names(command: Any) -> list[str]:
    """Return all names of a command's options, with the dashes."""
    names = [n for p in command.params for n in (*p.opts, *p.secondary_opts) if n.startswith("-")]
    return [*names, "--help", "-h"]
