"""Options from files: `--config FILE`, and `[tool.facetrack]` of the pyproject.toml here.

A table has the options by their long names without dashes. Those at its top hold for all commands
that have them, those in a table named after a command for that command:

    device = "cpu"

    [track]
    tracker = "lk"
    overlay = false

The command line overrides `--config`, which overrides pyproject.toml.
"""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facetrack.cli.help import panels_of
from facetrack.errors import FacetrackError
from facetrack.suggestions import did_you_mean

PROJECT_FILE = "pyproject.toml"
NOT_OPTIONS = {"config", "print-config", "help-all", "help", "version", "env"}
NOT_OPTIONS |= {"install-completion", "show-completion"}
"""Options that only make sense on the command line."""
_MAX_BYTES = 2**20
_SOURCES = {"COMMANDLINE": "command line", "DEFAULT_MAP": "", "DEFAULT": "default"}


@dataclass
class Setting:
    """Options of one command from files.

    Attributes:
        values: by the name of the parameter.
        files: the file that each value is from.
        keys: its key there.
    """

    values: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)


def read_settings(ctx: Any, config: Path | None) -> Setting:
    """Read the options of a command from pyproject.toml and from a file.

    Args:
        ctx: the command's context.
        config: the file of --config; None if it was not given.

    Raises:
        FacetrackError: a file cannot be read, has an unknown key, or a value of another type.
    """
    setting = Setting()
    project = Path(PROJECT_FILE)
    if project.is_file():
        table = _tools(project).get("facetrack")
        if table is not None:
            _add(setting, ctx, _as_table(table, f"{project}, [tool.facetrack]"), str(project))
    if config is not None:
        if config.name == PROJECT_FILE:
            table = _as_table(_tools(config).get("facetrack", {}), str(config))
        else:
            table = read_toml(config)
        _add(setting, ctx, table, str(config))
    return setting


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        FacetrackError: it cannot be read, or is not TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise FacetrackError(f"{path} is too large for a file of options.")
        return tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise FacetrackError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FacetrackError(f"{path} is not a TOML file: {error}.") from None


def _add(setting: Setting, ctx: Any, table: Mapping[str, Any], file: str) -> None:
    """Add the values of a table that hold for the command of `ctx`."""
    contexts = _contexts(ctx)
    check_keys(contexts[0].command, table, file)
    params = options_by_key(ctx.command)
    for depth, context in enumerate(contexts):
        if depth:
            table = table.get(context.info_name, {})
        for key, value in table.items():
            # A table is of a command, even if an option has the same name.
            if _plain(key) not in params or isinstance(value, Mapping):
                continue
            param, is_inverse = params[_plain(key)]
            where = f"{file}, {key}"
            setting.values[param.name] = _as_typed(param, value, is_inverse, where)
            setting.files[param.name], setting.keys[param.name] = file, _plain(key)


def _contexts(ctx: Any) -> list[Any]:
    """Return the contexts from that of facetrack to that of the command."""
    return [*_contexts(ctx.parent), ctx] if ctx.parent is not None else [ctx]


def check_keys(command: Any, table: Mapping[str, Any], file: str, path: str = "") -> None:
    """Check that all keys of a table are commands, or options of a command below.

    Raises:
        FacetrackError: a key is unknown. The sentence suggests the one that may be meant.
    """
    commands = getattr(command, "commands", {})
    options = {key for leaf in _leaves(command) for key in options_by_key(leaf)}
    for key, value in table.items():
        is_option = _plain(key) in options and not isinstance(value, Mapping)
        if key in commands and not is_option:
            shown = f"{path}{key}"
            inner = _as_table(value, f"{file}, [{shown}]")
            check_keys(commands[key], inner, file, f"{shown}.")
        elif not is_option:
            of = f"facetrack {path.replace('.', ' ').strip()}" if path else "facetrack"
            what = "is a table, but no command" if isinstance(value, Mapping) else "is no option"
            hint = did_you_mean(_plain(key), [*options, *commands]) or "."
            raise FacetrackError(f"{file}: {path}{key} {what} of {of}{hint}")


def options_by_key(command: Any) -> dict[str, tuple[Any, bool]]:
    """Return the options of a command by their keys, and whether a key is the opposite flag."""
    found = {}
    for param in command.params:
        if param.param_type_name != "option":
            continue
        for name in param.opts:
            found[name.lstrip("-")] = (param, False)
        for name in param.secondary_opts:
            found[name.lstrip("-")] = (param, True)
    return {key: value for key, value in found.items() if key not in NOT_OPTIONS and len(key) > 1}


def key_of(param: Any) -> str:
    """Return the key under which an option is printed: its first long name."""
    return next(str(n).lstrip("-") for n in param.opts if n.startswith("--"))


def _leaves(command: Any) -> Iterator[Any]:
    if hasattr(command, "commands"):
        for inner in command.commands.values():
            yield from _leaves(inner)
    else:
        yield command


def _plain(key: str) -> str:
    return key.replace("_", "-")


def _tools(path: Path) -> Mapping[str, Any]:
    """Return the table `tool` of a pyproject.toml."""
    return _as_table(read_toml(path).get("tool", {}), f"{path}, [tool]")


def _as_table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise FacetrackError(f"{where} must be a table of options.")
    return value


def _as_typed(param: Any, value: Any, is_inverse: bool, where: str) -> Any:
    """Return a value of a file as it would be typed on the command line.

    Raises:
        FacetrackError: the value has another type.
    """
    if param.is_flag:
        if not isinstance(value, bool):
            raise FacetrackError(f"{where} must be true or false.")
        return value != is_inverse
    values = value if isinstance(value, list) and param.multiple else [value]
    texts = []
    for one in values:
        # Such as start = 00:01:30, or utc = 2026-03-31T14:05:00Z; a datetime is a date, too.
        if isinstance(one, datetime.time | datetime.date):
            one = one.isoformat()
        if isinstance(one, bool) or not isinstance(one, str | int | float):
            kind = "a value or a list of values" if param.multiple else "one value"
            raise FacetrackError(f"{where} must be {kind}, text or a number.")
        texts.append(str(one))
    return texts if param.multiple else texts[0]


# ---------------------------------------------------------------- printing


def print_settings(ctx: Any, setting: Setting) -> str:
    """Return the options in effect for a command as a file for --config.

    Each has its help text above it, and its source behind it unless it is the default.
    """
    path = [context.info_name for context in _contexts(ctx)[1:]]
    lines = [f"[{'.'.join(path)}]"]
    for title, params in panels_of(ctx.command).items():
        shown = [p for p in params if key_of(p) not in NOT_OPTIONS]
        lines += ["", f"# ---- {title}"] if shown else []
        for param in shown:
            lines += [*_wrapped(param.help or ""), _line(ctx, param, setting)]
    return "\n".join(lines) + "\n"


def _line(ctx: Any, param: Any, setting: Setting) -> str:
    value = ctx.params.get(param.name)
    if value is None or value == ():
        return f"# {key_of(param)} ="
    source = getattr(ctx.get_parameter_source(param.name), "name", "DEFAULT")
    origin = _SOURCES.get(source, source.lower()) or setting.files.get(param.name, "")
    note = "" if origin == "default" else f"  # {origin}"
    return f"{key_of(param)} = {toml_value(value)}{note}"


def toml_value(value: Any) -> str:
    """Return a value of an option in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(one) for one in value)}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _wrapped(text: str) -> list[str]:
    import textwrap

    return [f"# {line}" for line in textwrap.wrap(text, 88)]
