"""Times of the laboratory."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facetrack.errors import FacetrackError
from facetrack.measures.lab_clock import LabClock, format_utc, parse_audio_offset, parse_utc

MOMENT = datetime(2026, 3, 31, 14, 5, 0, 250_000)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-31T14:05:00.250Z",
        "2026-03-31T14:05:00.25",
        "2026-03-31 14:05:00,250",
        "2026-03-31T16:05:00.2500000+02:00",
        "2026-03-31T07:05:00.25-07:00",
    ],
)
def test_texts_of_one_moment(text: str) -> None:
    assert parse_utc(text) == MOMENT
    assert format_utc(parse_utc(text)) == "2026-03-31T14:05:00.250000Z"


@given(st.datetimes())
def test_text_round_trip(moment: datetime) -> None:
    assert parse_utc(format_utc(moment)) == moment


@pytest.mark.parametrize(
    "text", ["", "now", "14:05", "2026-03-31", "2026-13-01T00:00", "1", "2026-03-31T14:05+99:00"]
)
def test_other_texts_are_one_sentence(text: str) -> None:
    with pytest.raises(FacetrackError, match="ISO 8601") as caught:
        parse_utc(text)
    assert "\n" not in str(caught.value)


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)),
    st.floats(-10, 1e5),
    st.lists(st.floats(0, 1e6), min_size=1, max_size=5),
)
def test_utc_is_the_start_plus_the_time_since(
    moment: datetime, start: float, times: list[float]
) -> None:
    texts = LabClock(moment, start).utc_texts(np.array(times))
    for text, time in zip(texts, times, strict=True):
        assert abs(parse_utc(text) - moment - timedelta(seconds=time - start)) <= timedelta(
            microseconds=1
        )


def test_year_out_of_range_is_one_sentence() -> None:
    with pytest.raises(FacetrackError, match="out of range"):
        LabClock(datetime(9999, 12, 31), 0.0).utc_texts(np.array([1e9]))


def test_audio_offsets() -> None:
    assert parse_audio_offset("auto") is None
    assert parse_audio_offset("-0.25") == -0.25
    for text in ("soon", "nan", "inf", ""):
        with pytest.raises(FacetrackError, match="--audio-offset"):
            parse_audio_offset(text)
