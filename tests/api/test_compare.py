"""The files of a comparison."""

from __future__ import annotations

import csv
import json
import math
import sys
from dataclasses import replace
from types import SimpleNamespace

import clips
import comparison_fakes
import numpy as np
import pytest
from comparison_fakes import EYES, FRAMES, Fakes

from facetrack.api.compare import compare_to_files, example_clip
from facetrack.comparison import storage
from facetrack.comparison.options import CompareOptions
from facetrack.errors import FacetrackError
from facetrack.measures.coordinates import convert, to_frontal
from facetrack.measures.face_model import load
from facetrack.video import ffmpeg

OPTIONS = CompareOptions(
    inits=("ert", "fan"),
    trackers=("tapir", "lk"),
    face_detector="hog",
    check_every=0.2,
    cycle_frames=5,
)
WRITTEN = [
    "dots.compare.mp4",
    "dots.ert-lk.csv",
    "dots.ert-tapir.csv",
    "dots.fan-lk.csv",
    "dots.fan-tapir.csv",
    "report.html",
    "summary.csv",
    "summary.json",
]


@pytest.fixture(autouse=True)
def page(monkeypatch):
    """Replace the report, which has its own tests, by a small file."""

    def write_report(comparison, path, focal=None):
        path.write_text(comparison.video.name)
        return ["a remark of the report."]

    monkeypatch.setitem(sys.modules, "facetrack.report", SimpleNamespace(write_report=write_report))


def _names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_all_files_are_written_and_can_be_loaded(fakes: Fakes, tmp_path) -> None:
    fakes.errors = {"fan": 0.25}
    truth = tmp_path / "truth.npz"
    np.savez(truth, xy=fakes.truth()[:20])
    options = CompareOptions(**{**vars(OPTIONS), "ground_truth": truth})
    out = tmp_path / "out"
    made = compare_to_files(fakes.clip, options, out, command="facetrack compare dots.mp4")
    assert _names(out) == sorted([*WRITTEN, "dots.ground-truth.csv"])
    assert all(path.is_file() for path in made.files.values())
    again = storage.read(out)
    for name in ("video", "input", "ranking", "ranked_by", "command", "environment", "warnings"):
        assert getattr(again, name) == getattr(made, name), name
    assert again.files == made.files
    assert again.truth is not None
    assert made.truth is not None
    np.testing.assert_allclose(again.truth, made.truth, atol=1e-3)
    assert "a remark of the report." in again.warnings
    for one, other in zip(made.results, again.results, strict=True):
        assert (one.label, one.init, one.tracker) == (other.label, other.init, other.tracker)
        assert one.files == other.files
        np.testing.assert_allclose(one.tracks.xy, other.tracks.xy, atol=1e-3)
        np.testing.assert_array_equal(one.tracks.visible, other.tracks.visible)
        assert one.tracks.size == other.tracks.size
        assert one.measures.keys() == other.measures.keys()
        for key, value in one.measures.items():
            assert other.measures[key] == pytest.approx(value, abs=1e-5, nan_ok=True), key
        for name, values in one.series.items():
            np.testing.assert_allclose(other.series[name], values, atol=1e-4)
    assert len(again.results[0].series["error"]) == FRAMES


def test_summary_is_strict_json(fakes: Fakes, tmp_path) -> None:
    compare_to_files(fakes.clip, OPTIONS, tmp_path / "out", draw=False)

    def refuse(word):
        raise AssertionError(word)

    text = (tmp_path / "out/summary.json").read_text()
    summary = json.loads(text, parse_constant=refuse)
    assert summary["results"][0]["series"]["drift"][1] is None  # not asked in that frame
    assert {"lk", "tapir"} == {some["tracker"] for some in summary["results"]}
    assert summary["files"]["report"] == "report.html"


