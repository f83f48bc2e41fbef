"""Comparisons from saved files, alone and together."""

from __future__ import annotations

import dataclasses
import json

import clips
import numpy as np
import pytest
from sample_comparison import FRAMES, save, tracks

from facetrack import report
from facetrack.comparison import measures, storage
from facetrack.errors import FacetrackError
from facetrack.record import write_record


@pytest.fixture
def run(clip, tmp_path):
    return save(tmp_path / "run", "clip", clip, tracks(), ("csv", "npz"))


def test_a_table_with_its_record(run, clip):
    found = report.of_runs([run])
    assert found.video == clip
    assert [r.label for r in found.results] == ["ert + lk"]
    assert np.array_equal(found.results[0].tracks.visible, tracks().visible)
    assert found.results[0].tracks.size == clips.SIZE
    assert found.results[0].warnings == ["the sound was lost"]
    assert found.results[0].about["query"] == {"frame": 0}
    assert found.ranking == []


def test_measures_are_those_of_a_comparison(run):
    own = tracks()
    found = report.of_runs([run.with_suffix(".npz")]).results[0].measures
    size = measures.consensus_size([own])
    assert found == pytest.approx(
        {
            "jitter": measures.jitter(own, size),
            "visible": 100 * own.visible.mean(),
            "missing": 100 / FRAMES,
            "fps": FRAMES / 1.5,
        }
    )
    assert set(found) <= set(measures.BY_KEY)


@pytest.mark.parametrize("name", ["clip.csv", "clip.npz", "clip.json", "."])
def test_a_run_is_named_by_its_table_its_record_or_its_folder(run, name):
    found = report.of_runs([run.parent / name])
    assert len(found.results) == 1
    assert found.results[0].tracks.xy == pytest.approx(tracks().xy, abs=1e-3, nan_ok=True)


def test_the_npz_is_read_where_both_are_there(run):
    exact = report.of_runs([run.parent]).results[0].tracks
    assert np.array_equal(exact.confidence, tracks().confidence)


def test_a_stem_may_hold_a_dot(clip, tmp_path):
    table = save(tmp_path, "take.2", clip, tracks())
    assert report.of_runs([table.parent]).results[0].label == "ert + lk"


def test_several_runs_disagree_as_in_a_comparison(clip, tmp_path):
    one, other = tracks(), tracks(noise=0.5)
    a = save(tmp_path / "a", "clip", clip, one, ("npz",), tracker="lk")
    b = save(tmp_path / "b", "clip", clip, other, ("npz",), tracker="tapir")
    found = report.of_runs([a, b])
    assert [r.label for r in found.results] == ["ert + lk", "ert + tapir"]
    apart = measures.disagreement([one, other], measures.consensus_size([one, other]))
    for result, values in zip(found.results, apart, strict=True):
        assert result.measures["disagreement"] == pytest.approx(measures.mean(values))
        assert result.series["disagreement"] == pytest.approx(
            measures.by_frame(values), nan_ok=True
        )


def test_runs_of_one_name_are_told_apart(clip, tmp_path):
    tables = [save(tmp_path / s, s, clip, tracks(), ("npz",)) for s in ("one", "two")]
    labels = [r.label for r in report.of_runs(tables).results]
    assert labels == ["ert + lk (one)", "ert + lk (two)"]


def test_runs_of_one_name_and_one_file_name_are_numbered(clip, tmp_path):
    tables = [save(tmp_path / s, "clip", clip, tracks(), ("npz",)) for s in ("one", "two")]
    labels = [r.label for r in report.of_runs(tables).results]
    assert labels == ["ert + lk (clip) (1)", "ert + lk (clip) (2)"]


def test_a_run_named_twice_counts_once(run):
    assert len(report.of_runs([run, run, run.with_suffix(".npz")]).results) == 1


def test_a_tracked_video_names_its_run(run, clip):
    video = run.with_suffix(".mp4")
    video.write_bytes(clip.read_bytes())
    content = json.loads(run.with_suffix(".json").read_text())
    content["input"]["absolute_path"] = str(video)
    write_record(run.with_suffix(".json"), content)
    assert len(report.of_runs([video]).results) == 1


def test_a_run_called_summary_is_no_comparison(clip, tmp_path):
    table = save(tmp_path / "run", "summary", clip, tracks())
    for path in (table, table.with_suffix(".json"), table.parent):
        assert len(report.of_runs([path]).results) == 1


def test_the_files_that_are_read_are_known(run, comparison, tmp_path):
    record, table = run.with_suffix(".json"), run.with_suffix(".npz")
    assert list(report.input_files([run.parent]).values()) == [record, table]
    tmp_path.joinpath("out").mkdir()
    storage.write(comparison, tmp_path / "out")
    found = report.input_files([tmp_path / "out"]).values()
    assert tmp_path / "out" / "summary.json" in found
    assert set((tmp_path / "out").glob("*.csv")) <= set(found)


