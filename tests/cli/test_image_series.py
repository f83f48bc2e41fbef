"""`facetrack track` on images: series, bad images, animations, rates."""

from __future__ import annotations

import json
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

import facetrack
from facetrack.api.outputs import Outputs
from facetrack.api.track import track_to_files
from facetrack.cli import app
from facetrack.evaluation.scores import evaluate
from facetrack.formats.csv import read_csv
from facetrack.pipeline.options import Options
from facetrack.video.reader import VideoReader

QUICK = ("--tracker", "lk", "--init", "ert", "--face-detector", "hog")


@pytest.fixture(scope="session")
def cases() -> Path:
    """Return the folder of inputs of users."""
    from conftest import SHARED

    if not (SHARED / "cases").is_dir():
        pytest.skip(f"{SHARED / 'cases'} is absent (research data, not part of the project)")
    return SHARED / "cases"


def run(command: str, *words: object) -> Result:
    return CliRunner().invoke(app, [command, *map(str, words)])


def squares(folder: Path, names: list[str]) -> Path:
    """Write images of a moving square."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        assert cv2.imwrite(str(folder / name), clips.draw_square(i))
    return folder


def own(own_points: Options) -> tuple[str, ...]:
    return ("--init", "points", "--points", str(own_points.points), "--tracker", "lk")


def record(path: Path) -> dict:
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


# ---------------------------------------------------------------- a series


def test_a_shells_pattern_is_one_video(tmp_path: Path, own_points: Options) -> None:
    names = [f"frame_{i}.png" for i in range(12)]
    folder = squares(tmp_path / "take", names)
    squares(folder, ["thumb_1.png"])
    given = sorted(str(folder / name) for name in names)
    result = run("track", *given, *own(own_points), "--fps", "30000/1001", "--json")
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in folder.iterdir() if p.suffix != ".png") == [
        "frame.csv",
        "frame.json",
        "frame.overlay.mp4",
    ]
    tracks = read_csv(folder / "frame.csv")
    assert tracks.image_names is not None
    assert tracks.image_names.tolist() == names
    np.testing.assert_allclose(tracks.time, np.arange(12) * 1001 / 30000, atol=1e-6)
    written = record(folder / "frame.csv")
    assert written["input"]["images"] == names
    assert written["input"]["path"] == str(folder / "frame_*.png")
    assert written["options"]["fps"] == pytest.approx(29.97003)
    overlay = list(VideoReader(folder / "frame.overlay.mp4"))
    assert overlay[-1].time == pytest.approx(11 * 1001 / 30000, abs=0.002)
    # The same command again replaces its own files.
    assert run("track", *given, *own(own_points)).exit_code == 0


@pytest.mark.parametrize("rate", ["0", "-5", "fast", "1/0", "nan", "1e9", "", "30/"])
def test_a_rate_that_is_none_is_refused(rate: str, tmp_path: Path) -> None:
    folder = squares(tmp_path / "in", ["1.png", "2.png"])
    result = run("track", folder, f"--fps={rate}")
    assert result.exit_code == 2
    assert "--fps is a number of images per second" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_rate_for_a_video_has_no_effect(dots: Path, own_points: Options, tmp_path: Path) -> None:
    words = (*own(own_points), "--no-overlay", "--out", tmp_path, "--fps", "5")
    result = run("track", dots, *words)
    assert result.exit_code == 0, result.output
    assert "--fps has no effect" in result.stderr
    assert read_csv(tmp_path / "dots.csv").time[1] == pytest.approx(0.04)


def test_a_rate_for_one_image_a_minute(tmp_path: Path, own_points: Options) -> None:
    folder = squares(tmp_path / "in", ["1.png", "2.png", "3.png"])
    words = (*own(own_points), "--fps", "1/60", "--out", tmp_path)
    assert run("track", folder, *words).exit_code == 0
    assert read_csv(tmp_path / "in.csv").time.tolist() == [0, 60, 120]
    assert [f.time for f in VideoReader(tmp_path / "in.overlay.mp4")] == pytest.approx([0, 60, 120])


def test_the_other_files_of_a_folder_are_listed(tmp_path: Path, own_points: Options) -> None:
    folder = squares(tmp_path / "in", ["1.png", "2.png"])
    for name in ("notes.txt", "photo.heic"):
        (folder / name).touch()
    words = (*own(own_points), "--no-overlay", "--out", tmp_path, "--json")
    result = run("track", folder, *words)
    assert "2 files that are no images" in result.stderr
    last = json.loads(result.stdout.splitlines()[-1])
    assert last["left_out"] == ["notes.txt", "photo.heic"]


@pytest.mark.slow
def test_what_a_folder_of_videos_holds_besides_is_listed(
    tmp_path: Path, own_points: Options
) -> None:
    (tmp_path / "v").mkdir()
    clips.write_clip(tmp_path / "v/a.mp4", 3)
    (tmp_path / "v/notes.txt").touch()
    words = (*own(own_points), "--no-overlay", "--out", tmp_path / "out", "--json")
    result = run("track", tmp_path / "v", *words)
    assert result.exit_code == 0, result.output
    last = json.loads(result.stdout.splitlines()[-1])
    assert last["left_out"] == [str(tmp_path / "v/notes.txt")]
    assert json.loads((tmp_path / "out/batch.json").read_text())["left_out"] == last["left_out"]


def test_images_that_are_no_series_get_advice(tmp_path: Path) -> None:
    squares(tmp_path, ["a.png", "b.png"])
    result = run("track", tmp_path / "a.png", tmp_path / "b.png")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "`facetrack detect` reads single images" in line


# ---------------------------------------------------------------- bad images


@pytest.mark.parametrize("query", [None, 5])
def test_a_bad_image_has_an_empty_row(
    tmp_path: Path, own_points: Options, query: int | None
) -> None:
    folder = squares(tmp_path / "in", [f"{i}.png" for i in range(9)])
    (folder / "3.png").write_bytes(b"no image")
    (folder / "8.png").write_bytes(b"")
    if query is not None:
        corner = clips.expected_position(query)
        own_points = Options(
            init="points", points=tmp_path / "points.csv", tracker="lk", query_frame=query
        )
        (tmp_path / "points.csv").write_text(f"{corner[0]},{corner[1]}\n")
    formats = ("csv", "npz", "openface", "dlc", "pts")
    result = track_to_files(folder, own_points, Outputs(tmp_path / "out", formats))
    (warning,) = result.warnings
    assert "2 of 9 images" in warning
    assert "3.png, 8.png" in warning
    tracks = read_csv(tmp_path / "out/in.csv")
    assert len(tracks) == 9
    empty = np.isin(np.arange(9), [3, 8])
    assert np.isnan(tracks.xy[empty]).all()
    assert not tracks.visible[empty].any()
    assert (tracks.confidence[empty] == 0).all()
    assert np.isfinite(tracks.xy[~empty]).all()
    assert clips.decoded_count(tmp_path / "out/in.overlay.mp4") == 9
    assert not list((tmp_path / "out").glob(".facetrack*"))


def test_a_bad_image_in_a_resumed_run_is_warned_of(
    tmp_path: Path, own_points: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    from facetrack.pipeline import resume

    folder = squares(tmp_path / "in", [f"{i:02d}.png" for i in range(40)])
    (folder / "03.png").write_bytes(b"")
    outputs = Outputs(tmp_path / "out", overlay=False)
    monkeypatch.setattr(resume, "SAVE_INTERVAL_S", 0.0)

    def stop(done: int, total: int | None) -> None:
        if done > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        track_to_files(folder, own_points, outputs, stop, keep=True)
    result = track_to_files(folder, own_points, outputs, keep=True, resume=True)
    assert record(result.paths["csv"])["resumed_from_frame"] > 3
    assert any("03.png" in warning for warning in result.warnings)
    assert np.isnan(read_csv(result.paths["csv"]).xy[3]).all()


def test_a_bad_image_is_no_query_frame(tmp_path: Path, own_points: Options) -> None:
    folder = squares(tmp_path / "in", ["0.png", "1.png"])
    (folder / "0.png").write_bytes(b"no image")
    result = run("track", folder, *own(own_points), "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "0.png is not an image that can be read." in result.stderr
    assert "another --query-frame than 0" in result.stderr
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_the_search_for_a_face_passes_over_bad_images(cases: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for i in (1, 2, 3):
        (folder / f"{i}.jpg").write_bytes((cases / f"one-bad-image/00{i}.jpg").read_bytes())
    (folder / "0.jpg").write_bytes(b"no image")
    result = run("track", folder, *QUICK, "--no-overlay", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    tracks = read_csv(tmp_path / "out/in.csv")
    assert np.isnan(tracks.xy[0]).all()
    assert np.isfinite(tracks.xy[1:]).all()
    assert record(tmp_path / "out/in.csv")["query"]["frame"] == 1


# ---------------------------------------------------------------- inputs of users


def test_one_bad_image(cases: Path, own_points: Options, tmp_path: Path) -> None:
    result = run(
        "track", cases / "one-bad-image", *own(own_points), "--no-overlay", "--out", tmp_path
    )
    assert result.exit_code == 0, result.output
    assert "004.jpg" in result.stderr
    tracks = read_csv(tmp_path / "one-bad-image.csv")
    assert np.isnan(tracks.xy).all((1, 2, 3)).tolist() == [i == 3 for i in range(8)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one-bad-image.csv", "one-bad-image.json"]


def test_numbered_with_gaps(cases: Path, own_points: Options, tmp_path: Path) -> None:
    words = ("--no-overlay", "--out", tmp_path, "--fps", "12.5")
    result = run("track", cases / "numbered-with-gaps", *own(own_points), *words)
    assert result.exit_code == 0, result.output
    assert "between img_0003.png and img_0006.png" in result.stderr
    tracks = read_csv(tmp_path / "numbered-with-gaps.csv")
    np.testing.assert_allclose(tracks.time, np.arange(6) / 12.5, atol=1e-6)
    assert tracks.image_names is not None
    assert tracks.image_names.tolist()[3] == "img_0006.png"


def test_an_animated_webp(cases: Path, own_points: Options, tmp_path: Path) -> None:
    result = run("track", cases / "anim.webp", *own(own_points), "--no-overlay", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    tracks = read_csv(tmp_path / "anim.csv")
    assert len(tracks) == 20
    assert set(np.diff(tracks.time).round(6)) == {0.1, 0.4}
    assert tracks.image_names is None


# ---------------------------------------------------------------- readers of the tables


@pytest.fixture
def tracked(tmp_path: Path, own_points: Options) -> Path:
    """Track a series with a bad image; return its table."""
    folder = squares(tmp_path / "in", [f"{i}.png" for i in range(8)])
    (folder / "3.png").write_bytes(b"no image")
    result = track_to_files(folder, own_points, Outputs(tmp_path / "out", overlay=False))
    return result.paths["csv"]


@pytest.mark.slow
def test_a_series_has_a_report(tracked: Path, tmp_path: Path) -> None:
    result = run("report", tracked, "--out", tmp_path / "report.html")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_a_pattern_has_a_report(tmp_path: Path, own_points: Options) -> None:
    folder = squares(tmp_path / "in", ["a_1.png", "a_2.png", "b_1.png"])
    outputs = Outputs(tmp_path / "out", overlay=False, report=True)
    result = track_to_files(folder / "a_*.png", own_points, outputs)
    assert result.paths["report"].name == "a.report.html"
    assert result.warnings == []
    again = run("report", result.paths["csv"], "--out", tmp_path / "report.html")
    assert again.exit_code == 0, again.output
    assert again.stderr == ""


def test_tables_of_series_are_evaluated(tracked: Path) -> None:
    assert evaluate(tracked, tracked) is not None


def test_python_gets_the_names(tmp_path: Path, own_points: Options) -> None:
    folder = squares(tmp_path / "in", ["a_1.png", "a_2.png"])
    keywords = {**vars(own_points), "fps": 10}
    del keywords["further_query_frames"]  # `query_frame` takes a list
    tracks = facetrack.track(folder, **keywords)
    assert tracks.image_names is not None
    assert tracks.image_names.tolist() == ["a_1.png", "a_2.png"]
    assert tracks.time.tolist() == [0, 0.1]


@pytest.mark.slow
def test_a_comparison_of_a_series(
    cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--inits", "ert", "--trackers", "lk", "--face-detector", "hog", "--no-video")
    result = run(
        *("compare", cases / "one-bad-image", *words, "--no-report"),
        *("--out", tmp_path, "--fps", "10", "--cycle-frames", "3"),
    )
    assert result.exit_code == 0, result.output
    assert "004.jpg" in result.stderr
    (table,) = tmp_path.glob("*.ert-lk.csv")
    tracks = read_csv(table)
    assert np.isnan(tracks.xy[3]).all()
    assert tracks.time[1] == pytest.approx(0.1)
