"""One weights file on its way from one source after another: retries, resuming, checks."""

from __future__ import annotations

import bz2
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facetrack.weights import store
from facetrack.weights.base import Weights

if TYPE_CHECKING:
    import requests

TRIES = 3
"""How often in a row a source may fail without sending anything new."""

PAUSE = 1.0
"""Seconds before the second try; doubled before each further one."""

_PIECE = 2**15
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_PAGE_TYPES = ("text/html", "application/xhtml", "text/xml", "application/xml", "application/json")
_PAGE_START = re.compile(rb"\s*<(!doctype\s|html|head|body|\?xml)", re.IGNORECASE)

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes that there will be (None if not known)."""


class TransferError(Exception):
    """What a source did instead of sending the file, in a few words."""

    def __init__(self, what: str, again: bool) -> None:
        super().__init__(what)
        self.again = again


@dataclass
class _Origin:
    """Where a partial file comes from, kept beside it.

    Attributes:
        url: its source.
        validator: that source's strong ETag or date of the file, for If-Range.
        ranges: the source is known to send parts of files.
    """

    url: str = ""
    validator: str | None = None
    ranges: bool = False


class Transfer:
    """One file on its way: `.<file>.part` beside the target, and a note on where it comes from."""

    def __init__(self, weights: Weights, target: Path, progress: Progress, stall: float) -> None:
        import requests

        from facetrack.version import __version__

        self.weights, self._target = weights, target
        self._progress, self._stall = progress, stall
        self._part = target.parent / f".{target.name}.part"
        self._note = target.parent / f".{target.name}.part.json"
        self._resumed = False
        self._session = requests.Session()
        self._session.headers.update(
            {
                "User-Agent": f"facetrack/{__version__}",
                # What is counted and hashed is the file itself.
                "Accept-Encoding": "identity",
            }
        )

    def run(self, url: str) -> None:
        """Fetch from one source, trying again while it helps.

        Raises:
            TransferError: the source does not have the file, or cannot send it.
        """
        failed, furthest = 0, self._size()
        while True:
            try:
                self._receive(url)
                self._finish()
                return
            except TransferError as error:
                reached = self._size()
                failed = 1 if reached > furthest else failed + 1
                furthest = max(furthest, reached)
                if not error.again:
                    raise
                if failed >= TRIES:
                    raise TransferError(f"{error} ({failed} tries)", again=False) from error
            time.sleep(PAUSE * 2 ** (failed - 1))

    def tidy(self) -> None:
        """Leave nothing behind that a later download could not go on from."""
        if self._size() == 0 or not self._resumable(self._origin().url):
            self._drop()

    # ------------------------------------------------------------ one request

    def _receive(self, url: str) -> None:
        import requests

        offset = self._size() if self._resumable(url) else 0
        self._resumed = offset > 0
        headers = {}
        if offset:
            origin = self._origin()
            headers["Range"] = f"bytes={offset}-"
            if origin.validator and origin.url == url:
                headers["If-Range"] = origin.validator
        try:
            response = self._session.get(url, headers=headers, stream=True, timeout=self._stall)
        except requests.Timeout:
            raise TransferError(f"did not answer within {self._stall:g} s", again=True) from None
        except requests.exceptions.SSLError:
            raise TransferError("has no certificate that is trusted here", again=False) from None
        except requests.ConnectionError:
            raise TransferError("could not be reached", again=True) from None
        except requests.RequestException as error:
            raise TransferError(f"is not usable ({type(error).__name__})", again=False) from error
        with response:
            self._read(url, response, offset)

    def _read(self, url: str, response: requests.Response, offset: int) -> None:
        code = response.status_code
        if code == 416:
            if response.headers.get("Content-Range", "").strip() == f"bytes */{offset}":
                # Nothing was left to send: the last run was stopped just before the end.
                return
            self._drop()
            raise TransferError("has a shorter file than before", again=True)
        if code not in (200, 206):
            reason = f" ({response.reason})" if response.reason else ""
            raise TransferError(f"answered {code}{reason}", again=code in _AGAIN)
        if response.headers.get("Content-Type", "").lower().startswith(_PAGE_TYPES):
            raise TransferError("sent a web page instead of the file", again=False)
        if code == 206:
            total = self._total_of_rest(response, offset)
        else:
            offset, total = 0, _length(response)
        expected = None if self._packed(url) else self.weights.bytes
        if None not in (total, expected) and total != expected:
            raise TransferError(f"has a file of {total} bytes instead of {expected}", again=False)
        if code == 200:
            self._resumed = False
            self._write_note(url, response)
        self._write(response, offset, total or expected)

    def _total_of_rest(self, response: requests.Response, offset: int) -> int | None:
        """Size of the whole file, given a response with its rest from `offset` on."""
        given = response.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", given.strip())
        if match is None or int(match[1]) != offset:
            self._drop()
            raise TransferError(f"sent another part than the one asked for ('{given}')", again=True)
        return None if match[3] == "*" else int(match[3])

    def _write(self, response: requests.Response, offset: int, total: int | None) -> None:
        import requests
        from urllib3.exceptions import ReadTimeoutError

        done = offset
        with open(self._part, "r+b" if offset else "wb") as file:
            file.seek(offset)
            try:
                for piece in response.iter_content(_PIECE):
                    file.write(piece)
                    done += len(piece)
                    self._progress(done, total)
            except requests.RequestException as error:
                stalled = any(isinstance(a, ReadTimeoutError) for a in error.args)
                what = f"sent nothing for {self._stall:g} s" if stalled else "broke off"
                raise TransferError(f"{what} after {done} bytes", again=True) from error
            finally:
                file.flush()
                os.fsync(file.fileno())
        if total is not None and done < total:
            raise TransferError(f"broke off after {done} of {total} bytes", again=True)

    # ------------------------------------------------------------ the partial file

    def _size(self) -> int:
        return self._part.stat().st_size if self._part.is_file() else 0

    def _drop(self) -> None:
        self._part.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def _origin(self) -> _Origin:
        try:
            return _Origin(**json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return _Origin()

    def _write_note(self, url: str, response: requests.Response) -> None:
        tag = response.headers.get("ETag", "")
        strong = tag if tag.startswith('"') else None
        note: dict[str, Any] = {
            "url": url,
            "validator": strong or response.headers.get("Last-Modified"),
            "ranges": response.headers.get("Accept-Ranges", "").lower() == "bytes",
        }
        self._part.unlink(missing_ok=True)
        self._note.write_text(json.dumps(note), encoding="utf-8")

    def _resumable(self, url: str) -> bool:
        """Whether what `url` sends may be put behind the partial file.

        It may if the source can tell that the file is still the same one, or if the digest will.
        """
        origin = self._origin()
        if self._packed(url) != self._packed(origin.url) or not origin.ranges:
            return False
        return self.weights.hash_known or (origin.validator is not None and origin.url == url)

    def _packed(self, url: str) -> bool:
        return self.weights.packing == "bz2" and url.endswith(".bz2")

    # ------------------------------------------------------------ the whole file

    def _finish(self) -> None:
        """Check the file and give it its name.

        Raises:
            TransferError: it is not the file; nothing of it is left.
        """
        whole = self._part
        try:
            with open(self._part, "rb") as file:
                head = file.read(512)
            if _PAGE_START.match(head):
                raise TransferError("sent a web page instead of the file", again=False)
            if self._packed(self._origin().url):
                whole = self._unpack()
            found = store.check(self.weights, whole, recorded=False)
            if found.problem is not None:
                # Parts that do not fit each other say nothing of the source: once more, from 0.
                what = f"sent another file or a damaged one: {found.problem}"
                raise TransferError(what, again=self._resumed)
            store.recorded_path(self.weights).unlink(missing_ok=True)
            os.replace(whole, self._target)
            store.record(self.weights, found.sha256)
            self._drop()
        except TransferError:
            whole.unlink(missing_ok=True)
            self._drop()
            raise

    def _unpack(self) -> Path:
        unpacked = self._target.parent / f".{self._target.name}.unpacked"
        try:
            with bz2.open(self._part, "rb") as packed, open(unpacked, "wb") as file:
                while piece := packed.read(2**20):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
        except (EOFError, OSError) as error:
            unpacked.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise TransferError("sent a damaged bz2 file", again=self._resumed) from error
        return unpacked


def _length(response: requests.Response) -> int | None:
    given = response.headers.get("Content-Length", "")
    return int(given) if given.isdigit() else None
