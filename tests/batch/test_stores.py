"""Folders and urls: whole files under final names, the record last."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from facetrack.api.staging import staging_place
from facetrack.batch.stores import FOLDER, Remote, Store, is_url, store_of
from facetrack.errors import FacetrackError

pytest.importorskip("fsspec")


@pytest.fixture(params=["folder", "file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Store, Path]:
    """A store, and what its results' folder is called in paths."""
    if request.param == "folder":
        return FOLDER, tmp_path / "out"
    url = f"file://{tmp_path}/out" if request.param == "file" else f"memory:/{tmp_path}"
    made = Remote(url)
    return made, made.root


def finals(folder: Path) -> dict[str, Path]:
    return {"sidecar": folder / "a.json", "csv": folder / "a.csv"}


def test_what_is_staged_is_there_only_once_published(store: tuple[Store, Path]) -> None:
    kept, folder = store
    kept.check(folder)
    place = staging_place(folder)
    with kept.staging(place) as local:
        for name in ("a.csv", "a.json"):
            (local / name).write_text(f"new {name}")
    assert not any(kept.exists(path) for path in finals(folder).values())
    kept.publish(place, finals(folder))
    for path in finals(folder).values():
        assert kept.read(path) == f"new {path.name}".encode()
    assert not kept.exists(place)
    assert kept.modified(folder / "a.json") > 1e9


@pytest.mark.parametrize("stem", ["Talk [dQw4w9WgXcQ]", "what?", "all *", "a#b %20 c", "{1,2}"])
def test_names_are_no_patterns(store: tuple[Store, Path], stem: str) -> None:
    kept, folder = store
    folder = folder / "results [1]"
    kept.check(folder)
    final = {"sidecar": folder / f"{stem}.json", "csv": folder / f"{stem}.csv"}
    others = [folder / "whatx.csv", folder / "all of it.json", folder / "Talk d.csv"]
    for path in others:
        with kept.writing(path) as local:
            local.write_text("other")
    for content in ("former", "new"):
        place = staging_place(folder)
        with kept.staging(place) as local:
            for path in final.values():
                (local / path.name).write_text(content)
        kept.publish(place, final)
        assert [kept.read(path) for path in final.values()] == [content.encode()] * 2
        assert not kept.exists(place)
    kept.discard(final["csv"])
    assert not kept.exists(final["csv"])
    assert [kept.read(path) for path in others] == [b"other"] * 3


def test_incomplete_results_replace_nothing(store: tuple[Store, Path]) -> None:
    kept, folder = store
    kept.check(folder)
    for path in finals(folder).values():
        with kept.writing(path) as local:
            local.write_text("old")
    place = staging_place(folder)
    with kept.staging(place) as local:
        (local / "a.json").write_text("new")  # the CSV is missing
    with pytest.raises(FacetrackError, match="cannot be written"):
        kept.publish(place, finals(folder))
    for path in finals(folder).values():
        assert kept.read(path) == b"old"


def test_what_fails_halfway_leaves_nothing(store: tuple[Store, Path]) -> None:
    kept, folder = store
    kept.check(folder)
    place = staging_place(folder)
    for begun, name in ((kept.staging(place), "a.csv"), (kept.writing(folder / "b.csv"), "")):
        with contextlib.suppress(KeyboardInterrupt), begun as local:
            (local / name).write_text("half")
            raise KeyboardInterrupt
    assert not kept.exists(place)
    assert not kept.exists(folder / "b.csv")


def test_a_folder_of_files_replaces_one_of_ours_only(tmp_path: Path) -> None:
    final = {"pts": tmp_path / "a_pts", "sidecar": tmp_path / "a.json"}
    for text in ("old", "new"):
        place = staging_place(tmp_path)
        with FOLDER.staging(place) as local:
            (local / "a_pts").mkdir()
            (local / "a_pts/a_000000.pts").write_text(text)
            (local / "a.json").write_text(text)
        FOLDER.publish(place, final)
        assert (tmp_path / "a_pts/a_000000.pts").read_text() == text
    (tmp_path / "a_pts/mine.txt").write_text("mine")
    with FOLDER.staging(place) as local:
        (local / "a_pts").mkdir()
        (local / "a.json").write_text("new")
    with pytest.raises(FacetrackError, match="a_pts"):
        FOLDER.publish(place, final)
    assert (tmp_path / "a_pts/mine.txt").exists()


def test_names_of_urls(tmp_path: Path) -> None:
    store, root = store_of("s3://bucket/some where/")
    assert root is not None
    assert store.shown(root) == "s3://bucket/some where"
    assert store.shown(root / "x/a.csv") == "s3://bucket/some where/x/a.csv"
    assert store_of(os.fspath(tmp_path)) == (FOLDER, tmp_path)
    assert store_of(None) == (FOLDER, None)
    for name in ("out", "a:b/c", "C:/x", "s3:/x", "dir/s3://x"):
        assert not is_url(name)


def test_a_url_that_cannot_be_used_is_said_in_a_sentence() -> None:
    store, root = store_of("nosuch://bucket/x")
    assert root is not None
    with pytest.raises(FacetrackError, match=r"^nosuch://bucket/x cannot be written: .*nosuch"):
        store.check(root)
    with pytest.raises(FacetrackError, match="memory of one process"):
        store_of("memory://x")


def test_a_password_in_a_url_is_not_shown() -> None:
    store = Remote("ftp://somebody:hunter2@host/out?token=t0ken")
    shown = f"{store} {store.shown(store.root / 'a.csv')}"
    assert shown == "ftp://host/out?token=*** ftp://host/out?token=***/a.csv"
    with pytest.raises(FacetrackError) as caught:
        Remote("nosuch://somebody:hunter2@host/out").check(
            Path("nosuch:/somebody:hunter2@host/out")
        )
    assert "hunter2" not in str(caught.value)
    assert "somebody" not in str(caught.value)
