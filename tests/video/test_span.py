"""Test spans of a video: their frames, indices and times."""

from __future__ import annotations

import json
import math
from pathlib import Path

import clips
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sliding import write_sliding
from typer.testing import CliRunner

import facetrack
from facetrack.cli import app
from facetrack.errors import FacetrackError
from facetrack.formats.csv import read_csv
from facetrack.video.frame import Frame
from facetrack.video.span import Span, SpanReader, parse_time

FRAMES = 20
VARYING = "settb=1/1000,setpts=N*N*7+N*3"  # milliseconds: 0, 10, 34, 72, 124, 190, 270, ...


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.write_clip(tmp_path_factory.mktemp("span") / "dots.mkv", FRAMES)


@pytest.fixture(scope="module")
def varying(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("span")
    options = ("-enc_time_base", "1:1000")
    return clips.write_clip(folder / "varying.mp4", 12, *options, filters=VARYING)


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("points") / "points.csv"
    file.write_text("x,y\n30,20\n40,30\n")
    return file


def indices(frames: list[Frame]) -> list[int]:
    return [frame.index for frame in frames]


def assert_frames_match(frames: list[Frame], video: Path) -> None:
    """Assert that each frame has the image and the time of its index in the whole video."""
    times = clips.packet_times(video)
    for frame in frames:
        assert clips.square_position(frame.image) == clips.expected_position(frame.index)
        assert frame.time == pytest.approx(times[frame.index], abs=1e-3)


# -------------------------------------------------------------------- notation of times


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("90", 90.0),
        ("90.5", 90.5),
        (".5", 0.5),
        ("7.", 7.0),
        ("1:30", 90.0),
        ("0:00.4", 0.4),
        ("01:02:03.5", 3723.5),
        ("100:00:00", 360000.0),
        (" 5 ", 5.0),
    ],
)
def test_a_time_is_parsed(text: str, seconds: float) -> None:
    assert parse_time(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "abc", "-1", "+1", "1e3", "nan", "inf", "1:2:3:4", "1:60", "1:00:60.0"),
        *("60:00", "1:75:00", "1 30", "1:-5", "1,5", "٣", "0x10", "1::2", "12:", "5s", "1:30\n2"),
    ],
)
def test_an_invalid_time_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(FacetrackError, match="is not a time: give seconds") as caught:
        parse_time(text)
    assert "\n" not in str(caught.value)


@given(
    hours=st.integers(0, 99),
    minutes=st.integers(0, 59),
    tenths=st.integers(0, 599),
    padded=st.booleans(),
)
def test_clock_notation_is_parsed(hours: int, minutes: int, tenths: int, padded: bool) -> None:
    whole, tenth = divmod(tenths, 10)
    width = 2 if padded else 1
    text = f"{hours:0{width}}:{minutes:0{width}}:{whole:0{width}}.{tenth}"
    assert parse_time(text) == pytest.approx(hours * 3600 + minutes * 60 + tenths / 10)


@given(st.floats(0, 1e6, allow_nan=False))
def test_seconds_are_parsed(seconds: float) -> None:
    assert parse_time(f"{seconds:.6f}") == pytest.approx(seconds, abs=1e-6)


# ----------------------------------------------------------------------------- limits of a span


@pytest.mark.parametrize("stride", [0, -1, 10**30])
def test_a_stride_out_of_range_is_refused(stride: int) -> None:
    with pytest.raises(FacetrackError, match="--stride"):
        Span(stride=stride)


@pytest.mark.parametrize(("start", "end"), [(2.0, 1.0), (1.0, 1.0), (None, 0.0)])
def test_a_span_that_ends_before_it_starts_is_refused(start: float | None, end: float) -> None:
    with pytest.raises(FacetrackError, match="--end must be later than --start"):
        Span(start, end)


# ------------------------------------------------------------------------------ frames of a span


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Span(), range(FRAMES)),
        (Span(start=0.2), range(5, FRAMES)),
        (Span(start=0.19), range(5, FRAMES)),
        (Span(start=0.21), range(6, FRAMES)),
        (Span(end=0.2), range(5)),
        (Span(end=0.21), range(6)),
        (Span(end=99.0), range(FRAMES)),
        (Span(start=0.2, end=0.24), range(5, 6)),
        (Span(stride=3), range(0, FRAMES, 3)),
        (Span(stride=100), range(1)),
        (Span(0.2, 0.6, 4), range(5, 15, 4)),
    ],
    ids=str,
)
def test_a_span_has_the_frames_from_start_to_before_end(
    clip: Path, span: Span, expected: range
) -> None:
    frames = list(SpanReader(clip, span).forwards())
    assert indices(frames) == list(expected)
    assert_frames_match(frames, clip)


