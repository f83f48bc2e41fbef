"""Names that no file can have, and those of nothing, wherever a command takes a name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import clips
import pytest
from sample_comparison import save, tracks
from still_images import save as save_image
from typer.testing import CliRunner

from facetrack.cli import app

NAMES = [
    "track {}",
    "track --manifest {}",
    "track clip.mp4 --init points --points {}",
    "track clip.mp4 --corrections {}",
    "track clip.mp4 --detector-weights {}",
    "track clip.mp4 --tracker-weights {}",
    "track clip.mp4 --face-detector mtcnn={}",
    "track clip.mp4 --config {}",
    "track clip.mp4 --out {}",
    "detect {}",
    "detect a.png --out {}",
    "detect a.png --face-detector mtcnn={}",
    "compare {}",
    "compare clip.mp4 --ground-truth {}",
    "compare clip.mp4 --out {}",
    "compare clip.mp4 --face-detector mtcnn={}",
    "measure {}",
    "measure run.csv --groups {} --table t.csv",
    "measure run.csv --table {}",
    "measure run.csv --out {}",
    "export webvtt {}",
    "export webvtt run.csv --out {}",
    "export faces run.csv --out {}",
    "report {}",
    "report run.csv --video {}",
    "edit {}",
    "edit run.csv --video {}",
    "evaluate {} run.csv",
    "evaluate run.csv {}",
    "bench {} --trackers lk",
    "bench clip.mp4 --trackers lk --compare-checkpoint {}",
]
"""Commands with a place for the name of a file or folder."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a video, its run and a picture."""
    folder = tmp_path_factory.mktemp("files")
    save(folder, "run", clips.write_clip(folder / "clip.mp4", 5), tracks(frames=5))
    save_image(folder / "a.png")
    return folder


@pytest.fixture(autouse=True)
def _here(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["x" * 300, "", "clip.mp4/sub"], ids=["long", "empty", "below"])
@pytest.mark.parametrize("line", NAMES)
def test_a_name_of_nothing_is_said_in_a_sentence(line: str, name: str) -> None:
    before = sorted(os.listdir())
    result = CliRunner().invoke(app, [word.replace("{}", name) for word in line.split()])
    assert result.exit_code == 2, result.output
    assert result.stderr.splitlines()[-1].startswith("facetrack: ")
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    "stem", ["e\x1b[2J\x1b]0;owned\x07", "caf\udce9"], ids=["steers", "latin-1"]
)
@pytest.mark.parametrize(
    "line",
    [
        "track {}.mkv --init points --points {}.pts --tracker lk --no-overlay --out {}.out",
        "track {}.mkv clip.mp4 --init points --points {}.pts --tracker lk --no-overlay --out {}",
        "track {}.none",
        "track {}.mkv --{}",
        "detect {}.none",
        "pose {}.none",
        "measure {}.csv --table {}.table.csv",
        "measure {}.none",
        "export webvtt {}.csv",
        "export faces {}.none --out {}.faces",
        "report {}.csv --out {}.html",
        "compare {}.none",
        "evaluate {}.none {}.none",
        "bench {}.none",
    ],
)
def test_names_do_not_steer_the_terminal(line: str, stem: str) -> None:
    for path in Path().glob("run*"):
        path.rename(path.name.replace("run", stem, 1))
    shutil.copy("clip.mp4", f"{stem}.mkv")
    Path(f"{stem}.pts").write_text(
        "version: 1\nn_points: 2\n{\n9 9\n99 9\n}\n"  # one is outside, which is a warning
    )
    result = CliRunner().invoke(app, [word.replace("{}", stem) for word in line.split()])
    assert result.exit_code == (2 if "none" in line or line.endswith("--{}") else 0), result.output
    shown = ascii(stem)[1:-1]
    assert shown in result.output
    assert not {"\x1b", "\x07", "\udce9"} & set(result.output)


@pytest.mark.parametrize("key", ["points", "corrections", "manifest", "out", "detector-weights"])
def test_a_nul_character_in_a_file_of_options_is_said(key: str) -> None:
    Path("odd.toml").write_text(f'[track]\n{key} = "a\\u0000b"')
    result = CliRunner().invoke(app, ["track", "clip.mp4", "--config", "odd.toml"])
    assert result.exit_code == 2
    assert f"odd.toml: Invalid value for '--{key}'" in result.stderr
    assert "a NUL character is in it" in result.stderr
