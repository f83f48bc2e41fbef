"""Help pages: no name is cut, all choices are listed, the first page is short."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from facetrack import detectors, face_detectors
from facetrack.cli import app, choices
from facetrack.cli.command import BAD_USAGE
from facetrack.formats.base import FORMATS
from facetrack.images.poses import METHODS as POSE_METHODS
from facetrack.images.writer import FORMATS as IMAGE_FORMATS
from facetrack.landmarks import schemes
from facetrack.runtime.device import PRECISIONS
from facetrack.trackers import factory


def commands(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in node.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = list(commands(typer.main.get_command(app)))


def page(*arguments: str, width: int = 80) -> str:
    result = CliRunner().invoke(app, list(arguments), terminal_width=width)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("group", [(), ("export",), ("train",), ("weights",)], ids=str)
def test_a_group_alone_says_what_it_can_do(group: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, list(group))
    assert result.exit_code == BAD_USAGE
    assert result.stderr.rstrip() == page(*group, "--help").rstrip()
    for name in [path[len(group)] for path, _ in COMMANDS if path[: len(group)] == group]:
        assert name in result.stderr


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("width", [80, 50])
def test_no_name_is_cut(path: tuple[str, ...], command: Any, width: int) -> None:
    text = page(*path, "--help-all", width=width)
    assert "…" not in text
    assert max(len(line) for line in text.splitlines()) <= width
    words = text.replace(",", " ").split()
    for param in command.params:
        if param.param_type_name == "option" and not param.hidden:
            assert {*param.opts, *param.secondary_opts} <= set(words)


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("run", set()),
        ("runs", set()),
        ("overwrite", {("track",)}),
        ("quiet", set()),
        ("video", {("track",), ("compare",), ("bench",)}),
    ],
)
def test_what_several_commands_have_is_said_in_the_same_words(
    name: str, others: set[tuple[str, ...]]
) -> None:
    said = {
        (*param.opts, param.help) if param.param_type_name == "option" else param.help
        for path, command in COMMANDS
        for param in command.params
        if param.name == name and path not in others
    }
    assert len(said) == 1


def test_all_commands_that_read_runs_say_so_in_the_same_words() -> None:
    inputs = {path: command.params[0] for path, command in COMMANDS}
    names = [("measure",), ("report",), ("edit",), *(p for p in inputs if p[0] == "export")]
    assert len(names) == 13
    assert {inputs[path].metavar for path in names} == {"RUN"}
    assert len({inputs[path].help for path in names}) == 1


def test_choices_are_those_of_the_registries() -> None:
    assert list(choices.LANDMARK_DETECTORS) == detectors.available()
    assert list(choices.FACE_DETECTORS) == face_detectors.available()
    assert list(choices.TRACKERS) == factory.available()
    assert list(choices.FORMATS) == list(FORMATS)
    assert choices.IMAGE_FORMATS == IMAGE_FORMATS
    assert choices.POSE_METHODS == POSE_METHODS
    assert schemes.names() == choices.SCHEMES
    assert choices.PRECISIONS == PRECISIONS


@pytest.mark.parametrize("command", ["track", "detect", "pose", "compare", "bench"])
def test_help_lists_every_choice(command: str) -> None:
    text = page(command, "--help-all")
    assert all(name in text for name in choices.LANDMARK_DETECTORS)
    if command not in ("detect", "pose"):
        assert all(name in text for name in choices.TRACKERS), text
    if command == "track":
        assert "or points to give your own points" in " ".join(text.split())
        assert all(name in text for name in (*choices.FORMATS, *choices.FACE_DETECTORS))


def test_the_first_page_is_short_and_says_where_the_rest_is() -> None:
    short, long = page("track", "--help"), page("track", "--help-all")
    assert len(short.splitlines()) < 60 < len(long.splitlines())
    assert "--help-all lists all options" in short
    assert "--stall-timeout" in long
    assert "--stall-timeout" not in short
    for name in ("--init", "--tracker", "--out", "--format", "--device"):
        assert name in short


def test_no_name_in_a_text_is_broken_at_a_hyphen() -> None:
    for width in range(50, 80):
        assert not [
            line
            for line in page("track", "--help-all", width=width).splitlines()
            if line.endswith("-") and not line.endswith(" -")
        ]


def test_values_are_completed() -> None:
    assert choices.completing(choices.TRACKERS)("p") == ["per-frame"]
