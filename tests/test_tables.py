"""Test that text in tables is never a formula, and is read as it was written."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import facetrack
from facetrack.tables import TableWriter, escape_cell, read_rows, unescape_cell

FORMULAS = "=+-@\t\r\n"


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1+1",
        "-1+1",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        "\uff1d1+1",
        "-.mp4",
        '=HYPERLINK("http://x","y")',
        "-1-cmd|' /C calc'!A0",
    ],
)
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    assert escape_cell(text) == "'" + text


@pytest.mark.parametrize(
    "text", ["", "a.mp4", "-1", "+1.5", "-1e-5", "-.5", "0", "'", "'a", "a=b", "é=1", "1-2"]
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert escape_cell(text) == text


@given(st.one_of(st.text(), st.text(alphabet="'=+-@\t\r\n1.e")))
def test_text_is_read_as_it_was_written(text: str) -> None:
    escaped = escape_cell(text)
    assert unescape_cell(escaped) == text
    assert escaped == text or escaped[0] not in FORMULAS


def test_a_table_is_read_as_it_was_written() -> None:
    file = io.StringIO(newline="")
    rows: list[list[str | float]] = [["video", "n"], ["=a,b\n", -1.5], ["'=c", "-2"], ["d", 3]]
    writer = TableWriter(file)
    for row in rows:
        writer.writerow(row)
    file.seek(0)
    assert list(csv.reader(file))[1:] == [["'=a,b\n", "-1.5"], ["''=c", "-2"], ["d", "3"]]
    file.seek(0)
    assert list(read_rows(file)) == [[str(cell) for cell in row] for row in rows]


def test_all_tables_are_written_by_this_module() -> None:
    package = Path(facetrack.__file__).parent
    found = [p.name for p in package.rglob("*.py") if "csv.writer(" in p.read_text("utf-8")]
    assert found == ["tables.py"]
