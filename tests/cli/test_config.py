"""Options from `--config` and pyproject.toml, and `--print-config`."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.cli.config import read_toml


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def options(*arguments: str) -> dict[str, object]:
    """Return the options in effect for a command line of `track`."""
    code, text, error = run("track", *arguments, "--print-config")
    assert code == 0, error
    Path("printed.toml").write_text(text)
    track: dict[str, object] = read_toml(Path("printed.toml"))["track"]
    return track


def test_the_command_line_overrides_the_file_which_overrides_the_project() -> None:
    Path("pyproject.toml").write_text(
        '[tool.facetrack]\ndevice = "cpu"\n[tool.facetrack.track]\nstride = 2\ntracker = "lk"\n'
        'init = "ert"\n'
    )
    Path("my.toml").write_text('[track]\ntracker = "per-frame"\nstride = 3\n')
    found = options("--config", "my.toml", "--stride", "4")
    assert (found["stride"], found["tracker"], found["init"]) == (4, "per-frame", "ert")
    assert found["device"] == "cpu"


def test_flags_lists_times_and_both_spellings() -> None:
    Path("my.toml").write_text(
        "no-overlay = true\nraw = true\n[track]\nquery_frame = 7\nstart = 00:01:30\n"
        'format = ["csv", "npz"]\nfaces = 2\ncausal = false\nutc = 2026-03-31T14:05:00Z\n'
    )
    found = options("--config", "my.toml")
    assert (found["overlay"], found["steady"], found["causal"]) == (False, False, False)
    assert (found["query-frame"], found["start"], found["faces"]) == ("7", "00:01:30", "2")
    assert (found["format"], found["utc"]) == (["csv", "npz"], "2026-03-31T14:05:00+00:00")


def test_what_is_printed_can_be_read_again() -> None:
    first = options("--tracker", "lk", "--format", "npz", "--out", 'a "b" ü', "--no-overlay")
    Path("printed.toml").rename("again.toml")
    assert options("--config", "again.toml") == first


def test_the_table_is_called_like_the_command_however_facetrack_was_started() -> None:
    arguments = ["weights", "fetch", "--print-config"]
    result = CliRunner().invoke(app, arguments, prog_name="python -m facetrack")
    assert result.stdout.splitlines()[0] == "[weights.fetch]"


def test_the_file_may_stand_before_the_command() -> None:
    Path("my.toml").write_text("[track]\nstride = 5\n")
    code, text, _ = run("--config", "my.toml", "track", "--print-config")
    assert code == 0
    assert "stride = 5  # my.toml" in text


def test_all_options_of_all_commands_are_printed_and_read() -> None:
    code, text, error = run("--print-config")
    assert code == 0, error
    Path("all.toml").write_text(text)
    tables = read_toml(Path("all.toml"))
    assert {"track", "detect", "compare", "weights", "train"} <= tables.keys()
    assert "learning-rate" in text
    assert options("--config", "all.toml") == options()


def test_a_command_and_an_option_may_have_the_same_name() -> None:
    Path("my.toml").write_text("report = true\n[track]\nstride = 2\n")
    assert options("--config", "my.toml")["report"] is True


def test_missing_arguments_are_not_needed_for_printing() -> None:
    assert run("report", "--print-config")[0] == 0
    code, _, error = run("report")
    assert code == 2
    assert "RUN" in error


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[track]\ntrackr = "lk"', "track.trackr is no option of facetrack track; did you mean"),
        ('[trakc]\ntracker = "lk"', "trakc is a table, but no command of facetrack; did you mean"),
        ("nonsense = 1", "nonsense is no option of facetrack."),
        ("[track]\nconfig = 'a.toml'", "track.config is no option"),
        ("[track]\noverlay = 'no'", "overlay must be true or false"),
        ("[track]\ntracker = true", "tracker must be one value, text or a number"),
        ("[track]\ntracker = ['lk']", "tracker must be one value"),
        ("[track.tracker]", "track.tracker is a table, but no command of facetrack track"),
        ("[track]\nformat = [1, {}]", "format must be a value or a list of values"),
        ("track = 1", "[track] must be a table"),
        ("[track", "is not a TOML file"),
        ("stride = 0", "'--stride'"),
        ("[train.tracker]\nstep = 1", "train.tracker.step is no option of facetrack train tracker"),
    ],
)
def test_a_wrong_file_is_one_sentence_with_its_name(text: str, sentence: str) -> None:
    Path("my.toml").write_text(text)
    code, output, error = run("track", "--config", "my.toml")
    assert (code, output) == (2, "")
    assert len(error.splitlines()) == 1
    assert error.startswith("facetrack: my.toml")
    assert sentence in error


@pytest.mark.parametrize("text", ["tool = 3", "[[tool]]\nx = 1", "[tool]\nfacetrack = 3"])
def test_a_project_whose_tools_are_no_table_is_one_sentence(text: str) -> None:
    Path("pyproject.toml").write_text(text)
    for options in ((), ("--config", "pyproject.toml")):
        code, _, error = run("track", "none.mp4", *options)
        assert code == 2
        assert len(error.splitlines()) == 1
        assert "must be a table" in error


def test_a_missing_file_is_one_sentence() -> None:
    assert run("track", "--config", "none.toml")[2].startswith("facetrack: none.toml cannot be")


def test_options_that_nobody_typed_are_named() -> None:
    Path("pyproject.toml").write_text('[tool.facetrack.track]\ntracker = "lk"\n')
    _, _, error = run("track", "none.mp4")
    assert error.splitlines()[0] == "facetrack: options of pyproject.toml: tracker"
    assert "pyproject" not in run("track", "none.mp4", "--tracker", "tapir")[2]
    assert "pyproject" not in run("track", "none.mp4", "--quiet")[2]


def test_other_projects_are_none_of_our_business() -> None:
    Path("pyproject.toml").write_text("[tool.ruff]\nline-length = 100\n")
    assert "options of" not in run("track", "none.mp4")[2]
