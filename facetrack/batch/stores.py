"""Where results end up: a folder that all can write to, or a url that fsspec understands.

Several workers may come to hold results of one video (one that was thought dead may go on), so
none of them writes to a final name. Each has a place of its own for each attempt, a hidden folder
beside the final names, and the one process that leads the batch gives the files of the attempt it
chooses their final names, the record last.
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
    """Paths are those of a plan; a store knows what they stand for."""

    def shown(self, path: Path) -> str:
        """What the user calls it."""
        ...

    def check(self, folder: Path) -> None:
        """Make sure that files can be written there; FacetrackError if not."""
        ...

    def exists(self, path: Path) -> bool:
        """Whether there is such a file."""
        ...

    def read(self, path: Path) -> bytes:
        """Its content; OSError where it cannot be read."""
        ...

    def modified(self, path: Path) -> float:
        """When it was written, in seconds since 1970; OSError where that is not known."""
        ...

    def writing(self, path: Path) -> contextlib.AbstractContextManager[Path]:
        """Gives a local path to write one file to, which then appears at `path`, whole."""
        ...

    def staging(self, place: Path) -> contextlib.AbstractContextManager[Path]:
        """Gives a local folder to write files to, which are then in the folder `place`."""
        ...

    def publish(self, place: Path, finals: Mapping[str, Path]) -> None:
        """Give files of the folder `place` their final names, that of the "sidecar" last.

        Raises:
            FacetrackError: one of them cannot be written.
        """
        ...

    def discard(self, place: Path) -> None:
        """Remove the file or folder `place`, as far as that can be done."""
        ...


def place_beside(folder: Path) -> Path:
    """A name for a folder of unfinished files in `folder`; no two are the same."""
    return folder / f".facetrack-{secrets.token_hex(6)}"


@dataclass(frozen=True)
class Folder:
    """A folder of this machine, or one that all machines share."""

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
        # Without a record, what is there is not taken for complete while it is replaced.
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
"""There is but one kind."""


@dataclass(frozen=True)
class Remote:
    """A folder behind a url, such as s3://bucket/results.

    Where renaming is copying, as on most object stores, a file may be seen half-copied in the
    stores that show such: what has a record is whole everywhere.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def root(self) -> Path:
        """What stands for the url in a plan's paths."""
        return Path(self.url)

    def shown(self, path: Path) -> str:
        inside = path.relative_to(self.root).as_posix()
        return self.url.rstrip("/") + ("" if inside == "." else f"/{inside}")

    def check(self, folder: Path) -> None:
        probe = place_beside(folder) / "probe"
        with self._in_a_sentence(folder):
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
            with self._in_a_sentence(path):
                self._move(place / path.name, path)
        finally:
            self.discard(place)

    @contextlib.contextmanager
    def staging(self, place: Path) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="facetrack-") as folder:
            local = Path(folder)
            yield local
            try:
                with self._in_a_sentence(place.parent):
                    for file in sorted(local.iterdir()):
                        fs, name = self._at(place / file.name)
                        fs.makedirs(name.rpartition("/")[0], exist_ok=True)
                        fs.put_file(str(file), name)
            except BaseException:
                self.discard(place)
                raise

    def publish(self, place: Path, finals: Mapping[str, Path]) -> None:
        with self._in_a_sentence(finals["sidecar"]):
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
        """The file system, and what it calls `path`."""
        import fsspec

        fs, root = fsspec.core.url_to_fs(self.url)
        # Listings that are remembered do not show what other machines write.
        fs.invalidate_cache()
        return fs, f"{root.rstrip('/')}/{path.relative_to(self.root).as_posix()}"

    def _move(self, made: Path, final: Path) -> None:
        (fs, source), (_, target) = self._at(made), self._at(final)
        fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        fs.mv(source, target)

    @contextlib.contextmanager
    def _in_a_sentence(self, path: Path) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            if error.name == "fsspec":
                raise FacetrackError(
                    f'{self.url} needs fsspec: pip install "facetrack[ray]".'
                ) from error
            raise FacetrackError(f"{self.url} cannot be used: {_first_line(error)}.") from error
        except Exception as error:
            # What goes wrong behind a url has no common class.
            raise FacetrackError(
                f"{self.shown(path)} cannot be written: {_first_line(error)}."
            ) from error


def is_url(out: str | None) -> bool:
    """Whether --out is a url rather than a folder."""
    return out is not None and _URL.match(out) is not None


def store_of(out: str | None) -> tuple[Store, Path | None]:
    """The store that --out means, and what stands for it in a plan's paths.

    Raises:
        FacetrackError: a url that is of one process alone.
    """
    if out is None or not is_url(out):
        return FOLDER, None if out is None else Path(out)
    if out.startswith("memory:"):
        raise FacetrackError(f"{out} is in the memory of one process: choose another --out.")
    store = Remote(out)
    return store, store.root


def _replace_folder(made: Path, final: Path) -> None:
    # A folder cannot be renamed onto another: the old one goes to the place of the new one.
    old = made.with_name(made.name + ".old")
    try:
        if final.exists():
            os.replace(final, old)
        os.replace(made, final)
    except OSError as error:
        if old.exists() and not final.exists():
            os.replace(old, final)
        raise FacetrackError(f"{final} cannot be written: {_first_line(error)}.") from error


def _record_last(finals: Mapping[str, Path]) -> list[Path]:
    return [path for kind, path in finals.items() if kind != "sidecar"] + [finals["sidecar"]]


def _first_line(error: Exception) -> str:
    strerror = getattr(error, "strerror", None)
    text = (strerror or str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    return text[:1].lower() + text[1:]
