"""`facetrack weights` as a user types it."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import clips
import http_files
import pytest
from http_files import BODY, Served, Server
from typer.testing import CliRunner, Result

from facetrack.cli import app
from facetrack.weights import REGISTRY, Weights, store
from facetrack.weights.store import path_of


@pytest.fixture
def entry(server: Server, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """`toy`, served whole."""
    server.files["toy.pth"] = Served(BODY)
    made = Weights(
        name="toy",
        part="pipnet",
        file="toy.pth",
        licence="for play",
        paper="none",
        scheme="68",
        noncommercial=True,
        url=f"{server.url}/toy.pth",
        bytes=len(BODY),
        sha256=hashlib.sha256(BODY).hexdigest(),
    )
    monkeypatch.setitem(REGISTRY, "toy", made)
    return made


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["weights", *words])


def row(name: str) -> str:
    return next(line for line in run("list").stdout.splitlines() if line.split()[:1] == [name])


def test_list_has_a_row_for_all(server: Server) -> None:
    named = {line.split()[0] for line in run("list").stdout.splitlines() if line.strip()}
    assert set(REGISTRY) <= named


def test_list_shows_what_there_is_to_know(entry: Weights) -> None:
    assert " ".join(row("toy").split()) == ("toy pipnet 68 0.3 missing known for play")


def test_list_says_where_no_hash_is_known(server: Server) -> None:
    assert "missing  not known" in row("star-cofw")
    assert "missing  10 digits" in row("fan-3dfan4")


def test_list_follows_the_state(entry: Weights) -> None:
    run("fetch", "toy")
    assert row("toy").split()[4] == "cached"
    assert row("tapir-s").split()[4] == "bundled"


def test_fetch_says_licence_then_place(entry: Weights) -> None:
    result = run("fetch", "toy")
    assert result.exit_code == 0
    assert result.stderr == "toy: licence: for play - NOT for commercial use\n"
    assert result.stdout == f"toy: fetched and verified: {store.cached_path(entry)}\n"


def test_fetch_says_what_is_here_already(entry: Weights, server: Server) -> None:
    run("fetch", "toy")
    result = run("fetch", "toy", "tapir-s")
    assert result.stdout == (
        f"toy: already present and verified: {store.cached_path(entry)}\n"
        f"tapir-s: already present and verified: {path_of(REGISTRY['tapir-s'])}\n"
    )
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("words", "environment", "message"),
    [
        (("fetch", "none"), {}, "There are no weights named 'none'"),
        (("fetch", "toy"), {"FACETRACK_OFFLINE": "1"}, "FACETRACK_OFFLINE is set"),
        (("fetch", "toy"), {"FACETRACK_WEIGHTS_URL": "http://127.0.0.1:1"}, "could not be reached"),
        (("fetch", "pipnet-r18-lapa"), {}, "cannot be fetched directly"),
        (("path", "toy"), {}, "facetrack weights fetch toy"),
        (("path", "none"), {}, "There are no weights named 'none'"),
        (("verify", "toy"), {}, "facetrack weights fetch toy"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_code_2(
    entry: Weights, monkeypatch, words: tuple[str, ...], environment: dict[str, str], message: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = run(*words)
    assert result.exit_code == 2
    last = result.stderr.splitlines()[-1]
    assert last.startswith("facetrack: ")
    assert message in last
    assert result.stdout == ""


def test_path_prints_the_path_alone(entry: Weights) -> None:
    run("fetch", "toy")
    assert run("path", "toy").stdout == f"{store.cached_path(entry)}\n"


def test_verify_reads_all_that_is_here(entry: Weights) -> None:
    run("fetch", "toy")
    result = run("verify")
    assert result.exit_code == 0
    assert "toy: intact (by SHA-256)" in result.stdout
    assert re.findall("^(tapir-s|ert-68): intact", result.stdout, re.MULTILINE) == [
        "tapir-s",
        "ert-68",
    ]


@pytest.mark.parametrize("body", [BODY[:-1], BODY[:-1] + b"!"], ids=["short", "changed"])
def test_verify_names_what_is_damaged(entry: Weights, body: bytes) -> None:
    run("fetch", "toy")
    store.cached_path(entry).write_bytes(body)
    result = run("verify")
    assert result.exit_code == 1
    assert "toy: DAMAGED: it" in result.stdout
    assert result.stderr == "facetrack: damaged weights: toy\n"


def test_verify_reads_only_what_is_named(entry: Weights) -> None:
    run("fetch", "toy")
    store.cached_path(entry).write_bytes(b"")
    result = run("verify", "tapir-s")
    assert (result.exit_code, result.stdout) == (0, "tapir-s: intact (by SHA-256)\n")


def test_fetch_verify_path_and_offline_again(server: Server, monkeypatch) -> None:
    """A published name, from a mirror of one's own."""
    published = REGISTRY["pipnet-r18-300w"]
    assert published.bytes is not None
    body = bytes(published.bytes)
    digest = hashlib.sha256(body).hexdigest()
    monkeypatch.setitem(REGISTRY, published.name, replace(published, sha256=digest))
    monkeypatch.setenv("FACETRACK_WEIGHTS_URL", server.url)
    server.files[published.file] = Served(body)
    assert run("fetch", published.name).exit_code == 0
    monkeypatch.setenv("FACETRACK_OFFLINE", "1")
    assert run("fetch", published.name).exit_code == 0
    assert run("verify", published.name).exit_code == 0
    assert Path(run("path", published.name).stdout.strip()).read_bytes() == body


