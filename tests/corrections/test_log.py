"""The file of corrections: what is on disk, and what a kill or another program does to it."""

from __future__ import annotations

import csv
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facetrack.corrections.correction import ABSENT, PERSON, START, Correction
from facetrack.corrections.log import COLUMNS, CorrectionLog, parse_corrections, read_corrections
from facetrack.errors import FacetrackError, OutputError

WHEN = "2026-01-31T09:30:00.123Z"
ROWS = [
    Correction(3, 0, 30, 101.5, 200.25, who="Ann", when=WHEN),
    Correction(3, 0, 8, -4, 0.125, True, who='=1+1, "B"', when=WHEN),
    Correction(7, 1, START, when=WHEN),
    Correction(7, 1, ABSENT, 9, when=WHEN),
    Correction(12, 2, PERSON, 0, who="Zoë", when=WHEN),
    Correction(3, 0, 30, undone=True, when=WHEN),
    Correction(3, 0, 30, reverted=True, when=WHEN),
]
HEADER = "frame,face,point,x,y,hidden,who,when\n"


def written(path: Path, rows: list[Correction] = ROWS) -> bytes:
    CorrectionLog(path).append(rows)
    return path.read_bytes()


# ---------------------------------------------------------------- rows


def test_rows_are_read_as_they_were_appended(tmp_path: Path) -> None:
    written(tmp_path / "c.csv")
    log = CorrectionLog(tmp_path / "c.csv")
    assert log.rows == ROWS
    assert log.warnings == []


def test_file_is_the_table_of_the_documentation(tmp_path: Path) -> None:
    assert written(tmp_path / "c.csv").decode() == HEADER + (
        f"3,0,30,101.5,200.25,0,Ann,{WHEN}\n"
        f'3,0,8,-4,0.125,1,"\'=1+1, ""B""",{WHEN}\n'
        f"7,1,start,,,,,{WHEN}\n"
        f"7,1,absent,9,,,,{WHEN}\n"
        f"12,2,person,0,,,Zoë,{WHEN}\n"
        f"3,0,30,,,undone,,{WHEN}\n"
        f"3,0,30,,,reverted,,{WHEN}\n"
    )


def test_rows_get_the_time_at_which_they_are_written(tmp_path: Path) -> None:
    (row,) = CorrectionLog(tmp_path / "c.csv").append([Correction(1, 0, 2, 3, 4)])
    assert len(row.when) == len(WHEN)
    assert row.when.endswith("Z")
    assert CorrectionLog(tmp_path / "c.csv").rows == [row]


def test_nothing_that_is_written_is_changed(tmp_path: Path) -> None:
    log, before = CorrectionLog(tmp_path / "c.csv"), b""
    for row in ROWS:
        log.append([row])
        now = (tmp_path / "c.csv").read_bytes()
        assert now.startswith(before)
        assert now != before
        before = now
    log.append([])
    assert (tmp_path / "c.csv").read_bytes() == before


numbers = st.integers(0, 10**9 - 1)
places = st.floats(-1e7, 1e7)
texts = st.text(max_size=30)
corrections = st.one_of(
    st.builds(Correction, numbers, numbers, numbers, places, places, st.booleans(), who=texts),
    st.builds(Correction, numbers, numbers, st.just(START), who=texts),
    st.builds(Correction, numbers, numbers, st.just(PERSON), st.integers(0, 10**7), who=texts),
    st.builds(Correction, st.integers(0, 99), numbers, st.just(ABSENT), st.integers(99, 10**7)),
    st.builds(Correction, numbers, numbers, numbers, undone=st.just(True), who=texts),
    st.builds(Correction, numbers, numbers, st.just(START), reverted=st.just(True), who=texts),
)


@settings(max_examples=60)
@given(st.lists(corrections, max_size=6))
def test_round_trip(rows: list[Correction]) -> None:
    """Of any rows, whoever wrote them."""
    with tempfile.TemporaryDirectory() as folder:
        log = CorrectionLog(Path(folder, "c.csv"))
        half = len(rows) // 2
        found = log.append(rows[:half]) + log.append(rows[half:])
        again = CorrectionLog(log.path)
    assert again.rows == log.rows == found
    assert again.warnings == []
    assert [replace(row, when="") for row in found] == rows


