"""Replace the files of a run together: all of them, or none.

A run writes into a hidden folder beside its final names, its staging folder. `publish` then gives
all files their final names. Before the first change it writes a journal, and keeps the former files
in the staging folder. If a step fails, the former files return. If the process is killed between
two steps, there is no record, so the results count as incomplete, and the next run into the folder
brings the former files back (`clear_stale`).

A staging folder holds, beside the new files:

- `.lock`: locked by the process that uses the folder. A killed process holds no lock.
- `.journal`: while files are replaced, their names, the record last, and the identity of each new
  file.
- `.former`: the replaced files.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from facetrack.errors import FacetrackError, OutputError
from facetrack.files import (
    ABANDONED_AFTER,
    atomic_path,
    check_output_folder,
    parse_json,
    reason_of,
    removing_new_folders,
    sync_folder,
)
from facetrack.runtime.interrupts import defer_interrupts
from facetrack.runtime.locks import LOCK, acquire

JOURNAL, FORMER = ".journal", ".former"
_NAME = re.compile(r"\.facetrack-[0-9a-f]{12}")
_DISCARD_ATTEMPTS = 3
"""How often to try: a process that was just ended may still create a file meanwhile."""


def staging_place(folder: Path) -> Path:
    """Return a new unique name for a staging folder in `folder`."""
    return folder / f".facetrack-{secrets.token_hex(6)}"


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yield a staging folder in `folder`, which is deleted at the end.

    `folder` is created if needed. After an exception it is deleted again if it is empty and was
    created here. A signal interrupts the work in the context, but not its set-up and clean-up.
    Errors name the final files instead of those in the staging folder.

    Raises:
        FacetrackError: the folder cannot be written.
    """
    place = staging_place(folder)
    with removing_new_folders(folder), defer_interrupts() as interruptions:
        try:
            check_output_folder(folder)
            clear_stale(folder)
            with reserved(place):
                try:
                    with interruptions.lifted():
                        yield place
                except FacetrackError as error:
                    error.args = (str(error).replace(f"{place}{os.sep}", f"{folder}{os.sep}"),)
                    raise
                finally:
                    discard(place)
        finally:
            discard(place)  # again for systems that cannot delete a file that is open


@contextlib.contextmanager
def reserved(place: Path) -> Iterator[None]:
    """Create a staging folder and hold its lock, by which other runs see that it is in use.

    Raises:
        FacetrackError: the folder cannot be created.
    """
    try:
        # With its parents: another run may just have deleted the folder that it had created.
        place.mkdir(parents=True)
        lock = _create_lock(place)
    except OSError as error:
        raise OutputError(f"{place.parent} cannot be written: {reason_of(error)}.") from error
    with lock:
        yield


def discard(place: Path) -> None:
    """Delete a staging folder; errors are ignored. One that holds former files is kept."""
    for _ in range(_DISCARD_ATTEMPTS):
        with contextlib.suppress(OSError):
            if place.exists() and not (place / JOURNAL).exists():
                shutil.rmtree(place)
            return


