"""Test that files under their final name are complete or unchanged."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest
from closed_folders import close

from facetrack.errors import FacetrackError
from facetrack.files import (
    ABANDONED_AFTER,
    atomic_path,
    check_output_folder,
    not_found,
    parse_json,
)


def test_file_appears_at_the_end(tmp_path: Path) -> None:
    final = tmp_path / "a.mp4"
    with atomic_path(final) as temporary:
        temporary.write_text("whole")
        assert not final.exists()
    assert final.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [final]


def test_temporary_name(tmp_path: Path) -> None:
    with atomic_path(tmp_path / ("n" * 250 + ".mp4")) as temporary:
        temporary.touch()
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".mp4"
        assert temporary.name.startswith(".")


def test_two_writers_do_not_collide(tmp_path: Path) -> None:
    final = tmp_path / "a.csv"
    with atomic_path(final) as first, atomic_path(final) as second:
        assert first != second
        first.touch()
        second.touch()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_exception_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    final = tmp_path / "a.csv"
    final.write_text("old")

    def write() -> None:
        with atomic_path(final) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert final.read_text() == "old"
    assert list(tmp_path.iterdir()) == [final]


def test_full_disk_is_reported_in_one_sentence(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "a.csv") as temporary:
            temporary.touch()
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(FacetrackError, match=r"a\.csv cannot be written: no space left on device"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_is_reported_in_one_sentence(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "no" / "a.csv") as temporary:
            temporary.write_text("x")

    with pytest.raises(FacetrackError, match="cannot be written: no such file or directory"):
        write()


def test_final_name_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()

    def write() -> None:
        with atomic_path(tmp_path / "a.csv") as temporary:
            temporary.write_text("x")

    with pytest.raises(FacetrackError, match=r"a\.csv cannot be written"):
        write()
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_error_about_another_file_is_not_converted(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "a.csv"):
            (tmp_path / "other").read_text()

    with pytest.raises(FileNotFoundError):
        write()


def test_folder_is_created(tmp_path: Path) -> None:
    folder = check_output_folder(tmp_path / "a" / "b")
    assert folder.is_dir()
    assert list(folder.iterdir()) == []


def test_folder_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(FacetrackError, match="is a file; choose another"):
        check_output_folder(tmp_path / "a")


def test_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(FacetrackError, match="cannot be written: not a directory"):
        check_output_folder(tmp_path / "a" / "b")


def test_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(FacetrackError, match="cannot be written: permission denied"):
        check_output_folder(tmp_path)


def test_only_files_of_killed_runs_are_deleted(tmp_path: Path) -> None:
    def create(name: str, age: float) -> Path:
        path = tmp_path / name
        path.write_text("half")
        os.utime(path, (time.time() - age,) * 2)
        return path

    with atomic_path(tmp_path / "a.mp4") as first, atomic_path(tmp_path / "a.mp4") as second:
        first.touch()
        second.touch()
        names = first.name, second.name
    abandoned = create(names[0], ABANDONED_AFTER + 60)
    kept = [
        create(names[1], ABANDONED_AFTER - 3600),
        create("notes.mp4", 10 * ABANDONED_AFTER),
        create(".facetrack-notes.mp4", 10 * ABANDONED_AFTER),
    ]
    (tmp_path / ".facetrack-0123456789ab").mkdir()
    check_output_folder(tmp_path)
    assert not abandoned.exists()
    assert all(path.exists() for path in kept)
    assert (tmp_path / ".facetrack-0123456789ab").is_dir()


@pytest.mark.parametrize("text", ["", "{", b"\xff", "[" * 200_000, '{"a":' * 100_000, "9" * 5000])
def test_json_that_cannot_be_read_is_one_kind_of_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (each has a message of its own)
        parse_json(text)


def test_json_is_read() -> None:
    assert parse_json('{"a": [1, null]}') == {"a": [1, None]}


def test_folder_below_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("nowhere")
    reason = "because .*a, in which it would be, is a link to what does not exist"
    with pytest.raises(FacetrackError, match=reason):
        check_output_folder(tmp_path / "a" / "b")


def test_what_is_missing_is_told_from_what_cannot_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed" / "inner").mkdir(parents=True)
    (tmp_path / "closed" / "a.csv").touch()
    missing = tmp_path / "a.csv"
    assert str(not_found(missing)) == f"There is no {missing}; check the path."
    assert str(not_found(missing, "points file")).startswith(f"There is no points file {missing};")
    assert "There is no" in str(not_found(tmp_path / "closed" / "a.csv" / "b.csv"))
    assert "There is no" in str(not_found("a\0.csv"))
    assert str(not_found(tmp_path / ("a" * 300))).endswith("cannot be reached: file name too long.")
    assert str(not_found(tmp_path / "closed")).endswith("closed is a folder; check the path.")
    os.mkfifo(tmp_path / "pipe")
    assert "neither a file nor a folder" in str(not_found(tmp_path / "pipe"))

    closed = close(tmp_path / "closed", monkeypatch)
    for name in ("a.csv", "none.csv", "inner/a.csv"):
        sentence = f"{closed / name} cannot be reached: you may not enter the folder {closed}."
        assert str(not_found(closed / name, "file")) == sentence
    monkeypatch.chdir(tmp_path)
    assert "the folder closed." in str(not_found("closed/inner/a.csv"))
    assert "There is no" in str(not_found(missing))
