"""Transfer one weights file over HTTP: retries, resuming and verification."""

from __future__ import annotations

import bz2
import http.client
import os
import queue
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from facetrack.runtime.addresses import hide_secrets
from facetrack.weights import response as responses
from facetrack.weights import store
from facetrack.weights.base import Weights
from facetrack.weights.partial import Origin, PartialFile
from facetrack.weights.response import TransferError

if TYPE_CHECKING:
    import requests

MAX_TRIES = 3
"""Consecutive failures without new data after which a source is given up."""

RETRY_DELAY = 1.0
"""Seconds before the first retry; doubled before each further retry."""

MAX_BYTES = 2**30
"""Maximum bytes of a file whose size is not known; the largest published file has 2.2e8."""

RATE_WINDOW = 60.0
"""Seconds over which the rate of a source is measured."""

MIN_RATE = 1000.0
"""Bytes per second below which a source is given up. At this rate, 10 MB would take three hours."""

HEADER_TIMEOUT = 60.0
"""Seconds after a request in which the complete headers must arrive, with all redirects."""

_CHUNK_BYTES = 2**15
_PAGE_START = re.compile(rb"\s*<(!doctype\s|html|head|body|\?xml)", re.IGNORECASE)

Progress = Callable[[int, int | None], None]
"""Called with the number of bytes received and the total (None if unknown)."""