@pytest.mark.parametrize("span", [Span(), Span(0.2, 0.6, 4), Span(stride=3)], ids=str)
def test_reading_resumes_after_any_frame(clip: Path, span: Span) -> None:
    reader = SpanReader(clip, span)
    whole = indices(list(reader.forwards()))
    for done, after in enumerate(whole, start=1):
        assert indices(list(reader.forwards(after))) == whole[done:]


def test_reading_resumes_before_the_first_frame(clip: Path) -> None:
    # A run that has produced no result yet resumes like this.
    reader = SpanReader(clip, Span(0.08, 0.3, 3))
    assert indices(list(reader.forwards(2 - 3))) == [2, 5]


@pytest.mark.parametrize(("span", "last"), [(Span(), 6), (Span(0.2, 0.6, 4), 13)], ids=str)
def test_backwards_gives_the_same_frames_in_reverse(clip: Path, span: Span, last: int) -> None:
    reader = SpanReader(clip, span)
    forwards = [index for index in indices(list(reader.forwards())) if index <= last]
    backwards = list(reader.backwards(last))
    assert indices(backwards) == forwards[::-1]
    assert_frames_match(backwards, clip)


def test_a_single_frame_matches_the_whole_video(clip: Path) -> None:
    frame = SpanReader(clip, Span(0.2, stride=4)).frame(9)
    assert frame.index == 9
    assert_frames_match([frame], clip)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (4, r"Frame 4 is not among those tracked, which are 5, 9, \.\.\."),
        (10, r"Frame 10 is not among those tracked, which are 5, 9, \.\.\."),
        (17, "Frame 17 lies after --end"),
        (FRAMES + 1, f"it has {FRAMES} frames"),
    ],
)
def test_a_frame_outside_the_span_is_refused(clip: Path, index: int, message: str) -> None:
    with pytest.raises(FacetrackError, match=message):
        SpanReader(clip, Span(0.2, 0.6, 4)).frame(index)


@pytest.mark.parametrize(
    ("span", "where"),
    [
        (Span(start=5.0), "from --start on"),
        (Span(0.161, 0.199), "between --start and --end"),
        (Span(start=0.77), "from --start on"),
    ],
    ids=str,
)
def test_a_span_without_frames_is_refused_in_one_sentence(
    clip: Path, span: Span, where: str
) -> None:
    with pytest.raises(FacetrackError, match=f"no frame {where}: ") as caught:
        list(SpanReader(clip, span).forwards())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["start", "end"])
def test_a_time_that_is_no_number_is_refused(name: str, value: float) -> None:
    with pytest.raises(FacetrackError, match="finite"):
        Span(**{name: value})


def test_a_span_before_the_start_of_the_video_is_refused(tmp_path: Path) -> None:
    late = clips.write_clip(tmp_path / "late.mkv", 5, filters="setpts=PTS+2/TB")
    with pytest.raises(FacetrackError, match="no frame up to --end: "):
        list(SpanReader(late, Span(end=1.0)).forwards())


def test_times_follow_the_clock_of_the_video(tmp_path: Path) -> None:
    late = clips.write_clip(tmp_path / "late.mkv", 5, filters="setpts=PTS+2/TB")
    frames = list(SpanReader(late, Span(start=2.08)).forwards())
    assert indices(frames) == [2, 3, 4]
    assert_frames_match(frames, late)


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Span(start=0.1), range(4, 12)),
        (Span(0.03, 0.27), range(2, 6)),
        (Span(0.01, 0.5, 2), (1, 3, 5, 7)),
    ],
    ids=str,
)
def test_frames_of_a_varying_rate_are_chosen_by_their_times(
    varying: Path, span: Span, expected: tuple[int, ...]
) -> None:
    frames = list(SpanReader(varying, span).forwards())
    assert indices(frames) == list(expected)
    assert_frames_match(frames, varying)


