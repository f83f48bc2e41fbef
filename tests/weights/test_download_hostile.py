"""Test downloads from servers that send too much, too slowly, nonsense, or parts of two files."""

from __future__ import annotations

import bz2
import gc
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from http_files import BODY, Served, Server
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.errors import FacetrackError
from facetrack.weights import REGISTRY, Weights, download, store
from facetrack.weights.content import is_checkable


def saved(seed: int) -> bytes:
    """Return a file of network weights, of the same size for every seed."""
    stream = io.BytesIO()
    generator = torch.Generator().manual_seed(seed)
    torch.save({"conv.weight": torch.randn(256, 256, generator=generator)}, stream)
    return stream.getvalue()


WHOLE = saved(1)
HALF = len(WHOLE) // 2


@pytest.fixture
def unknown(entry: Weights) -> Weights:
    """Return weights of which neither size nor SHA-256 are known."""
    return replace(entry, bytes=None, sha256=None)


def fail(entry: Weights, match: str, **options: float) -> str:
    """Check that a download fails with one sentence, and return it."""
    with pytest.raises(FacetrackError, match=match) as caught:
        download.fetch(entry, **options)
    assert "\n" not in str(caught.value)
    assert not store.cached_path(entry).exists()
    return str(caught.value)


def partial(entry: Weights) -> Path:
    target = store.cached_path(entry)
    return target.with_name(f".{target.name}.part")


# ---------------------------------------------------------------- too much


def test_a_body_is_cut_off_at_the_known_size(server: Server, entry: Weights) -> None:
    server.files["net.pth"] = Served(BODY + bytes(10_000_000), length=False)
    received: list[int] = []
    with pytest.raises(FacetrackError, match=f"sent more than the {len(BODY)} bytes expected"):
        download.fetch(entry, progress=lambda done, _: received.append(done))
    assert max(received) <= len(BODY)
    assert not store.cached_path(entry).exists()
    assert not partial(entry).exists()


