"""Test downloads from servers that truncate, stall, redirect, refuse or send wrong data."""

from __future__ import annotations

import bz2
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import http_files
import numpy as np
import pytest
from http_files import BODY, Served, Server

from facetrack.errors import FacetrackError
from facetrack.weights import Weights, download, store
from facetrack.weights.transfer import MAX_TRIES

DIFFERENT = np.random.default_rng(2).bytes(300_000)


def cached_files() -> list[str]:
    """Return the names of the files in the cache except the lock."""
    folder = store.cache_folder()
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.suffix != ".lock")


def ranges(server: Server) -> list[str]:
    return [requested for _, requested in server.requests]


def leave_partial(entry: Weights, body: bytes, server: Server, monkeypatch) -> None:
    """Interrupt a download after `body`."""
    server.files["net.pth"] = Served(body + bytes(len(BODY) - len(body)), stall_after=len(body))
    with monkeypatch.context() as patch:
        patch.setattr("facetrack.weights.transfer.MAX_TRIES", 1)
        with pytest.raises(FacetrackError):
            download.fetch(entry, stall_timeout=0.2)
    server.requests.clear()


def test_a_complete_file_gets_its_final_name(server: Server, entry: Weights) -> None:
    server.files["net.pth"] = Served(BODY)
    path, fetched = download.fetch(entry)
    assert (path, fetched) == (store.cached_path(entry), True)
    assert path.read_bytes() == BODY


def test_only_the_file_and_its_digest_remain(server: Server, entry: Weights) -> None:
    server.files["net.pth"] = Served(BODY)
    download.fetch(entry)
    assert cached_files() == ["net.pth", "net.pth.sha256"]
    assert store.digest_path(entry).read_text() == f"{entry.sha256}  net.pth\n"


def test_progress_ends_at_the_file_size(server: Server, entry: Weights) -> None:
    server.files["net.pth"] = Served(BODY)
    seen: list[tuple[int, int | None]] = []
    download.fetch(entry, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(BODY), len(BODY))


def test_an_intact_file_is_not_fetched_again(server: Server, entry: Weights) -> None:
    server.files["net.pth"] = Served(BODY)
    download.fetch(entry)
    server.requests.clear()
    assert download.fetch(entry) == (store.cached_path(entry), False)
    assert server.requests == []


def test_a_damaged_file_is_fetched_again(server: Server, entry: Weights) -> None:
    server.files["net.pth"] = Served(BODY)
    path, _ = download.fetch(entry)
    path.write_bytes(DIFFERENT)
    assert download.fetch(entry) == (path, True)
    assert path.read_bytes() == BODY


def test_redirects_are_followed(server: Server, entry: Weights) -> None:
    server.files["net.pth"] = Served(location=f"{server.url}/elsewhere")
    server.files["elsewhere"] = Served(BODY)
    assert download.fetch(entry)[0].read_bytes() == BODY


def test_a_broken_connection_is_resumed(server: Server, entry: Weights) -> None:
    server.files["net.pth"] = Served(BODY, break_after=65536)
    assert download.fetch(entry)[0].read_bytes() == BODY
    # More tries than MAX_TRIES, because each receives new data.
    assert ranges(server) == ["", *(f"bytes={n * 65536}-" for n in range(1, 5))]


def test_a_later_call_resumes(server: Server, entry: Weights, monkeypatch) -> None:
    leave_partial(entry, BODY[:131072], server, monkeypatch)
    assert cached_files() == [".net.pth.part", ".net.pth.part.json"]
    server.files["net.pth"] = Served(BODY)
    assert download.fetch(entry)[0].read_bytes() == BODY
    assert ranges(server) == ["bytes=131072-"]


def test_a_server_without_ranges_sends_the_whole_file_again(
    server: Server, entry: Weights, monkeypatch
) -> None:
    leave_partial(entry, BODY[:131072], server, monkeypatch)
    server.files["net.pth"] = Served(BODY, ranges=False)
    assert download.fetch(entry)[0].read_bytes() == BODY


def test_a_changed_file_is_sent_whole(server: Server, entry: Weights, monkeypatch) -> None:
    leave_partial(entry, DIFFERENT[:131072], server, monkeypatch)
    server.files["net.pth"] = Served(BODY, etag='"2"')
    assert download.fetch(entry)[0].read_bytes() == BODY
    assert len(server.requests) == 1