def test_images_have_a_span_too(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    clips.run_ffmpeg(
        "-f", "lavfi", "-i", "color=white:s=32x32:d=0.4:r=25", str(folder / "%03d.png")
    )
    reader = SpanReader(folder, Span(0.1, 0.3, 2))
    rate = 1 / SpanReader(folder, Span()).frame(1).time
    expected = [i for i in range(10) if 0.1 <= i / rate < 0.3][::2]
    assert indices(list(reader.forwards())) == expected


def test_lost_frames_give_a_warning(clip: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(clip.read_bytes()[: clip.stat().st_size * 2 // 3])
    reader = SpanReader(damaged, Span(stride=2))
    assert reader.warnings == []
    list(reader.forwards())
    assert len(reader.warnings) == 1


@pytest.mark.parametrize(
    ("span", "total"),
    [
        (Span(), FRAMES),
        (Span(start=0.2), 15),
        (Span(end=0.2), 5),
        (Span(0.2, 0.6), 10),
        (Span(0.2, 0.6, 5), 2),
        (Span(end=99.0), FRAMES),
        (Span(start=99.0), 1),
    ],
    ids=str,
)
def test_the_number_of_frames_is_estimated_from_the_header(
    clip: Path, span: Span, total: int
) -> None:
    assert SpanReader(clip, span).total == total


# ------------------------------------------------------------------------------ tracking a span


def test_tracks_of_a_span_have_indices_and_times_of_the_whole_video(
    clip: Path, points: Path
) -> None:
    options = {"init": "points", "points": points, "tracker": "lk"}
    tracks = facetrack.track(clip, **options, start=0.2, end=0.6, stride=4)
    assert tracks.frames.tolist() == [5, 9, 13]
    assert (tracks.first_frame, tracks.stride) == (5, 4)
    np.testing.assert_allclose(tracks.time, [0.2, 0.36, 0.52], atol=1e-3)
    np.testing.assert_allclose(tracks.xy[0, 0], [[30, 20], [40, 30]], atol=0.5)


def test_a_span_of_a_varying_rate_keeps_its_times(varying: Path, points: Path) -> None:
    options = {"init": "points", "points": points, "tracker": "lk"}
    tracks = facetrack.track(varying, **options, start=0.03, stride=3)
    assert tracks.frames.tolist() == [2, 5, 8, 11]
    np.testing.assert_allclose(
        tracks.time, [(7 * n * n + 3 * n) / 1000 for n in (2, 5, 8, 11)], atol=1e-3
    )


def test_the_backward_pass_respects_the_stride(tmp_path: Path) -> None:
    clip = write_sliding(tmp_path / "sliding.mkv")
    (tmp_path / "points.csv").write_text("x,y\n40,20\n50,36\n")
    tracks = facetrack.track(
        clip,
        **{"init": "points", "points": tmp_path / "points.csv", "tracker": "lk"},
        **{"query_frame": 13, "start": 0.28, "stride": 3},
    )
    assert tracks.frames.tolist() == [7, 10, 13, 16, 19, 22]
    expected = np.array([[40, 20], [50, 36]]) + 2 * np.array([[[n - 13, 0]] for n in tracks.frames])
    np.testing.assert_allclose(tracks.xy[:, 0], expected, atol=0.3)
    assert tracks.visible.all()


def _run(clip: Path, points: Path, out: Path, *options: object) -> object:
    fixed = ("track", clip, "--init", "points", "--points", points, "--tracker", "lk")
    return CliRunner().invoke(app, [str(a) for a in (*fixed, "--out", out, *options)])


def test_the_command_line_tracks_a_span(clip: Path, points: Path, tmp_path: Path) -> None:
    options = ("--start", "0:00.2", "--end", "0:0:00.6", "--stride", "4", "--format", "csv")
    result = _run(clip, points, tmp_path, *options, "--format", "npz")
    assert result.exit_code == 0, result.output
    tracks = read_csv(tmp_path / "dots.csv")
    assert tracks.frames.tolist() == [5, 9, 13]
    assert tracks.stride == 4
    np.testing.assert_allclose(tracks.time, [0.2, 0.36, 0.52], atol=1e-3)
    record = json.loads((tmp_path / "dots.json").read_text())
    assert record["options"]["start"] == pytest.approx(0.2)
    assert record["options"]["end"] == pytest.approx(0.6)
    assert record["options"]["stride"] == 4
    assert record["query"]["frame"] == 5
    assert record["input"]["frames"] == 3


def test_the_overlay_has_the_spans_frames_at_their_times(
    clip: Path, points: Path, tmp_path: Path
) -> None:
    result = _run(clip, points, tmp_path, "--start", "0.2", "--end", "0.6", "--stride", "4")
    assert result.exit_code == 0, result.output
    overlay = tmp_path / "dots.overlay.mp4"
    assert clips.decoded_count(overlay) == 3
    np.testing.assert_allclose(clips.packet_times(overlay), [0.2, 0.36, 0.52], atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--start", "0.2", "--query-frame", "4"), "choose another --query-frame"),
        (("--stride", "3", "--query-frame", "4"), "choose another --query-frame"),
        (("--end", "0.2", "--query-frame", "5"), "choose another --query-frame"),
        (("--start", "soon"), "'soon' is not a time"),
        (("--start", "5"), "no frame from --start on"),
        (("--start", "2", "--end", "1"), "--end must be later than --start"),
        (("--stride", "99999999999999999999999"), "--stride N uses every Nth frame"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_invalid_spans_give_one_line_code_2_and_no_file(
    clip: Path, points: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    result = _run(clip, points, tmp_path / "out", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_error_without_a_face_counts_the_frames_of_the_span(clip: Path) -> None:
    with pytest.raises(FacetrackError, match="in any of the 3 frames"):
        facetrack.track(clip, tracker="lk", face_detector="hog", start=0.2, end=0.6, stride=4)
