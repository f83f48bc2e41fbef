"""All files of a run are replaced, or none."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from facetrack.api import staging
from facetrack.api.staging import clear_stale, publish, reserved, staged, staging_place
from facetrack.errors import FacetrackError
from facetrack.files import ABANDONED_AFTER, atomic_path

NAMES = ["a.csv", "a.overlay.mp4", "a_pts", "a.json"]


class Killed(BaseException):
    """Stands for the end of a process: nothing after it runs."""


def write(folder: Path, text: str) -> None:
    for name in NAMES:
        if name == "a_pts":
            (folder / name).mkdir()
            (folder / name / "a_000000.pts").write_text(text)
        else:
            (folder / name).write_text(text)


def contents(folder: Path) -> dict[str, str]:
    """Text of each file that is not hidden."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    names = {p: p.relative_to(folder) for p in files}
    return {str(n): p.read_text() for p, n in names.items() if not str(n).startswith(".")}


def finals(folder: Path) -> list[Path]:
    return [folder / name for name in NAMES]


@pytest.fixture
def former(tmp_path: Path) -> dict[str, str]:
    write(tmp_path, "old")
    return contents(tmp_path)


def replace_all(folder: Path) -> None:
    with staged(folder) as place:
        write(place, "new")
        publish(place, finals(folder))