@pytest.mark.parametrize(
    ("who", "kept"),
    [
        (" Ann  B\n", "Ann B"),
        ("a\r\n9,9,9,9,9,0,x,y\x85b\u2028c", "a 9,9,9,9,9,0,x,y b c"),
        ("A\0\x1b[31m\udc80", "A[31m"),
        ("x" * 200_000, "x" * 200),
        ("0\r\x1b 0", "0 0"),
        ("x" * 199 + " y", "x" * 199),
        ("'=a", "'=a"),
    ],
)
def test_a_name_never_spans_lines_or_spoils_the_file(who: str, kept: str, tmp_path: Path) -> None:
    written(tmp_path / "c.csv", [Correction(1, 0, 2, 3, 4, who=who), ROWS[0]])
    assert [row.who for row in read_corrections(tmp_path / "c.csv").rows] == [kept, "Ann"]
    assert len((tmp_path / "c.csv").read_bytes().splitlines()) == 3


# ---------------------------------------------------------------- on disk


def test_taking_back_is_a_row_of_its_own(tmp_path: Path) -> None:
    log = CorrectionLog(tmp_path / "c.csv")
    log.append([ROWS[0]])
    log.append([ROWS[0].undo()])
    again = CorrectionLog(tmp_path / "c.csv")
    assert len(again.rows) == 2
    assert again.active() == log.active() == []


# ---------------------------------------------------------------- kills


@pytest.mark.parametrize("torn", [*ROWS[:2], ROWS[4]])
def test_a_torn_last_line_costs_no_other_row(torn: Correction, tmp_path: Path) -> None:
    """Wherever a kill tears it, and the next row begins a line of its own."""
    path = tmp_path / "c.csv"
    data = written(path, [*ROWS[2:4], torn])
    last = data.rindex(b"\n", 0, -1) + 1
    for end in range(last, len(data) + 1):
        path.write_bytes(data[:end])
        log = CorrectionLog(path)
        # The line end and letters of the time may lack, but nothing that counts.
        cells = next(csv.reader([data[last:end].decode(errors="replace")]), [])
        final = log.rows[len(ROWS[2:4]) :]
        assert log.rows == [*ROWS[2:4], *final]
        assert [replace(row, when=WHEN) for row in final] == [torn] * (len(cells) == len(COLUMNS))
        assert bool(log.warnings) == (0 < len(cells) < len(COLUMNS)), end
        log.append([ROWS[5]])
        content = read_corrections(path)
        assert content.rows == [*ROWS[2:4], *final, ROWS[5]]
        assert content.warnings == []
        assert path.read_bytes().startswith(data[:last])


def test_a_torn_header_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    for end in range(len(HEADER)):
        path.write_text(HEADER[:end])
        log = CorrectionLog(path)
        assert log.rows == []
        log.append([ROWS[0]])
        assert path.read_text().startswith(HEADER)
        assert read_corrections(path).rows == [ROWS[0]]