def clear_stale(folder: Path) -> None:
    """Delete the staging folders of killed runs; a replacement that one had begun is undone.

    A staging folder is stale if it has a lock that nobody holds. Without a lock, it is stale if it
    has not changed for ABANDONED_AFTER seconds.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        places = [Path(entry.path) for entry in entries if _NAME.fullmatch(entry.name)]
        for place in places:
            with contextlib.suppress(OSError), _stale(place) as is_stale:
                if is_stale and roll_back(place):
                    discard(place)


def new_names(place: Path) -> list[str]:
    """Return the names of the new files in a staging folder, sorted."""
    own = (LOCK, f"{LOCK}.new", JOURNAL, FORMER)
    return sorted(name for name in os.listdir(place) if name not in own)


# ---------------------------------------------------------------- replacing


def publish(place: Path, finals: Sequence[Path]) -> None:
    """Give the files of a staging folder their final names: all of them, or none.

    The former record is removed first, and the new one comes last. Former files return if a step
    fails. Signals are deferred meanwhile.

    Args:
        place: the staging folder, which has a file or folder with the name of each final path.
        finals: the final paths, all in the folder of `place`; the record is the last.

    Raises:
        FacetrackError: a file cannot be replaced; all final files are as before.
    """
    current = finals[-1]
    try:
        with defer_interrupts():
            identities = {}
            for current in finals:
                new = place / current.name
                if current.exists() and os.path.isdir(current) != os.path.isdir(new):
                    kind = errno.EISDIR if os.path.isdir(current) else errno.ENOTDIR
                    raise OSError(kind, os.strerror(kind))
                identities[current.name] = os.lstat(new).st_ino
            _write_journal(place, identities)
            (place / FORMER).mkdir()
            for current in reversed(finals):
                _back_up(current, place / FORMER / current.name)
            # From here on, there is no record until all other files are replaced.
            finals[-1].unlink(missing_ok=True)
            for current in finals[:-1]:
                os.replace(place / current.name, current)
            sync_folder(place.parent)
            current = finals[-1]
            os.replace(place / current.name, current)
            sync_folder(place.parent)
            (place / JOURNAL).unlink()
    except BaseException as error:
        is_restored = roll_back(place)
        note = "" if is_restored else f"; the former files are in {place / FORMER}"
        if isinstance(error, OSError):
            raise OutputError(f"{current} cannot be written: {reason_of(error)}{note}.") from error
        raise


def roll_back(place: Path) -> bool:
    """Undo a replacement that was begun and not completed.

    A final file that is neither new nor former, because somebody put it there since, is left alone.

    Returns:
        False if a former file could not be brought back. The staging folder still holds it then.
    """
    identities = _read_journal(place)
    if identities is None:
        return True
    *names, record = identities
    is_restored = True
    if _identity(place.parent / record) != identities[record]:  # else it was completed
        results = [_restore(place, name, identities[name]) for name in names]
        is_restored = all(results) and _restore(place, record, identities[record])
    if is_restored:
        with contextlib.suppress(OSError):
            (place / JOURNAL).unlink()
    return is_restored


def _restore(place: Path, name: str, new_identity: int) -> bool:
    """Bring the former state of one final name back; return False if that fails."""
    new, former, final = place / name, place / FORMER / name, place.parent / name
    try:
        present = _identity(final)
        if present == new_identity and not os.path.lexists(new):
            os.rename(final, new)
            present = None
        if present is None and os.path.lexists(former):
            os.rename(former, final)
    except OSError:
        return False
    return True


def _back_up(path: Path, backup: Path) -> None:
    """Keep the present file of a final name: by a second name where possible, else by moving it."""
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_dir():
        with contextlib.suppress(OSError, NotImplementedError):
            os.link(path, backup, follow_symlinks=False)
            return
    os.rename(path, backup)


def _identity(path: Path) -> int | None:
    try:
        return os.lstat(path).st_ino
    except FileNotFoundError:
        return None


def _write_journal(place: Path, identities: dict[str, int]) -> None:
    with atomic_path(place / JOURNAL) as temporary:
        # Names that are not UTF-8 are lone surrogates, which JSON escapes.
        temporary.write_text(json.dumps(identities), encoding="ascii")


def _read_journal(place: Path) -> dict[str, int] | None:
    """Return the identities of the new files by name; None if no replacement has begun."""
    try:
        content = parse_json((place / JOURNAL).read_bytes())
        identities = {name: int(identity) for name, identity in content.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    # Names that lead elsewhere are not from `publish`.
    is_valid = all(name not in ("", "..") and Path(name).name == name for name in identities)
    return identities if identities and is_valid else None


# ---------------------------------------------------------------- locks


def _create_lock(place: Path) -> IO[bytes]:
    """Create the lock file of a staging folder and hold the lock until the file is closed."""
    # Under its own name only once it is locked, so that it is never seen unlocked.
    unlocked = place / f"{LOCK}.new"
    file = open(unlocked, "wb")  # noqa: SIM115 (the caller closes it)
    try:
        if acquire(file):
            os.rename(unlocked, place / LOCK)
    except BaseException:
        file.close()
        raise
    return file


@contextlib.contextmanager
def _stale(place: Path) -> Iterator[bool]:
    """Yield whether a staging folder was left by a killed run; hold its lock meanwhile."""
    try:
        file = open(place / LOCK, "rb+")  # noqa: SIM115 (closed below)
    except FileNotFoundError:
        yield time.time() - place.stat().st_mtime > ABANDONED_AFTER
        return
    with file:
        try:
            is_free = acquire(file)
        except BlockingIOError:
            is_free = False
        yield is_free
