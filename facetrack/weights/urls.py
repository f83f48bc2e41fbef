"""Build the addresses of mirrors."""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit


def file_address(folder: str, file: str) -> str:
    """Return the address of a file in a folder; parameters of the folder's address are kept.

    Raises:
        ValueError: the folder's address is malformed.
    """
    parts = urlsplit(folder)
    if not parts.hostname:
        raise ValueError("the address has no host")
    _ = parts.port  # raises an error if it is not a number
    path = f"{parts.path.rstrip('/')}/{quote(file)}"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
