"""`facetrack detect` as a user types it: images in, files out."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from still_images import (
    AT,
    BOX,
    files_in,
    photo,
    points,
    record,
    refused,
    rows,
    run,
    save,
    stand_in,
)

import facetrack
from facetrack.defaults import INIT
from facetrack.detectors.ert import Ert
from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import FaceBoxes
from facetrack.face_detectors.dlib_hog import DlibHog
from facetrack.images import pipeline
from facetrack.images.pipeline import ImageOptions
from facetrack.landmarks.point_files import read_points


@pytest.fixture(autouse=True)
def _quick_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)


@pytest.fixture
def two_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two faces in every picture."""
    boxes = np.array([[60, 60, 200, 200], [65, 65, 195, 195]], np.float32)
    monkeypatch.setattr(DlibHog, "detect", lambda self, image: FaceBoxes(boxes, np.ones(2)))


# ---------------------------------------------------------------- what is written


def test_table_has_the_face(face: Path, tmp_path: Path) -> None:
    result = run(face, "--init", "ert", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert files_in(tmp_path / "out") == ["landmarks.csv", "landmarks.json"]
    assert "1 face in 1 image, " in result.output
    (row,) = rows(tmp_path / "out")
    expected = ["image", "face_id", "confidence"]
    assert list(row) == expected + [f"{axis}_{i}" for axis in "xy" for i in range(68)]
    assert (row["image"], row["face_id"]) == (str(face), "0")
    box = DlibHog().detect(photo()).boxes[:1]
    xy, score = Ert().detect(photo(), box)
    np.testing.assert_allclose(points(row), xy[0], atol=6e-4)
    assert float(row["confidence"]) == pytest.approx(score.mean(), abs=6e-4)
    assert all(len(cell.partition(".")[2]) == 3 for name, cell in row.items() if name[1] == "_")


def test_image_without_a_face_has_an_empty_row(face: Path, empty: Path, tmp_path: Path) -> None:
    result = run(empty, face, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert f"warning: No face was found in 1 of 2 images: {empty}." in result.stderr
    first, second = rows(tmp_path / "out")
    assert (first.pop("image"), set(first.values())) == (str(empty), {""})
    assert second["image"] == str(face)
    statuses = [some["status"] for some in record(tmp_path / "out")["images"]]
    assert statuses == ["no face", "ok"]


def test_largest_or_all_faces(face: Path, two_faces: None, tmp_path: Path) -> None:
    run(face, "--init", "ert", "--out", tmp_path / "one")
    run(face, "--init", "ert", "--out", tmp_path / "all", "--faces", "all")
    assert [row["face_id"] for row in rows(tmp_path / "one")] == ["0"]
    assert [row["face_id"] for row in rows(tmp_path / "all")] == ["0", "1"]
    assert rows(tmp_path / "one")[0] == rows(tmp_path / "all")[0]


@pytest.mark.parametrize(
    ("which", "names"), [("largest", ["face.pts"]), ("all", ["face.0.pts", "face.1.pts"])]
)
def test_pts_files(
    which: str, names: list[str], face: Path, two_faces: None, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run(face, "--out", out, "--faces", which, "--format", "pts").exit_code == 0
    assert [n for n in files_in(out) if n.endswith(".pts")] == names
    for name, row in zip(names, rows(out), strict=True):
        # read_points counts from 0, the file from 1.
        np.testing.assert_allclose(read_points(out / name), points(row), atol=2e-3)
        third = (out / name).read_text().splitlines()[3].split()
        np.testing.assert_allclose(np.array(third, float) - 1, points(row)[0], atol=2e-3)


def test_files_of_an_earlier_run_that_stay_are_named(
    face: Path, two_faces: None, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(face, "--out", out, "--format", "pts", "--overlay")
    result = run(face, "--out", out, "--faces", "all", "--format", "pts")
    warning = "face.overlay.png, face.pts are of an earlier run, and do not show these points"
    assert warning in " ".join(result.stderr.split())
    assert {"face.pts", "face.0.pts", "face.1.pts", "face.overlay.png"} < set(files_in(out))
    (out / "face.pts").unlink()
    result = run(face, "--out", out, "--faces", "all", "--format", "pts")
    assert "earlier run" not in result.stderr


def test_overlay_is_the_picture_with_points(face: Path, tmp_path: Path) -> None:
    assert run(face, "--out", tmp_path / "out", "--overlay").exit_code == 0
    drawn = cv2.imread(str(tmp_path / "out/face.overlay.png"))[..., ::-1]
    changed = (drawn != photo()).any(-1)
    places = points(rows(tmp_path / "out")[0]).round().astype(int)
    assert changed[places[:, 1], places[:, 0]].all()
    assert changed.mean() < 0.2


def test_record_tells_how_to_run_again(face: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(face, "--out", out, "--box", AT, "--init", "ert", "--flip")
    content = record(out)
    assert content["options"]["box"] == list(BOX)
    assert content["options"]["detector_options"]["flip"] is True
    assert content["coordinate_origin"] == "centre of the top-left pixel"
    assert content["detector"]["sha256"]
    assert content["face_detector"] is None
    (image,) = content["images"]
    assert (image["width"], image["height"], image["boxes"]) == (320, 256, [list(BOX)])
    assert content["warnings"] == [
        "ert cannot average with the mirrored picture: --flip has no effect."
    ]


def test_stdout_says_the_weights_and_their_licence(face: Path, tmp_path: Path) -> None:
    lines = run(face, "--init", "ert", "--out", tmp_path / "out").stdout.splitlines()
    assert lines[0] == "out: loading the models"
    assert lines[1].startswith("weights: shape_predictor_68")
    assert "NOT for commercial use" in lines[1]
    assert not any("licence" in line or "commercial" in line for line in lines[2:])
    assert f"  {tmp_path / 'out' / 'landmarks.csv'}" in lines[2:]
    assert run(face, "--out", tmp_path / "out", "--quiet").output == ""


def test_json_lines(face: Path, empty: Path, tmp_path: Path) -> None:
    result = run(face, empty, tmp_path / "none.png", "--out", tmp_path / "out", "--json")
    loading, first, *_, last = (json.loads(line) for line in result.stdout.splitlines())
    assert loading["event"] == "loading"
    assert (first["event"], first["detector"]["name"]) == ("start", INIT)
    assert (last["event"], last["images"], last["faces"]) == ("done", 2, 1)
    assert last["files"]["csv"] == str(tmp_path / "out/landmarks.csv")
    assert list(last["failed"]) == [str(tmp_path / "none.png")]


def test_a_box_may_be_an_array() -> None:
    box = np.array(BOX, np.float32)
    assert ImageOptions(box=box) == ImageOptions(box=BOX)
    (found,) = facetrack.detect(photo(), init="ert", box=box)
    np.testing.assert_array_equal(found.boxes, [BOX])


@pytest.mark.parametrize("box", [(1, 2, 3), ("a", 1, 2, 3), np.zeros((2, 4)), (0, 0, np.nan, 9)])
def test_a_box_has_four_numbers(box: Any) -> None:
    with pytest.raises(FacetrackError, match="--box takes x0,y0,x1,y1 in pixels"):
        facetrack.detect(photo(), init="ert", box=box)


def test_the_box_is_where_the_face_is(face: Path, tmp_path: Path) -> None:
    run(face, "--init", "ert", "--box", AT, "--out", tmp_path / "out")
    expected = Ert().detect(photo(), np.array([BOX], np.float32)).xy[0]
    np.testing.assert_allclose(points(rows(tmp_path / "out")[0]), expected, atol=6e-4)


# ---------------------------------------------------------------- which images


def test_folders_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = np.zeros((8, 8, 3), np.uint8)
    for name in ("a/2.png", "a/10.png", "a/in/3.png", "a/2.overlay.png", "b1.jpg", "b2.jpg"):
        save(Path(name), small)
    Path("a/notes.txt").write_text("")
    Path("b3.txt").write_text("")
    found = run("a", "b*", "b2.jpg", "a/10.png", "--out", "out", "--json")
    assert found.exit_code == 0
    left_out = [str(Path("a/in")) + "/", str(Path("a/notes.txt"))]
    assert json.loads(found.stdout.splitlines()[-1])["left_out"] == left_out
    assert "Left out of a: 1 file that is no images by its name (notes.txt)" in found.stderr
    assert [row["image"] for row in rows(Path("out"))] == [
        str(Path("a/2.png")),
        str(Path("a/10.png")),
        "b1.jpg",
        "b2.jpg",
    ]


@pytest.mark.parametrize("suffix", ["webp", "gif", "tif"])
def test_a_file_of_several_images_is_warned_of(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    path = str(tmp_path / f"a.{suffix}")
    frames = [np.zeros((40, 40, 3), np.uint8)] * 3
    if suffix == "tif":
        assert cv2.imwritemulti(path, frames)
    else:
        animation = cv2.Animation()
        animation.frames, animation.durations = [f + 9 * i for i, f in enumerate(frames)], [50] * 3
        assert cv2.imwriteanimation(path, animation)
    result = run(path, "--init", "ert", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert f"Only the first image was read of {path}" in result.stderr


def test_a_name_with_brackets_is_a_name(tmp_path: Path) -> None:
    path = save(tmp_path / "a[1], é.png", np.zeros((8, 8, 3), np.uint8))
    run(path, "--out", tmp_path / "out")
    assert rows(tmp_path / "out")[0]["image"] == str(path)


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode elsewhere")
def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")
    path.rename(odd)
    assert run(odd, "--out", tmp_path / "out").exit_code == 0
    assert rows(tmp_path / "out")[0]["image"].endswith("\\udcff.png")


def test_the_default_folder_is_the_current_one(
    face: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(face)
    assert {"landmarks.csv", "landmarks.json"} <= set(files_in(tmp_path))


def test_images_that_cannot_be_read_stop_no_other(face: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "short.png").write_bytes(face.read_bytes()[:2000])
    (tmp_path / "nothing.png").write_bytes(b"")
    bad = [tmp_path / name for name in ("text.png", "short.png", "nothing.png", "none.png")]
    level = cv2.utils.logging.getLogLevel()
    result = run(*bad[:2], face, *bad[2:], "--out", tmp_path / "out")
    assert cv2.utils.logging.getLogLevel() == level
    refused(result, f"4 of 5 images: {', '.join(map(str, bad))} could not be read.")
    table = rows(tmp_path / "out")
    assert [row["image"] for row in table] == [*map(str, bad[:2]), str(face), *map(str, bad[2:])]
    assert [bool(row["face_id"] or row["x_0"]) for row in table] == [0, 0, 1, 0, 0]
    statuses = {some["image"]: some["status"] for some in record(tmp_path / "out")["images"]}
    assert statuses == {str(face): "ok", **dict.fromkeys(map(str, bad), "unreadable")}


def test_no_image_that_can_be_read_leaves_no_table(tmp_path: Path) -> None:
    refused(run(tmp_path / "none.png", "--out", tmp_path / "out"), "none.png does not exist")
    assert files_in(tmp_path / "out") == []


def exif(data: bytes, orientation: int) -> bytes:
    """A JPEG file with an orientation tag."""
    tag = b"\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0\0"
    body = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + tag + b"\0\0\0\0"
    return data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]


def test_points_are_of_the_upright_picture(tmp_path: Path) -> None:
    upright = save(tmp_path / "upright.jpg")
    # Orientation 6: turned a quarter clockwise, the stored picture is upright.
    lying = save(tmp_path / "lying.jpg", np.ascontiguousarray(np.rot90(photo())))
    lying.write_bytes(exif(lying.read_bytes(), 6))
    run(upright, lying, "--out", tmp_path / "out")
    first, second = (points(row) for row in rows(tmp_path / "out"))
    # JPEG's blocks lie differently in the two.
    assert np.abs(first - second).mean() < 2
    assert record(tmp_path / "out")["images"][1]["width"] == 320


@pytest.mark.parametrize("kind", ["grey", "16 bits", "alpha", "tif", "webp", "no extension"])
def test_kinds_of_images(kind: str, tmp_path: Path) -> None:
    grey = cv2.cvtColor(photo(), cv2.COLOR_RGB2GRAY)
    pixels, suffix = {
        "grey": (grey, ".png"),
        "16 bits": (photo()[..., ::-1].astype(np.uint16) * 257, ".png"),
        "alpha": (np.dstack([photo()[..., ::-1], np.full_like(grey, 9)]), ".png"),
        "tif": (photo()[..., ::-1], ".tif"),
        "webp": (photo()[..., ::-1], ".webp"),
        "no extension": (photo()[..., ::-1], ".png"),
    }[kind]
    path = tmp_path / ("image" if kind == "no extension" else f"image{suffix}")
    path.write_bytes(cv2.imencode(suffix, pixels)[1].tobytes())
    assert run(path, "--out", tmp_path / "out").exit_code == 0
    expected = Ert().detect(photo(), DlibHog().detect(photo()).boxes[:1]).xy[0]
    assert np.abs(points(rows(tmp_path / "out")[0]) - expected).mean() < 2


def test_values_of_12_bits_in_16_are_warned_of(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), photo()[..., ::-1].astype(np.uint16) * 16)
    result = run(tmp_path / "a.png", tmp_path / "b.png", "--out", tmp_path / "out")
    said = " ".join(result.output.split())
    assert "b.png holds 16-bit values up to 4080 only, and is nearly black" in said


# ---------------------------------------------------------------- many images, and from Python


class Counting(Ert):
    """Remembers how many images came together."""

    groups: list[int]

    def detect_many(self, images, boxes):
        self.groups.append(len(images))
        return super().detect_many(images, boxes)


@pytest.mark.parametrize(
    ("limit", "value", "groups"),
    [("MAX_BATCH_FACES", 3, [3, 3, 1]), ("MAX_BATCH_BYTES", 2 * 256 * 320 * 3, [2, 2, 2, 1])],
)
def test_images_go_together_in_bounded_groups(
    limit: str, value: int, groups: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, limit, value)
    made = pipeline.ImagePipeline(pipeline.ImageOptions(face_detector="hog"))
    detector = Counting()
    detector.groups = []
    made.__dict__["detector"] = detector
    assert len(list(made.run([photo()] * 7))) == 7
    assert [n for n in detector.groups if n] == groups


def test_from_python(face: Path) -> None:
    grey = cv2.cvtColor(photo(), cv2.COLOR_RGB2GRAY)
    by_path, by_array, grey_one = facetrack.detect([face, photo(), grey], face_detector="hog")
    np.testing.assert_array_equal(by_path.xy, by_array.xy)
    assert by_path.xy.shape == (1, 68, 2)
    assert (by_path.size, by_path.scheme, by_path.source) == ((320, 256), "68", face)
    assert np.abs(grey_one.xy - by_path.xy).mean() < 2


def test_python_raises_on_the_first_bad_image(face: Path, tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match="does not exist"):
        facetrack.detect([tmp_path / "none.png", face])


def test_python_takes_one_image_as_one(face: Path) -> None:
    (by_path,) = facetrack.detect(face, face_detector="hog")
    (by_array,) = facetrack.detect(photo(), face_detector="hog")
    np.testing.assert_array_equal(by_path.xy, by_array.xy)
    two = facetrack.detect(np.stack([photo(), photo()]), face_detector="hog")
    assert [found.size for found in two] == [(320, 256)] * 2


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (5, TypeError),
        (None, TypeError),
        ([3.5], TypeError),
        (np.zeros((8, 8, 4), np.uint8), FacetrackError),
        (np.zeros((8, 8, 3)), FacetrackError),
        (np.zeros((2, 8, 8, 3)), FacetrackError),
        (np.zeros((0, 8, 3), np.uint8), FacetrackError),
    ],
)
def test_python_refuses_what_is_no_image(image: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        facetrack.detect(image)  # type: ignore[arg-type]
