"""The two stages joined, with detectors and trackers whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import clips
import numpy as np
import pytest

from facetrack.defaults import INIT
from facetrack.detectors.base import DetectorOptions, Landmarks
from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import FaceBoxes
from facetrack.landmarks import schemes
from facetrack.multiface import face_track
from facetrack.multiface.face_track import PresenceFilter
from facetrack.pipeline import query_frame as query_module
from facetrack.pipeline.models import Models
from facetrack.pipeline.options import Options
from facetrack.pipeline.runner import Pipeline
from facetrack.trackers.base import PointTracker, StepResult
from facetrack.tracks import Tracks


class DotFaces:
    """The white square of the test clips is the face, from frame `first` on."""

    name = "dots"

    def __init__(self, first: int = 0) -> None:
        self.first, self.calls = first, 0

    def detect(self, image):
        x, y = clips.square_position(image)
        if _index(image) < self.first:
            return FaceBoxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
        box = np.array([[x, y, x + 9, y + 9]], np.float32)
        return FaceBoxes(box, np.ones(1, np.float32))

    def describe(self):
        return {"name": self.name}


class DotDetector:
    """Two landmarks: the square's top-left pixel, and one beside it."""

    name, scheme = "dots", "points-2"

    def detect(self, image, boxes):
        xy = boxes[:, None, :2] + np.array([[0, 0], [3, 0]], np.float32)
        return Landmarks(xy.astype(np.float32), np.ones(xy.shape[:2], np.float32))

    def describe(self):
        return {"name": self.name}


class DotTracker(PointTracker):
    """Finds the square in every frame; remembers the order in which frames came."""

    name = "dots"

    def __init__(self, window=None) -> None:
        self.window = window
        self.fed: list[list[int]] = []

    def start(self, frame, points):
        self.fed.append([])
        return len(self.fed) - 1

    def step(self, state, frames):
        self.fed[state] += [_index(f) for f in frames]
        corner = np.array([clips.square_position(f) for f in frames], np.float32)
        xy = corner[:, None] + np.array([[0, 0], [3, 0]], np.float32)
        return StepResult(xy, np.ones(xy.shape[:2], bool), np.ones(xy.shape[:2], np.float32))

    def describe(self):
        return {"name": self.name}


def _index(image) -> int:
    """Number of the frame, told by the square's column (see `clips.draw_square`)."""
    return round(clips.square_position(image)[0] / 2)


FRAMES = 20


@pytest.fixture
def clip(tmp_path):
    return clips.write_clip(tmp_path / "dots.mp4", FRAMES)


def _pipeline(clip, options=None, first=0, window=None, **models) -> Pipeline:
    options = options or Options(redetect="never")
    faces = DotFaces(first)
    fakes = {
        "detector": DotDetector(),
        "face_detector": faces,
        "fast_face_detector": faces,
        "tracker": DotTracker(window),
    }
    return Pipeline(clip, options, Models(options, **{**fakes, **models}))


def _run(made: Pipeline) -> Tracks:
    return Tracks.concatenate(chunk.tracks for chunk in made.run())


def _assert_dots(tracks: Tracks) -> None:
    expected = np.array([clips.expected_position(i) for i in range(FRAMES)], np.float32)
    np.testing.assert_allclose(tracks.xy[:, 0, 0], expected, atol=0.5)


def test_every_frame_has_one_row_at_its_own_time(clip):
    tracks = _run(_pipeline(clip))
    np.testing.assert_allclose(tracks.time, clips.packet_times(clip), atol=1e-3)
    _assert_dots(tracks)


@pytest.mark.parametrize("query", [0, 7, FRAMES - 1])
def test_points_are_tracked_both_ways_from_the_query_frame(clip, query):
    made = _pipeline(clip, Options(query_frame=query, redetect="never"))
    _assert_dots(_run(made))
    back = list(range(query, -1, -1))
    onwards = list(range(query, FRAMES))
    assert made.models.tracker.fed == ([onwards, back] if query else [onwards])


def test_skipped_frames_are_searched_once_a_face_is_found(clip, monkeypatch):
    monkeypatch.setattr(query_module, "EVERY_FRAME_UNTIL", 2)
    made = _pipeline(clip, first=8)
    _run(made)
    assert made.query.frame.index == 8


def test_a_face_after_the_last_searched_frame_is_found(clip, monkeypatch):
    monkeypatch.setattr(query_module, "EVERY_FRAME_UNTIL", 2)
    made = _pipeline(clip, first=FRAMES - 2)
    _run(made)
    assert made.query.frame.index == FRAMES - 2


