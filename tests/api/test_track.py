"""`facetrack.track` and `track_to_files`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import clips
import numpy as np
import pytest

import facetrack
from facetrack.api.outputs import Outputs
from facetrack.api.track import track_to_files
from facetrack.errors import FacetrackError
from facetrack.pipeline.options import Options
from facetrack.trackers.lk import LucasKanadeTracker

ASTRONAUT = Path(__file__).parents[2] / "examples/astronaut.mp4"


@pytest.fixture(scope="module")
def astronaut() -> facetrack.Tracks:
    return facetrack.track(ASTRONAUT, tracker="lk")


@pytest.fixture
def dots(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return clips.write_clip(tmp_path / "in/dots.mkv", 20)


@pytest.fixture
def own_points(tmp_path: Path) -> Options:
    """Two corners of the square in the first frame, so that no face is needed."""
    file = tmp_path / "points.csv"
    file.write_text("x,y\n0.5,0.5\n7,7\n")
    return Options(init="points", points=file, tracker="lk")


def files_in(folder: Path) -> list[str]:
    """Names in a folder; none if it does not exist."""
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def test_example_clip_gives_a_row_for_every_frame(astronaut: facetrack.Tracks) -> None:
    assert astronaut.xy.shape == (96, 1, 68, 2)
    assert astronaut.xy.dtype == np.float32
    assert astronaut.visible.shape == astronaut.confidence.shape == (96, 1, 68)
    assert (astronaut.scheme, astronaut.size, astronaut.first_frame) == ("68", (640, 480), 0)


def test_example_clip_has_correct_times(astronaut: facetrack.Tracks) -> None:
    np.testing.assert_allclose(astronaut.time, np.arange(96) / 24, atol=1e-4)


def test_example_clip_has_its_eyes_in_the_right_places(astronaut: facetrack.Tracks) -> None:
    # The eyes' places in the photograph, by examples/make_clip.py, in the first frame's pixels.
    for eye, place in ((slice(36, 42), (229.5, 158.5)), (slice(42, 48), (298.5, 162.5))):
        middle = astronaut.xy[0, 0, eye].mean(0)
        assert np.hypot(*(middle - place)) < 5, middle


def test_unknown_option_is_rejected() -> None:
    with pytest.raises(TypeError, match="nonsense"):
        facetrack.track(ASTRONAUT, nonsense=1)


def test_writes_all_chosen_outputs(dots: Path, own_points: Options, tmp_path: Path) -> None:
    report = track_to_files(dots, own_points, Outputs(tmp_path / "out", ("csv", "npz")))
    assert files_in(tmp_path / "out") == ["dots.csv", "dots.json", "dots.npz", "dots.overlay.mp4"]
    assert sorted(p.name for p in report.paths.values()) == files_in(tmp_path / "out")
    assert report.frames == 20
    assert report.warnings == []


def test_overlay_is_optional(dots: Path, own_points: Options, tmp_path: Path) -> None:
    track_to_files(dots, own_points, Outputs(tmp_path / "out", overlay=False))
    assert files_in(tmp_path / "out") == ["dots.csv", "dots.json"]


def test_record_allows_to_repeat_the_run(dots: Path, own_points: Options, tmp_path: Path) -> None:
    track_to_files(dots, own_points, Outputs(tmp_path, overlay=False))
    record = json.loads((tmp_path / "dots.json").read_text())
    assert record["options"]["points"] == str(own_points.points)
    assert record["options"]["tracker"] == "lk"
    assert record["options"]["formats"] == ["csv"]
    assert record["query"]["frame"] == 0
    points = np.array([[0.5, 0.5], [7, 7]], "<f4")
    sha256 = hashlib.sha256(points.tobytes()).hexdigest()
    assert record["detector"] == {"name": "points", "sha256": sha256}
    assert record["versions"]["facetrack"] in (facetrack.__version__, None)


def test_progress_ends_with_all_frames(dots: Path, own_points: Options, tmp_path: Path) -> None:
    seen = []
    outputs = Outputs(tmp_path / "out", overlay=False)
    track_to_files(dots, own_points, outputs, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 20), (8, 20), (16, 20), (20, 20)]


def test_folder_of_images_names_the_files(own_points: Options, tmp_path: Path) -> None:
    folder = tmp_path / "take 1.a"
    folder.mkdir()
    clips.run_ffmpeg(
        "-f", "lavfi", "-i", "color=white:s=32x32:d=0.2:r=25", str(folder / "%03d.png")
    )
    track_to_files(folder, own_points, Outputs(tmp_path / "out", overlay=False))
    assert files_in(tmp_path / "out") == ["take 1.a.csv", "take 1.a.json"]


def test_corrections_that_do_not_count_are_a_warning(
    dots: Path, own_points: Options, tmp_path: Path
) -> None:
    corrections = tmp_path / "dots.corrections.csv"
    corrections.write_text(
        "frame,face,point,x,y,hidden,who,when\n"
        "4,0,1,7,7,,me,2026-01-31T09:30:00.000Z\n"
        "5,0,1,7,7,,me,2026-01-31T09:30:01.000Z\n"
        "2,0,absent,9,,,me,2026-01-31T09:30:02.000Z\n"
    )
    options = dataclasses.replace(own_points, corrections=corrections)
    result = track_to_files(dots, options, Outputs(tmp_path / "out", overlay=False))
    (warning,) = result.warnings
    assert warning.startswith("Corrected points of face 0 in frames 4 to 5 do not count")
    record = json.loads((tmp_path / "out" / "dots.json").read_text())
    assert record["corrections"]["warnings"] == [warning]
    assert warning in record["warnings"]


def test_refuses_to_overwrite_the_input(dots: Path, own_points: Options, tmp_path: Path) -> None:
    (tmp_path / "dots.overlay.mp4").symlink_to(dots)
    before = dots.read_bytes()
    with pytest.raises(FacetrackError, match="is an input itself"):
        track_to_files(dots, own_points, Outputs(tmp_path))
    assert dots.read_bytes() == before


def test_no_face_leaves_no_file(dots: Path, tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match=r"No face .* --face-detector"):
        track_to_files(dots, Options(tracker="lk", face_detector="hog"), Outputs(tmp_path / "out"))
    assert files_in(tmp_path / "out") == []


def test_failure_midway_leaves_no_file(
    dots: Path, own_points: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    step = LucasKanadeTracker.step

    def fail_later(self, state, frames):
        steps.append(len(frames))
        if len(steps) == 2:
            raise FacetrackError("the tracker gave up")
        return step(self, state, frames)

    monkeypatch.setattr(LucasKanadeTracker, "step", fail_later)
    with pytest.raises(FacetrackError, match="gave up"):
        track_to_files(dots, own_points, Outputs(tmp_path / "out"))
    assert steps == [1, 7]
    assert files_in(tmp_path / "out") == []


def test_failure_keeps_the_files_of_an_earlier_run(
    dots: Path, own_points: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = Outputs(tmp_path / "out")
    paths = track_to_files(dots, own_points, outputs).paths.values()
    before = [path.read_bytes() for path in paths]

    def fail(self, state, frames):
        raise FacetrackError("the tracker gave up")

    monkeypatch.setattr(LucasKanadeTracker, "step", fail)
    with pytest.raises(FacetrackError, match="gave up"):
        track_to_files(dots, own_points, outputs)
    assert [path.read_bytes() for path in paths] == before


def test_a_second_run_into_the_same_files_is_refused(
    dots: Path, own_points: Options, tmp_path: Path
) -> None:
    out, other, refused = tmp_path / "out", tmp_path / "other" / dots.name, []
    other.parent.mkdir()
    shutil.copy(dots, other)

    def meanwhile(done: int, total: int | None) -> None:
        for video in (dots, other) if not refused else ():
            with pytest.raises(FacetrackError, match=r"^Another run is about to write "):
                track_to_files(video, own_points, Outputs(out, overlay=False), keep=True)
            refused.append(video)

    track_to_files(dots, own_points, Outputs(out, overlay=False), progress=meanwhile, keep=True)
    assert refused == [dots, other]
    assert files_in(out) == ["dots.csv", "dots.json"]
    assert json.loads((out / "dots.json").read_text())["input"]["path"] == str(dots)


def test_missing_video_creates_no_folder(own_points: Options, tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match="does not exist"):
        track_to_files(tmp_path / "none.mp4", own_points, Outputs(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_output_folder_that_is_a_file(dots: Path, own_points: Options, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(FacetrackError, match="is a file"):
        track_to_files(dots, own_points, Outputs(tmp_path / "out"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"tracker": "nonsense"}, "no tracker 'nonsense'"),
        ({"init": "nonsense"}, "nonsense"),
        ({"face_detector": "nonsense"}, "nonsense"),
    ],
    ids=["tracker", "init", "face detector"],
)
def test_unknown_name_leaves_no_file(
    wrong: dict[str, str], said: str, dots: Path, tmp_path: Path
) -> None:
    with pytest.raises(FacetrackError, match=said):
        track_to_files(dots, Options(**{"tracker": "lk", **wrong}), Outputs(tmp_path / "out"))
    assert files_in(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"init": "points"}, "--points FILE go together"),
        ({"points": Path("a.csv")}, "--points FILE go together"),
        ({"query_frame": -1}, "cannot be negative"),
    ],
    ids=["init", "points", "query frame"],
)
def test_contradictory_options_are_rejected(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(FacetrackError, match=said):
        Options(**wrong)
