"""Serve the page on 127.0.0.1 until the program is asked to end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from facetrack.api.editing import EditSession
from facetrack.editor.editor import Editor
from facetrack.editor.guard import Guard, new_token
from facetrack.editor.lock import EditLock
from facetrack.errors import FacetrackError
from facetrack.files import reason_of

ADDRESS = "127.0.0.1"
INSTALL = 'facetrack edit needs Starlette and Uvicorn: pip install "facetrack[edit]".'
END_SECONDS = 3.0
"""Time that requests have to end."""


def check_installed() -> None:
    """Check that the server's libraries are there.

    Raises:
        FacetrackError: they are not.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise FacetrackError(INSTALL) from error


class EditServer:
    """Serves a session's page, from `start` to `stop`.

    Args:
        session: what the page shows.
        port: to listen on; 0 for any free one.

    Attributes:
        url: address of the page.
        url_once: another one that leads there only once.
        editor: what the page shows.

    Raises:
        FacetrackError: the port is taken, another server has the run's page, or the server's
            libraries are missing.
    """

    def __init__(self, session: EditSession, port: int = 0) -> None:
        check_installed()
        import uvicorn

        from facetrack.editor.application import create_application

        self._socket = socket.socket()
        # A port that a server of before still holds closing connections on can be taken again.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((ADDRESS, port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            reason = reason_of(error) if isinstance(error, OSError) else "there is no such port"
            raise FacetrackError(f"Port {port} cannot be used: {reason}.") from None
        port = self._socket.getsockname()[1]
        self._lock = EditLock(session.folder, session.stem)
        try:
            self._lock.acquire()
        except FacetrackError:
            self._socket.close()
            raise
        token, once = new_token(), new_token()
        self.url = f"http://{ADDRESS}:{port}/{token}/"
        self.url_once = f"http://{ADDRESS}:{port}/{once}"
        self.editor = Editor(session)
        guard = Guard(create_application(self.editor, token), token, port)
        guard.once = once
        config = uvicorn.Config(
            guard,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=round(END_SECONDS),
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="edit-server", daemon=True
        )

    def start(self) -> None:
        """Start to answer; the page can be opened from now on."""
        self._socket.listen(64)
        self.editor.start()
        self._thread.start()

    def wait(self, should_end: Callable[[], bool], interval: float = 0.2) -> None:
        """Return once `should_end()` says so.

        Raises:
            FacetrackError: the server has ended by itself.
        """
        while not should_end():
            self._thread.join(interval)
            if not self._thread.is_alive():
                raise FacetrackError("The page's server has ended; start facetrack edit again.")

    def stop(self) -> None:
        """Tell the pages, and end."""
        self.editor.tell({"kind": "end"})
        self._server.should_exit = True
        self._thread.join(END_SECONDS + 2)
        self.editor.stop()
        self._socket.close()
        # At last: `stop` waits for files that are being written.
        self._lock.release()