def test_fetched_weights_track_offline(server: Server, tmp_path: Path, monkeypatch) -> None:
    clip = clips.write_clip(tmp_path / "dot.mp4", 3)
    (tmp_path / "points.csv").write_text("x,y\n4,4\n")
    compact = REGISTRY["tapir-s"]
    entry = replace(
        compact,
        name="toy",
        file="toy.safetensors",
        licence="for play",
        url=f"{server.url}/toy",
        origin="download",
    )
    monkeypatch.setitem(REGISTRY, "toy", entry)
    server.files["toy"] = Served(path_of(compact).read_bytes())
    assert run("fetch", "toy").exit_code == 0
    monkeypatch.setenv("FACETRACK_OFFLINE", "1")
    command = ["track", str(clip), "--init", "points", "--points", str(tmp_path / "points.csv")]
    command += ["--tracker-weights", "toy", "--no-overlay", "--device", "cpu"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    tracker = json.loads((tmp_path / "dot.json").read_text())["tracker"]
    assert (tracker["weights"], tracker["licence"]) == ("toy", "for play")
    assert tracker["sha256"] == compact.sha256
    assert tracker["noncommercial"] is True


def test_an_interrupted_fetch_says_that_it_can_go_on(server: Server) -> None:
    code = (
        "from facetrack.cli import main\n"
        "from facetrack.weights import REGISTRY, Weights\n"
        "REGISTRY['toy'] = Weights(name='toy', part='pipnet', file='toy.pth', licence='',\n"
        f"    paper='', url='{server.url}/toy.pth', sha256='{'0' * 64}')\n"
        "main()\n"
    )
    server.files["toy.pth"] = Served(BODY, stall_after=65536)
    process = subprocess.Popen(
        [sys.executable, "-c", code, "weights", "fetch", "toy"], stderr=subprocess.PIPE, text=True
    )
    part = store.cache_folder() / ".toy.pth.part"
    http_files.wait_until(lambda: part.is_file() and part.stat().st_size, 20)
    process.send_signal(signal.SIGTERM)
    _, message = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "the same command continues the download" in message
    assert part.stat().st_size > 0


@pytest.mark.parametrize("words", [["list"], ["path", "tapir-s"], ["verify", "tapir-s"]])
def test_torch_is_not_imported(words: list[str]) -> None:
    code = (
        "import sys, facetrack.cli as cli\n"
        "try:\n    cli.main()\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "print('HEAVY', sorted({'torch', 'cv2', 'dlib'} & set(sys.modules)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, "weights", *words], capture_output=True, text=True, check=True
    )
    assert ran.stdout.rstrip().endswith("HEAVY []")
