"""Stores that results are written to: a folder, or a url that fsspec understands.

Several workers may hold results of the same video, because a worker that seemed dead may continue.
So no worker writes to a final name. Each attempt has its own place, a hidden folder beside the
final names. Only the batch's main process gives the files of an attempt their final names, the
record last.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, cast

from facetrack.api.outputs import record_last
from facetrack.api.staging import clear_stale, discard, publish, reserved, staging_place
from facetrack.errors import FacetrackError
from facetrack.files import atomic_path, check_output_folder
from facetrack.formats.pts import check_replaceable
from facetrack.runtime.addresses import hide_secrets

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+(::[A-Za-z][A-Za-z0-9+.-]*)*)://.")


class Store(Protocol):
    """A store of results. Its paths are those of a plan, which it maps to files or urls."""

    def shown(self, path: Path) -> str:
        """Return the path or url for display."""
        ...

    def check(self, folder: Path) -> None:
        """Check that files can be written to a folder.

        Raises:
            FacetrackError: they cannot.
        """
        ...

    def exists(self, path: Path) -> bool:
        """Return True if the file exists."""
        ...

    def read(self, path: Path) -> bytes:
        """Return the content of a file.

        Raises:
            OSError: it cannot be read.
        """
        ...

    def open(self, path: Path) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Open a file for reading.

        Raises:
            OSError: it cannot be read.
        """
        ...

    def modified(self, path: Path) -> float:
        """Return the time of a file's last change, in seconds since 1970.

        Raises:
            OSError: it is not known.
        """
        ...

    def writing(self, path: Path) -> contextlib.AbstractContextManager[Path]:
        """Yield a local path to write a file to; the complete file then appears at `path`."""
        ...

    def reserved(self, place: Path) -> contextlib.AbstractContextManager[None]:
        """Mark the folder `place` as in use by this process until the context ends."""
        ...

    def staging(self, place: Path) -> contextlib.AbstractContextManager[Path]:
        """Yield a local folder to write files to, which are then moved to the folder `place`."""
        ...

    def publish(self, place: Path, finals: Mapping[str, Path]) -> None:
        """Give files of the folder `place` their final names, that of the record last.

        A folder replaces all files or none; a url may keep some files of both without a record.

        Args:
            place: the folder of an attempt.
            finals: final paths by kind; the record has the kind "sidecar".

        Raises:
            FacetrackError: a file cannot be written.
        """
        ...

    def discard(self, place: Path) -> None:
        """Remove the file or folder `place`; errors are ignored."""
        ...


@dataclass(frozen=True)
class Folder:
    """A local folder, or one that all machines share."""

    def shown(self, path: Path) -> str:
        return str(path)

    def check(self, folder: Path) -> None:
        check_output_folder(folder)

    def exists(self, path: Path) -> bool:
        return path.exists()

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def open(self, path: Path) -> contextlib.AbstractContextManager[IO[bytes]]:
        return open(path, "rb")

    def modified(self, path: Path) -> float:
        return path.stat().st_mtime

    def writing(self, path: Path) -> contextlib.AbstractContextManager[Path]:
        check_output_folder(path.parent)
        return atomic_path(path)

    @contextlib.contextmanager
    def reserved(self, place: Path) -> Iterator[None]:
        check_output_folder(place.parent)
        clear_stale(place.parent)
        with reserved(place):
            yield

    @contextlib.contextmanager
    def staging(self, place: Path) -> Iterator[Path]:
        check_output_folder(place)
        try:
            yield place
        except BaseException:
            self.discard(place)
            raise

    def publish(self, place: Path, finals: Mapping[str, Path]) -> None:
        for kind, path in finals.items():
            if kind == "pts":
                check_replaceable(path)
        publish(place, record_last(finals))
        self.discard(place)

    def discard(self, place: Path) -> None:
        if place.is_dir():
            discard(place)
        else:
            with contextlib.suppress(OSError):
                place.unlink()


FOLDER = Folder()
"""The store of files, which has no state."""