def test_the_table_is_sorted_by_the_ranking(fakes: Fakes, tmp_path) -> None:
    fakes.errors = {"ert": 0.3}
    truth = tmp_path / "truth.npz"
    np.savez(truth, xy=fakes.truth())
    options = CompareOptions(**{**vars(OPTIONS), "ground_truth": truth})
    compare_to_files(fakes.clip, options, tmp_path / "out", draw=False, report=False)
    with (tmp_path / "out/summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["init"] for row in rows] == ["fan", "fan", "ert", "ert"]
    assert float(rows[-1]["nrmse_percent"]) == pytest.approx(0.3 * 100 / EYES, rel=1e-3)
    assert float(rows[0]["track_seconds"]) > 0
    assert float(rows[0]["fps"]) > 0


def test_video_and_report_are_optional(fakes: Fakes, tmp_path) -> None:
    compare_to_files(fakes.clip, OPTIONS, tmp_path / "out", draw=False, report=False)
    assert _names(tmp_path / "out") == [
        name for name in WRITTEN if name not in ("dots.compare.mp4", "report.html")
    ]


def test_the_video_has_all_frames_and_the_sound(fakes: Fakes, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    fakes.clip = clips.add_audio(fakes.clip, tmp_path / "in/dots.mp4")
    compare_to_files(fakes.clip, OPTIONS, tmp_path / "out")
    overlay = tmp_path / "out/dots.compare.mp4"
    frames, _ = clips.read_frames(overlay)
    assert len(frames) == FRAMES
    assert ffmpeg.read_header(overlay).audio is not None
    np.testing.assert_allclose([f.time for f in frames], np.arange(FRAMES) / 25, atol=1e-3)


def test_the_input_is_never_overwritten(fakes: Fakes, tmp_path) -> None:
    (tmp_path / "dots.compare.mp4").symlink_to(fakes.clip)
    before = fakes.clip.read_bytes()
    with pytest.raises(FacetrackError, match="is an input itself"):
        compare_to_files(fakes.clip, OPTIONS, tmp_path)
    assert fakes.clip.read_bytes() == before


QUICK = CompareOptions(
    inits=("ert",), trackers=("lk",), face_detector="hog", check_every=0, cycle_frames=0
)


@pytest.mark.parametrize("name", ["dots.ert-lk.csv", "summary.csv", "summary.json"])
def test_a_file_of_another_program_is_kept(fakes: Fakes, name, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(FacetrackError, match=f"{name} exists.*--overwrite"):
        compare_to_files(fakes.clip, QUICK, tmp_path / "out", draw=False, report=False)
    assert _names(tmp_path / "out") == [name]
    compare_to_files(fakes.clip, QUICK, tmp_path / "out", draw=False, report=False, overwrite=True)
    assert storage.read(tmp_path / "out").video == fakes.clip
    assert storage.read(tmp_path / "out").input["absolute_path"] == str(fakes.clip)
    # Results of its own need no option.
    compare_to_files(fakes.clip, QUICK, tmp_path / "out", draw=False, report=False)


def test_the_comparison_of_another_video_is_kept(fakes: Fakes, tmp_path) -> None:
    compare_to_files(fakes.clip, QUICK, tmp_path / "out", draw=False, report=False)
    first = fakes.clip
    fakes.clip = clips.write_clip(tmp_path / "other.mp4", FRAMES)
    summary = (tmp_path / "out/summary.json").read_bytes()
    if first.read_bytes() == fakes.clip.read_bytes():
        fakes.clip.write_bytes(fakes.clip.read_bytes() + bytes(8))
    with pytest.raises(FacetrackError, match=r"holds the results of .*dots.*another input"):
        compare_to_files(fakes.clip, QUICK, tmp_path / "out", draw=False, report=False)
    assert (tmp_path / "out/summary.json").read_bytes() == summary
    assert not [name for name in _names(tmp_path / "out") if name.startswith("other")]


def test_a_failure_leaves_no_file(fakes: Fakes, tmp_path, monkeypatch) -> None:
    def fail(self, state, frames):
        raise FacetrackError("the tracker gave up")

    monkeypatch.setattr("comparison_fakes.SquareTracker.step", fail)
    with pytest.raises(FacetrackError, match="gave up"):
        compare_to_files(fakes.clip, OPTIONS, tmp_path / "out")
    assert _names(tmp_path / "out") == []


@pytest.mark.parametrize("coordinates", ["normalised", "head", "frontal"])
def test_tables_of_tracks_have_the_coordinates(
    coordinates: str, fakes: Fakes, tmp_path, monkeypatch
) -> None:
    """Of the methods and of the ground truth; the comparison itself is in pixels."""
    face = load().mean
    pattern = face[:, :2] * EYES / np.ptp(face[[36, 45], 0]) + clips.SIDE / 2
    monkeypatch.setattr(comparison_fakes, "PATTERN", pattern)
    truth = tmp_path / "truth.npz"
    np.savez(truth, xy=fakes.truth() + (0.25, 0))
    chosen = {**vars(OPTIONS), "trackers": ("lk",), "ground_truth": truth}
    pixels = compare_to_files(fakes.clip, CompareOptions(**chosen), tmp_path / "pixels", draw=False)
    options = CompareOptions(**{**chosen, "coordinates": coordinates})
    out = tmp_path / "out"
    for _ in range(2):  # it replaces its own files
        made = compare_to_files(fakes.clip, options, out, draw=False, focal=90.0)
    assert made.ranking == pixels.ranking
    first = made.results[0].tracks
    true_tracks = replace(first, xy=made.truth[:, None], visible=np.ones_like(first.visible))
    tables = {"dots.ground-truth.csv": true_tracks}
    for result, other in zip(made.results, pixels.results, strict=True):
        np.testing.assert_array_equal(result.tracks.xy, other.tracks.xy)
        assert result.measures["nrmse"] == other.measures["nrmse"]
        tables[result.files["csv"].name] = result.tracks
    for name, tracks in tables.items():
        with (out / name).open() as file:
            rows = list(csv.DictReader(file))
        xy = [
            [[float(row[f"{coordinates}_{a}_{i}"]) for a in "xy"] for i in range(68)]
            for row in rows
        ]
        if coordinates == "frontal":
            expected = to_frontal(tracks, 90.0).xy[:, 0]
        else:
            expected = convert(tracks.xy, coordinates, tracks.size, "68")[:, 0]
        np.testing.assert_allclose(xy, expected, atol=1e-5, err_msg=name)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["csv_coordinates"]["name"] == coordinates
    assert summary["options"]["coordinates"] == coordinates
    if coordinates == "normalised":
        again = storage.read(out)
        np.testing.assert_allclose(again.truth, made.truth, atol=1e-3)
        np.testing.assert_allclose(again.results[0].tracks.xy, made.results[0].tracks.xy, atol=1e-3)
    else:
        with pytest.raises(FacetrackError, match=f"has {coordinates} coordinates, from which"):
            storage.read(out)


def test_a_layout_without_the_coordinates_is_refused_before_tracking(
    fakes: Fakes, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("comparison_fakes.SquareDetector.scheme", "points-68")
    for name, message in (("head", "layout with eye corners"), ("frontal", "the 68 points")):
        options = CompareOptions(**{**vars(OPTIONS), "coordinates": name})
        with pytest.raises(FacetrackError, match=message):
            compare_to_files(fakes.clip, options, tmp_path / "out")
    assert fakes.made == []
    assert _names(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "is not a comparison"), ("{", "damaged"), ("{}", "damaged"), ("[]", "damaged")],
)
def test_files_that_are_no_comparison_are_rejected(text, said, tmp_path) -> None:
    if text is not None:
        (tmp_path / "summary.json").write_text(text)
    with pytest.raises(FacetrackError, match=said):
        storage.read(tmp_path)


def test_speeds_are_frames_per_second() -> None:
    assert storage.speeds({"track": 2.0, "cycle": 1.0, "decode": 0.0}, 50) == {"track": 25.0}
    assert not any(math.isinf(v) for v in storage.speeds({"track": 1e-9}, 1).values())


def test_the_example_clip_exists() -> None:
    assert example_clip().name == "astronaut.mp4"
