"""Stores that results are written to: a folder, or a url that fsspec understands.

Several workers may hold results of the same video, because a worker that seemed dead may continue.
So no worker writes to a final name. Each attempt has its own place, a hidden folder beside the
final names. Only the batch's main process gives the files of an attempt their final names, the
record last.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from facetrack.errors import FacetrackError
from facetrack.files import atomic_path, check_output_folder

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

    def modified(self, path: Path) -> float:
        """Return the time of a file's last change, in seconds since 1970.

        Raises:
            OSError: it is not known.
        """
        ...

    def writing(self, path: Path) -> contextlib.AbstractContextManager[Path]:
        """Yield a local path to write a file to; the complete file then appears at `path`."""
        ...

    def staging(self, place: Path) -> contextlib.AbstractContextManager[Path]:
        """Yield a local folder to write files to, which are then moved to the folder `place`."""
        ...

    def publish(self, place: Path, finals: Mapping[str, Path]) -> None:
        """Give files of the folder `place` their final names, that of the record last.

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


def place_beside(folder: Path) -> Path:
    """Return a unique name for a folder of unfinished files in `folder`."""
    return folder / f".facetrack-{secrets.token_hex(6)}"


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

    def modified(self, path: Path) -> float:
        return path.stat().st_mtime

    def writing(self, path: Path) -> contextlib.AbstractContextManager[Path]:
        check_output_folder(path.parent)
        return atomic_path(path)

    @contextlib.contextmanager
    def staging(self, place: Path) -> Iterator[Path]:
        check_output_folder(place)
        try:
            yield place
        except BaseException:
            self.discard(place)
            raise

    def publish(self, place: Path, finals: Mapping[str, Path]) -> None:
        from facetrack.formats.pts import check_replaceable

        folders = {path for path in finals.values() if (place / path.name).is_dir()}
        for path in folders:
            check_replaceable(path)
        # Remove the record first, so that results count as incomplete while they are replaced.
        with contextlib.suppress(OSError):
            finals["sidecar"].unlink()
        for path in _record_last(finals):
            if path in folders:
                _replace_folder(place / path.name, path)
            else:
                with atomic_path(path) as temporary:
                    os.replace(place / path.name, temporary)
        self.discard(place)

    def discard(self, place: Path) -> None:
        with contextlib.suppress(OSError):
            if place.is_dir():
                shutil.rmtree(place)
            else:
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
        return self.url

    @property
    def root(self) -> Path:
        """The path that represents the url in a plan."""
        return Path(self.url)

    def shown(self, path: Path) -> str:
        inside = path.relative_to(self.root).as_posix()
        return self.url.rstrip("/") + ("" if inside == "." else f"/{inside}")

    def check(self, folder: Path) -> None:
        probe = place_beside(folder) / "probe"
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

    def modified(self, path: Path) -> float:
        fs, name = self._at(path)
        try:
            return float(fs.modified(name).timestamp())
        except NotImplementedError as error:
            raise OSError(f"{self.url} does not say when files were written") from error

    @contextlib.contextmanager
    def writing(self, path: Path) -> Iterator[Path]:
        place = place_beside(path.parent)
        try:
            with self.staging(place) as local:
                yield local / path.name
            with self._readable_errors(path):
                self._move(place / path.name, path)
        finally:
            self.discard(place)

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
            fs, name = self._at(finals["sidecar"])
            if fs.exists(name):
                fs.rm_file(name)
            for path in _record_last(finals):
                self._move(place / path.name, path)
        self.discard(place)

    def discard(self, place: Path) -> None:
        with contextlib.suppress(Exception):
            fs, name = self._at(place)
            if fs.exists(name):
                fs.rm(name, recursive=True)

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
        fs.mv(source_name, target_name)

    @contextlib.contextmanager
    def _readable_errors(self, path: Path) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            if error.name == "fsspec":
                raise FacetrackError(
                    f'{self.url} needs fsspec: pip install "facetrack[ray]".'
                ) from error
            raise FacetrackError(f"{self.url} cannot be used: {_first_line(error)}.") from error
        except Exception as error:
            # The errors of remote file systems have no common base class.
            raise FacetrackError(
                f"{self.shown(path)} cannot be written: {_first_line(error)}."
            ) from error


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


def _replace_folder(source: Path, target: Path) -> None:
    # A folder cannot be renamed onto another: move the old one to the attempt's folder first.
    old = source.with_name(source.name + ".old")
    try:
        if target.exists():
            os.replace(target, old)
        os.replace(source, target)
    except OSError as error:
        if old.exists() and not target.exists():
            os.replace(old, target)
        raise FacetrackError(f"{target} cannot be written: {_first_line(error)}.") from error


def _record_last(finals: Mapping[str, Path]) -> list[Path]:
    return [path for kind, path in finals.items() if kind != "sidecar"] + [finals["sidecar"]]


def _first_line(error: Exception) -> str:
    strerror = getattr(error, "strerror", None)
    text = (strerror or str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    return text[:1].lower() + text[1:]