@dataclass(frozen=True)
class Remote:
    """A folder behind a url, such as s3://bucket/results.

    Most object stores rename by copying, and some show partial copies meanwhile. Results that have
    a record are complete in all stores.
    """

    url: str

    def __str__(self) -> str:
        """Return the url without user name, password and parameter values."""
        return hide_secrets(self.url)

    @property
    def root(self) -> Path:
        """The path that represents the url in a plan."""
        return Path(self.url)

    def shown(self, path: Path) -> str:
        inside = path.relative_to(self.root).as_posix()
        return str(self).rstrip("/") + ("" if inside == "." else f"/{inside}")

    def check(self, folder: Path) -> None:
        probe = staging_place(folder) / "probe"
        with self._readable_errors(folder):
            fs, name = self._at(probe)
            fs.makedirs(name.rpartition("/")[0], exist_ok=True)
            fs.pipe_file(name, b"")
        self.discard(probe.parent)

    def exists(self, path: Path) -> bool:
        fs, name = self._at(path)
        return bool(fs.exists(name))

    def read(self, path: Path) -> bytes:
        fs, name = self._at(path)
        return bytes(fs.cat_file(name))

    def open(self, path: Path) -> contextlib.AbstractContextManager[IO[bytes]]:
        fs, name = self._at(path)
        return cast(contextlib.AbstractContextManager[IO[bytes]], fs.open(name, "rb"))

    def modified(self, path: Path) -> float:
        fs, name = self._at(path)
        try:
            return float(fs.modified(name).timestamp())
        except NotImplementedError as error:
            raise OSError(f"{self} does not say when files were written") from error

    @contextlib.contextmanager
    def writing(self, path: Path) -> Iterator[Path]:
        place = staging_place(path.parent)
        try:
            with self.staging(place) as local:
                yield local / path.name
            with self._readable_errors(path):
                self._move(place / path.name, path)
        finally:
            self.discard(place)

    def reserved(self, place: Path) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def staging(self, place: Path) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="facetrack-") as folder:
            local = Path(folder)
            yield local
            try:
                with self._readable_errors(place.parent):
                    for file in sorted(local.iterdir()):
                        fs, name = self._at(place / file.name)
                        fs.makedirs(name.rpartition("/")[0], exist_ok=True)
                        fs.put_file(str(file), name)
            except BaseException:
                self.discard(place)
                raise

    def publish(self, place: Path, finals: Mapping[str, Path]) -> None:
        with self._readable_errors(finals["sidecar"]):
            for path in finals.values():
                fs, name = self._at(place / path.name)
                if not fs.exists(name):
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
            fs, name = self._at(finals["sidecar"])
            if fs.exists(name):
                fs.rm_file(name)
            for path in record_last(finals):
                self._move(place / path.name, path)
        self.discard(place)

    def discard(self, place: Path) -> None:
        with contextlib.suppress(Exception):
            fs, name = self._at(place)
            for file in fs.find(name):  # `rm` takes names for patterns
                fs.rm_file(file)
            if fs.exists(name):  # unlike those of an object store, an empty folder
                fs.rmdir(name)

    def _at(self, path: Path) -> tuple[Any, str]:
        """Return the file system, and the name of `path` in it."""
        import fsspec

        fs, root = fsspec.core.url_to_fs(self.url)
        # Cached listings do not show files from other machines.
        fs.invalidate_cache()
        return fs, f"{root.rstrip('/')}/{path.relative_to(self.root).as_posix()}"

    def _move(self, source: Path, target: Path) -> None:
        (fs, source_name), (_, target_name) = self._at(source), self._at(target)
        fs.makedirs(target_name.rpartition("/")[0], exist_ok=True)
        if _renames(fs):
            fs.mv(source_name, target_name)
        else:
            fs.cp_file(source_name, target_name)
            fs.rm_file(source_name)

    @contextlib.contextmanager
    def _readable_errors(self, path: Path) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            if error.name == "fsspec":
                raise FacetrackError(
                    f'{self} needs fsspec: pip install "facetrack[ray]".'
                ) from error
            raise FacetrackError(f"{self} cannot be used: {self._reason(error)}.") from error
        except Exception as error:
            # The errors of remote file systems have no common base class.
            raise FacetrackError(
                f"{self.shown(path)} cannot be written: {self._reason(error)}."
            ) from error

    def _reason(self, error: Exception) -> str:
        return _first_line(error).replace(self.url, str(self))


def is_url(out: str | None) -> bool:
    """Return True if --out is a url rather than a folder."""
    return out is not None and _URL.match(out) is not None


def store_of(out: str | None) -> tuple[Store, Path | None]:
    """Return the store for --out, and the path that represents it in a plan.

    Raises:
        FacetrackError: the url belongs to a single process.
    """
    if out is None or not is_url(out):
        return FOLDER, None if out is None else Path(out)
    if out.startswith("memory:"):
        raise FacetrackError(f"{out} is in the memory of one process: choose another --out.")
    store = Remote(out)
    return store, store.root


def _renames(fs: Any) -> bool:
    """Return True if a file system has its own `mv`; the common one takes names for patterns."""
    from fsspec.spec import AbstractFileSystem

    return type(fs).mv is not AbstractFileSystem.mv


def _first_line(error: Exception) -> str:
    strerror = getattr(error, "strerror", None)
    text = (strerror or str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    return text[:1].lower() + text[1:]
