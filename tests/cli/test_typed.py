"""What new users type: mistakes are answered with what was probably meant, or with nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from facetrack.cli import app, synonyms
from facetrack.cli.command import option_names
from facetrack.cli.environment import VARIABLES


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"no video")


def error_of(line: str) -> str:
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith("facetrack: ")
    return sentence


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("trak clip.mp4", "did you mean track?"),
        ("compar clip.mp4", "did you mean compare?"),
        ("help", "did you mean facetrack --help?"),
        ("version", "did you mean facetrack --version?"),
        ("weights fech", "did you mean fetch?"),
        ("track clip.mp4 --trackr lk", "did you mean --tracker?"),
        ("track clip.mp4 --gpu", "did you mean --device cuda?"),
        ("track clip.mp4 --outdir x", "did you mean --out?"),
        ("track clip.mp4 -f csv", "did you mean --format?"),
        ("track clip.mp4 --max_faces 2", "did you mean --faces?"),
        ("track clip.mp4 --tracker taipr", "did you mean tapir?"),
        ("track clip.mp4 --tracker klt", "did you mean lk?"),
        ("track clip.mp4 --init dlib", "did you mean ert?"),
        ("track clip.mp4 --face-detector dlib", "did you mean hog?"),
        ("track clip.mp4 --format xlsx", "did you mean csv?"),
        ("track clip.mp4 --device gpu", "did you mean cuda?"),
        ("-v", "did you mean -V?"),
    ],
)
def test_a_mistake_near_in_meaning_gets_a_hint(line: str, hint: str) -> None:
    assert hint in error_of(line)


@pytest.mark.parametrize(
    "line",
    [
        "clip",
        "frobnicate",
        "track clip.mp4 --frobnicate",
        "track clip.mp4 --tracker mediapipe",
        "track clip.mp4 --init openpose",
        "track clip.mp4 --format wav",
    ],
)
def test_a_mistake_far_from_everything_gets_none(line: str) -> None:
    assert "did you mean" not in error_of(line)


def number_options(command: Any, path: str = "") -> list[str]:
    """Return the beginning of a line for each option that takes a number with decimals."""
    if hasattr(command, "commands"):
        inner = command.commands.items()
        return [line for name, one in inner for line in number_options(one, f"{path}{name} ")]
    return [path + param.opts[0] for param in command.params if param.bare_type() == "float"]


@pytest.mark.parametrize("option", number_options(get_command(app)))
def test_numbers_are_finite(option: str) -> None:
    for number in ("nan", "inf", "-inf"):
        assert f"Invalid value for '{option.split()[-1]}'" in error_of(f"{option} {number}")


def test_an_input_without_its_command_is_told_the_commands() -> None:
    assert "choose movement, blender, " in error_of("export clip.mp4")
    assert "or path." in error_of("weights tapir-s")


@pytest.mark.parametrize("name", ["result.csv", "a/b.mp4", "x.JSON"])
@pytest.mark.parametrize("command", ["track clip.mp4", "detect a.png", "compare clip.mp4"])
def test_a_file_is_not_an_output_folder(command: str, name: str) -> None:
    error = error_of(f"{command} --out {name}")
    assert f"--out is a folder, and {name} looks like a file" in error
    assert f"--out {name}/ for a folder of that name" in error
    assert not Path(name).exists()


@pytest.mark.parametrize(
    "line",
    [
        "track clip.mp4 --out results.v2",
        "track clip.mp4 --out runs.csv",  # a folder that exists
        "track clip.mp4 --out link.csv",  # a link to it
        "track clip.mp4 --out new.csv/",
        "track clip.mp4 --out results/clip.mp4",  # named after the video
        "track clip.mp4 --out results/CLIP.MP4",
        "track clip.mp4 other.mp4 --out day.mp4",  # several videos have no single overlay
        "track --manifest list.txt --out day.mp4",
        "compare clip.mp4 --out compared/clip.mp4",
        "detect a.png --out found/a.png",
    ],
)
def test_a_folder_may_be_called_like_a_file_where_that_is_meant(line: str) -> None:
    Path("runs.csv").mkdir()
    Path("link.csv").symlink_to("runs.csv")
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == 2, result.output  # there is no such video
    assert "--out" not in result.stderr
    assert re.search(r"clip.mp4 is not|a.png|list.txt", result.stderr)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("track clip.mp4 --out clip.mp4", "clip.mp4 is the input itself"),
        ("compare clip.mp4 --out ./clip.mp4", "clip.mp4 is the input itself"),
        ("track clip.mp4 --out hard.link", "hard.link is the input itself"),
        ("track clip.mp4 --out notes", "notes is a file"),
        ("detect a.png --out dangling", "dangling is a link to what does not exist"),
        ("track clip.mp4 other.mp4 --out all.csv", "all.csv looks like a file"),
    ],
)
def test_what_is_no_folder_is_said_to_be_none(line: str, reason: str) -> None:
    Path("notes").write_text("mine")
    Path("dangling").symlink_to("nowhere")
    Path("hard.link").hardlink_to("clip.mp4")
    assert f"--out is a folder, and {reason}" in error_of(line)
    assert Path("clip.mp4").read_bytes() == b"no video"
    assert not Path("nowhere").exists()


@pytest.mark.parametrize("command", ["track clip.mp4", "detect a.png", "compare clip.mp4"])
def test_an_empty_output_folder_is_not_this_one(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--out", ""])
    assert result.exit_code == 2
    assert result.stderr.startswith("facetrack: --out is empty: name a folder")


@pytest.mark.parametrize("page", ["https://www.youtube.com/watch?v=1", "youtu.be/1"])
def test_a_page_of_a_video_site_is_said_to_be_one(page: str) -> None:
    assert "download the video first" in error_of(page)


def test_a_number_alone_is_a_camera() -> None:
    assert "camera" in error_of("93")


def test_options_may_stand_before_the_input() -> None:
    assert "clip.mp4 is not a video" in error_of("--tracker lk clip.mp4")


def test_every_synonym_leads_to_something() -> None:
    import typer

    group = typer.main.get_command(app)
    options = {name for command in group.commands.values() for name in option_names(command)}
    options |= {"--version"}
    for meant in synonyms.OPTIONS.values():
        assert meant.split(" ")[0].rstrip(",") in options, meant
    for meant in synonyms.COMMANDS.values():
        word = meant.split(" ")[0]
        assert word in group.commands or word in [*option_names(group), "--help"]
    assert not synonyms.COMMANDS.keys() & group.commands.keys()


def test_the_environment_is_listed_without_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACETRACK_WEIGHTS_URL", "https://me:secret@example.com/w?token=abc")
    result = CliRunner().invoke(app, ["--env"])
    assert result.exit_code == 0
    assert all(name in result.output for name in VARIABLES)
    assert "example.com" in result.output
    assert "secret" not in result.output
    assert "abc" not in result.output
