"""Hide the secrets of network addresses from messages and files."""

from __future__ import annotations

import re

HIDDEN = "***"
"""Text shown instead of a secret."""
_PUBLIC_PARAMETERS = frozenset(("confirm", "download", "export", "id", "raw"))
"""Parameters of an address whose values are no secrets: those of the published addresses."""
_PARTS = re.compile(r"(?P<scheme>[^/?#@:]*://)?(?P<host>[^/?#]*)(?P<path>[^?#]*)(?P<rest>.*)", re.S)


def hide_secrets(url: str) -> str:
    """Return an address without its user name and password, and with hidden parameter values.

    The address need not be valid: a password with an unescaped `/` or `?` is hidden too.
    """
    parts = _PARTS.fullmatch(url)
    assert parts is not None  # every text matches
    scheme, host, path, rest = parts["scheme"] or "", parts["host"], parts["path"], parts["rest"]
    if ":" in host and "@" in path + rest:
        # The host is probably the start of a password.
        return f"{scheme}{HIDDEN}"
    host = host.rpartition("@")[2]
    if not rest.startswith("?"):
        # A fragment is never sent.
        return f"{scheme}{host}{path}"
    query = rest[1:].partition("#")[0]
    return f"{scheme}{host}{path}?{'&'.join(map(_hide_value, query.split('&')))}"


def _hide_value(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    if not equals:
        return HIDDEN if name else ""
    return parameter if name in _PUBLIC_PARAMETERS else f"{name}={HIDDEN}"


_PATH_SECRET = re.compile(
    r"([^/]*?(?:pass(?:w(?:or)?d|phrase)?|pwd|token|secret|key|auth)[^/=]*=)[^/]*", re.I
)
"""A part of a path that states a password, as the addresses of many cameras do."""


def hide_address(url: str) -> str:
    """Return the address of a live source without its secrets, also those in its path."""
    scheme, separator, rest = hide_secrets(url).partition("://")
    path, mark, query = rest.partition("?")
    path = _PATH_SECRET.sub(lambda match: f"{match[1]}{HIDDEN}", path)
    return f"{scheme}{separator}{path}{mark}{query}"
