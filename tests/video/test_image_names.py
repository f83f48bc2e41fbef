"""Test series of numbered images: grouping, gaps, and the paths that stand for a series."""

from __future__ import annotations

from pathlib import Path

import pytest

from facetrack.errors import FacetrackError
from facetrack.files import stem_of
from facetrack.video.image_files import list_images
from facetrack.video.image_names import (
    is_series_path,
    naming_warnings,
    series_path,
    split_series,
)


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def groups(*names: str) -> list[list[str]]:
    return [series.names for series in split_series(names)]


def gaps(*names: str) -> list[tuple[str, str, int]]:
    return [gap for series in split_series(names) for gap in series.gaps()]


def listed(path: Path) -> list[str]:
    return [image.name for image in list_images(path)]


def test_a_series_is_in_the_order_of_its_numbers() -> None:
    assert groups("f10.png", "f2.png", "f1.png") == [["f1.png", "f2.png", "f10.png"]]
    assert split_series(["f2.png", "f10.png"])[0].pattern == "f*.png"


def test_prefixes_and_suffixes_tell_series_apart() -> None:
    assert groups("a_1.jpg", "b_1.jpg", "a_2.jpg", "a_3.png") == [
        ["a_1.jpg", "a_2.jpg"],
        ["a_3.png"],
        ["b_1.jpg"],
    ]
    assert groups("a_1.JPG", "A_2.jpg") == [["a_1.JPG", "A_2.jpg"]]


def test_a_number_after_letters_tells_cameras_apart() -> None:
    names = ["cam1_01.png", "cam1_02.png", "cam2_01.png", "cam2_02.png"]
    assert groups(*names) == [names[:2], names[2:]]


def test_times_in_names_are_one_series() -> None:
    names = ["2024-05-01_11-59-58.png", "2024-05-01_11-59-59.png", "2024-05-01_12-00-00.png"]
    assert groups(*names) == [names]
    assert gaps(*names) == []


def test_the_number_may_be_anywhere() -> None:
    names = ["v2_f1_640x480.png", "v2_f2_640x480.png", "v2_f5_640x480.png"]
    assert gaps(*names, "v2_f6_640x480.png", "v2_f7_640x480.png") == [(names[1], names[2], 2)]


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ([1, 2, 3, 6, 7, 8], [2]),
        ([0, 5, 10, 15], []),
        ([0, 5, 15, 20, 25], [1]),
        ([0, 33, 66, 100, 133, 200, 233], [1]),
        ([7], []),
        ([1, 9], []),
    ],
)
def test_gaps_are_measured_by_the_usual_step(numbers: list[int], missing: list[int]) -> None:
    assert [count for _, _, count in gaps(*(f"f{n:04d}.png" for n in numbers))] == missing


def test_warnings_name_an_example(tmp_path: Path) -> None:
    names = ["frame_1.jpg", "frame_2.jpg", "thumb_1.jpg", "thumb_2.jpg"]
    (warning,) = naming_warnings(tmp_path, names)
    assert "frame_1.jpg and thumb_1.jpg" in warning
    assert f"'{tmp_path / 'frame_*.jpg'}'" in warning
    (warning,) = naming_warnings(tmp_path, [f"f{i}.png" for i in (1, 2, 3, 5, 6, 9)])
    assert "3 are missing in 2 places, first between f3.png and f5.png (1)" in warning
    assert naming_warnings(tmp_path, ["a1.png", "a2.png"]) == []


# Paths of a series


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("f_*.png", ["f_1.png", "f_2.png", "f_10.png", "f_11.png"]),
        ("f_{2..10}.png", ["f_2.png", "f_10.png"]),
        ("f_{1..11..10}.png", ["f_1.png", "f_11.png"]),
        ("f_%d.png", ["f_1.png", "f_2.png", "f_10.png", "f_11.png"]),
        ("f_%02d.png", ["f_10.png", "f_11.png"]),
        ("f_1?.png", ["f_10.png", "f_11.png"]),
    ],
)
def test_a_path_stands_for_a_series(tmp_path: Path, pattern: str, names: list[str]) -> None:
    touch(tmp_path, "f_10.png", "f_1.png", "f_2.png", "f_11.png", "g_1.png", "f_1.txt")
    touch(tmp_path, ".f_3.png", "f_1.overlay.png")
    assert is_series_path(tmp_path / pattern)
    assert listed(tmp_path / pattern) == names


def test_a_file_with_such_a_name_is_itself(tmp_path: Path) -> None:
    touch(tmp_path, "a[1].png", "a%d.png")
    assert listed(tmp_path / "a[1].png") == ["a[1].png"]
    assert listed(tmp_path / "a%d.png") == ["a%d.png"]


def test_a_path_without_images_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match=r"No image matches .*f_\*\.png"):
        list_images(tmp_path / "f_*.png")
    with pytest.raises(FacetrackError, match="cannot be read"):
        list_images(tmp_path / "none" / "f_*.png")


@pytest.mark.parametrize(
    ("chosen", "pattern"),
    [
        (range(12), "f_*.png"),
        (range(2, 5), "f_{02..04}.png"),
        (range(0, 12, 5), "f_{00..10..5}.png"),
    ],
)
def test_chosen_images_have_a_path(tmp_path: Path, chosen: range, pattern: str) -> None:
    touch(tmp_path, *(f"f_{i:02d}.png" for i in range(12)))
    (series,) = split_series([f"f_{i:02d}.png" for i in chosen])
    path = series_path(tmp_path, series)
    assert path == tmp_path / pattern
    assert listed(path) == series.names


def test_numbers_without_zeros_that_a_shell_chose_have_a_path(tmp_path: Path) -> None:
    touch(tmp_path, *(f"f{i}.png" for i in range(1, 30)))
    (series,) = split_series([f"f{i}.png" for i in (1, *range(10, 20))])
    assert series_path(tmp_path, series) == tmp_path / "f1*.png"


def test_names_with_signs_of_patterns_have_a_path(tmp_path: Path) -> None:
    names = ["a[x]_1.png", "a[x]_2.png"]
    touch(tmp_path, *names, "ax_1.png")
    (series,) = split_series(names)
    assert listed(series_path(tmp_path, series)) == names


def test_any_other_choice_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, *(f"f_{i}.png" for i in range(9)))
    (series,) = split_series(["f_0.png", "f_1.png", "f_5.png"])
    with pytest.raises(FacetrackError, match="only a part of the series"):
        series_path(tmp_path, series)


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("take/frame_*.png", "frame"),
        ("take/frame_{1..9}.png", "frame"),
        ("take/*.png", "take"),
        ("take/%04d.png", "take"),
        ("take/[0-9].png", "take"),
        ("ü 1.5*.png", "ü 1.5"),
    ],
)
def test_outputs_are_named_by_the_series(path: str, stem: str) -> None:
    assert stem_of(Path(path)) == stem