def test_an_announced_size_above_the_limit_is_refused(
    server: Server, unknown: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facetrack.weights.transfer.MAX_BYTES", len(WHOLE) - 1)
    server.files["net.pth"] = Served(WHOLE)
    fail(unknown, "more than the")
    assert not partial(unknown).exists()


def test_a_body_without_end_is_cut_off_at_the_limit(
    server: Server, unknown: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facetrack.weights.transfer.MAX_BYTES", 100_000)
    chunk = b"8000\r\n" + bytes(0x8000) + b"\r\n"
    server.files["net.pth"] = Served(
        chunk * 10, length=False, headers={"Transfer-Encoding": "chunked"}
    )
    fail(unknown, "sent more than the 100000 bytes")


def test_a_bz2_file_unpacks_to_the_known_size_at_most(server: Server, entry: Weights) -> None:
    server.files["net.pth.bz2"] = Served(bz2.compress(bytes(50_000_000)))
    packed = replace(entry, url=f"{server.url}/net.pth.bz2", packing="bz2")
    fail(packed, f"it has {len(BODY) + 1} bytes instead of {len(BODY)}")


# ---------------------------------------------------------------- files of unknown hash


def test_a_whole_file_of_unknown_hash_is_kept(server: Server, unknown: Weights) -> None:
    server.files["net.pth"] = Served(WHOLE)
    path, _ = download.fetch(unknown)
    assert path.read_bytes() == WHOLE
    assert "content" in store.check(unknown, path).compared


def test_a_file_whose_end_is_marked_needs_no_length(server: Server, unknown: Weights) -> None:
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(WHOLE), WHOLE)
    server.files["net.pth"] = Served(body, length=False, headers={"Transfer-Encoding": "chunked"})
    assert download.fetch(unknown)[0].read_bytes() == WHOLE


def test_a_chunked_file_that_breaks_off_is_refused(server: Server, unknown: Weights) -> None:
    body = b"%x\r\n%s\r\n" % (len(WHOLE), WHOLE)
    server.files["net.pth"] = Served(body, length=False, headers={"Transfer-Encoding": "chunked"})
    fail(unknown, "broke off")


@pytest.mark.parametrize("size", [0, 10, HALF, len(WHOLE) - 1])
def test_a_file_that_does_not_open_is_refused(server: Server, unknown: Weights, size: int) -> None:
    server.files["net.pth"] = Served(WHOLE[:size])
    fail(unknown, "it does not open as network weights")


@pytest.mark.parametrize("size", [0, 10, 40_000])
def test_arrays_that_do_not_open_are_refused(server: Server, unknown: Weights, size: int) -> None:
    stream = io.BytesIO()
    content = {"params": {"tapir/x": {"w": np.ones((100, 100))}}}
    np.save(stream, np.array(content, dtype=object), allow_pickle=True)
    arrays = replace(unknown, file="net.npy")
    server.files["net.pth"] = Served(stream.getvalue()[:size])
    fail(arrays, "it does not open as arrays of weights")
    server.files["net.pth"] = Served(stream.getvalue())
    assert download.fetch(arrays)[1]


@pytest.mark.parametrize("size", [0, 10, HALF])
def test_a_damaged_file_in_the_cache_is_fetched_again(
    server: Server, unknown: Weights, size: int
) -> None:
    path = store.cached_path(unknown)
    path.parent.mkdir(parents=True)
    path.write_bytes(WHOLE[:size])
    assert store.check(unknown, path).problem is not None
    server.files["net.pth"] = Served(WHOLE)
    assert download.fetch(unknown) == (path, True)
    assert path.read_bytes() == WHOLE


def test_a_file_without_a_length_is_refused(server: Server, unknown: Weights) -> None:
    server.files["net.pth"] = Served(WHOLE, length=False)
    fail(unknown, "does not announce the length")


def test_a_file_with_wrong_checksums_is_refused(server: Server, unknown: Weights) -> None:
    body = bytearray(WHOLE)
    body[HALF] ^= 1
    server.files["net.pth"] = Served(bytes(body))
    fail(unknown, "its checksums do not match its content")


def test_every_published_file_of_unknown_hash_can_be_opened() -> None:
    unverifiable = [entry for entry in REGISTRY.values() if not entry.hash_known]
    assert unverifiable
    assert all(is_checkable(entry.file) for entry in unverifiable)


# ---------------------------------------------------------------- two versions of a file

RESUMED = f"bytes={HALF}-"


def resume(server: Server, entry: Weights, first: Served, second: Served) -> bytes:
    """Interrupt a download at HALF, replace the file on the server, and download again."""
    first.stall_after = HALF
    server.files["net.pth"] = first

    def replace_file(done: int, total: int | None) -> None:
        if done >= HALF:
            server.files["net.pth"] = second

    return download.fetch(entry, progress=replace_file, stall_timeout=0.3)[0].read_bytes()


def test_an_unchanged_file_is_resumed(server: Server, unknown: Weights) -> None:
    assert resume(server, unknown, Served(WHOLE), Served(WHOLE)) == WHOLE
    assert [requested for _, requested in server.requests] == ["", RESUMED]


def test_a_file_is_resumed_by_its_date(server: Server, unknown: Weights) -> None:
    date = {"Last-Modified": "Sat, 01 Jun 2024 10:00:00 GMT"}
    first = Served(WHOLE, etag=None, headers=date)
    second = Served(WHOLE, etag=None, headers=date, checks_version=False)
    assert resume(server, unknown, first, second) == WHOLE
    assert [requested for _, requested in server.requests] == ["", RESUMED]


@pytest.mark.parametrize(
    "second",
    [
        {"etag": '"2"'},
        {"etag": None},
        {"headers": {"Content-Range": f"bytes {HALF}-{len(WHOLE)}/{len(WHOLE) + 1}"}},
    ],
    ids=["another tag", "no tag", "another size"],
)
def test_a_part_of_another_version_is_not_appended(
    server: Server, unknown: Weights, second: dict[str, object]
) -> None:
    """The server ignores If-Range, so that only the headers of its response reveal the change."""
    newer = saved(2)
    served = Served(newer, checks_version=False, **second)  # type: ignore[arg-type]
    assert resume(server, unknown, Served(WHOLE), served) == newer
    assert [requested for _, requested in server.requests] == ["", RESUMED, ""]


# ---------------------------------------------------------------- nonsense


@pytest.mark.parametrize(
    "length", ["\xb2", "-1", "1e5", "0x10", "9" * 5000, " ", "none", "\xff\xfe", "1.5"]
)
def test_a_length_that_is_no_number_is_one_sentence(
    server: Server, entry: Weights, length: str
) -> None:
    server.files["net.pth"] = Served(BODY, headers={"Content-Length": length})
    message = fail(entry, "no number")
    assert len(message) < 300


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_two_lengths_are_one_sentence(server: Server, entry: Weights) -> None:
    server.files["net.pth"] = Served(BODY, headers={"Content-Length": "5, 6"})
    fail(entry, "is not usable")
    gc.collect()  # urllib3 leaves the socket to the garbage collector, which warns


@pytest.mark.parametrize(
    "found", ["bytes \xb2-\xb3/\xb9", "bytes 9-1/5", "bytes */*", "9" * 5000, "", "\x1b[2J"]
)
def test_a_range_that_is_nonsense_is_one_sentence(
    server: Server, entry: Weights, found: str
) -> None:
    served = Served(BODY, headers={"Content-Range": found}, break_after=100_000)
    server.files["net.pth"] = served
    message = fail(entry, r"broke off|a different range")
    assert message.isprintable()
    assert len(message) < 300


@pytest.mark.parametrize("location", ["\xb2", "http://[", "http://a:b/", "ftp://x/", "//", "\xff"])
def test_a_redirect_to_nonsense_is_one_sentence(
    server: Server, entry: Weights, location: str
) -> None:
    server.files["net.pth"] = Served(location=location)
    fail(entry, "could not be fetched")


def test_a_compressed_body_is_not_unpacked(server: Server, entry: Weights) -> None:
    server.files["net.pth"] = Served(BODY, headers={"Content-Encoding": "gzip"})
    fail(entry, r"sent the file compressed \(gzip\)")


# ---------------------------------------------------------------- too slow


def test_a_slow_source_is_given_up_and_its_part_kept(
    server: Server, entry: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facetrack.weights.transfer.RATE_WINDOW", 0.3)
    monkeypatch.setattr("facetrack.weights.transfer.MIN_RATE", 1e6)
    server.files["net.pth"] = Served(BODY, stall_after=65536, drip=0.05)
    message = fail(entry, "is too slow: it sent", stall_timeout=0.15)
    assert "bytes are kept, and the next attempt continues there" in message
    kept = partial(entry).stat().st_size
    assert kept > 65536
    assert len(server.requests) == 1
    server.files["net.pth"] = Served(BODY)
    assert download.fetch(entry)[0].read_bytes() == BODY
    assert server.requests[-1] == ("net.pth", f"bytes={kept}-")


def test_after_a_slow_source_a_mirror_is_tried(
    server: Server, entry: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facetrack.weights.transfer.RATE_WINDOW", 0.2)
    monkeypatch.setattr("facetrack.weights.transfer.MIN_RATE", 1e6)
    server.files["net.pth"] = Served(BODY, stall_after=65536, drip=0.05)
    server.files["mirror"] = Served(BODY)
    mirrored = replace(entry, mirrors=(f"{server.url}/mirror",))
    assert download.fetch(mirrored, stall_timeout=0.1)[0].read_bytes() == BODY


def test_a_source_that_sends_a_few_bytes_per_request_is_given_up(
    server: Server, entry: Weights
) -> None:
    server.files["net.pth"] = Served(BODY, break_after=100)
    fail(entry, "broke off after .* tries")
    assert len(server.requests) < 10


def test_headers_without_end_are_given_up(
    server: Server, entry: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facetrack.weights.transfer.HEADER_TIMEOUT", 0.3)
    server.files["net.pth"] = Served(BODY, slow_headers=0.05)
    fail(entry, r"did not send complete headers within 0\.3 s", stall_timeout=0.2)


# ---------------------------------------------------------------- secrets

SECRETS = ("hunter2", "t0ken", "somebody")


def assert_hidden(text: str) -> None:
    assert not [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("failing", [True, False])
def test_a_password_is_sent_but_neither_shown_nor_stored(
    server: Server, entry: Weights, monkeypatch: pytest.MonkeyPatch, failing: bool
) -> None:
    host = server.url.removeprefix("http://")
    mirror = f"http://somebody:hunter2@{host}/mine?sig=t0ken&v=1"
    monkeypatch.setenv("FACETRACK_WEIGHTS_URL", mirror)
    path = "mine/net.pth?sig=t0ken&v=1"
    server.files[path] = Served(BODY, stall_after=131072)
    notices: list[str] = []
    written: list[str] = []

    def note_files(done: int, total: int | None) -> None:
        written.extend(
            path.read_text(errors="replace") for path in store.cache_folder().glob(".*.json")
        )
        if not failing:
            server.files[path] = Served(BODY)

    if failing:
        monkeypatch.setattr("facetrack.weights.transfer.MAX_TRIES", 1)
        with pytest.raises(FacetrackError) as caught:
            download.fetch(entry, notify=notices.append, progress=note_files, stall_timeout=0.2)
        assert_hidden(str(caught.value))
        assert f"http://{host}/mine/net.pth?sig=***&v=*** sent nothing" in str(caught.value)
    else:
        download.fetch(entry, notify=notices.append, progress=note_files, stall_timeout=0.2)
        assert server.requests[-1] == (path, "bytes=131072-")
    assert written
    files = [path.read_bytes().decode("latin-1") for path in store.cache_folder().iterdir()]
    for text in (*notices, *written, *files):
        assert_hidden(text)


@pytest.mark.parametrize(
    "mirror",
    [
        "ftp://somebody:hunter2@host/x",
        "somebody:hunter2@host/x",
        "http://somebody:hunter2/x@host/x?sig=t0ken",
        "http://somebody:hunter2@[/x",
        "https://somebody:hunter2@",
        "http://somebody:hunter2?@host/",
    ],
)
def test_the_command_hides_the_password_of_an_invalid_address(
    server: Server, monkeypatch: pytest.MonkeyPatch, mirror: str
) -> None:
    monkeypatch.setenv("FACETRACK_WEIGHTS_URL", mirror)
    result = CliRunner().invoke(app, ["weights", "fetch", "yunet"])
    assert isinstance(result.exception, FacetrackError | SystemExit)
    assert_hidden(f"{result.output} {result.exception}")


def test_a_note_without_sense_starts_anew(server: Server, entry: Weights) -> None:
    part = partial(entry)
    part.parent.mkdir(parents=True)
    part.write_bytes(BODY[:1000])
    for note in ({"url": 1}, {"unknown": 2}, [], {"validator": {}}):
        part.with_name(f"{part.name}.json").write_text(json.dumps(note))
        server.files["net.pth"] = Served(BODY)
        path, _ = download.fetch(entry)
        assert path.read_bytes() == BODY
        path.unlink()