def test_a_doubtful_face_is_taken_after_as_many_frames_at_any_stride(clip, monkeypatch):
    """Frames are counted as they are searched, not as they are numbered in the video."""
    monkeypatch.setattr(query_module, "CERTAIN_WITHIN", 2)
    detect = query_module.detect_query

    def doubted(landmarker, frame, *args):
        query = detect(landmarker, frame, *args)
        return query and replace(query, trust=1.0 if frame.index >= 18 else 0.5)

    monkeypatch.setattr(query_module, "detect_query", doubted)
    made = _pipeline(clip, Options(redetect="never", stride=2), first=8)
    _run(made)
    assert made.query.frame.index == 8


def test_the_slow_detector_searches_few_frames(clip, monkeypatch):
    monkeypatch.setattr(query_module, "THOROUGH_STRIDE", 10)
    blind, calls = DotFaces(FRAMES), []
    made = _pipeline(clip, fast_face_detector=blind)
    made.models.face_detector.detect = lambda image: (
        calls.append(_index(image)) or blind.detect(image)
    )
    with pytest.raises(FacetrackError):
        _run(made)
    assert calls == [0, 10]


def test_no_face_says_what_to_try(clip):
    with pytest.raises(FacetrackError, match="--face-detector cnn"):
        _run(_pipeline(clip, first=FRAMES))


def test_a_query_frame_without_a_face_says_so(clip):
    with pytest.raises(FacetrackError, match="frame 3"):
        _run(_pipeline(clip, Options(query_frame=3, redetect="never"), first=8))


def test_a_query_frame_beyond_the_end_says_how_many_there_are(clip):
    with pytest.raises(FacetrackError, match=f"it has {FRAMES} frames"):
        _run(_pipeline(clip, Options(query_frame=FRAMES, redetect="never")))


@pytest.mark.parametrize("window", [(8, 4), (6, 3), (50, 10)])
def test_overlapping_windows_give_each_frame_once(clip, window):
    made = _pipeline(clip, window=window)
    tracks = _run(made)
    assert len(tracks) == FRAMES
    _assert_dots(tracks)


def test_own_points_are_tracked_from_frame_zero(clip, tmp_path):
    (tmp_path / "points.csv").write_text("x,y\n3,4\n10.5,11\n20,5\n")
    made = _pipeline(clip, Options(init="points", points=tmp_path / "points.csv"))
    next(iter(made.run()))
    assert made.query.frame.index == 0
    np.testing.assert_allclose(made.query.xy, [[3, 4], [10.5, 11], [20, 5]])


def test_points_outside_the_picture_are_refused(clip, tmp_path):
    (tmp_path / "points.csv").write_text("5000,4\n-100,11\n")
    with pytest.raises(FacetrackError, match="lies inside"):
        _run(_pipeline(clip, Options(init="points", points=tmp_path / "points.csv")))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ("30000,30000\n8,6\n", "30000,30000 .* lies far outside"),
        ("1000000,-1000000\n8,6\n", "1000000,-1000000 .* lies far outside"),
        ("x,y\n0.46,0.59\n0.38,0.47\n", "between 0 and 1"),
    ],
)
def test_points_that_make_no_sense_are_refused(clip, tmp_path, points, message):
    (tmp_path / "points.csv").write_text(points)
    with pytest.raises(FacetrackError, match=message):
        _run(_pipeline(clip, Options(init="points", points=tmp_path / "points.csv")))


def test_points_a_little_outside_are_tracked_with_a_warning(clip, tmp_path):
    (tmp_path / "points.csv").write_text("3,4\n-5,-5\n")
    pipeline = _pipeline(clip, Options(init="points", points=tmp_path / "points.csv"))
    assert _run(pipeline).xy.shape[2] == 2
    assert [w for w in pipeline.warnings if "1 of 2 points" in w]


@pytest.mark.parametrize(
    "options",
    [
        {"init": "points"},
        {"points": "x.pts"},
        {"query_frame": -1},
        {"scheme": "77"},
        {"init": "points", "points": "x.pts", "scheme": "68"},
        {"init": "points", "points": "x.pts", "detector_options": DetectorOptions(flip=True)},
        {"init": "points", "points": "x.pts", "detector_options": DetectorOptions("fan.pth")},
    ],
)
def test_options_that_contradict_each_other_are_refused(options):
    with pytest.raises(FacetrackError):
        Options(**options)


def test_errors_about_unknown_models_list_the_choices(clip):
    for options, choice in (
        (Options(init="none"), "ert"),
        (Options(face_detector="none"), "hog"),
        (Options(tracker="none"), "lk"),
    ):
        made = Pipeline(clip, options)
        with pytest.raises(FacetrackError, match=choice):
            next(iter(made.run()))


