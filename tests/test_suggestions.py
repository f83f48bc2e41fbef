"""Suggestions for mistyped names."""

from __future__ import annotations

import doctest

import pytest

from facetrack import suggestions
from facetrack.suggestions import closest, did_you_mean

COMMANDS = ["track", "detect", "compare", "measure", "report", "train", "weights"]


def test_examples() -> None:
    assert doctest.testmod(suggestions).failed == 0


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("trak", ["track"]),
        ("trian", ["train"]),
        ("meas", ["measure"]),
        ("TRACK", ["track"]),
        ("video", []),
        ("", []),
    ],
)
def test_only_near_names_are_suggested(word: str, expected: list[str]) -> None:
    assert closest(word, COMMANDS) == expected


def test_nothing_is_said_without_a_near_name() -> None:
    assert did_you_mean("video", COMMANDS) == ""
    assert did_you_mean("video", []) == ""
