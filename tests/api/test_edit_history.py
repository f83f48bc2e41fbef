"""What undo, redo and saving leave of a session's corrections, now and when it is opened again."""

from __future__ import annotations

from pathlib import Path

import pytest

from facetrack.api.editing import EditSession, PointEdit
from facetrack.corrections.correction import Correction
from facetrack.corrections.log import CorrectionLog


def place(session: EditSession, frame: int, x: float) -> None:
    session.correct(frame, 0, [PointEdit(30, x, 60)])


def test_a_change_and_its_undo_leave_nothing_to_save(record: Path) -> None:
    session = EditSession.open(record)
    place(session, 2, 60)
    place(session, 5, 61)
    session.save()
    session.restore(2, 0, [30])
    assert not session.is_saved
    session.undo()
    assert session.is_saved
    place(session, 5, 62)
    session.undo()
    session.undo()
    session.redo()
    assert session.is_saved
    assert EditSession.open(record).is_saved


def test_what_is_said_while_files_are_written_is_not_in_them(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = EditSession.open(record)
    place(session, 2, 60)
    session.save(lambda done, total: place(session, 9, 70))
    assert not session.is_saved
    again = EditSession.open(record)
    assert len(again.corrections) == 2
    assert not again.is_saved
    again.restore(9, 0, [30])
    assert again.is_saved


def test_undo_brings_back_what_was_said_before_a_face_was_renamed(record: Path) -> None:
    """The same number of a face means another person afterwards."""
    session = EditSession.open(record)
    place(session, 6, 60)
    session.rename(4, 0, session.new_face)
    before, tracks = session.corrections, session.tracks()
    place(session, 6, 90)
    session.undo()
    assert session.corrections == before
    session.restore(6, 0, [30])
    session.undo()
    assert session.corrections == before
    assert (session.tracks().corrected == tracks.corrected).all()


def test_undo_keeps_rows_of_another_program(record: Path) -> None:
    session = EditSession.open(record)
    place(session, 2, 60)
    CorrectionLog(session.corrections_path).append([Correction(5, 0, 3, 10, 10)])
    place(session, 3, 60)
    assert [c.frame for c in session.corrections] == [2, 5, 3]
    session.undo()
    assert [c.frame for c in session.corrections] == [2, 5]
    session.undo()
    assert [c.frame for c in session.corrections] == [5]
