"""Live sources on this machine: an RTSP server, and ffmpeg as HTTP, UDP and TCP sender."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from facetrack.video import ffmpeg

ENCODED = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "10", "-an")


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port of the loopback that nobody uses."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def sending(
    *arguments: str, output: str | int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ffmpeg in the background."""
    command = [ffmpeg.executable(), "-nostdin", "-loglevel", "error", *arguments]
    process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)  # type: ignore[arg-type]
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def looped(clip: Path, filters: str = "null") -> list[str]:
    """Return arguments that play a clip again and again, at its own speed."""
    source = ["-re", "-stream_loop", "-1", "-i", str(clip)]
    return [*source, "-vf", filters, *ENCODED]


class RtspServer:
    """An RTSP server of one stream, which is sent over the connection itself (interleaved).

    Args:
        clip: played again and again, at its own speed.
        login: "user:password" that clients need; None for everybody.
        filters: ffmpeg's filters for the clip.

    Attributes:
        port: of the server.
        num_clients: connections that have played the stream so far.
    """

    def __init__(self, clip: Path, login: str | None = None, filters: str = "null") -> None:
        self._login = login
        self._stack = contextlib.ExitStack()
        self._playing: dict[socket.socket, threading.Lock] = {}
        self._open = True
        self.num_clients = 0
        self._packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**21)
        self._packets.bind(("127.0.0.1", 0))
        target = f"rtp://127.0.0.1:{self._packets.getsockname()[1]}?pkt_size=1200"
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        sdp = Path(folder) / "stream.sdp"
        options = [*looped(clip, filters), "-sdp_file", str(sdp), "-f", "rtp", target]
        self._stack.enter_context(sending(*options))
        while not sdp.exists() or "m=video" not in sdp.read_text():
            time.sleep(0.05)
        text = re.sub(r"^SDP:\s*", "", sdp.read_text())
        lines = [line.strip() for line in text.splitlines() if not line.startswith(("c=", "b="))]
        lines = [re.sub(r"^m=video \d+", "m=video 0", line) for line in lines if line]
        self._sdp = "\r\n".join([*lines, "a=control:trackID=0", ""])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        for work in (self._accept, self._forward):
            threading.Thread(target=work, daemon=True).start()

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._stack.close()
        self._packets.close()

    def url(self, login: str = "") -> str:
        """Return the stream's address."""
        return f"rtsp://{login + '@' if login else ''}127.0.0.1:{self.port}/stream"

    def drop(self) -> None:
        """Close all connections; new ones are accepted."""
        for client in list(self._playing):
            self._playing.pop(client, None)
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """Close all connections and accept no more."""
        self._open = False
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def _accept(self) -> None:
        while self._open:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        lock, buffer = threading.Lock(), b""
        with client, contextlib.suppress(OSError):
            while data := client.recv(65536):
                buffer += data
                while buffer:
                    if buffer[:1] == b"$":  # a receiver's report
                        if len(buffer) < 4 or len(buffer) < 4 + struct.unpack(">H", buffer[2:4])[0]:
                            break
                        buffer = buffer[4 + struct.unpack(">H", buffer[2:4])[0] :]
                        continue
                    request, end, rest = buffer.partition(b"\r\n\r\n")
                    if not end:
                        break
                    buffer = rest
                    answer, plays = self._answer(request.decode("latin-1"))
                    with lock:
                        client.sendall(answer.encode())
                    if plays:
                        self.num_clients += 1
                        self._playing[client] = lock
        self._playing.pop(client, None)

    def _answer(self, request: str) -> tuple[str, bool]:
        """Return the response to a request, and whether the stream begins with it."""
        method, url = request.split()[:2]
        number = re.search(r"^CSeq: *(\d+)", request, re.M | re.I)
        head = f"CSeq: {number[1] if number else 0}\r\n"
        expected = base64.b64encode((self._login or "").encode()).decode()
        if self._login and method != "OPTIONS" and f"Basic {expected}" not in request:
            return (
                f'RTSP/1.0 401 Unauthorized\r\n{head}WWW-Authenticate: Basic realm="test"\r\n\r\n',
                False,
            )
        body = ""
        if method == "OPTIONS":
            head += "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif method == "DESCRIBE":
            body = self._sdp
            head += f"Content-Base: {url}/\r\nContent-Type: application/sdp\r\n"
            head += f"Content-Length: {len(body)}\r\n"
        elif method == "SETUP":
            if "TCP" not in request:
                return f"RTSP/1.0 461 Unsupported Transport\r\n{head}\r\n", False
            head += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        return f"RTSP/1.0 200 OK\r\n{head}Session: 1\r\n\r\n{body}", method == "PLAY"

    def _forward(self) -> None:
        while True:
            try:
                packet = self._packets.recv(65536)
            except OSError:
                return
            for client, lock in list(self._playing.items()):
                try:
                    with lock:
                        client.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
                except OSError:
                    self._playing.pop(client, None)
