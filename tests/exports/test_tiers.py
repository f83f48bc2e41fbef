"""Tiers of events, and the files that hold them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from facetrack.exports import elan, praat, webvtt
from facetrack.exports.base import Source
from facetrack.exports.tiers import Interval, tiers_of
from facetrack.measures.events import Event

BLINK_START, BLINK_END = 0.8, 1.2


def event(start: float, end: float, side: str = "") -> Event:
    return Event(0, "mouth_opening", side, 1, start, (start + end) / 2, end, 3, 9.0, None, None)


def test_tiers_of_all_faces(source: Source) -> None:
    tiers = {tier.name: tier.intervals for tier in tiers_of(source)}
    assert list(tiers) == [
        *(
            f"face {n} {part}"
            for n in (0, 3)
            for part in ("tracked", "right eye", "left eye", "mouth")
        )
    ]
    time = source.tracks.time
    assert [(i.start, i.end) for i in tiers["face 3 tracked"]] == [
        (time[0], time[50]),
        (time[60], pytest.approx(source.end)),
    ]
    (right,), (left,) = tiers["face 0 right eye"], tiers["face 0 left eye"]
    assert right.label == left.label == "blink"
    assert BLINK_START - 0.1 < right.start < right.end < BLINK_END
    assert [i.label for i in tiers["face 3 left eye"]] == ["wink"]
    assert tiers["face 3 right eye"] == ()


def test_intervals_of_a_tier_do_not_overlap(source: Source) -> None:
    events = [event(1.0, 1.5), event(1.4, 1.8), event(1.4, 1.9), event(2.0, 2.0)]
    other = replace(source)
    other.__dict__["measured"] = replace(source.measured, events=events)
    tiers = {tier.name: tier.intervals for tier in tiers_of(other)}
    assert tiers["face 0 mouth"] == (
        Interval(1.0, 1.4, "mouth opening"),
        Interval(1.4, 1.9, "mouth opening"),
    )


# ---------------------------------------------------------------- ELAN


def test_elan_file_follows_its_schema(source: Source, tmp_path: Path) -> None:
    elan.write(tmp_path, source)
    root = ElementTree.parse(tmp_path / "a b.eaf").getroot()
    assert root.tag == "ANNOTATION_DOCUMENT"
    assert {"AUTHOR", "DATE", "FORMAT", "VERSION"} <= root.attrib.keys()
    order = ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE"]
    assert list(dict.fromkeys(child.tag for child in root)) == order
    header = root.find("HEADER")
    assert header is not None
    assert [child.tag for child in header] == ["MEDIA_DESCRIPTOR", "PROPERTY"]
    assert header[0].attrib == {
        "MEDIA_URL": "file:///videos/%C3%A9%20b.mp4",
        "MIME_TYPE": "video/mp4",
    }
    slots = {slot.attrib["TIME_SLOT_ID"]: int(slot.attrib["TIME_VALUE"]) for slot in root[1]}
    types = {entry.attrib["LINGUISTIC_TYPE_ID"] for entry in root.findall("LINGUISTIC_TYPE")}
    ids = []
    for tier in root.findall("TIER"):
        assert tier.attrib["LINGUISTIC_TYPE_REF"] in types
        last = -1
        for annotation in tier.iter("ALIGNABLE_ANNOTATION"):
            start, end = (slots[annotation.attrib[f"TIME_SLOT_REF{k}"]] for k in (1, 2))
            assert last <= start < end
            last = end
            ids.append(annotation.attrib["ANNOTATION_ID"])
            assert annotation[0].tag == "ANNOTATION_VALUE"
    assert len(ids) == len(set(ids)) > 4
    assert header[1].text == str(len(ids))


def test_elan_times_are_those_of_the_events(source: Source, tmp_path: Path) -> None:
    elan.write(tmp_path, source)
    root = ElementTree.parse(tmp_path / "a b.eaf").getroot()
    slots = {slot.attrib["TIME_SLOT_ID"]: int(slot.attrib["TIME_VALUE"]) for slot in root[1]}
    tier = root.find("TIER[@TIER_ID='face 0 right eye']")
    assert tier is not None
    (annotation,) = tier.iter("ALIGNABLE_ANNOTATION")
    blink = next(e for e in source.measured.events if (e.face_id, e.side) == (0, "r"))
    assert slots[annotation.attrib["TIME_SLOT_REF1"]] == round(1000 * blink.start)
    assert slots[annotation.attrib["TIME_SLOT_REF2"]] == round(1000 * blink.end)


def test_pympi_opens_it(source: Source, tmp_path: Path) -> None:
    pympi = pytest.importorskip("pympi")
    elan.write(tmp_path, source)
    file = pympi.Elan.Eaf(str(tmp_path / "a b.eaf"))
    ((start, end, label),) = file.get_annotation_data_for_tier("face 0 left eye")
    assert (label, start < end) == ("blink", True)


# ---------------------------------------------------------------- Praat


def test_textgrid_tiers_cover_the_whole_time(source: Source, tmp_path: Path) -> None:
    praat.write(tmp_path, source)
    lines = (tmp_path / "a b.TextGrid").read_text(encoding="utf-8").splitlines()
    assert lines[:3] == ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    assert lines[5:8] == ["tiers? <exists>", "size = 14", "item []:"]
    values = [line.strip() for line in lines[8:]]
    starts = [k for k, line in enumerate(values) if line.startswith("class = ")]
    assert len(starts) == 14
    for first, after in zip(starts, [*starts[1:], len(values)], strict=True):
        tier = [line for line in values[first:after] if not line.startswith("item [")]
        if tier[0] != 'class = "IntervalTier"':
            continue
        bounds = [float(line.split(" = ")[1]) for line in tier if line.startswith(("xmin", "xmax"))]
        begin, end, *inner = bounds
        assert int(tier[4].split(" = ")[1]) == len(inner) // 2
        assert [begin, *inner[1::2]] == [*inner[0::2], end], "no gaps"


def test_praat_opens_it(source: Source, tmp_path: Path) -> None:
    parselmouth = pytest.importorskip("parselmouth")
    praat.write(tmp_path, source)
    grid = parselmouth.read(str(tmp_path / "a b.TextGrid"))
    call = parselmouth.praat.call
    assert call(grid, "Get number of tiers") == 14
    assert call(grid, "Get label of interval", 2, 2) == "blink"
    blink = next(e for e in source.measured.events if (e.face_id, e.side) == (0, "r"))
    assert call(grid, "Get start time of interval", 2, 2) == pytest.approx(blink.start, abs=1e-6)
    assert call(grid, "Get number of points", 9) == 1


@pytest.mark.parametrize("package", ["textgrid", "praatio"])
def test_libraries_for_textgrids_open_it(package: str, source: Source, tmp_path: Path) -> None:
    library = pytest.importorskip(package)
    praat.write(tmp_path, source)
    path = str(tmp_path / "a b.TextGrid")
    if package == "textgrid":
        assert len(library.TextGrid.fromFile(path)) == 14
    else:
        from praatio import textgrid

        assert len(textgrid.openTextgrid(path, includeEmptyIntervals=True).tierNames) == 14


# ---------------------------------------------------------------- WebVTT


def test_webvtt_has_one_cue_per_event(source: Source, tmp_path: Path) -> None:
    webvtt.write(tmp_path, source)
    text = (tmp_path / "a b.vtt").read_text(encoding="utf-8")
    head, *cues = text.rstrip("\n").split("\n\n")
    assert head == "WEBVTT"
    assert cues[0].startswith("NOTE ")
    assert [cue.split("\n")[2] for cue in cues[1:]] == [
        "<v face 0>blink",
        "<v face 3>wink (left eye)",
    ]
    first = source.measured.events[0]
    assert (
        cues[1].split("\n")[1].startswith(f"00:00:00.{round(1000 * first.start):03d} --> 00:00:0")
    )


def test_webvtt_cues_last(source: Source) -> None:
    start, end, _ = webvtt._cue([event(7200.0, 7200.0)])
    assert (start, end) == (7_200_000, 7_200_001)
    assert webvtt._timestamp(end) == "02:00:00.001"


def test_webvtt_library_opens_it(source: Source, tmp_path: Path) -> None:
    library = pytest.importorskip("webvtt")
    webvtt.write(tmp_path, source)
    cues = library.read(str(tmp_path / "a b.vtt"))
    assert [(cue.voice, cue.text) for cue in cues] == [
        ("face 0", "blink"),
        ("face 3", "wink (left eye)"),
    ]