class Wflw(DotDetector):
    """98 landmarks: the square's top-left pixel, and how many to the right each number says."""

    name, scheme = "wflw", "98"

    def __init__(self, options) -> None:
        self.options = options

    def detect(self, image, boxes):
        steps = np.stack([np.arange(98) / 98, np.zeros(98)], -1)
        xy = (boxes[:, None, :2] + steps).astype(np.float32)
        return Landmarks(xy, np.ones(xy.shape[:2], np.float32))

    def detect_many(self, images, boxes):
        return [self.detect(*pair) for pair in zip(images, boxes, strict=True)]


def _wflw_pipeline(clip, monkeypatch, **options) -> Pipeline:
    monkeypatch.setattr("facetrack.detectors.create", lambda name, options: Wflw(options))
    options = Options(init="wflw", redetect="never", **options)
    faces = DotFaces()
    models = Models(options, face_detector=faces, fast_face_detector=faces)
    return Pipeline(clip, options, models)


@pytest.mark.parametrize("tracker", ["lk", "per-frame"])
def test_mapped_points_are_tracked(clip, monkeypatch, tracker):
    made = _wflw_pipeline(clip, monkeypatch, scheme="68", tracker=tracker, query_frame=0)
    chunk = next(iter(made.run()))
    corner = np.array(clips.expected_position(0), np.float32)
    expected = corner + np.stack([np.array(schemes.MAP_98_TO_68) / 98, np.zeros(68)], -1)
    np.testing.assert_allclose(made.query.xy, expected, atol=1e-5)
    assert chunk.tracks.scheme == "68"
    assert chunk.tracks.xy.shape[2] == 68


def test_the_detectors_own_layout_is_kept(clip, monkeypatch):
    for scheme in (None, "98"):
        made = _wflw_pipeline(clip, monkeypatch, scheme=scheme, tracker="lk")
        assert next(iter(made.run())).tracks.scheme == "98"


def test_an_impossible_layout_is_reported_before_the_search(clip, monkeypatch):
    made = _wflw_pipeline(clip, monkeypatch, scheme="29", tracker="lk")
    with pytest.raises(FacetrackError, match="cannot be converted to layout 29"):
        made.prepare()


def test_the_detector_gets_its_options(clip, monkeypatch):
    chosen = DetectorOptions("mine.pth", "cpu", True)
    made = _wflw_pipeline(clip, monkeypatch, detector_options=chosen, tracker="lk")
    created = []
    monkeypatch.setattr(
        "facetrack.detectors.create",
        lambda name, options: created.append((name, options)) or Wflw(options),
    )
    made.prepare()
    assert created == [("wflw", chosen)]
    assert made.warnings == ["wflw cannot average with the mirrored picture: --flip has no effect."]


