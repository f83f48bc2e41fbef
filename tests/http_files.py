"""A server of files on this machine that misbehaves as it is told to."""

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
    """How one path is answered.

    Attributes:
        body: the file.
        status: answered instead of 200, `failures` times (-1: always).
        breaks: each answer ends after so many bytes, though more are announced.
        stalls: each answer stops after so many bytes and leaves the connection open.
        ranges: parts can be asked for.
        etag: of the file; None sends none.
        length: announce the body's length.
        kind: Content-Type.
        location: redirect there.
        shift: parts start so many bytes after the one asked for.
    """

    body: bytes = b""
    status: int = 200
    failures: int = -1
    breaks: int | None = None
    stalls: int | None = None
    ranges: bool = True
    etag: str | None = '"1"'
    length: bool = True
    kind: str = "application/octet-stream"
    location: str | None = None
    shift: int = 0


@dataclass
class Server:
    """What is served, and what was asked for.

    Attributes:
        files: path (without the leading slash) -> how it is answered.
        requests: (path, Range header or "") in order.
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
        name, asked = self.path.lstrip("/"), self.headers.get("Range", "")
        self.files.requests.append((name, asked))
        served = self.files.files.get(name, Served(status=404))
        self.close_connection = True
        if served.location is not None:
            self._head(302, 0, Location=served.location)
            return
        if served.status != 200 and served.failures != 0:
            served.failures -= 1
            self._head(served.status, 0)
            return
        start, whole = 0, len(served.body)
        same = self.headers.get("If-Range", served.etag) == served.etag
        if asked and served.ranges and same:
            start = int(asked.removeprefix("bytes=").rstrip("-")) + served.shift
            if start >= whole:
                self._head(416, 0, **{"Content-Range": f"bytes */{whole}"})
                return
        extra = {"Content-Type": served.kind}
        if start:
            extra["Content-Range"] = f"bytes {start}-{whole - 1}/{whole}"
        if served.ranges:
            extra["Accept-Ranges"] = "bytes"
        if served.etag:
            extra["ETag"] = served.etag
        self._head(206 if start else 200, whole - start if served.length else None, **extra)
        rest = served.body[start:]
        stop = served.breaks if served.breaks is not None else served.stalls
        with contextlib.suppress(ConnectionError):
            self.wfile.write(rest[:stop])
            self.wfile.flush()
            if served.stalls is not None and len(rest) > served.stalls:
                self.files.gate.wait(5)

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
    """Serve on a free port of this machine."""
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
    """An empty cache, no settings of the caller's, no proxy in the way, no waiting."""
    for name in ("FACETRACK_OFFLINE", "FACETRACK_WEIGHTS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("FACETRACK_HOME", str(home))
    monkeypatch.setattr("facetrack.weights.transfer.PAUSE", 0.0)


def wait_until(condition: object, seconds: float = 5.0) -> None:
    """Wait for `condition()`; fail the test if it never comes true."""
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)