def test_the_folder_of_a_comparison(comparison, tmp_path):
    tmp_path.joinpath("out").mkdir()
    storage.write(comparison, tmp_path / "out")
    for path in (tmp_path / "out", tmp_path / "out" / "summary.json"):
        found = report.of_runs([path])
        assert found.ranking == comparison.ranking
        assert [r.label for r in found.results] == [r.label for r in comparison.results]


def test_a_comparison_goes_alone(comparison, run, tmp_path):
    tmp_path.joinpath("out").mkdir()
    storage.write(comparison, tmp_path / "out")
    with pytest.raises(FacetrackError, match="as the only run"):
        report.of_runs([tmp_path / "out", run])


def test_a_video_that_was_moved_beside_the_record_is_found(run, clip, tmp_path):
    content = json.loads(run.with_suffix(".json").read_text())
    content["input"]["path"] = "gone/clip.mp4"
    write_record(run.with_suffix(".json"), content)
    beside = run.parent / "clip.mp4"
    beside.write_bytes(clip.read_bytes())
    assert report.of_runs([run]).video == beside


def test_the_video_may_be_named(run, clip):
    assert report.of_runs([run], video=str(clip)).video == clip
    with pytest.raises(FacetrackError, match=r"no gone\.mp4"):
        report.of_runs([run], video="gone.mp4")


def test_runs_on_different_videos_are_refused(run, clip, tmp_path):
    other = clips.write_clip(tmp_path / "other.mp4", FRAMES - 1)
    table = save(tmp_path / "other", "other", other, tracks())
    with pytest.raises(FacetrackError, match="different videos"):
        report.of_runs([run, table])


def test_what_is_missing_is_said(run, tmp_path):
    with pytest.raises(FacetrackError, match="at least one run"):
        report.of_runs([])
    with pytest.raises(FacetrackError, match=r"There is no .*none\.csv"):
        report.of_runs([tmp_path / "none.csv"])
    with pytest.raises(FacetrackError, match="contains no run"):
        report.of_runs([tmp_path])
    with pytest.raises(FacetrackError, match="track it first"):
        report.of_runs([clips.write_clip(tmp_path / "clip.mp4", 2)])
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FacetrackError, match="not a run"):
        report.of_runs([tmp_path / "notes.txt"])
    run.with_suffix(".json").unlink()
    with pytest.raises(FacetrackError, match=r"The record .* is missing"):
        report.of_runs([run])


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"input": 1, "options": {}, "tracker": {}}'])
def test_a_record_that_is_none_is_refused(run, text):
    run.with_suffix(".json").write_text(text)
    for path in (run, run.with_suffix(".json")):
        with pytest.raises(FacetrackError, match=r"clip\.json is not a record"):
            report.of_runs([path])


def test_a_record_without_its_table_is_refused(run):
    for suffix in (".csv", ".npz"):
        run.with_suffix(suffix).unlink()
    with pytest.raises(FacetrackError, match=r"neither a \.npz nor a \.csv"):
        report.of_runs([run.with_suffix(".json")])


def test_several_faces_are_shown_each_by_itself(clip, tmp_path):
    own = tracks()
    both = dataclasses.replace(
        own,
        **{name: np.repeat(getattr(own, name), 2, 1) for name in ("xy", "visible", "confidence")},
        face_id=np.array([3, 5]),
    )
    event = {"frame": 4, "time": 0.16, "face_id": 5, "reason": "lost", "before": None}
    table = save(tmp_path, "clip", clip, both, ("npz",))
    with_events = json.loads(table.with_suffix(".json").read_text()) | {"events": [event]}
    table.with_suffix(".json").write_text(json.dumps(with_events))
    found = report.of_runs([table])
    assert [r.label for r in found.results] == ["person 3", "person 5"]
    assert all(r.tracks.xy.shape == (FRAMES, 1, 68, 2) for r in found.results)
    assert [r.events for r in found.results] == [[], [event]]
    # Two people are not two opinions.
    assert all("disagreement" not in r.measures for r in found.results)


def test_people_of_several_runs_have_the_names_of_both(clip, tmp_path):
    own = tracks()
    both = dataclasses.replace(
        own,
        **{name: np.repeat(getattr(own, name), 2, 1) for name in ("xy", "visible", "confidence")},
        face_id=np.array([0, 1]),
    )
    a = save(tmp_path / "a", "clip", clip, both, ("npz",), tracker="lk")
    b = save(tmp_path / "b", "clip", clip, own, ("npz",), tracker="tapir")
    labels = [result.label for result in report.of_runs([a, b]).results]
    assert labels == ["ert + lk, person 0", "ert + lk, person 1", "ert + tapir"]


def test_a_video_of_the_same_name_in_this_folder_is_another(run, clip, tmp_path, monkeypatch):
    content = json.loads(run.with_suffix(".json").read_text())
    content["input"] |= {"path": "clip.mp4", "absolute_path": str(clip)}
    write_record(run.with_suffix(".json"), content)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "clip.mp4").touch()
    monkeypatch.chdir(tmp_path / "here")
    assert report.of_runs([run]).video == clip
    monkeypatch.chdir(clip.parent)
    assert str(report.of_runs([run]).video) == "clip.mp4"