class TestPresence:
    """Points that are hidden briefly stay; those of a lost face become unknown."""

    TIMES = np.arange(40) / 10

    @staticmethod
    def _gone(share, times=TIMES):
        visible = np.arange(20) < (np.asarray(share) * 20)[:, None]
        return PresenceFilter().gone(times, visible)

    def test_points_hidden_for_less_than_a_second_stay(self):
        share = np.ones(40)
        share[10:19] = 0
        assert not self._gone(share).any()

    def test_points_of_a_face_that_has_left_become_unknown(self):
        share = np.ones(40)
        share[10:] = 0
        np.testing.assert_array_equal(np.flatnonzero(self._gone(share)), np.arange(19, 40))

    def test_they_are_known_again_when_enough_is_seen(self):
        share = np.zeros(40)
        share[0] = 1
        share[25:30] = 0.15
        share[30:] = 0.3
        gone = self._gone(share)
        assert gone[25:30].all()
        assert not gone[30:].any()

    def test_the_filter_remembers_earlier_chunks(self):
        visible = np.zeros((40, 20), bool)
        visible[0] = True
        whole = PresenceFilter().gone(self.TIMES, visible)
        presence = PresenceFilter()
        parts = [presence.gone(self.TIMES[i : i + 7], visible[i : i + 7]) for i in range(0, 40, 7)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_points_of_a_gone_face_are_empty(clip, monkeypatch):
    monkeypatch.setattr(face_track, "LOST_AFTER_S", 0.2)

    class Fading(DotTracker):
        def step(self, state, frames):
            result = super().step(state, frames)
            seen = np.array([_index(f) < 5 for f in frames])
            return replace_visible(result, seen[:, None] & result.visible)

    def replace_visible(result, visible):
        return result._replace(visible=visible)

    tracks = _run(_pipeline(clip, tracker=Fading()))
    assert np.isfinite(tracks.xy[:8]).all()
    assert np.isnan(tracks.xy[-5:]).all()
    assert not tracks.visible[-5:].any()
    assert (tracks.confidence[-5:] == 0).all()


def test_points_of_a_face_that_is_not_there_yet_are_empty(clip, monkeypatch):
    """The backward pass loses the face that the query frame shows."""
    monkeypatch.setattr(face_track, "LOST_AFTER_S", 0.2)

    class Coming(DotTracker):
        def step(self, state, frames):
            result = super().step(state, frames)
            seen = np.array([_index(f) >= 15 for f in frames])
            return result._replace(visible=seen[:, None] & result.visible)

    options = Options(query_frame=FRAMES - 1, redetect="never")
    tracks = _run(_pipeline(clip, options, tracker=Coming()))
    assert np.isfinite(tracks.xy[-8:]).all()
    assert np.isnan(tracks.xy[:5]).all()


class TestBackwardPass:
    """The backward pass detects faces like the forward pass."""

    class Cuts:
        """Reports a cut before the frames `starts`, in either direction."""

        def __init__(self, starts):
            self.starts, self.last = starts, None

        def is_cut(self, image):
            last, self.last = self.last, _index(image)
            between = () if last is None else range(*sorted([last, self.last]))
            return any(i + 1 in self.starts for i in between)

    @pytest.fixture
    def run(self, clip, monkeypatch):
        def run(query, *cuts, first=0):
            monkeypatch.setattr(
                "facetrack.pipeline.runner.create_cut_detector",
                lambda options: TestBackwardPass.Cuts(cuts),
            )
            made = _pipeline(clip, Options(query_frame=query), first)
            looked = []
            detect = DotFaces.detect

            def noted(faces, image):
                looked.append(_index(image))
                return detect(faces, image)

            monkeypatch.setattr(DotFaces, "detect", noted)
            chunks = [chunk.tracks for chunk in made.run()]
            ids = [int(t.face_id[0]) for t in chunks for _ in range(len(t.xy))]
            return made, np.concatenate([t.xy for t in chunks]), ids, looked

        return run

    def test_a_face_of_an_earlier_shot_is_found(self, run):
        _, xy, ids, _ = run(15, 10)
        expected = np.array([clips.expected_position(i) for i in range(FRAMES)], np.float32)
        np.testing.assert_allclose(xy[:, 0, 0], expected, atol=0.5)
        assert ids == [1] * 10 + [0] * 10

    def test_its_events_are_on_the_videos_clock(self, run, clip):
        made, *_ = run(15, 10)
        found = [(e.frame, e.time) for e in made.events if e.reason == "found, on the way back"]
        assert found == [(9, pytest.approx(clips.packet_times(clip)[9], abs=1e-3))]

    def test_ids_of_the_backward_pass_are_not_reused(self, run):
        *_, ids, _ = run(15, 10, 17)
        assert ids == [1] * 10 + [0] * 7 + [2] * 3

    def test_frames_searched_for_the_query_are_not_searched_again(self, run):
        *_, looked = run(None, 8, first=8)
        assert [n for n in looked if n < 7] == list(range(7))


def test_options_keep_their_defaults():
    assert replace(Options(), tracker="lk").init == INIT


class TestBetterQuery:
    """The search for a better query frame than the first with a face."""

    @pytest.fixture
    def search(self, clip):
        def run(
            doubts: dict[int, float], cuts: int = 99, turned: dict[int, float] | None = None
        ) -> int:
            class FakeVerifier:
                def shape_error(self, xy: np.ndarray, visible: object = None) -> float:
                    return doubts.get(round(float(xy[0, 0]) / 2), 2.0)

                def yaw_score(self, xy: np.ndarray) -> float:
                    return (turned or {}).get(round(float(xy[0, 0]) / 2), 0.0)

            class Cuts:
                def is_cut(self, image: np.ndarray) -> bool:
                    return _index(image) == cuts

            made = _pipeline(clip, create_verifier=lambda scheme: FakeVerifier())
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(query_module, "CutDetector", Cuts)
                return made.query_search.find().frame.index

        return run

    def test_a_good_first_face_is_taken(self, search):
        assert search({0: 0.5, 5: 0.1}) == 0

    def test_the_next_good_one_is_taken(self, search):
        assert search({0: 1.4, 5: 1.2, 10: 0.7, 15: 0.1}) == 10

    def test_a_face_turned_away_is_replaced(self, search):
        good = dict.fromkeys([0, 5, 10, 15], 0.5)
        assert search(good, turned={0: 0.5, 5: 0.4, 10: 0.3}) == 10
        assert search(good, turned={0: 0.3, 5: 0.0}) == 0

    def test_the_best_is_used_if_none_is_good(self, search):
        assert search({0: 1.4, 5: 1.5, 10: 1.1, 15: 1.3}) == 10

    def test_the_next_shot_is_not_searched(self, search):
        assert search({0: 1.4, 5: 1.3, 10: 0.1}, cuts=8) == 5
