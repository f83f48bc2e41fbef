"""`facetrack report` as a user types it."""

from __future__ import annotations

import clips
import pytest
import typer
from sample_comparison import FRAMES, comparison_of, save, tracks
from typer.testing import CliRunner

from facetrack.cli.entry import friendly
from facetrack.cli.report import report

app = typer.Typer()
app.command()(friendly(report))


def _run(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture
def run(tmp_path):
    video = clips.write_clip(tmp_path / "clip.mp4", FRAMES)
    return save(tmp_path / "out", "clip", video, tracks())


def test_a_run_gets_its_page_beside_it(run):
    result = _run(run)
    assert result.exit_code == 0, result.output
    path = run.parent / "clip.report.html"
    assert result.stdout == f"report: {path}\n"
    assert "ert + lk" in path.read_text(encoding="utf-8")


def test_a_folder_gets_its_page_inside(tmp_path):
    from facetrack.comparison import storage

    video = clips.write_clip(tmp_path / "clip.mp4", FRAMES)
    folder = tmp_path / "out"
    folder.mkdir()
    storage.write(comparison_of(video), folder)
    assert _run(folder, "--quiet").stdout == ""
    assert "fan + lk" in (folder / "report.html").read_text(encoding="utf-8")


def test_the_page_goes_where_it_is_wanted(run, tmp_path):
    assert _run(run, "--out", tmp_path / "new" / "a page.html").exit_code == 0
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a page.html"]


def test_a_lost_video_is_a_warning_and_naming_it_helps(run, tmp_path):
    moved = (tmp_path / "clip.mp4").rename(tmp_path / "moved.mp4")
    lost = _run(run)
    assert lost.exit_code == 0
    assert "facetrack: warning: The report shows no pictures" in lost.stderr
    assert _run(run, "--video", moved).stderr == ""


def test_an_input_is_never_replaced(run):
    result = _run(run, "--out", run)
    assert result.exit_code == 2
    assert "is an input" in result.stderr
    assert run.read_text().startswith("frame,")


def test_bad_input_is_said_in_one_sentence(tmp_path):
    result = _run(tmp_path / "none.csv")
    assert result.exit_code == 2
    assert result.stderr.startswith("facetrack: There is no ")
    assert result.stderr.count("\n") == 1