class Transfer:
    """Download of one file to `.<file>.part` beside the target, with a note of its source."""

    def __init__(
        self, weights: Weights, target: Path, progress: Progress, stall_timeout: float
    ) -> None:
        import requests

        from facetrack.version import __version__

        self.weights, self._target = weights, target
        self._progress, self._stall_timeout = progress, stall_timeout
        self._partial = PartialFile(target)
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
        failures, most_received = 0, self._partial.size
        while True:
            try:
                self._receive(url)
                self._finish()
                return
            except TransferError as error:
                received = self._partial.size
                # A source that sends a few bytes for each request must be given up, too.
                progressed = received >= most_received + _CHUNK_BYTES
                failures = 1 if progressed else failures + 1
                most_received = max(most_received, received)
                if not error.retryable:
                    raise
                if failures >= MAX_TRIES:
                    raise TransferError(f"{error} ({failures} tries)", retryable=False) from error
            time.sleep(RETRY_DELAY * 2 ** (failures - 1))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def clean_up(self) -> int:
        """Delete the partial file unless a later download can resume it.

        Returns:
            The size of the partial file that is kept; 0 if there is none.
        """
        if self._partial.size == 0 or not self._resumable(self._partial.origin.url):
            self._partial.drop()
        return self._partial.size

    # ------------------------------------------------------------ request

    def _receive(self, url: str) -> None:
        import requests

        offset = self._partial.size if self._resumable(url) else 0
        self._resumed = offset > 0
        if offset and offset == self._partial.origin.total:
            return  # the partial file is complete
        headers = {}
        if offset:
            origin = self._partial.origin
            headers["Range"] = f"bytes={offset}-"
            if origin.validator and origin.url == hide_secrets(url):
                headers["If-Range"] = origin.validator
        try:
            response = self._request(url, headers)
        except requests.Timeout:
            raise TransferError(
                f"did not answer within {self._stall_timeout:g} s", retryable=True
            ) from None
        except requests.exceptions.SSLError:
            raise TransferError("has no trusted certificate", retryable=False) from None
        except requests.ConnectionError:
            raise TransferError("could not be reached", retryable=True) from None
        except (requests.RequestException, http.client.HTTPException, ValueError) as error:
            # Nonsense in an address or a header. The cause may contain the address's secrets.
            raise TransferError(
                f"is not usable ({type(error).__name__})", retryable=False
            ) from None
        with response:
            self._read(url, response, offset)

    def _request(self, url: str, headers: dict[str, str]) -> requests.Response:
        """Send a request and wait for the headers of the response, for HEADER_TIMEOUT at most.

        The timeout of the connection restarts with every byte. A thread therefore waits for the
        headers, and is abandoned if they do not arrive in time.
        """
        received: queue.SimpleQueue[requests.Response | Exception] = queue.SimpleQueue()
        abandoned = threading.Event()
        answers: list[requests.Response] = []  # with those that redirect

        def ask() -> None:
            try:
                response = self._session.get(
                    url,
                    headers=headers,
                    stream=True,
                    timeout=self._stall_timeout,
                    hooks={"response": lambda answer, **_: answers.append(answer)},
                )
            except Exception as error:
                for answer in answers:
                    answer.close()
                received.put(error)  # raised below, in the thread that waits
                return
            received.put(response)
            if abandoned.is_set():
                response.close()

        threading.Thread(target=ask, daemon=True).start()
        timeout = max(HEADER_TIMEOUT, self._stall_timeout)
        try:
            # Slightly longer than the connection's own timeout, whose error is more exact.
            result = received.get(timeout=timeout + 1)
        except queue.Empty:
            abandoned.set()
            raise TransferError(
                f"did not send complete headers within {timeout:g} s", retryable=False
            ) from None
        if isinstance(result, Exception):
            raise result
        return result

    def _read(self, url: str, response: requests.Response, offset: int) -> None:
        if response.status_code == 416:
            self._check_complete(response, offset)
            return
        responses.check_status(response)
        announced = responses.content_length(response)
        if response.status_code == 206:
            total = self._total_size(response, offset)
        else:
            offset, total = 0, announced
        packed, known = self._is_packed(url), self.weights.bytes
        expected = None if packed else known
        if total is not None and expected is not None and total != expected:
            raise TransferError(
                f"has a file of {total} bytes instead of {expected}", retryable=False
            )
        limit = MAX_BYTES if known is None else _packed_bytes(known) if packed else known
        if total is not None and total > limit:
            raise TransferError(
                f"has a file of {total} bytes, more than the {limit} expected", retryable=False
            )
        if total is None and not self._length_verifiable and not responses.is_chunked(response):
            raise TransferError(
                "does not announce the length of the file, so that it cannot be verified",
                retryable=False,
            )
        if response.status_code == 200:
            self._resumed = False
            ranges = response.headers.get("Accept-Ranges", "").lower() == "bytes"
            validator = responses.validator(response)
            self._partial.begin(Origin(hide_secrets(url), validator, ranges, total))
        self._write(response, offset, total or expected, limit)

    @property
    def _length_verifiable(self) -> bool:
        """True if a truncated file is noticed, whatever the source announces."""
        return self.weights.bytes is not None or self.weights.sha256 is not None

    def _check_complete(self, response: requests.Response, offset: int) -> None:
        """Check that the range after `offset` is refused because the partial file is complete."""
        whole = response.headers.get("Content-Range", "").strip() == f"bytes */{offset}"
        if not (whole and self.weights.hash_known):
            self._partial.drop()
            raise TransferError("has another file than before", retryable=True)

    def _total_size(self, response: requests.Response, offset: int) -> int | None:
        """Return the size of the complete file from a partial response that starts at `offset`.

        Raises:
            TransferError: the response does not continue the partial file, which is deleted.
        """
        found, origin = responses.content_range(response), self._partial.origin
        if found is None or found.first != offset:
            self._partial.drop()
            header = responses.printable(response.headers.get("Content-Range", ""))
            raise TransferError(
                f"sent a different range than requested ('{header}')", retryable=True
            )
        same = responses.is_same_version(response, origin.validator)
        sizes_differ = None not in (found.total, origin.total) and found.total != origin.total
        # Without a digest, only the server's word shows that both parts are of one file.
        if sizes_differ or not (same or (same is None and self.weights.hash_known)):
            self._partial.drop()
            raise TransferError("changed its file during the download", retryable=True)
        return found.total if found.total is not None else origin.total

    def _write(
        self, response: requests.Response, offset: int, total: int | None, limit: int
    ) -> None:
        from urllib3.exceptions import HTTPError, ReadTimeoutError

        done, rate = offset, _Rate(self._stall_timeout)
        with open(self._partial.path, "r+b" if offset else "wb") as file:
            file.seek(offset)
            try:
                # Unlike iter_content, read1 does not wait until a whole chunk has arrived.
                while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
                    done += len(chunk)
                    if done > (limit if total is None else total):
                        self._partial.drop()
                        raise TransferError(
                            f"sent more than the {limit if total is None else total} bytes "
                            "expected",
                            retryable=False,
                        )
                    file.write(chunk)
                    self._progress(done, total)
                    rate.add(len(chunk))
            except (HTTPError, http.client.HTTPException, ValueError) as error:
                stalled = isinstance(error, ReadTimeoutError)
                problem = f"sent nothing for {self._stall_timeout:g} s" if stalled else "broke off"
                raise TransferError(f"{problem} after {done} bytes", retryable=True) from error
            finally:
                file.flush()
                os.fsync(file.fileno())
        if total is not None and done < total:
            raise TransferError(f"broke off after {done} of {total} bytes", retryable=True)

    # ------------------------------------------------------------ partial file

    def _resumable(self, url: str) -> bool:
        """Return True if data from `url` may be appended to the partial file.

        Either the source can confirm that its file has not changed, or the digest will reveal a
        change.
        """
        origin, shown = self._partial.origin, hide_secrets(url)
        if self._is_packed(shown) != self._is_packed(origin.url) or not origin.ranges:
            return False
        return self.weights.hash_known or (origin.validator is not None and origin.url == shown)

    def _is_packed(self, url: str) -> bool:
        return self.weights.packing == "bz2" and url.partition("?")[0].endswith(".bz2")

    # ------------------------------------------------------------ complete file

    def _finish(self) -> None:
        """Verify the file and move it to its final name.

        Raises:
            TransferError: it is a different file; it has been deleted.
        """
        complete = self._partial.path
        try:
            with open(self._partial.path, "rb") as file:
                head = file.read(512)
            if _PAGE_START.match(head):
                raise TransferError("sent a web page instead of the file", retryable=False)
            if self._is_packed(self._partial.origin.url):
                complete = self._unpack()
            result = store.check(self.weights, complete, recorded=False)
            if result.problem is not None:
                # After a resume, the parts may come from different files: retry from the start.
                message = f"sent a different or damaged file: {result.problem}"
                raise TransferError(message, retryable=self._resumed)
            store.digest_path(self.weights).unlink(missing_ok=True)
            os.replace(complete, self._target)
            store.record_digest(self.weights, result.sha256)
            self._partial.drop()
        except TransferError:
            complete.unlink(missing_ok=True)
            self._partial.drop()
            raise

    def _unpack(self) -> Path:
        unpacked = self._target.parent / f".{self._target.name}.unpacked"
        rest = MAX_BYTES if self.weights.bytes is None else self.weights.bytes
        try:
            with bz2.open(self._partial.path, "rb") as packed, open(unpacked, "wb") as file:
                # One byte more than expected, so that the size reveals a longer file.
                while chunk := packed.read(min(2**20, rest + 1)):
                    file.write(chunk)
                    rest -= len(chunk)
                    if rest < 0:
                        break
                file.flush()
                os.fsync(file.fileno())
        except (EOFError, OSError) as error:
            unpacked.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise TransferError("sent a damaged bz2 file", retryable=self._resumed) from error
        return unpacked


class _Rate:
    """Measure the rate of a source."""

    def __init__(self, stall_timeout: float) -> None:
        # Longer than the silence that the user allows.
        self._window = max(RATE_WINDOW, 2 * stall_timeout)
        self._start, self._bytes = time.monotonic(), 0

    def add(self, count: int) -> None:
        """Count bytes that have arrived.

        Raises:
            TransferError: less than MIN_RATE arrived in the last window.
        """
        self._bytes += count
        seconds = time.monotonic() - self._start
        if seconds < self._window:
            return
        if self._bytes < MIN_RATE * seconds:
            raise TransferError(
                f"is too slow: it sent {self._bytes} bytes in {seconds:.0f} s", retryable=False
            )
        self._start, self._bytes = time.monotonic(), 0


def _packed_bytes(unpacked: int) -> int:
    """Return the maximum size of a bz2 file, which may be slightly larger than its content."""
    return unpacked + unpacked // 50 + 10_000
