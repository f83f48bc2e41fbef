"""Help pages: a short one with the main options, and one with all.

Options are in groups. A name is never cut: if it is long, its text begins on the next line.
"""

from __future__ import annotations

from typing import Any

import typer

MAIN = "Options"
"""Heading of the options that the short page shows; those of the other panels are left out."""
GENERAL = "General"
UNBROKEN_HYPHEN = "\N{NON-BREAKING HYPHEN}"
"""Stands for a hyphen while lines are broken, so that `--no-overlay` is never cut."""
HELP_ROW = ("-h, --help", "Show the main options and exit.")
NAME_WIDTH = 26
"""Longest name of an option that has its text on the same line, in characters."""
_TYPES = {"int": "N", "float": "NUMBER", "path": "PATH"}


def write_help(ctx: Any, formatter: Any, everything: bool) -> None:
    """Write the help page of a command.

    Args:
        ctx: its context.
        formatter: receives the text.
        everything: write the options of all panels; otherwise the main ones, and how to see more.
    """
    command = ctx.command
    _write_usage(ctx, formatter)
    text = command.help or ""
    _write_text(formatter, text if everything else text.split("\n\n")[0])
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    _write_rows(formatter, "Arguments", [_argument_row(p) for p in arguments])
    panels = panels_of(command)
    for title, options in panels.items():
        if everything or title in (MAIN, GENERAL):
            rows = [option_row(p) for p in options]
            _write_rows(formatter, title, [*rows, HELP_ROW] if title == GENERAL else rows)
    if hasattr(command, "list_commands"):
        names = command.list_commands(ctx)
        rows = [(name, command.get_command(ctx, name).get_short_help_str(200)) for name in names]
        _write_rows(formatter, "Commands", rows)
    left_out = [title for title in panels if title not in (MAIN, GENERAL)]
    if left_out and not everything:
        more = f"{ctx.command_path} --help-all lists all options, also of: {'; '.join(left_out)}."
        _write_text(formatter, more)
    _write_text(formatter, command.epilog or "")
    formatter.buffer[:] = [piece.replace(UNBROKEN_HYPHEN, "-") for piece in formatter.buffer]


def panels_of(command: Any) -> dict[str, list[Any]]:
    """Return the visible options by the heading of their group, in the order of the page."""
    panels: dict[str, list[Any]] = {MAIN: [], GENERAL: []}
    for param in command.params:
        if param.param_type_name == "option" and not param.hidden:
            title = getattr(param, "rich_help_panel", None) or MAIN
            panels.setdefault(title, []).append(param)
    general = panels.pop(GENERAL)
    return {**panels, GENERAL: general}


def option_row(option: Any) -> tuple[str, str]:
    """Return the names of an option, and its text with the default."""
    sides = [", ".join(sorted(option.opts, key=_dashes))]
    if option.secondary_opts:
        sides.append(", ".join(option.secondary_opts))
    names = " / ".join(sides)
    if not option.is_flag:
        names += f" {_value_name(option)}"
    text = option.help or ""
    default = option.default
    has_default = default is not None and option.show_default and "[default:" not in text
    if has_default and not (option.is_flag and not option.secondary_opts):
        if option.is_flag:
            shown = (option.opts if default else option.secondary_opts)[0].lstrip("-")
        else:
            shown = str(default)
        text += f" [default: {shown}]"
    if option.required:
        text += " [required]"
    return names, text.strip()


def _argument_row(argument: Any) -> tuple[str, str]:
    name = argument.metavar or argument.name.upper()
    repeated = "..." if argument.nargs == -1 else ""
    return f"{name}{repeated}", argument.help or ""


def _value_name(option: Any) -> str:
    return str(option.metavar or _TYPES.get(option.bare_type().casefold(), "TEXT"))


def _dashes(name: str) -> int:
    return len(name) - len(name.lstrip("-"))


def _write_usage(ctx: Any, formatter: Any) -> None:
    pieces = []
    for param in ctx.command.params:
        if param.param_type_name == "argument":
            name = _argument_row(param)[0]
            pieces.append(name if param.required else f"[{name}]")
    if hasattr(ctx.command, "list_commands"):
        pieces.append("COMMAND [ARGUMENTS]")
    formatter.write_usage(ctx.command_path, " ".join(["[OPTIONS]", *pieces]))


def _write_text(formatter: Any, text: str) -> None:
    if text:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(text.replace("-", UNBROKEN_HYPHEN))


def _write_rows(formatter: Any, title: str, rows: list[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(typer.style(title, bold=True)):
            styled = [
                (typer.style(name, fg="cyan"), text.replace("-", UNBROKEN_HYPHEN))
                for name, text in rows
            ]
            formatter.write_dl(styled, col_max=NAME_WIDTH + 2)
