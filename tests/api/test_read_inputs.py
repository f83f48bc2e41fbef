"""Sentences about inputs that a command could not use."""

from __future__ import annotations

from pathlib import Path

from facetrack.api.read_inputs import failed_sentence, find_left_out, list_inputs


def test_one_input_is_named_alone_and_several_are_counted() -> None:
    assert list_inputs(["a.png"], 1, "images") == "a.png"
    assert list_inputs(["a.png"], 3, "images") == "1 of 3 images: a.png"
    assert list_inputs(["a.png", "b.mp4"], 3, "inputs") == "2 of 3 inputs: a.png, b.mp4"


def test_one_failure_gives_its_own_sentence() -> None:
    failed = {Path("a.png"): "a.png is empty."}
    assert failed_sentence(failed, 2, "images") == "a.png is empty."
    failed[Path("b.png")] = "b.png is empty."
    sentence = "2 of 4 images: a.png, b.png could not be read."
    assert failed_sentence(failed, 4, "images") == sentence


def test_what_folders_hold_besides_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "bare").mkdir()
    (tmp_path / "a.txt").touch()
    names = [str(tmp_path / "full"), tmp_path / "bare", tmp_path / "a.txt"]
    sentences, paths = find_left_out(
        names, lambda folder: ["b.txt"] if folder.name == "full" else [], "images"
    )
    assert paths == [str(tmp_path / "full" / "b.txt")]
    (sentence,) = sentences
    assert "1 file that is no images" in sentence
    assert str(tmp_path / "full") in sentence
