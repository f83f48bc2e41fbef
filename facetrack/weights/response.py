"""Interpret the headers of responses to requests for weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import requests

_MAX_SHOWN = 60
"""Maximum number of characters of a header in a message."""
_NUMBER = re.compile(r"[0-9]{1,15}")
_RANGE = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15}|\*)")
_RETRYABLE_STATUS = {408, 425, 429, 500, 502, 503, 504}
_PAGE_TYPES = ("text/html", "application/xhtml", "text/xml", "application/xml", "application/json")


class TransferError(Exception):
    """A source did not send the file; the message completes a sentence that begins with its URL.

    Attributes:
        retryable: True if another attempt may succeed.
    """

    def __init__(self, message: str, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


@dataclass(frozen=True)
class ContentRange:
    """A Content-Range header.

    Attributes:
        first, last: positions of the first and the last byte sent.
        total: size of the complete file; None if the server does not state it.
    """

    first: int
    last: int
    total: int | None


def printable(text: str) -> str:
    """Return text from a server for a message: one line of printable characters, shortened."""
    shown = "".join(char if char.isprintable() else "?" for char in text.strip())
    return shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}..."


def check_status(response: requests.Response) -> None:
    """Check that the response holds the file, as far as its status and type tell.

    Raises:
        TransferError: it does not.
    """
    code = response.status_code
    if code not in (200, 206):
        reason = f" ({printable(response.reason)})" if response.reason else ""
        raise TransferError(f"answered {code}{reason}", retryable=code in _RETRYABLE_STATUS)
    if response.headers.get("Content-Type", "").lower().startswith(_PAGE_TYPES):
        raise TransferError("sent a web page instead of the file", retryable=False)
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() in ("gzip", "x-gzip", "deflate", "br", "zstd"):
        raise TransferError(f"sent the file compressed ({printable(encoding)})", retryable=False)


def content_length(response: requests.Response) -> int | None:
    """Return the number of bytes of the response's body; None if it is not announced.

    Raises:
        TransferError: the header is no number.
    """
    header = response.headers.get("Content-Length")
    if header is None or is_chunked(response):
        return None
    if not _NUMBER.fullmatch(header.strip()):
        raise TransferError(
            f"sent a Content-Length that is no number ('{printable(header)}')", retryable=False
        )
    return int(header)


def is_chunked(response: requests.Response) -> bool:
    """Return True if the body marks its own end, so that a truncated one is noticed."""
    return response.headers.get("Transfer-Encoding", "").strip().lower() == "chunked"


def content_range(response: requests.Response) -> ContentRange | None:
    """Return the range of the file that the response holds; None if it is not well-formed."""
    match = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if match is None:
        return None
    first, last, total = match.groups()
    found = ContentRange(int(first), int(last), None if total == "*" else int(total))
    if found.last < found.first or (found.total is not None and found.last >= found.total):
        return None
    return found


def validator(response: requests.Response) -> str | None:
    """Return what identifies this version of the file: a strong ETag, or else its date."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


def is_same_version(response: requests.Response, noted: str | None) -> bool | None:
    """Return whether the response is of the version with a noted validator.

    Returns:
        None if the response or the note does not tell.
    """
    if noted is None:
        return None
    header = "ETag" if noted.startswith('"') else "Last-Modified"
    found = response.headers.get(header)
    return None if found is None else found == noted
