"""Which file is taken, and what is said where there is none."""

from __future__ import annotations

import hashlib
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


def register(monkeypatch: pytest.MonkeyPatch, name: str, **more: object) -> Weights:
    fields: dict[str, object] = {"part": "toy", "licence": "MIT", "paper": "Toy, 2026", **more}
    entry = Weights(name=name, file=f"{name}.bin", **fields)  # type: ignore[arg-type]
    monkeypatch.setitem(REGISTRY, name, entry)
    return entry


def put(entry: Weights, body: bytes = BODY) -> Path:
    path = store.cached_path(entry)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


# ---------------------------------------------------------------- the registry


def test_names_and_files_are_unique() -> None:
    assert len({entry.file for entry in REGISTRY.values()}) == len(REGISTRY)
    assert all(name == entry.name for name, entry in REGISTRY.items())


@pytest.mark.parametrize("entry", REGISTRY.values(), ids=lambda entry: entry.name)
def test_entry_is_in_order(entry: Weights) -> None:
    assert entry.licence
    assert entry.paper
    assert "\n" not in entry.licence
    assert all(url.startswith(("https://", "http://dlib.net/")) for url in _urls(entry))
    assert entry.sha256 is None or re.fullmatch("[0-9a-f]{10}|[0-9a-f]{64}", entry.sha256)
    assert entry.bundled or entry.url or entry.page


@pytest.mark.parametrize(
    "entry", [e for e in REGISTRY.values() if e.auto and e.scheme], ids=lambda entry: entry.name
)
def test_what_auto_may_take_places_a_layout_of_facetracks(entry: Weights) -> None:
    assert entry.scheme is not None
    assert schemes.get(entry.scheme).name == entry.scheme


@pytest.mark.parametrize(
    "entry", [e for e in REGISTRY.values() if e.bundled], ids=lambda entry: entry.name
)
def test_bundled_file_is_the_one_that_is_registered(entry: Weights) -> None:
    assert store.find(entry)[0] == "bundled"
    assert store.check(entry, store.path_of(entry)).problem is None


def test_weights_that_exclude_commercial_use_are_marked() -> None:
    research = re.compile("non-commercial|for research|research use only")
    marked = {entry.name for entry in REGISTRY.values() if entry.noncommercial}
    assert marked == {e.name for e in REGISTRY.values() if research.search(e.licence)}


def _urls(entry: Weights) -> list[str]:
    return [url for url in (entry.url, *entry.mirrors) if url]


# ---------------------------------------------------------------- the cache


def test_home_moves_the_cache(home: Path) -> None:
    assert store.cache_folder() == home / "weights"


def test_cache_is_the_users_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FACETRACK_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert store.cache_folder() == tmp_path / "facetrack" / "weights"


def test_states(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = register(monkeypatch, "a")
    assert store.find(entry) == ("missing", None)
    path = put(entry)
    assert store.find(entry) == ("cached", path)
    assert store.find(REGISTRY["tapir-s"])[0] == "bundled"


def test_a_file_of_another_size_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = register(monkeypatch, "a", bytes=len(BODY) + 1)
    put(entry)
    assert store.find(entry) == ("missing", None)


# ---------------------------------------------------------------- checking


def test_check_says_what_it_went_by(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(BODY).hexdigest()
    path = put(register(monkeypatch, "a"))
    by = {
        str(given): store.check(register(monkeypatch, "a", **given), path)
        for given in ({}, {"bytes": 7}, {"sha256": digest}, {"sha256": digest[:10]})
    }
    assert {found.problem for found in by.values()} == {None}
    assert [found.by for found in by.values()] == [
        "nothing: no hash is known",
        "size",
        "SHA-256",
        "first 10 digits of the SHA-256",
    ]


def test_check_finds_what_changed_since_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = register(monkeypatch, "a")
    path = put(entry)
    store.record(entry, hashlib.sha256(BODY).hexdigest())
    assert store.check(entry, path).problem is None
    path.write_bytes(b"changed")
    assert store.check(entry, path).problem == "it is not what was downloaded"


def test_check_of_what_is_gone_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = register(monkeypatch, "a")
    with pytest.raises(FacetrackError, match="cannot be read"):
        store.check(entry, store.cached_path(entry))


# ---------------------------------------------------------------- resolving


def test_auto_takes_what_was_fetched_before_what_is_bundled() -> None:
    entry = REGISTRY["causal-bootstapir-jax"]
    assert resolve("tapir").weights == REGISTRY["tapir-s"]
    path = put(entry)
    assert resolve("tapir") == weights.Found(path, entry)


def test_auto_takes_the_scheme_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    put(register(monkeypatch, "a", scheme="68"))
    put(register(monkeypatch, "b", scheme="98"))
    found = resolve("toy", scheme="98").weights
    assert found is not None
    assert found.name == "b"


def test_auto_leaves_out_what_must_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    put(register(monkeypatch, "a", auto=False))
    with pytest.raises(FacetrackError):
        resolve("toy")


def test_auto_says_how_to_get_some() -> None:
    with pytest.raises(FacetrackError) as caught:
        resolve("yunet")
    assert str(caught.value) == (
        "There are no weights for yunet on this machine; get them with: "
        "facetrack weights fetch yunet"
    )


def test_auto_says_how_to_get_some_of_a_scheme() -> None:
    with pytest.raises(FacetrackError, match=r"place 29 points .* fetch star-cofw$"):
        resolve("star", scheme="29")


def test_a_part_without_weights_is_said() -> None:
    with pytest.raises(FacetrackError, match="knows no weights for gaze"):
        resolve("gaze")


def test_a_name_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = register(monkeypatch, "a", auto=False)
    path = put(entry)
    assert resolve("toy", "a") == weights.Found(path, entry)


def test_a_name_that_is_missing_says_how_to_get_it() -> None:
    with pytest.raises(FacetrackError, match=r"facetrack weights fetch star-wflw$"):
        resolve("star", "star-wflw")


@pytest.mark.parametrize(
    ("choice", "scheme", "said"),
    [
        ("star-wflw", None, "The weights star-wflw are for star, not for pipnet."),
        ("pipnet-r18-wflw", "68", "The weights pipnet-r18-wflw place 98 points, not 68."),
        ("none.pth", None, "'none.pth' is neither a file nor one of the weights for pipnet: pipn"),
    ],
)
def test_a_choice_that_does_not_fit_is_said(choice: str, scheme: str | None, said: str) -> None:
    with pytest.raises(FacetrackError) as caught:
        resolve("pipnet", choice, scheme)
    assert str(caught.value).startswith(said)


def test_a_path_is_taken_as_that_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(BODY)
    found = resolve("pipnet", str(path))
    assert found == weights.Found(path, None)
    assert found.describe() == {
        "weights": str(path),
        "sha256": hashlib.sha256(BODY).hexdigest(),
    }


def test_the_sidecar_learns_name_digest_licence_and_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    put(register(monkeypatch, "a", noncommercial=True))
    assert resolve("toy").describe() == {
        "weights": "a",
        "sha256": hashlib.sha256(BODY).hexdigest(),
        "licence": "MIT",
        "noncommercial": True,
        "paper": "Toy, 2026",
    }


def test_an_unknown_name_suggests_near_ones() -> None:
    with pytest.raises(FacetrackError, match=r"did you mean .*pipnet-r18-300w"):
        weights.get("pipnet-r18-300W")


def test_missing_bundled_weights_say_to_install_again(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = register(monkeypatch, "a", origin="facetrack")
    with pytest.raises(FacetrackError, match="install facetrack again"):
        store.path_of(entry)
