"""Test the choice of weights files and the errors if there are none."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest

from facetrack import weights
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.weights import REGISTRY, Weights, resolve, store

BODY = b"weights"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACETRACK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def register(monkeypatch: pytest.MonkeyPatch, name: str, **changes: object) -> Weights:
    fields: dict[str, object] = {"part": "toy", "licence": "MIT", "paper": "Toy, 2026", **changes}
    entry = Weights(name=name, file=f"{name}.bin", **fields)  # type: ignore[arg-type]
    monkeypatch.setitem(REGISTRY, name, entry)
    return entry


def add_to_cache(entry: Weights, body: bytes = BODY) -> Path:
    path = store.cached_path(entry)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


# ---------------------------------------------------------------- registry


def test_names_and_files_are_unique() -> None:
    assert len({entry.file for entry in REGISTRY.values()}) == len(REGISTRY)
    assert all(name == entry.name for name, entry in REGISTRY.items())


@pytest.mark.parametrize("entry", REGISTRY.values(), ids=lambda entry: entry.name)
def test_entry_is_complete(entry: Weights) -> None:
    assert entry.licence
    assert entry.paper
    assert "\n" not in entry.licence
    assert all(url.startswith(("https://", "http://dlib.net/")) for url in _urls(entry))
    assert entry.sha256 is None or re.fullmatch("[0-9a-f]{10}|[0-9a-f]{64}", entry.sha256)
    assert entry.bundled or entry.url or entry.page


@pytest.mark.parametrize(
    "entry", [e for e in REGISTRY.values() if e.auto and e.scheme], ids=lambda entry: entry.name
)
def test_auto_weights_have_a_known_layout(entry: Weights) -> None:
    assert entry.scheme is not None
    assert schemes.get(entry.scheme).name == entry.scheme


@pytest.mark.parametrize(
    "entry", [e for e in REGISTRY.values() if e.bundled], ids=lambda entry: entry.name
)
def test_bundled_file_matches_its_entry(entry: Weights) -> None:
    assert store.locate(entry)[0] == "bundled"
    assert store.check(entry, store.path_of(entry)).problem is None


def test_weights_that_exclude_commercial_use_are_marked() -> None:
    research = re.compile("non-commercial|for research|research use only")
    marked = {entry.name for entry in REGISTRY.values() if entry.noncommercial}
    assert marked == {e.name for e in REGISTRY.values() if research.search(e.licence)}


def _urls(entry: Weights) -> list[str]:
    return [url for url in (entry.url, *entry.mirrors) if url]


# ---------------------------------------------------------------- cache


def test_facetrack_home_sets_the_cache_folder(home: Path) -> None:
    assert store.cache_folder() == home / "weights"


def test_default_cache_is_in_the_users_cache_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("FACETRACK_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert store.cache_folder() == tmp_path / "facetrack" / "weights"


def test_a_user_without_a_home_folder_has_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("FACETRACK_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as the library does then
    assert store.cache_folder() == Path(os.sep, ".cache", "facetrack", "weights")
    assert resolve("star").weights is not None


def test_the_home_folder_of_nobody_is_no_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACETRACK_HOME", "~nobody-is-called-so/x")
    assert resolve("star").weights is not None
    with pytest.raises(FacetrackError, match="neither a file nor"):
        resolve("star", "~nobody-is-called-so/net.pth")


def test_states(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = register(monkeypatch, "a")
    assert store.locate(entry) == ("missing", None)
    path = add_to_cache(entry)
    assert store.locate(entry) == ("cached", path)
    assert store.locate(REGISTRY["tapir-s"])[0] == "bundled"


def test_a_file_of_the_wrong_size_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = register(monkeypatch, "a", bytes=len(BODY) + 1)
    add_to_cache(entry)
    assert store.locate(entry) == ("missing", None)


# ---------------------------------------------------------------- verification


def test_check_names_the_properties_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(BODY).hexdigest()
    path = add_to_cache(register(monkeypatch, "a"))
    results = {
        str(known): store.check(register(monkeypatch, "a", **known), path)
        for known in ({}, {"bytes": 7}, {"sha256": digest}, {"sha256": digest[:10]})
    }
    assert {result.problem for result in results.values()} == {None}
    assert [result.compared for result in results.values()] == [
        "nothing: no hash is known",
        "size",
        "SHA-256",
        "first 10 digits of the SHA-256",
    ]


def test_check_detects_a_change_since_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = register(monkeypatch, "a")
    path = add_to_cache(entry)
    store.record_digest(entry, hashlib.sha256(BODY).hexdigest())
    assert store.check(entry, path).problem is None
    path.write_bytes(b"changed")
    assert store.check(entry, path).problem == "it differs from the downloaded file"


def test_check_of_a_missing_file_fails_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = register(monkeypatch, "a")
    with pytest.raises(FacetrackError, match="cannot be read"):
        store.check(entry, store.cached_path(entry))


# ---------------------------------------------------------------- resolving


def test_auto_prefers_fetched_to_bundled_weights() -> None:
    entry = REGISTRY["causal-bootstapir-jax"]
    assert resolve("tapir").weights == REGISTRY["tapir-s"]
    path = add_to_cache(entry)
    assert resolve("tapir") == weights.ResolvedWeights(path, entry)


def test_auto_respects_the_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    add_to_cache(register(monkeypatch, "a", scheme="68"))
    add_to_cache(register(monkeypatch, "b", scheme="98"))
    found = resolve("toy", scheme="98").weights
    assert found is not None
    assert found.name == "b"


def test_auto_skips_weights_that_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    add_to_cache(register(monkeypatch, "a", auto=False))
    with pytest.raises(FacetrackError):
        resolve("toy")


def test_auto_error_names_the_fetch_command() -> None:
    with pytest.raises(FacetrackError) as caught:
        resolve("yunet")
    assert str(caught.value) == (
        "There are no weights for yunet on this machine; get them with: "
        "facetrack weights fetch yunet"
    )


def test_a_file_of_another_size_is_said_to_be_damaged() -> None:
    path = add_to_cache(REGISTRY["yunet"])
    for choice in ("auto", "yunet"):
        with pytest.raises(FacetrackError) as caught:
            resolve("yunet", choice)
        assert str(caught.value) == (
            f"{path} is incomplete or damaged: it has 7 bytes instead of 232589; get it again "
            "with: facetrack weights fetch yunet"
        )


def test_auto_error_for_a_scheme_names_the_fetch_command() -> None:
    with pytest.raises(FacetrackError, match=r"place 29 points .* fetch star-cofw$"):
        resolve("star", scheme="29")


def test_an_unknown_part_is_an_error() -> None:
    with pytest.raises(FacetrackError, match="knows no weights for gaze"):
        resolve("gaze")


def test_weights_are_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = register(monkeypatch, "a", auto=False)
    path = add_to_cache(entry)
    assert resolve("toy", "a") == weights.ResolvedWeights(path, entry)


def test_error_for_missing_named_weights_names_the_fetch_command() -> None:
    with pytest.raises(FacetrackError, match=r"facetrack weights fetch star-wflw$"):
        resolve("star", "star-wflw")


@pytest.mark.parametrize(
    ("choice", "scheme", "message"),
    [
        ("star-wflw", None, "The weights star-wflw are for star, not for pipnet."),
        ("pipnet-r18-wflw", "68", "The weights pipnet-r18-wflw place 98 points, not 68."),
        ("none.pth", None, "'none.pth' is neither a file nor one of the weights for pipnet: pipn"),
    ],
)
def test_an_unsuitable_choice_is_an_error(choice: str, scheme: str | None, message: str) -> None:
    with pytest.raises(FacetrackError) as caught:
        resolve("pipnet", choice, scheme)
    assert str(caught.value).startswith(message)


def test_weights_are_chosen_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(BODY)
    found = resolve("pipnet", str(path))
    assert found == weights.ResolvedWeights(path, None)
    assert found.describe() == {
        "weights": str(path),
        "sha256": hashlib.sha256(BODY).hexdigest(),
    }


def test_description_has_name_digest_licence_and_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    add_to_cache(register(monkeypatch, "a", noncommercial=True))
    assert resolve("toy").describe() == {
        "weights": "a",
        "sha256": hashlib.sha256(BODY).hexdigest(),
        "licence": "MIT",
        "noncommercial": True,
        "paper": "Toy, 2026",
    }


def test_an_unknown_name_suggests_similar_names() -> None:
    with pytest.raises(FacetrackError, match=r"did you mean .*pipnet-r18-300w"):
        weights.get("pipnet-r18-300W")


def test_error_for_missing_bundled_weights_says_to_reinstall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = register(monkeypatch, "a", origin="facetrack")
    with pytest.raises(FacetrackError, match="reinstall facetrack"):
        store.path_of(entry)
