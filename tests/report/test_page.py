"""The page as a file: whole, self-contained, safe, and with the comparison's own numbers."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser

import clips
import numpy as np
import pytest
import rendered_heads as heads
import unpacking
from sample_comparison import FRAMES, LABELS, comparison_of, record, save, tracks
from sample_comparison import face as sample_face

from facetrack import report
from facetrack.comparison import storage
from facetrack.errors import FacetrackError
from facetrack.measures.face_model import load
from facetrack.measures.measured import measure_video
from facetrack.report import data, page, pictures

EVIL = "</script><script>alert(1)</script>\"'&<b>"


class Reader(HTMLParser):
    """Collects what a browser would see: elements with attributes, scripts, text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str | None, str] = {}
        self.cells: dict[str, dict[str, tuple[str, str | None]]] = {}
        self.text = ""
        self._where: list[tuple[str, dict[str, str | None]]] = []
        self._heads: list[str | None] = []
        self._key: str | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.elements.append((tag, found))
        self._where.append((tag, found))
        if tag == "th" and "data-label" in found:
            self._heads.append(found["data-label"])
        if tag == "tr":
            self._key, self._column = found.get("data-key"), -1
        if tag == "td" and self._key:
            self._column += 1
            row = self.cells.setdefault(self._key, {})
            row[self._heads[self._column]] = ("", found.get("data-value"))

    def handle_data(self, text):
        tag, found = self._where[-1] if self._where else ("", {})
        if tag == "script":
            self.scripts[found.get("id")] = self.scripts.get(found.get("id"), "") + text
        elif tag != "style":
            self.text += text
            if tag == "td" and self._key:
                label = self._heads[self._column]
                before, value = self.cells[self._key][label]
                self.cells[self._key][label] = (before + text, value)

    def handle_endtag(self, tag):
        while self._where and self._where.pop()[0] != tag:
            pass


