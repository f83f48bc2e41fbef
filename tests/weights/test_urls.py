"""Test the addresses of mirrors, and that their secrets are hidden."""

from __future__ import annotations

import pytest

from facetrack.runtime.addresses import hide_secrets
from facetrack.weights import REGISTRY
from facetrack.weights.urls import file_address


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/a/b.pth", "https://host/a/b.pth"),
        ("http://user:word@host:8080/a", "http://host:8080/a"),
        ("http://user:w@rd@host/a", "http://host/a"),
        ("http://token@host/a", "http://host/a"),
        ("http://user:wo/rd@host/a", "http://***"),
        ("http://user:1?rd@host/a", "http://***"),
        ("user:word@host/a", "host/a"),
        ("https://host/a?token=x&b", "https://host/a?token=***&***"),
        ("https://host/a?id=x&token=y#z", "https://host/a?id=x&token=***"),
        ("https://host/a#token=y", "https://host/a"),
        ("https://host/a@b/c", "https://host/a@b/c"),
        ("", ""),
    ],
)
def test_secrets_are_hidden(url: str, shown: str) -> None:
    assert hide_secrets(url) == shown


def test_published_addresses_are_shown_as_they_are() -> None:
    urls = [url for entry in REGISTRY.values() for url in (entry.url, *entry.mirrors) if url]
    assert [hide_secrets(url) for url in urls] == urls


@pytest.mark.parametrize(
    ("folder", "address"),
    [
        ("http://host", "http://host/net.pth"),
        ("http://host/a/", "http://host/a/net.pth"),
        ("https://u:p@host:1/a?sig=x", "https://u:p@host:1/a/net.pth?sig=x"),
    ],
)
def test_a_file_lies_in_the_folder(folder: str, address: str) -> None:
    assert file_address(folder, "net.pth") == address


@pytest.mark.parametrize("folder", ["http://", "http://u:p@", "http://host:x/a", "http://["])
def test_a_malformed_address_is_an_error(folder: str) -> None:
    with pytest.raises(ValueError, match=r"host|port|Port|IPv6"):
        file_address(folder, "net.pth")
