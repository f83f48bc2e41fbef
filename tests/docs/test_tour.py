"""The cells of docs/tour.md run in order, and print what the page says."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import inspect
import io
import re
import shutil
from pathlib import Path
from typing import Any

import program
import pytest

_CELL = re.compile(
    r"^<!-- cell -->\n```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<said>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
_LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def run_cell(code: str, names: dict[str, Any]) -> str:
    """Run a cell as a notebook does, and return what it prints: the last expression, too."""
    tree = ast.parse(code)
    last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(compile(tree, "cell", "exec"), names)
        if last is not None:
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            value = eval(compile(last, "cell", "eval", flags), names)
            if inspect.iscoroutine(value):
                value = asyncio.run(value)
            if value is not None:
                print(repr(value))
    return said.getvalue()


def test_the_tour_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    shutil.copytree(program.ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    page = (program.ROOT / "docs/tour.md").read_text(encoding="utf-8")
    cells = list(_CELL.finditer(page))
    assert len(cells) == page.count("```python") > 10
    names: dict[str, Any] = {"__name__": "tour"}
    for cell in cells:
        said = run_cell(cell["code"], names)
        wanted = cell["said"] or ""
        assert doctest.OutputChecker().check_output(wanted, said, _LIKE), f"{cell['code']}\n{said}"