def test_rows_from_an_editor_without_a_last_line_end(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    text = HEADER + "3,0,30,101.5,200.25,,,\n\n4,0,30,1e2,2,1,Ann,today"
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    log = CorrectionLog(path)
    expected = [
        Correction(3, 0, 30, 101.5, 200.25),
        Correction(4, 0, 30, 100, 2, True, who="Ann", when="today"),
    ]
    assert log.rows == expected
    log.append([ROWS[1]])
    assert read_corrections(path).rows == [*expected, ROWS[1]]


@pytest.mark.parametrize("existing", [False, True])
def test_a_full_disk_leaves_the_file_as_it_was(
    existing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.csv"
    before = written(path, ROWS[:1]) if existing else b""
    log = CorrectionLog(path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match=r"c\.csv cannot be written: no space left"):
            log.append(ROWS[1:3])
    assert path.read_bytes() == before
    assert log.rows == ROWS[: len(before) and 1]
    log.append(ROWS[3:])
    assert read_corrections(path).rows == [*log.rows]
    assert log.rows[-len(ROWS[3:]) :] == ROWS[3:]


def test_two_programs_append_to_one_file(tmp_path: Path) -> None:
    one, two = (CorrectionLog(tmp_path / "c.csv") for _ in range(2))
    one.append(ROWS[:2])
    two.append(ROWS[2:3])
    one.append(ROWS[3:])
    assert one.rows == ROWS
    assert two.refresh()
    assert one.rows == two.rows == ROWS
    assert not one.refresh()


# ---------------------------------------------------------------- bad files


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("3,0,30,1", "it has 4 cells, not 8"),
        ("3,0,30,1,2,0,a,b,c", "it has 9 cells, not 8"),
        ("-3,0,30,1,2,0,,", "frame is a whole number from 0 on, not '-3'"),
        ("3.5,0,30,1,2,0,,", "frame is a whole number from 0 on, not '3.5'"),
        (",0,30,1,2,0,,", "frame is a whole number from 0 on, not ''"),
        ("\u0663,0,30,1,2,0,,", "frame is a whole number"),
        ("9999999999,0,30,1,2,0,,", "frame is a whole number"),
        ("3,zero,30,1,2,0,,", "face is a whole number from 0 on, not 'zero'"),
        ("3,0,nose,1,2,0,,", "point is a number, start, absent, person, not 'nose'"),
        ("3,0,-1,1,2,0,,", "not '-1'"),
        ("3,0,30,one,2,0,,", "x is a number, not 'one'"),
        ("3,0,30,1,nan,0,,", "y is no position: nan"),
        ("3,0,30,inf,2,0,,", "x is no position: inf"),
        ("3,0,30,1e8,2,0,,", "x is no position"),
        ("3,0,30,,2,0,,", "point 30 lacks x or y"),
        ("3,0,30,1,,,,", "point 30 lacks x or y"),
        ("3,0,30,1,2,yes,,", "hidden is 0, 1, undone or reverted, not 'yes'"),
        ("3,0,person,,,,,", "'person' needs the face_id of the person as x"),
        ("3,0,person,1.5,,,,", "x of 'person' is a whole number, not 1.5"),
        ("3,0,absent,2,,,,", "ends \\(x\\) before its frame"),
        ("3,0,absent,-2,,,,", "x of 'absent' is a whole number"),
    ],
)
def test_a_bad_cell_is_one_sentence_that_names_the_row(
    row: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "c.csv"
    text = f"{HEADER}3,0,29,1,2,0,,\n{row}\n3,0,31,1,2,0,,\n"
    path.write_text(text, encoding="utf-8")
    for read in (read_corrections, CorrectionLog):
        with pytest.raises(FacetrackError, match=message) as error:
            read(path)
        assert str(error.value).startswith(f"{path}, row 3: ")
        assert str(error.value).endswith(".")
        assert "\n" not in str(error.value)
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"frame,face_id,timestamp\n1,0,0\n", "not a file of corrections: its first row is not"),
        (b"frame,face_id", "not a file of corrections"),
        (b"\xff\xfe\n", "not a CSV file"),
        (HEADER.encode() + b'3,0,30,1,2,0,"' + b"x" * 200_000 + b'",\n', "not a CSV file"),
    ],
)
def test_another_file_is_refused_and_kept(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_bytes(data)
    with pytest.raises(FacetrackError, match=message):
        CorrectionLog(path)
    with pytest.raises(FacetrackError, match="There is no file"):
        read_corrections(tmp_path / "none.csv")
    with pytest.raises(FacetrackError, match="cannot be read"):
        read_corrections(tmp_path)
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    "values",
    [
        (-1, 0, 0, 1, 1),
        (0, -1, 0, 1, 1),
        (0, 0, -1, 1, 1),
        (10**9, 0, 0, 1, 1),
        (0, 0, 10**9, 1, 1),
    ],
)
def test_what_could_not_be_read_again_cannot_be_made(values: tuple[int, ...]) -> None:
    with pytest.raises(FacetrackError, match="from 0"):
        Correction(*values)


def test_an_empty_file_has_no_rows() -> None:
    assert parse_corrections(b"", "c.csv").rows == []
    assert parse_corrections(HEADER.encode(), "c.csv").rows == []