def test_mismatched_parts_are_fetched_again_from_the_start(
    server: Server, entry: Weights, monkeypatch
) -> None:
    leave_partial(entry, DIFFERENT[:131072], server, monkeypatch)
    server.files["net.pth"] = Served(BODY)
    assert download.fetch(entry)[0].read_bytes() == BODY
    assert ranges(server) == ["bytes=131072-", ""]


def test_a_complete_partial_file_is_only_verified(
    server: Server, entry: Weights, monkeypatch
) -> None:
    leave_partial(entry, BODY[:131072], server, monkeypatch)
    (store.cache_folder() / ".net.pth.part").write_bytes(BODY)
    server.files["net.pth"] = Served(BODY)
    assert download.fetch(entry)[0].read_bytes() == BODY
    assert ranges(server) == []


def test_a_complete_partial_file_of_unknown_length_is_only_verified(
    server: Server, entry: Weights, monkeypatch
) -> None:
    leave_partial(entry, BODY[:131072], server, monkeypatch)
    (store.cache_folder() / ".net.pth.part").write_bytes(BODY)
    note = store.cache_folder() / ".net.pth.part.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "total": None}))
    server.files["net.pth"] = Served(BODY)
    assert download.fetch(entry)[0].read_bytes() == BODY
    assert ranges(server) == [f"bytes={len(BODY)}-"]


def test_a_different_range_than_requested_is_not_used(
    server: Server, entry: Weights, monkeypatch
) -> None:
    leave_partial(entry, BODY[:131072], server, monkeypatch)
    server.files["net.pth"] = Served(BODY, shift=-1)
    assert download.fetch(entry)[0].read_bytes() == BODY
    assert ranges(server) == ["bytes=131072-", ""]


def test_a_partial_file_that_is_too_long_is_deleted(
    server: Server, entry: Weights, monkeypatch
) -> None:
    leave_partial(entry, BODY[:131072], server, monkeypatch)
    (store.cache_folder() / ".net.pth.part").write_bytes(BODY + b"more")
    server.files["net.pth"] = Served(BODY)
    assert download.fetch(entry)[0].read_bytes() == BODY


def test_without_digest_or_validator_nothing_is_resumed(
    server: Server, entry: Weights, monkeypatch
) -> None:
    unknown = replace(entry, sha256=None)
    server.files["net.pth"] = Served(BODY, stall_after=131072, etag=None)
    with pytest.raises(FacetrackError):
        download.fetch(unknown, stall_timeout=0.2)
    assert set(ranges(server)) == {""}
    assert cached_files() == []


def test_another_source_resumes_if_the_digest_is_known(server: Server, entry: Weights) -> None:
    mirrored = replace(entry, mirrors=(f"{server.url}/mirror",))
    server.files["net.pth"] = Served(BODY, stall_after=131072, ranges=True, etag=None)
    server.files["mirror"] = Served(BODY, etag=None)

    def give_up(done: int, total: int | None) -> None:
        server.files["net.pth"].status = 404

    assert download.fetch(mirrored, progress=give_up, stall_timeout=0.2)[0].read_bytes() == BODY
    assert server.requests[-1] == ("mirror", "bytes=131072-")


@pytest.mark.parametrize("breaks", [0, 100_000])
def test_a_server_that_always_truncates_is_given_up(
    server: Server, entry: Weights, breaks: int
) -> None:
    server.files["net.pth"] = Served(BODY, break_after=breaks, ranges=False)
    with pytest.raises(FacetrackError, match=rf"broke off after \d+.*bytes \({MAX_TRIES} tries\)"):
        download.fetch(entry)
    assert cached_files() == []


def test_a_truncated_body_that_looks_complete_is_refused(server: Server, entry: Weights) -> None:
    server.files["net.pth"] = Served(BODY[:-1])
    with pytest.raises(FacetrackError, match="a file of 299999 bytes instead of 300000"):
        download.fetch(entry)
    assert cached_files() == []


def test_a_truncated_body_of_unknown_length_is_refused(server: Server, entry: Weights) -> None:
    server.files["net.pth"] = Served(BODY[:-1], length=False)
    with pytest.raises(FacetrackError, match="broke off after 299999 of 300000 bytes"):
        download.fetch(replace(entry, sha256=None))
    assert not store.cached_path(entry).exists()