@pytest.fixture(scope="module")
def written(clip, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    assert report.write_report(comparison_of(clip), path) == []
    return Reader(path.read_text(encoding="utf-8"))


def _write(comparison, folder):
    path = folder / "report.html"
    warnings = report.write_report(comparison, path)
    return Reader(path.read_text(encoding="utf-8")), warnings


def _words_and_numbers(text):
    number = re.compile(r"-?\d+(?:\.\d+)?")
    return number.sub("0", text), [float(found) for found in number.findall(text)]


def _points(packed, frames=FRAMES):
    return unpacking.numbers(packed).reshape(frames, -1, 2)


def test_nothing_is_fetched(written):
    for tag, attributes in written.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            address = attributes.get(name) or ""
            assert address.startswith(("#", "data:")) or not address, (tag, address)
    (policy,) = (a["content"] for t, a in written.elements if t == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy


def test_numbers_are_those_of_summary_json(comparison, tmp_path):
    storage.write(comparison, tmp_path)
    found, _ = _write(comparison, tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    digits = {measure["key"]: measure["digits"] for measure in summary["measures"]}
    known = 0
    for result in summary["results"]:
        for key, value in result["measures"].items():
            text, exact = found.cells[key][result["label"]]
            if value is None:
                assert (text, exact) == ("\N{EN DASH}", None)
            else:
                known += 1
                assert float(exact) == pytest.approx(value, abs=1e-6)
                assert text.split()[0] == f"{value:.{digits[key]}f}"
    assert known == 11


def test_a_page_rebuilt_from_files_says_the_same(comparison, tmp_path):
    storage.write(comparison, tmp_path)
    first, _ = _write(comparison, tmp_path)
    again, _ = _write(report.of_runs([tmp_path]), tmp_path)
    assert again.cells == first.cells
    # The tables hold thousandths of a pixel, so that a number may be rounded to its neighbour.
    (words, numbers), (others, same) = map(_words_and_numbers, (first.text, again.text))
    assert words == others
    assert numbers == pytest.approx(same, abs=0.11)


def test_the_best_is_marked_by_more_than_colour(written):
    assert written.cells["jitter"][LABELS[0]][0] == "0.500"
    stars = [a for t, a in written.elements if t == "span" and a.get("class") == "star"]
    hidden = [a for t, a in written.elements if a.get("class") == "best"]
    assert len(stars) == len(hidden) == 3
    assert written.text.count("(best)") == 3


def test_points_and_curves_are_the_tracks_in_the_order_of_the_ranking(written, comparison):
    content = json.loads(written.scripts["data"])
    assert [m["label"] for m in content["methods"]] == comparison.ranking
    own = comparison.results[1]
    method = content["methods"][0]
    np.testing.assert_allclose(_points(method["xy"]), own.tracks.xy[:, 0], atol=0.07)
    state = unpacking.inflate(method["state"]).reshape(FRAMES, 68)
    assert np.array_equal(state == 2, own.tracks.visible[:, 0])
    assert (state[20] == 0).all()
    assert (state[12, 60:] == 1).all()
    drift = unpacking.numbers(method["series"]["drift"])[:, 0]
    np.testing.assert_allclose(drift, own.series["drift"], atol=1e-3)
    assert unpacking.times(content["start"], content["time"]) == pytest.approx(own.tracks.time)
    assert method["query"] == 3


def test_every_frame_has_its_picture(written):
    content = json.loads(written.scripts["pictures"])
    assert (content["stride"], content["count"]) == (1, FRAMES)


def test_how_it_was_made_is_said(written, comparison):
    for text in (
        comparison.command,
        comparison.input["sha256"],
        "0" * 64,
        "fan.dat",
        comparison.environment["versions"]["python"],
        "Best by expected error",
    ):
        assert text in written.text


def test_text_of_files_is_never_markup(comparison, tmp_path):
    first = dataclasses.replace(
        comparison.results[0],
        label=EVIL,
        about={"detector": {"name": EVIL, "sha256": EVIL, "licence": EVIL}},
        warnings=[EVIL],
    )
    evil = dataclasses.replace(
        comparison,
        video=tmp_path / f"{EVIL.replace('/', '')}.mp4",
        results=[first, *comparison.results[1:]],
        ranking=[EVIL, *LABELS[1:]],
        command=EVIL,
        input={**comparison.input, "path": EVIL, "codec": EVIL},
        environment={"versions": {EVIL: EVIL}},
    )
    plain, _ = _write(comparison, tmp_path)
    found, _ = _write(evil, tmp_path)
    scripts = [t for t, _ in found.elements if t == "script"]
    assert len(scripts) == len([t for t, _ in plain.elements if t == "script"])
    assert not [t for t, _ in found.elements if t == "b"]
    assert EVIL in found.text
    assert json.loads(found.scripts["data"])["methods"][0]["label"] == EVIL


def test_own_scripts_and_the_library_cannot_end_their_element(written):
    assert written.scripts[None].rstrip().endswith("});")
    assert "<!--" not in written.scripts[None]


def test_a_name_that_is_not_utf8_is_no_obstacle(comparison, tmp_path):
    odd = dataclasses.replace(comparison, command="facetrack track caf\udce9.mp4")
    assert "caf" in _write(odd, tmp_path)[0].text


def test_without_its_video_the_page_has_no_pictures_and_says_so(comparison, tmp_path):
    gone = dataclasses.replace(comparison, video=tmp_path / "gone.mp4")
    found, warnings = _write(gone, tmp_path)
    assert len(warnings) == 1
    assert "no pictures" in warnings[0]
    assert warnings[0] in found.text
    assert json.loads(found.scripts["pictures"]) is None


def test_another_video_of_the_same_name_is_not_shown(comparison, tmp_path):
    other = clips.write_clip(tmp_path / "clip.mp4", FRAMES, filters="negate")
    _, warnings = _write(dataclasses.replace(comparison, video=other), tmp_path)
    assert "not the video that was tracked" in warnings[0]


def test_warnings_are_shown_with_the_method_they_concern(comparison, tmp_path):
    results = [dataclasses.replace(r, warnings=["all share this"]) for r in comparison.results]
    results[1] = dataclasses.replace(results[1], warnings=["all share this", "alone"])
    warned = dataclasses.replace(comparison, results=results, warnings=["of the video"])
    text = _write(warned, tmp_path)[0].text
    assert text.count("all share this") == 1
    assert f"{LABELS[1]}: alone" in text
    assert "of the video" in text


def test_what_is_left_out_of_a_long_video_is_said(comparison, tmp_path, monkeypatch):
    points = 3 * FRAMES * 68 * data._BYTES_PER_POINT
    stride_of = data.stride_of
    monkeypatch.setattr(data, "stride_of", lambda found: stride_of(found, points // 2))
    take = pictures.take

    def take_little(*arguments):
        monkeypatch.setattr(pictures, "SIDES", (48,))
        return take(*arguments[:-2], 100_000, 6)

    monkeypatch.setattr(pictures, "take", take_little)
    found, _ = _write(comparison, tmp_path)
    content = json.loads(found.scripts["data"])
    assert content["stride"] == 2
    xy = _points(content["methods"][0]["xy"], FRAMES // 2)
    np.testing.assert_allclose(xy, comparison.results[1].tracks.xy[::2, 0], atol=0.07)
    assert json.loads(found.scripts["pictures"])["stride"] == 6
    assert "every 2nd frame" in found.text
    assert "every 6th frame has a picture" in found.text
    assert "48 x 32 pixels" in found.text


@pytest.mark.parametrize(
    ("number", "message"), [(2, "2nd"), (3, "3rd"), (11, "11th"), (21, "21st")]
)
def test_ordinals(number, message):
    assert page._nth(number) == message


def test_layouts_of_different_counts_share_the_points_that_they_have_in_common(
    comparison, tmp_path
):
    own = comparison.results[0].tracks
    wide = dataclasses.replace(
        own,
        xy=np.repeat(own.xy[:, :, :49], 2, 2),
        visible=np.repeat(own.visible[:, :, :49], 2, 2),
        confidence=np.repeat(own.confidence[:, :, :49], 2, 2),
        scheme="98",
    )
    results = [comparison.results[0], dataclasses.replace(comparison.results[1], tracks=wide)]
    mixed = dataclasses.replace(comparison, results=results, ranking=[LABELS[0], LABELS[1]])
    methods = json.loads(_write(mixed, tmp_path)[0].scripts["data"])["methods"]
    assert methods[0]["map"] == list(range(68))
    assert methods[1]["map"][:3] == [0, 2, 4]


def test_own_points_have_no_eyes_and_a_spectrum_in_pixels(comparison, tmp_path):
    own = comparison.results[0].tracks
    free = dataclasses.replace(
        own,
        **{n: getattr(own, n)[:, :, :5] for n in ("xy", "visible", "confidence")},
        scheme="points-5",
    )
    single = dataclasses.replace(
        comparison,
        results=[dataclasses.replace(comparison.results[0], tracks=free)],
        ranking=[],
        ranked_by="",
    )
    found, _ = _write(single, tmp_path)
    method = json.loads(found.scripts["data"])["methods"][0]
    assert set(method["series"]) == {"disagreement", "drift", "head"}
    assert method["spectrum"] is not None
    assert "In px a √Hz" in found.text


def test_a_method_that_found_nothing_is_no_obstacle(comparison, tmp_path):
    own = comparison.results[0].tracks
    nothing = dataclasses.replace(
        own,
        xy=np.full_like(own.xy, np.nan),
        visible=np.zeros_like(own.visible),
        confidence=np.zeros_like(own.confidence),
    )
    results = [dataclasses.replace(r, tracks=nothing) for r in comparison.results[:1]]
    found, _ = _write(dataclasses.replace(comparison, results=results, ranking=[]), tmp_path)
    assert json.loads(found.scripts["data"])["methods"][0]["views"] == {}


def test_ground_truth_is_shown(comparison, tmp_path):
    truth = tracks().xy[:, 0].astype(float)
    found, _ = _write(dataclasses.replace(comparison, truth=truth), tmp_path)
    shown = json.loads(found.scripts["data"])["truth"]
    np.testing.assert_allclose(_points(shown["xy"]), truth, atol=0.07)
    assert shown["map"] == list(range(68))


def test_results_of_different_videos_are_refused(comparison, tmp_path):
    short = dataclasses.replace(comparison.results[1], tracks=tracks(frames=FRAMES - 1))
    mixed = dataclasses.replace(comparison, results=[comparison.results[0], short])
    with pytest.raises(FacetrackError, match="one video"):
        report.write_report(mixed, tmp_path / "report.html")
    with pytest.raises(FacetrackError, match="nothing to report"):
        report.write_report(dataclasses.replace(comparison, results=[]), tmp_path / "r.html")


def test_an_earlier_page_stays_when_the_new_one_fails(comparison, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("earlier")
    monkeypatch.setattr(page, "SCRIPTS", ("missing.js",))
    with pytest.raises(Exception, match=r"missing\.js"):
        report.write_report(comparison, path)
    assert path.read_text() == "earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_one_run_has_no_ranking_and_no_best(clip, tmp_path):
    path = tmp_path / "clip.report.html"
    assert report.report_of_track(clip, tracks(), record(clip), path) == []
    found = Reader(path.read_text(encoding="utf-8"))
    assert "(best)" not in found.text
    assert "ert + lk: 30 frames, 68 points" in re.sub(r"\s+", " ", found.text)
    assert found.cells["missing"]["ert + lk"][0] == "3.3"
    assert "the sound was lost" in found.text


def people_run(clip, faces=2):
    """A run that follows several people: the tracks, and its record."""
    one = tracks()
    shifted = [dataclasses.replace(one, xy=one.xy + 12 * i) for i in range(faces)]
    both = dataclasses.replace(
        one,
        **{
            name: np.concatenate([getattr(each, name) for each in shifted], axis=1)
            for name in ("xy", "visible", "confidence")
        },
        face_id=np.arange(faces),
    )
    return both, record(clip, faces=None)


def test_several_people_of_one_run_are_a_report_of_people(clip, tmp_path):
    path = tmp_path / "clip.report.html"
    assert report.report_of_track(clip, *people_run(clip, 4), path) == []
    found = Reader(path.read_text(encoding="utf-8"))
    text = re.sub(r"\s+", " ", found.text)
    assert "4 people on 30 frames, 68 points each, tracked by ert + lk." in text
    assert "methods" not in text.lower()
    assert "(best)" not in text
    assert list(found.cells["visible"]) == [f"person {face}" for face in range(4)]
    content = json.loads(found.scripts["data"])
    assert content["subject"] == "People"
    assert "--faces all" in text
    # What one run did is told once.
    assert text.count("detector.name") == 1


def test_two_runs_of_one_face_each_are_methods(clip, tmp_path):
    for name, tracker in (("a", "lk"), ("b", "tapir")):
        save(tmp_path / name, "clip", clip, tracks(), ("npz",), tracker=tracker)
    path = tmp_path / "both.html"
    report.write_report(report.of_runs([tmp_path / "a", tmp_path / "b"]), path)
    text = re.sub(r"\s+", " ", Reader(path.read_text(encoding="utf-8")).text)
    assert "2 methods on 30 frames." in text


def test_a_face_is_lost_where_hardly_a_point_is_visible(clip, tmp_path):
    own = tracks()
    own.visible[5:8] = False
    path = tmp_path / "page.html"
    report.report_of_track(clip, own, record(clip), path)
    content = json.loads(Reader(path.read_text(encoding="utf-8")).scripts["data"])
    lost = unpacking.inflate(content["methods"][0]["lost"])
    assert np.flatnonzero(lost).tolist() == [5, 6, 7, 20]


def test_measures_of_faces_are_those_of_the_tables(clip, tmp_path):
    xy = heads.project(load().mean, heads.turns(FRAMES, 20)) * 96 / 640
    head = dataclasses.replace(heads.tracks_of(xy), size=clips.SIZE)
    path = tmp_path / "page.html"
    report.report_of_track(clip, head, record(clip, focal=150.0), path)
    found = Reader(path.read_text(encoding="utf-8"))
    face = json.loads(found.scripts["data"])["methods"][0]["face"]
    expected = measure_video(head, 150.0)
    for name, packed in face["values"].items():
        if packed is None:
            continue
        values = expected.faces[0].values[name]
        values = np.degrees(values) if name.startswith("pose_R") else values
        np.testing.assert_allclose(
            unpacking.numbers(packed)[:, 0], values, atol=packed["step"] + 1e-9
        )
    summary = expected.summaries()[0]["measures"]["pose_Tz"]
    assert f"{summary['median']:.0f} ({summary['p5']:.0f} to {summary['p95']:.0f})" in found.text


def test_layouts_without_measures_have_no_summary(comparison, tmp_path):
    own = comparison.results[0].tracks
    few = dataclasses.replace(
        own,
        **{n: getattr(own, n)[:, :, :5] for n in ("xy", "visible", "confidence")},
        scheme="points-5",
    )
    single = dataclasses.replace(
        comparison, results=[dataclasses.replace(comparison.results[0], tracks=few)], ranking=[]
    )
    found, warnings = _write(single, tmp_path)
    assert warnings == []
    assert not [a for _, a in found.elements if a.get("id") in ("summary", "face-measures")]


@pytest.mark.parametrize("minutes", [0.02, pytest.param(1, marks=pytest.mark.slow)])
def test_the_page_takes_less_than_two_megabytes_a_minute(tmp_path, minutes):
    """Noise in the pictures and trembling points are the worst that a video can hold."""
    frames = round(25 * 60 * minutes)
    video = tmp_path / "noise.mp4"
    clips.run_ffmpeg(
        *("-f", "lavfi", "-i", f"testsrc2=d={60 * minutes}:r=25:s=640x360,noise=alls=40:allf=t"),
        *("-frames:v", str(frames), "-c:v", "libx264", "-preset", "ultrafast", str(video)),
    )
    random = np.random.default_rng(0)
    xy = sample_face((300, 180), 150)[None, None] + random.normal(0, 1, (frames, 1, 68, 2))
    found = dataclasses.replace(
        tracks(frames=1),
        xy=xy.astype(np.float32),
        visible=np.ones((frames, 1, 68), bool),
        confidence=np.ones((frames, 1, 68), np.float32),
        time=np.arange(frames) / 25,
        size=(640, 360),
    )
    written = record(video)
    written["input"] |= {"width": 640, "height": 360, "frames": frames}
    path = tmp_path / "noise.report.html"
    assert report.report_of_track(video, found, written, path) == []
    assert path.stat().st_size < page.BYTES_PER_MINUTE * max(1, minutes)


def test_decisions_are_listed_in_order(comparison, tmp_path):
    results = list(comparison.results)
    for i, frame in enumerate((9, 3)):
        event = {
            "frame": frame,
            "time": frame / 25,
            "face_id": 0,
            "reason": "drift" if i else "lost, on the way back",
            "before": {"seen": 0.25, "box": [0, 0, 1, 1]},
            "after": None,
        }
        results[i] = dataclasses.replace(results[i], events=[event])
    report.write_report(dataclasses.replace(comparison, results=results), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    table = text.partition('id="events-table"')[2].partition("</table>")[0]
    assert table.index('data-frame="3"') < table.index('data-frame="9"')
    assert "the points had left the face" in table
    assert "(on the way back)" in table
    assert "25 %" in table


def test_without_decisions_there_is_no_list_of_them(comparison, tmp_path):
    report.write_report(comparison, tmp_path / "page.html")
    assert (
        "events-table"
        not in (tmp_path / "page.html").read_text(encoding="utf-8").partition("<script")[0]
    )


def test_rows_of_a_stride_show_their_own_frames(comparison, tmp_path):
    results = [
        dataclasses.replace(
            r, tracks=cut_every(r.tracks, 3), series={k: v[::3] for k, v in r.series.items()}
        )
        for r in comparison.results
    ]
    truth = None if comparison.truth is None else comparison.truth[::3]
    strided = dataclasses.replace(comparison, results=results, truth=truth)
    report.write_report(strided, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    found = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    shown = json.loads(text.partition('id="pictures">')[2].partition("</script>")[0])
    assert found["stride"] == 3
    assert shown["stride"] == 3
    assert shown["count"] == len(results[0].tracks)


def cut_every(tracks, stride):
    return dataclasses.replace(
        tracks,
        xy=tracks.xy[::stride],
        visible=tracks.visible[::stride],
        confidence=tracks.confidence[::stride],
        time=tracks.time[::stride],
        stride=stride,
    )
