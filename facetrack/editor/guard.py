"""Let in only the page that the program itself has opened.

Other programs, other users of the machine and pages of other sites may all reach a port of
127.0.0.1. So every address has a random token; the names under which the port is reached are
checked, because a site may let its own name lead to 127.0.0.1 (DNS rebinding); and requests that
another site's page makes are refused.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ONLY_SELF = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    ("Content-Security-Policy", ONLY_SELF),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
)
MAX_BODY = 2**20
"""Largest body of a request in bytes; a start with 98 points has some thousand."""
_REFUSALS = {
    403: "This request does not come from the page.",
    404: "There is no such page: use the address that facetrack edit has printed.",
    405: "This request does not come from the page.",
    413: "The request is too large.",
}


def new_token() -> str:
    """Return a token that cannot be guessed."""
    return secrets.token_urlsafe(24)


class Guard:
    """Pass on only requests of the program's own page, and add the headers that confine it.

    Args:
        app: the application.
        token: first part of every address.
        port: of the server.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app, self._token = app, token.encode()
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self.once: str | None = None
        """A token that leads to the page once, for a browser's command line, which others see."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        status = self._refusal(scope)
        if status:
            await self._answer(send, status, _REFUSALS[status])
            return
        first = scope["path"].lstrip("/").split("/")[0]
        if self.once is not None and hmac.compare_digest(first.encode(), self.once.encode()):
            self.once = None
            where = ("Location", f"/{self._token.decode()}/")
            await self._answer(send, 303, "", where)
            return
        if not hmac.compare_digest(first.encode(), self._token):
            await self._answer(send, 404, _REFUSALS[404])
            return

        async def send_confined(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_encoded(HEADERS)]
            await send(message)

        await self._app(scope, receive, send_confined)

    def _refusal(self, scope: Scope) -> int:
        """Return the status with which a request is refused; 0 for those that are not."""
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        host = headers.get("host", "")
        if host not in self._hosts:
            return 403
        if headers.get("origin", f"http://{host}") != f"http://{host}":
            return 403
        changes = scope["method"] == "POST"
        if not changes and scope["method"] not in ("GET", "HEAD"):
            return 405
        # A link to the page may come from anywhere; what the page itself asks for may not.
        is_page = headers.get("sec-fetch-mode") == "navigate" and not changes
        if not is_page and headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return 403
        # Forms of other sites cannot send JSON.
        if changes and headers.get("content-type") != "application/json":
            return 403
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal() or int(length) > MAX_BODY:
            return 413
        return 0

    async def _answer(self, send: Send, status: int, text: str, *more: tuple[str, str]) -> None:
        plain = ("Content-Type", "text/plain; charset=utf-8")
        start: dict[str, Any] = {"type": "http.response.start", "status": status}
        await send({**start, "headers": _encoded((plain, *HEADERS, *more))})
        await send({"type": "http.response.body", "body": text.encode()})


def _encoded(headers: tuple[tuple[str, str], ...]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers]