def test_a_stalled_server_is_given_up_after_the_timeout(server: Server, entry: Weights) -> None:
    server.files["net.pth"] = Served(BODY, stall_after=0)
    with pytest.raises(FacetrackError, match=r"sent nothing for 0\.2 s"):
        download.fetch(entry, stall_timeout=0.2)


def test_a_stalled_server_is_asked_for_the_rest(server: Server, entry: Weights) -> None:
    server.files["net.pth"] = Served(BODY, stall_after=131072)
    assert download.fetch(entry, stall_timeout=0.2)[0].read_bytes() == BODY


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
@pytest.mark.parametrize("known", [True, False])
def test_a_web_page_is_refused(server: Server, entry: Weights, kind: str, known: bool) -> None:
    page = b"\n<!DOCTYPE html><html><body>Too many users have viewed this file</body></html>"
    server.files["net.pth"] = Served(page, content_type=kind)
    unknown = replace(entry, bytes=None, sha256=entry.sha256 if known else None)
    with pytest.raises(FacetrackError, match="a web page instead of the file"):
        download.fetch(unknown)
    assert cached_files() == []


@pytest.mark.parametrize("kind", ["text/html", "application/json", "application/xml"])
def test_a_notice_is_refused_by_its_type(server: Server, entry: Weights, kind: str) -> None:
    server.files["net.pth"] = Served(b"quota exceeded", content_type=kind)
    with pytest.raises(FacetrackError, match="a web page instead of the file"):
        download.fetch(replace(entry, bytes=None, sha256=None))
    assert cached_files() == []


def test_another_file_of_the_same_size_is_refused(server: Server, entry: Weights) -> None:
    server.files["net.pth"] = Served(DIFFERENT)
    with pytest.raises(FacetrackError, match=r"its SHA-256 is \w+ instead of"):
        download.fetch(entry)
    assert cached_files() == []


def test_a_partial_digest_suffices_to_refuse(server: Server, entry: Weights) -> None:
    server.files["net.pth"] = Served(DIFFERENT)
    with pytest.raises(FacetrackError, match=r"its SHA-256 is \w+ instead of \w{10}\.\.\."):
        download.fetch(replace(entry, sha256=hashlib.sha256(BODY).hexdigest()[:10]))


def test_404_is_not_tried_again(server: Server, entry: Weights) -> None:
    with pytest.raises(FacetrackError, match=r"net\.pth answered 404 \(Not Found\)"):
        download.fetch(entry)
    assert len(server.requests) == 1
    assert cached_files() == []


def test_503_is_tried_again(server: Server, entry: Weights) -> None:
    server.files["net.pth"] = Served(BODY, status=503, failures=MAX_TRIES - 1)
    assert download.fetch(entry)[0].read_bytes() == BODY


def test_503_is_given_up(server: Server, entry: Weights) -> None:
    server.files["net.pth"] = Served(BODY, status=503)
    with pytest.raises(FacetrackError, match="answered 503"):
        download.fetch(entry)
    assert len(server.requests) == MAX_TRIES


def test_mirrors_are_tried_in_turn(server: Server, entry: Weights) -> None:
    server.files["second"] = Served(DIFFERENT)
    server.files["third"] = Served(BODY)
    mirrors = (f"{server.url}/second", f"{server.url}/third")
    path, _ = download.fetch(replace(entry, mirrors=mirrors))
    assert path.read_bytes() == BODY
    assert [name for name, _ in server.requests] == ["net.pth", "second", "third"]


def test_the_error_names_all_sources_tried(server: Server, entry: Weights) -> None:
    with pytest.raises(FacetrackError) as caught:
        download.fetch(replace(entry, mirrors=(f"{server.url}/second", "http://127.0.0.1:1/x")))
    message = str(caught.value)
    assert message.startswith("The weights net could not be fetched: ")
    assert f"{server.url}/second answered 404" in message
    assert "http://127.0.0.1:1/x could not be reached" in message
    assert "\n" not in message


