"""A comparison of detectors and trackers whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from comparison_fakes import EYES, FRAMES, Fakes

from facetrack.comparison import passes
from facetrack.comparison.options import CompareOptions
from facetrack.comparison.results import Comparison
from facetrack.comparison.run import run
from facetrack.errors import FacetrackError

PIXEL = 100 / EYES
"""One pixel in per cent."""


def _compare(fakes: Fakes, inits="ert", trackers="tapir", **options) -> Comparison:
    chosen = CompareOptions(
        inits=tuple(inits.split(",")),
        trackers=tuple(trackers.split(",")),
        face_detector="hog",
        **{"check_every": 0.2, "cycle_frames": 5, **options},
    )
    return run(fakes.clip, chosen)


def _by_label(comparison: Comparison, key: str) -> dict[str, float]:
    return {result.label: result.measures[key] for result in comparison.results}


@pytest.mark.parametrize("first", [0, 13], ids=["from the start", "from the middle"])
@pytest.mark.parametrize("window", [None, (12, 4)], ids=["causal", "offline"])
def test_every_method_has_its_points_in_every_frame(fakes: Fakes, first, window) -> None:
    fakes.faces.first = first
    fakes.errors = {"ert": 0.0, "fan": 1.5}
    if window:
        fakes.windows = {"tapir": window}
    found = _compare(fakes, "ert,fan", "tapir,lk,per-frame")
    assert [r.label for r in found.results] == [
        f"{init} + {tracker}" for init in ("ert", "fan") for tracker in ("tapir", "lk", "per-frame")
    ]
    for result in found.results:
        wanted = fakes.truth() + (fakes.errors[result.init], 0)
        start = first if result.tracker == "per-frame" else 0
        xy = result.tracks.xy[:, 0]
        np.testing.assert_allclose(xy[start:], wanted[start:], atol=1e-3, err_msg=result.label)
        assert np.isnan(xy[:start]).all()
        np.testing.assert_allclose(result.tracks.time, np.arange(FRAMES) / 25, atol=1e-6)
        assert result.about["query"]["frame"] == first


def test_work_does_not_grow_with_the_inits(fakes: Fakes, monkeypatch) -> None:
    fakes.faces.first = 10
    reads: list[str] = []
    for name in ("VideoReader", "read_reversed"):
        real = getattr(passes, name)

        def counted(*args, name=name, real=real, **kwargs):
            reads.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(passes, name, counted)
    _compare(fakes, "ert,pipnet,fan,star", "tapir,lk", check_every=0)
    assert sorted(reads) == ["VideoReader", "read_reversed", "read_reversed"]
    assert [t.name for t in fakes.made] == ["tapir", "lk"]
    backwards, forwards, cycle = fakes.made[0].fed
    assert backwards == list(range(10, -1, -1))
    assert forwards == list(range(10, FRAMES))
    assert cycle == list(range(15, 9, -1))
    # The search looks at every frame up to the first with a face; nobody asks again.
    assert fakes.faces.calls == 11


def test_faces_are_found_once_for_all_inits_that_detect_on_every_frame(fakes: Fakes) -> None:
    _compare(fakes, "ert,fan,star", "per-frame", check_every=0)
    assert fakes.faces.calls == 1 + FRAMES


def test_a_detector_that_fails_is_said_and_ranked_last(fakes: Fakes) -> None:
    fakes.errors = {"ert": None, "fan": 0.5}
    found = _compare(fakes, "ert,fan,star", "tapir,lk")
    lost = [r for r in found.results if r.init == "ert"]
    assert len(lost) == 2
    assert all(np.isnan(r.tracks.xy).all() and len(r.tracks) == FRAMES for r in lost)
    assert all(r.measures["missing"] == 100 and r.warnings for r in lost)
    assert {label.split()[0] for label in found.ranking[-2:]} == {"ert"}
    assert any(sentence.startswith("ert failed") for sentence in found.warnings)
    fan = next(r for r in found.results if r.label == "fan + tapir")
    np.testing.assert_allclose(fan.tracks.xy[:, 0], fakes.truth() + (0.5, 0), atol=1e-3)


def test_nothing_to_compare_when_every_detector_fails(fakes: Fakes) -> None:
    fakes.errors = {"ert": None, "fan": None}
    with pytest.raises(FacetrackError, match="No face"):
        _compare(fakes, "ert,fan")


def test_an_init_without_weights_is_left_out_and_said(fakes: Fakes) -> None:
    fakes.errors = {"star": "There are no weights for star."}
    found = _compare(fakes, "ert,star")
    assert [r.init for r in found.results] == ["ert"]
    assert "star is left out: There are no weights for star." in found.warnings
    fakes.errors["ert"] = "There are no weights for ert."
    with pytest.raises(FacetrackError, match="no weights for ert"):
        _compare(fakes, "ert,star")


def test_disagreement_is_the_distance_from_the_median_of_the_others(fakes: Fakes) -> None:
    fakes.errors = {"ert": 0.0, "fan": 0.0, "star": 0.5}
    found = _compare(fakes, "ert,fan,star")
    disagreement = _by_label(found, "disagreement")
    assert disagreement["star + tapir"] == pytest.approx(0.5 * PIXEL, rel=1e-3)
    assert disagreement["ert + tapir"] == pytest.approx(0.25 * PIXEL, rel=1e-3)  # of 0 and 0.5
    assert found.ranking[-1] == "star + tapir"
    for result in found.results:
        assert result.series["disagreement"].shape == (FRAMES,)


def test_drift_is_held_against_the_inits_own_detector(fakes: Fakes) -> None:
    fakes.errors, fakes.slips = {"ert": 0.0, "fan": 2.0}, {"tapir": 0.01}
    found = _compare(fakes, "ert,fan", "tapir,per-frame")
    for result in found.results:
        if result.tracker == "per-frame":
            assert np.isnan(result.measures["drift"])
            continue
        checked = np.flatnonzero(np.isfinite(result.series["drift"]))
        assert checked.tolist() == [0, 5, 10, 15, 20, 25]
        np.testing.assert_allclose(
            result.series["drift"][checked], 0.01 * checked * PIXEL, atol=1e-2
        )


def test_failed_detections_are_counted(fakes: Fakes) -> None:
    fakes.faces.hidden = (5, 10, 11)
    found = _compare(fakes)
    assert found.results[0].measures["detections_failed"] == 2
    checked = np.flatnonzero(np.isfinite(found.results[0].series["drift"]))
    assert checked.tolist() == [0, 15, 20, 25]


def test_cycle_error_is_what_is_lost_there_and_back(fakes: Fakes) -> None:
    fakes.slips = {"tapir": 0.02, "lk": 0.0}
    found = _compare(fakes, "ert", "tapir,lk,per-frame", cycle_frames=5)
    cycle = _by_label(found, "cycle")
    assert cycle["ert + tapir"] == pytest.approx(2 * 5 * 0.02 * PIXEL, rel=1e-3)
    assert cycle["ert + lk"] == pytest.approx(0, abs=1e-3)
    assert np.isnan(cycle["ert + per-frame"])


@pytest.mark.parametrize("options", [{"cycle_frames": 0}, {"query_frame": FRAMES - 1}])
def test_no_cycle_error_without_frames_to_go(fakes: Fakes, options) -> None:
    assert np.isnan(_compare(fakes, **options).results[0].measures["cycle"])


def test_with_ground_truth_the_order_is_that_of_the_errors(fakes: Fakes, tmp_path) -> None:
    # Most methods err alike, so their agreement misleads and only the truth tells.
    fakes.errors = {"ert": 1.0, "pipnet": 1.0, "fan": 0.1, "star": 0.5}
    truth = tmp_path / "truth.npz"
    np.savez(truth, xy=fakes.truth(), visible=np.ones((FRAMES, 68), bool))
    found = _compare(fakes, "ert,pipnet,fan,star", ground_truth=truth)
    assert found.ranked_by == "auc"
    assert [label.split()[0] for label in found.ranking] == ["fan", "star", "ert", "pipnet"]
    errors = _by_label(found, "nrmse")
    assert errors["star + tapir"] == pytest.approx(0.5 * PIXEL, rel=1e-3)
    result = found.results[0]
    np.testing.assert_allclose(result.series["error"], PIXEL, rtol=1e-3)
    assert result.measures["failure_rate"] == 100
    assert result.measures["occlusion_accuracy"] == 100
    assert found.truth is not None
    assert found.truth.shape == (FRAMES, 68, 2)


@pytest.mark.parametrize(
    ("unknown", "said"), [(45, "both outer eye corners"), (slice(None), "no point in any frame")]
)
def test_ground_truth_that_says_nothing_of_errors_loses_no_work(
    fakes: Fakes, tmp_path, unknown, said
) -> None:
    truth = tmp_path / "truth.npz"
    xy = np.concatenate([fakes.truth(), fakes.truth()])  # goes on after the video's end
    xy[:FRAMES, unknown] = np.nan
    np.savez(truth, xy=xy)
    found = _compare(fakes, "ert,star", ground_truth=truth)
    assert np.isnan(found.results[0].measures["auc"])
    assert found.ranked_by == "expected_error"
    assert any(said in warning for warning in found.warnings)


def test_ground_truth_of_another_layout_is_refused_before_any_work(fakes: Fakes, tmp_path) -> None:
    truth = tmp_path / "truth.npz"
    np.savez(truth, xy=np.zeros((FRAMES, 5, 2)))
    with pytest.raises(FacetrackError, match="has 5 points per frame"):
        _compare(fakes, ground_truth=truth)
    assert fakes.faces.calls == 0


def test_progress_comes_to_its_end(fakes: Fakes) -> None:
    fakes.faces.first = 10
    seen: list[tuple[int, int | None]] = []
    chosen = CompareOptions(face_detector="hog", cycle_frames=5)
    run(fakes.clip, chosen, lambda done, total: seen.append((done, total)))
    done, totals = zip(*seen, strict=True)
    assert list(done) == sorted(done)
    # Once each, the query frame both ways, and on the way back of the cycle error.
    assert set(totals) == {done[-1]} == {FRAMES + 1 + 6}


def test_a_single_method_has_nobody_to_disagree_with(fakes: Fakes) -> None:
    found = _compare(fakes)
    assert np.isnan(found.results[0].measures["disagreement"])
    assert (found.ranking, found.ranked_by) == ([], "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inits": ("nonsense",)}, "no init 'nonsense'"),
        ({"inits": ()}, "--inits names none"),
        ({"inits": ("ert", "ert")}, "ert twice"),
        ({"trackers": ("ert",)}, "no tracker 'ert'"),
        ({"check_every": float("nan")}, "--check-every"),
        ({"cycle_frames": -1}, "--cycle-frames"),
        ({"query_frame": -1}, "cannot be negative"),
    ],
)
def test_options_that_make_no_sense(options, message) -> None:
    with pytest.raises(FacetrackError, match=message):
        CompareOptions(**options)
