"""Files are read again only after they have changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from facetrack.video.file_cache import cached_by_file


def test_a_file_is_read_again_once_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []

    @cached_by_file(missing="none")
    def first_line(path: Path, end: str) -> str:
        reads.append(path)
        return path.read_text().splitlines()[0] + end

    path = tmp_path / "a"
    path.write_text("one\n")
    assert [first_line(path, "!"), first_line(path, "!"), first_line(path, "?")] == [
        "one!",
        "one!",
        "one?",
    ]
    monkeypatch.chdir(tmp_path)
    assert first_line(Path("a"), "!") == "one!"
    assert reads == [path, path]
    path.write_text("another\n")
    assert first_line(path, "!") == "another!"
    path.unlink()
    assert first_line(path, "!") == "none"
    assert len(reads) == 3