def test_bz2_is_unpacked(server: Server, entry: Weights) -> None:
    server.files["net.pth.bz2"] = Served(bz2.compress(BODY))
    packed = replace(entry, url=f"{server.url}/net.pth.bz2", packing="bz2")
    assert download.fetch(packed)[0].read_bytes() == BODY
    assert cached_files() == ["net.pth", "net.pth.sha256"]


def test_damaged_bz2_is_refused(server: Server, entry: Weights) -> None:
    server.files["net.pth.bz2"] = Served(bz2.compress(BODY)[:-20])
    packed = replace(entry, url=f"{server.url}/net.pth.bz2", packing="bz2")
    with pytest.raises(FacetrackError, match="a damaged bz2 file"):
        download.fetch(packed)
    assert cached_files() == []


def test_offline_sends_no_request(server: Server, entry: Weights, monkeypatch) -> None:
    monkeypatch.setenv("FACETRACK_OFFLINE", "1")
    with pytest.raises(FacetrackError, match="FACETRACK_OFFLINE is set"):
        download.fetch(entry)
    assert server.requests == []


def test_the_users_mirror_is_the_only_source(server: Server, entry: Weights, monkeypatch) -> None:
    monkeypatch.setenv("FACETRACK_WEIGHTS_URL", f"{server.url}/mine/")
    server.files["mine/net.pth"] = Served(BODY)
    server.files["net.pth"] = Served(DIFFERENT)
    assert download.fetch(entry)[0].read_bytes() == BODY
    assert [name for name, _ in server.requests] == ["mine/net.pth"]


def test_a_mirror_holds_unpacked_files(server: Server, entry: Weights, monkeypatch) -> None:
    monkeypatch.setenv("FACETRACK_WEIGHTS_URL", server.url)
    server.files["net.pth"] = Served(BODY)
    packed = replace(entry, url=f"{server.url}/net.pth.bz2", packing="bz2")
    assert download.fetch(packed)[0].read_bytes() == BODY


def test_a_mirror_must_be_an_http_address(entry: Weights, monkeypatch) -> None:
    monkeypatch.setenv("FACETRACK_WEIGHTS_URL", "/srv/weights")
    with pytest.raises(FacetrackError, match="not an http or https address: /srv/weights"):
        download.fetch(entry)


def test_the_error_names_the_download_page(entry: Weights) -> None:
    with pytest.raises(FacetrackError, match=r"from https://page and put the file at .*net\.pth"):
        download.fetch(replace(entry, url=None, page="https://page"))


@pytest.mark.parametrize("noncommercial", [True, False])
def test_the_licence_is_shown_before_the_download(
    server: Server, entry: Weights, noncommercial: bool
) -> None:
    server.files["net.pth"] = Served(BODY)
    notices: list[tuple[str, int]] = []
    download.fetch(
        replace(entry, noncommercial=noncommercial),
        notify=lambda text: notices.append((text, len(server.requests))),
    )
    [(text, requests_before)] = notices
    assert text.startswith("net: licence: MIT")
    assert ("NOT for commercial use" in text) == noncommercial
    assert requests_before == 0


def test_an_unwritable_folder_is_named(
    server: Server, entry: Weights, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FACETRACK_HOME", str(tmp_path / "file"))
    with pytest.raises(FacetrackError, match=r"cannot be written: .*FACETRACK_HOME"):
        download.fetch(entry)


def test_two_processes_fetch_it_once(server: Server, entry: Weights) -> None:
    server.files["net.pth"] = Served(BODY, stall_after=131072)
    code = (
        "import sys\n"
        "from facetrack.weights import Weights, download\n"
        f"entry = Weights(name='net', part='pipnet', file='net.pth', licence='', paper='',\n"
        f"    url={entry.url!r}, bytes={entry.bytes}, sha256={entry.sha256!r})\n"
        "print(download.fetch(entry, notify=lambda t: print(t, flush=True), stall_timeout=20)[1])\n"
    )
    command = [sys.executable, "-c", code]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ.copy())
    http_files.wait_until(lambda: server.requests, 20)
    second = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ.copy())
    assert second.stdout is not None
    assert "another process is fetching net.pth" in second.stdout.readline()
    server.files["net.pth"].stall_after = None
    server.gate.set()
    assert first.communicate()[0].split()[-1] == "True"
    assert second.communicate()[0].split()[-1] == "False"
    assert store.cached_path(entry).read_bytes() == BODY
