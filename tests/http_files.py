"""Serve files over HTTP on this machine, with configurable faults."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

BODY = np.random.default_rng(1).bytes(300_000)
"""A file to serve."""


@dataclass
class Served:
    """Configure the response for one path.

    Attributes:
        body: content of the file.
        status: status sent instead of 200, `failures` times (-1: always).
        break_after: number of bytes after which each response ends, although more are announced.
        stall_after: number of bytes after which each response pauses with the connection open.
        ranges: True supports range requests.
        etag: ETag of the file; None sends none.
        length: True announces the body's length.
        content_type: Content-Type header.
        location: address to redirect to.
        shift: bytes by which a range starts after the requested position.
        headers: further headers, which replace those of the same name.
        drip: seconds between single bytes, which follow after `stall_after`.
        slow_headers: seconds between bytes of an endless header.
        checks_version: False ignores If-Range.
    """

    body: bytes = b""
    status: int = 200
    failures: int = -1
    break_after: int | None = None
    stall_after: int | None = None
    ranges: bool = True
    etag: str | None = '"1"'
    length: bool = True
    content_type: str = "application/octet-stream"
    location: str | None = None
    shift: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    drip: float | None = None
    slow_headers: float | None = None
    checks_version: bool = True


@dataclass
class Server:
    """A running server.

    Attributes:
        url: address, without a trailing slash.
        files: path without the leading slash -> its response.
        requests: (path, Range header or "") of all requests, in order.
        gate: set to continue stalled responses.
    """

    url: str
    files: dict[str, Served] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        name, requested_range = self.path.lstrip("/"), self.headers.get("Range", "")
        self.files.requests.append((name, requested_range))
        served = self.files.files.get(name, Served(status=404))
        self.close_connection = True
        if served.location is not None:
            self._head(302, 0, Location=served.location)
            return
        if served.status != 200 and served.failures != 0:
            served.failures -= 1
            self._head(served.status, 0)
            return
        start, size = 0, len(served.body)
        unchanged = self.headers.get("If-Range", served.etag) == served.etag
        unchanged = unchanged or not served.checks_version
        if requested_range and served.ranges and unchanged:
            start = int(requested_range.removeprefix("bytes=").rstrip("-")) + served.shift
            if start >= size:
                self._head(416, 0, **{"Content-Range": f"bytes */{size}"})
                return
        if served.slow_headers is not None:
            self._send_slowly(served.slow_headers, b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000)
            return
        extra = {"Content-Type": served.content_type}
        if start:
            extra["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        if served.ranges:
            extra["Accept-Ranges"] = "bytes"
        if served.etag:
            extra["ETag"] = served.etag
        extra |= served.headers
        length = size - start if served.length and "Content-Length" not in extra else None
        self._head(206 if start else 200, length, **extra)
        rest = served.body[start:]
        stop = served.break_after if served.break_after is not None else served.stall_after
        with contextlib.suppress(ConnectionError):
            self.wfile.write(rest[:stop])
            self.wfile.flush()
            if served.stall_after is not None and len(rest) > served.stall_after:
                if served.drip is not None:
                    self._send_slowly(served.drip, rest[stop:])
                self.files.gate.wait(5)

    def _send_slowly(self, seconds: float, data: bytes) -> None:
        """Send single bytes, until the test ends or the client leaves."""
        with contextlib.suppress(ConnectionError):
            for position in range(len(data)):
                if self.files.gate.wait(seconds):
                    break
                self.wfile.write(data[position : position + 1])
                self.wfile.flush()

    def _head(self, status: int, length: int | None, **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Run a server on a free port of this machine."""
    handler = type("Handler", (_Handler,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        listener.daemon_threads = True
        server = Server(f"http://127.0.0.1:{listener.server_port}")
        handler.files = server
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.gate.set()
            listener.shutdown()
            thread.join()


def prepare(monkeypatch: pytest.MonkeyPatch, home: object) -> None:
    """Set an empty cache, default settings, no proxy and no delay between retries."""
    for name in ("FACETRACK_OFFLINE", "FACETRACK_WEIGHTS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("FACETRACK_HOME", str(home))
    monkeypatch.setattr("facetrack.weights.transfer.RETRY_DELAY", 0.0)


def wait_until(condition: object, seconds: float = 5.0) -> None:
    """Wait until `condition()` is true; fail the test after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)
