"""`facetrack edit` on the command line; tests/editor has the page."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path

import pytest
import requests
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.editor import server


def edit(*arguments: object):
    return CliRunner().invoke(app, ["edit", *map(str, arguments)])


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_a_missing_library_is_named(record, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    result = edit(record)
    assert result.exit_code == 2
    assert result.output == f"facetrack: {server.INSTALL}\n"


def test_what_is_no_run_is_named(record, tmp_path):
    pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    for name in (tmp_path / "none.json", tmp_path / "none.mp4", Path(__file__)):
        result = edit(name)
        assert result.exit_code == 2
        assert result.output.startswith("facetrack: ")
        assert len(result.output.splitlines()) == 1
        assert name.name in result.output
    record.with_suffix(".corrections.csv").write_text("frame,face\n1,2\n")
    result = edit(record)
    assert result.exit_code == 2
    assert "is not a file of corrections" in result.output


def test_the_page_is_opened_with_an_address_that_works_once(record, monkeypatch):
    pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    opened = []
    titles = []

    def open_page(url: str) -> bool:
        opened.append(url)
        titles.append(requests.get(url, timeout=60).text)
        return True

    monkeypatch.setattr(webbrowser, "open", open_page)
    monkeypatch.setattr(server.EditServer, "wait", lambda self, should_end: None)
    # The models are not needed, and would be loaded in the background.
    monkeypatch.setattr("facetrack.api.edit_view.EditView.load_models", lambda self: None)
    result = edit(record, "--who", "me")
    assert result.exit_code == 0, result.output
    page, corrections, *_ = result.output.splitlines()
    assert page.startswith("page: http://127.0.0.1:")
    assert corrections == f"corrections: {record.with_suffix('.corrections.csv')}"
    (url,) = opened
    assert url not in page
    assert "<title>facetrack edit</title>" in titles[0]
    assert "There are no corrections." in result.output
