"""Run a command: errors in one sentence, clean interruptions, and the options of every command."""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facetrack.cli.command import PRINT_CONFIG, SETTINGS, Command
from facetrack.cli.help import GENERAL, write_help
from facetrack.cli.printing import echo

if TYPE_CHECKING:
    from facetrack.cli.config import Setting

BAD_INPUT, INTERRUPTED = 2, 130
_USER_INFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:/{1,2})[^/\s@]*@")
"""Name and password in an address, which are left out of errors."""
FORCE_QUIT_AFTER = 2.0
"""Seconds after a Ctrl-C from which a second one stops the command at once, even if that cuts the
clean-up short."""


def add_command(
    app: typer.Typer,
    name: str,
    function: Callable[..., None],
    cleanup_note: str = "no unfinished file was left behind",
) -> None:
    """Add a command with the options that every command has.

    Args:
        app: the group.
        name: the command's name.
        function: the command's function.
        cleanup_note: printed after an interruption if the command gives no note of its own.
    """
    app.command(name, cls=Command)(_with_common_options(friendly(function, cleanup_note)))


def friendly(
    command: Callable[..., None], cleanup_note: str = "no unfinished file was left behind"
) -> Callable[..., None]:
    """Wrap a command: report errors in one sentence on stderr, and clean up when interrupted.

    Args:
        command: the command's function.
        cleanup_note: printed after an interruption if the command gives no note of its own.

    Returns:
        The wrapped command. It exits with 2 at bad input and with 130 when interrupted.
    """

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        from facetrack.errors import FacetrackError
        from facetrack.runtime.interrupts import defer_interrupts, interruptible, stop_signals

        # Deferred once the command has ended: a late signal must not cut its message short.
        handling = interruptible(stop_signals(), FORCE_QUIT_AFTER)
        with handling as interruptions, defer_interrupts() as deferral:
            try:
                with deferral.lifted():
                    command(*args, **kwargs)
                return
            except BaseException as error:
                # Compiled libraries turn an interruption into errors of their own, so only the
                # flag can be trusted.
                if not interruptions.requested or isinstance(error, typer.Exit):
                    if isinstance(error, FacetrackError):
                        _stop(error)
                    raise
                note = isinstance(error, KeyboardInterrupt) and str(error)
            # The error is gone now, and with it all that its frames held: contexts that it left
            # without their exit are closed before the command ends.
            echo(f"facetrack: interrupted; {note or cleanup_note}.", err=True)
            raise typer.Exit(INTERRUPTED)

    return run


def _stop(error: Exception) -> typing.NoReturn:
    sentence = _USER_INFO.sub(r"\1", str(error))
    echo(f"facetrack: {sentence}", err=True)
    raise typer.Exit(BAD_INPUT) from None


# ---------------------------------------------------------------- options of every command


def _show_all(ctx: typer.Context, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        formatter = ctx.make_formatter()
        write_help(ctx, formatter, everything=True)
        typer.echo(formatter.getvalue().rstrip("\n"))
        raise typer.Exit


def _read_config(ctx: typer.Context, value: Path | None) -> Path | None:
    """Make the options in files the defaults of the options that follow."""
    if ctx.resilient_parsing:
        return value
    from facetrack.cli.config import read_settings
    from facetrack.errors import FacetrackError

    try:
        config = ctx.find_root().params.get("config") if value is None else value
        setting = read_settings(ctx, config)
    except FacetrackError as error:
        _stop(error)
    ctx.meta[SETTINGS] = setting
    ctx.default_map = {**(ctx.default_map or {}), **setting.values}
    return value


def setting_of(ctx: typer.Context) -> Setting:
    """Return the options from files of a command whose arguments were parsed."""
    setting: Setting = ctx.meta[SETTINGS]
    return setting


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="TOML file with options; pyproject.toml here is read without this option if it has "
        "[tool.facetrack].",
        show_default=False,
        is_eager=True,
        callback=_read_config,
        rich_help_panel=GENERAL,
    ),
]
PrintConfig = Annotated[
    bool,
    typer.Option(
        PRINT_CONFIG,
        help="Print the options in effect, as a file for --config, and exit.",
        rich_help_panel=GENERAL,
    ),
]
HelpAll = Annotated[
    bool,
    typer.Option(
        "--help-all",
        help="Show all options and exit.",
        is_eager=True,
        callback=_show_all,
        rich_help_panel=GENERAL,
    ),
]


def _note_project_options(ctx: typer.Context, setting: Setting, values: dict[str, Any]) -> None:
    """Say which options are from the pyproject.toml here, which nobody typed."""
    from facetrack.cli.config import PROJECT_FILE

    names = [
        name
        for name, file in setting.files.items()
        if file == PROJECT_FILE
        and getattr(ctx.get_parameter_source(name), "name", "") == "DEFAULT_MAP"
    ]
    if names and not values.get("quiet") and not values.get("json_progress"):
        shown = ", ".join(setting.keys[name] for name in names)
        echo(f"facetrack: options of {PROJECT_FILE}: {shown}", err=True)


def _with_common_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --config, --print-config and --help-all to the signature that Typer reads."""

    @functools.wraps(command)
    def run(ctx: typer.Context, **kwargs: Any) -> None:
        for name in ("config", "help_all"):
            kwargs.pop(name)
        if kwargs.pop("print_config"):
            from facetrack.cli.config import print_settings

            typer.echo(print_settings(ctx, setting_of(ctx)), nl=False)
            raise typer.Exit
        _note_project_options(ctx, setting_of(ctx), kwargs)
        command(**kwargs)

    hints = typing.get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(command).parameters.items()
    ]
    keyword = inspect.Parameter.KEYWORD_ONLY
    common = {"config": (Config, None), "print_config": (PrintConfig, False)}
    common |= {"help_all": (HelpAll, False)}
    added = [
        inspect.Parameter(name, keyword, default=default, annotation=annotation)
        for name, (annotation, default) in common.items()
    ]
    context = inspect.Parameter("ctx", keyword, annotation=typer.Context)
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p.replace(kind=keyword) for p in own] + [*added, context]
    )
    run.__annotations__ = {p.name: p.annotation for p in [*own, *added, context]}
    return run