def test_all_files_are_replaced_and_nothing_else_stays(
    tmp_path: Path, former: dict[str, str]
) -> None:
    replace_all(tmp_path)
    assert contents(tmp_path) == dict.fromkeys(former, "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(NAMES)


def fail_at(
    monkeypatch: pytest.MonkeyPatch, name: str, step: int, error: BaseException
) -> list[str]:
    """Let the call of os.replace, os.rename or os.link with this number fail."""
    calls: list[str] = []
    real = {each: getattr(os, each) for each in ("replace", "rename", "link")}

    def call(each: str):  # type: ignore[no-untyped-def]
        def run(source: object, target: object, *args: object, **kwargs: object) -> None:
            if name == each:
                calls.append(str(target))
                if len(calls) == step:
                    raise error
                if len(calls) > step and isinstance(error, Killed):
                    raise error
            elif calls and len(calls) >= step and isinstance(error, Killed):
                raise error
            real[each](source, target, *args, **kwargs)

        return run

    for each in real:
        monkeypatch.setattr(os, each, call(each))
    return calls


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()],
    ids=["full disk", "interrupt"],
)
def test_a_step_that_fails_changes_nothing(
    step: int,
    error: BaseException,
    tmp_path: Path,
    former: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The first os.replace gives the journal its name, the others the files.
    calls = fail_at(monkeypatch, "replace", step, error)
    expected = FacetrackError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        replace_all(tmp_path)
    assert len(calls) == step
    assert contents(tmp_path) == former
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(NAMES)


def test_a_failure_without_former_files_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at(monkeypatch, "replace", 4, OSError(errno.EIO, "Input/output error"))
    with pytest.raises(FacetrackError, match=r"a_pts cannot be written: input/output error\.$"):
        replace_all(tmp_path / "new" / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", [2, 3, 4, 5])
@pytest.mark.parametrize("is_new", [False, True], ids=["former files", "no former files"])
def test_a_kill_between_two_steps_is_undone_by_the_next_run(
    step: int, is_new: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_new:
        write(tmp_path, "old")
    before = contents(tmp_path)
    place = staging_place(tmp_path)
    with reserved(place):
        write(place, "new")
        with monkeypatch.context() as patch:
            fail_at(patch, "replace", step, Killed())
            patch.setattr(staging, "roll_back", lambda place: False)
            with pytest.raises(Killed):
                publish(place, finals(tmp_path))
        # No record: the results count as incomplete.
        assert not (tmp_path / "a.json").exists()
        clear_stale(tmp_path)
        assert place.exists()  # its process is still alive
    clear_stale(tmp_path)
    assert contents(tmp_path) == before
    assert not place.exists()


def test_a_kill_after_the_last_step_keeps_the_new_files(
    tmp_path: Path, former: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = staging_place(tmp_path)
    with reserved(place):
        write(place, "new")
        real = Path.unlink

        def killed(path: Path, missing_ok: bool = False) -> None:
            if path.name == staging.JOURNAL:
                raise Killed
            real(path, missing_ok)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", killed)
            with pytest.raises(Killed):
                publish(place, finals(tmp_path))
    clear_stale(tmp_path)
    assert contents(tmp_path) == dict.fromkeys(former, "new")
    assert not place.exists()


def test_a_file_of_the_user_s_that_came_meanwhile_stays(
    tmp_path: Path, former: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = staging_place(tmp_path)
    with reserved(place):
        write(place, "new")
        with monkeypatch.context() as patch:
            fail_at(patch, "replace", 4, Killed())
            patch.setattr(staging, "roll_back", lambda place: False)
            with pytest.raises(Killed):
                publish(place, finals(tmp_path))
    (tmp_path / "mine").write_text("mine")
    os.replace(tmp_path / "mine", tmp_path / "a.csv")
    clear_stale(tmp_path)
    assert contents(tmp_path)["a.csv"] == "mine"


def test_without_second_names_former_files_come_back_too(
    tmp_path: Path, former: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    fail_at(monkeypatch, "replace", 3, OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(FacetrackError, match="no space left"):
        replace_all(tmp_path)
    assert contents(tmp_path) == former


@pytest.mark.parametrize("name", NAMES)
def test_an_immutable_file_keeps_all_files(
    name: str, tmp_path: Path, former: dict[str, str]
) -> None:
    def chattr(flag: str) -> bool:
        command = ["chattr", flag, str(tmp_path / name)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    if shutil.which("chattr") is None or not chattr("+i"):
        pytest.skip("chattr +i needs root and a file system that supports it")
    try:
        with pytest.raises(FacetrackError, match=rf"{name} cannot be written: .*not permitted"):
            replace_all(tmp_path)
        assert contents(tmp_path) == former
    finally:
        chattr("-i")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(NAMES)


def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(FacetrackError, match=r"a\.csv cannot be written: is a directory"):
        replace_all(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_errors_name_the_final_file(tmp_path: Path) -> None:
    with pytest.raises(FacetrackError) as caught, staged(tmp_path / "out") as place:
        raise FacetrackError(f"{place / 'a.csv'} cannot be written: no reason.")
    assert str(caught.value) == f"{tmp_path}/out/a.csv cannot be written: no reason."
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_a_folder_that_the_next_run_deletes(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from facetrack.api.staging import staged\n"
        "with staged(Path(sys.argv[1])) as place:\n"
        "    (place / 'half').touch()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == -9
    (left,) = tmp_path.iterdir()
    assert (left / "half").exists()
    with staged(tmp_path) as place:
        assert list(tmp_path.iterdir()) == [place]
    assert list(tmp_path.iterdir()) == []


def test_a_staging_folder_without_a_lock_is_deleted_when_it_is_old(tmp_path: Path) -> None:
    names = (".facetrack-0123456789ab", ".facetrack-bbbbbbbbbbbb", ".facetrack-mine")
    new, old, named = (tmp_path / name for name in names)
    for place in (new, old, named):
        place.mkdir()
        (place / "half").touch()
    for place in (old, named):
        past = place.stat().st_mtime - ABANDONED_AFTER - 60
        os.utime(place, (past, past))
    clear_stale(tmp_path)
    assert (new.exists(), old.exists(), named.exists()) == (True, False, True)


@pytest.mark.parametrize(
    "journal", ['{"../a.csv": 1, "a.json": 2}', '{"a.csv": "x"}', "[1]", "{", "[" * 100_000]
)
def test_a_forged_journal_moves_nothing(journal: str, tmp_path: Path) -> None:
    write(tmp_path, "old")
    before = contents(tmp_path)
    place = tmp_path / ".facetrack-0123456789ab"
    (place / staging.FORMER).mkdir(parents=True)
    (place / staging.FORMER / "a.csv").write_text("forged")
    (place / staging.JOURNAL).write_text(journal)
    (place / staging.LOCK).touch()
    clear_stale(tmp_path)
    assert contents(tmp_path) == before


def test_where_locks_do_not_work_nothing_new_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with staged(tmp_path) as first, staged(tmp_path) as second:
        assert first.exists()
        assert second.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if (
        shutil.which("mount") is None
        or subprocess.run(command, capture_output=True, check=False).returncode
    ):
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=False)


def test_a_full_disk_keeps_all_files(small_disk: Path) -> None:
    write(small_disk, "old")
    before = contents(small_disk)

    def fill() -> None:
        with staged(small_disk) as place:
            write(place, "new")
            with atomic_path(place / "a.json") as temporary:
                temporary.write_bytes(b"x" * 2**21)
            publish(place, finals(small_disk))

    with pytest.raises(FacetrackError, match=r"disk/a\.json cannot be written: no space left"):
        fill()
    assert contents(small_disk) == before
    assert sorted(p.name for p in small_disk.iterdir()) == sorted(NAMES)
