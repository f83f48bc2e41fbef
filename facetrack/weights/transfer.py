"""Transfer one weights file over HTTP: retries, resuming and verification."""

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

MAX_TRIES = 3
"""Consecutive failures without new data after which a source is given up."""

RETRY_DELAY = 1.0
"""Seconds before the first retry; doubled before each further retry."""

_CHUNK_BYTES = 2**15
_RETRYABLE_STATUS = {408, 425, 429, 500, 502, 503, 504}
_PAGE_TYPES = ("text/html", "application/xhtml", "text/xml", "application/xml", "application/json")
_PAGE_START = re.compile(rb"\s*<(!doctype\s|html|head|body|\?xml)", re.IGNORECASE)

Progress = Callable[[int, int | None], None]
"""Called with the number of bytes received and the total (None if unknown)."""


class TransferError(Exception):
    """A source did not send the file; the message completes a sentence that begins with its URL.

    Attributes:
        retryable: True if another attempt may succeed.
    """

    def __init__(self, message: str, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


@dataclass
class _Origin:
    """Source of a partial file, stored beside it.

    Attributes:
        url: address it was fetched from.
        validator: strong ETag or Last-Modified date from that source, for If-Range.
        ranges: True if the source supports range requests.
    """

    url: str = ""
    validator: str | None = None
    ranges: bool = False


class Transfer:
    """Download of one file to `.<file>.part` beside the target, with a note of its source."""

    def __init__(
        self, weights: Weights, target: Path, progress: Progress, stall_timeout: float
    ) -> None:
        import requests

        from facetrack.version import __version__

        self.weights, self._target = weights, target
        self._progress, self._stall_timeout = progress, stall_timeout
        self._part = target.parent / f".{target.name}.part"
        self._note = target.parent / f".{target.name}.part.json"
        self._resumed = False
        self._session = requests.Session()
        self._session.headers.update(
            {
                "User-Agent": f"facetrack/{__version__}",
                # Sizes and digests are those of the uncompressed file.
                "Accept-Encoding": "identity",
            }
        )

    def run(self, url: str) -> None:
        """Fetch the file from one source, with retries.

        Raises:
            TransferError: the source does not have the file or cannot send it.
        """
        failures, most_received = 0, self._size()
        while True:
            try:
                self._receive(url)
                self._finish()
                return
            except TransferError as error:
                received = self._size()
                failures = 1 if received > most_received else failures + 1
                most_received = max(most_received, received)
                if not error.retryable:
                    raise
                if failures >= MAX_TRIES:
                    raise TransferError(f"{error} ({failures} tries)", retryable=False) from error
            time.sleep(RETRY_DELAY * 2 ** (failures - 1))

    def clean_up(self) -> None:
        """Delete the partial file unless a later download can resume it."""
        if self._size() == 0 or not self._resumable(self._origin().url):
            self._drop()

    # ------------------------------------------------------------ request

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
            response = self._session.get(
                url, headers=headers, stream=True, timeout=self._stall_timeout
            )
        except requests.Timeout:
            raise TransferError(
                f"did not answer within {self._stall_timeout:g} s", retryable=True
            ) from None
        except requests.exceptions.SSLError:
            raise TransferError("has no trusted certificate", retryable=False) from None
        except requests.ConnectionError:
            raise TransferError("could not be reached", retryable=True) from None
        except requests.RequestException as error:
            raise TransferError(
                f"is not usable ({type(error).__name__})", retryable=False
            ) from error
        with response:
            self._read(url, response, offset)

    def _read(self, url: str, response: requests.Response, offset: int) -> None:
        code = response.status_code
        if code == 416:
            if response.headers.get("Content-Range", "").strip() == f"bytes */{offset}":
                # The partial file is already complete.
                return
            self._drop()
            raise TransferError("has a shorter file than before", retryable=True)
        if code not in (200, 206):
            reason = f" ({response.reason})" if response.reason else ""
            raise TransferError(f"answered {code}{reason}", retryable=code in _RETRYABLE_STATUS)
        if response.headers.get("Content-Type", "").lower().startswith(_PAGE_TYPES):
            raise TransferError("sent a web page instead of the file", retryable=False)
        if code == 206:
            total = self._total_size(response, offset)
        else:
            offset, total = 0, _length(response)
        expected = None if self._is_packed(url) else self.weights.bytes
        if None not in (total, expected) and total != expected:
            raise TransferError(
                f"has a file of {total} bytes instead of {expected}", retryable=False
            )
        if code == 200:
            self._resumed = False
            self._write_note(url, response)
        self._write(response, offset, total or expected)

    def _total_size(self, response: requests.Response, offset: int) -> int | None:
        """Return the size of the complete file from a partial response that starts at `offset`."""
        content_range = response.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", content_range.strip())
        if match is None or int(match[1]) != offset:
            self._drop()
            raise TransferError(
                f"sent a different range than requested ('{content_range}')", retryable=True
            )
        return None if match[3] == "*" else int(match[3])

    def _write(self, response: requests.Response, offset: int, total: int | None) -> None:
        import requests
        from urllib3.exceptions import ReadTimeoutError

        done = offset
        with open(self._part, "r+b" if offset else "wb") as file:
            file.seek(offset)
            try:
                for chunk in response.iter_content(_CHUNK_BYTES):
                    file.write(chunk)
                    done += len(chunk)
                    self._progress(done, total)
            except requests.RequestException as error:
                stalled = any(isinstance(a, ReadTimeoutError) for a in error.args)
                problem = f"sent nothing for {self._stall_timeout:g} s" if stalled else "broke off"
                raise TransferError(f"{problem} after {done} bytes", retryable=True) from error
            finally:
                file.flush()
                os.fsync(file.fileno())
        if total is not None and done < total:
            raise TransferError(f"broke off after {done} of {total} bytes", retryable=True)

    # ------------------------------------------------------------ partial file

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
        etag = response.headers.get("ETag", "")
        strong_etag = etag if etag.startswith('"') else None
        note: dict[str, Any] = {
            "url": url,
            "validator": strong_etag or response.headers.get("Last-Modified"),
            "ranges": response.headers.get("Accept-Ranges", "").lower() == "bytes",
        }
        self._part.unlink(missing_ok=True)
        self._note.write_text(json.dumps(note), encoding="utf-8")

    def _resumable(self, url: str) -> bool:
        """Return True if data from `url` may be appended to the partial file.

        Either the source can confirm that its file has not changed, or the digest will reveal a
        change.
        """
        origin = self._origin()
        if self._is_packed(url) != self._is_packed(origin.url) or not origin.ranges:
            return False
        return self.weights.hash_known or (origin.validator is not None and origin.url == url)

    def _is_packed(self, url: str) -> bool:
        return self.weights.packing == "bz2" and url.endswith(".bz2")

    # ------------------------------------------------------------ complete file

    def _finish(self) -> None:
        """Verify the file and move it to its final name.

        Raises:
            TransferError: it is a different file; it has been deleted.
        """
        complete = self._part
        try:
            with open(self._part, "rb") as file:
                head = file.read(512)
            if _PAGE_START.match(head):
                raise TransferError("sent a web page instead of the file", retryable=False)
            if self._is_packed(self._origin().url):
                complete = self._unpack()
            result = store.check(self.weights, complete, recorded=False)
            if result.problem is not None:
                # After a resume, the parts may come from different files: retry from the start.
                message = f"sent a different or damaged file: {result.problem}"
                raise TransferError(message, retryable=self._resumed)
            store.digest_path(self.weights).unlink(missing_ok=True)
            os.replace(complete, self._target)
            store.record_digest(self.weights, result.sha256)
            self._drop()
        except TransferError:
            complete.unlink(missing_ok=True)
            self._drop()
            raise

    def _unpack(self) -> Path:
        unpacked = self._target.parent / f".{self._target.name}.unpacked"
        try:
            with bz2.open(self._part, "rb") as packed, open(unpacked, "wb") as file:
                while chunk := packed.read(2**20):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        except (EOFError, OSError) as error:
            unpacked.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise TransferError("sent a damaged bz2 file", retryable=self._resumed) from error
        return unpacked


def _length(response: requests.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None
