"""The tables: what is best, what is unknown, which weights were used."""

from __future__ import annotations

import dataclasses
import math

import pytest

from facetrack.comparison.measures import BY_KEY, MEASURES
from facetrack.report import tables


def _cells(comparison, key):
    rows = tables.measure_rows(comparison.results, MEASURES)
    return next(row.cells for row in rows if row.measure.key == key)


def test_the_lowest_is_best_where_lower_is_better(comparison):
    assert [cell.best for cell in _cells(comparison, "jitter")] == [True, False, False]


def test_nothing_is_best_where_all_are_alike(comparison):
    assert not any(cell.best for cell in _cells(comparison, "visible"))


def test_unknown_is_a_dash_and_never_the_best(comparison):
    cells = _cells(comparison, "drift")
    assert (cells[2].text, cells[2].value, cells[2].best) == (tables.UNKNOWN, None, False)
    assert cells[1].best


def test_values_are_exact_and_texts_have_the_digits_of_the_measure(comparison):
    cell = _cells(comparison, "expected_error")[1]
    assert BY_KEY["expected_error"].digits == 2
    assert (cell.value, cell.text) == (1.23456, "1.23")


def test_measures_that_no_method_has_are_left_out(comparison):
    keys = [row.measure.key for row in tables.measure_rows(comparison.results, MEASURES)]
    assert keys == [m.key for m in MEASURES if m.key in comparison.results[0].measures]


@pytest.mark.parametrize(
    ("value", "text"), [(-0.0001, "0.00"), (1.005, "1.00"), (12, "12.00"), (None, tables.UNKNOWN)]
)
def test_numbers_for_people(value, text):
    assert tables.shown(value, 2) == text


def test_methods_are_in_the_order_of_the_ranking(comparison):
    assert [r.label for r in tables.ordered(comparison)] == comparison.ranking


def test_methods_that_are_not_ranked_keep_their_order(comparison):
    unranked = dataclasses.replace(comparison, ranking=[])
    assert tables.ordered(unranked) == comparison.results


def test_stages_of_all_and_of_each_method(comparison):
    rows = tables.stage_rows(comparison.results, comparison.seconds)
    assert rows == [
        ("decode", "0.50", [tables.UNKNOWN] * 3),
        ("track", tables.UNKNOWN, ["1.50", "3.00", "4.50"]),
        ("total", "12.00", [tables.UNKNOWN] * 3),
    ]


def test_weights_are_found_wherever_they_are_named_and_listed_once(comparison):
    deep = {"detectors": [{"files": [{"weights": "a.pt", "sha256": "ab", "licence": "MIT"}]}]}
    again = {"weights": "a.pt", "sha256": "ab", "licence": "MIT", "noncommercial": False}
    results = [
        dataclasses.replace(r, about={"face_detector": deep, "tracker": again})
        for r in comparison.results
    ]
    assert tables.weights_used(results) == [
        tables.UsedWeights("face detector, tracker", "a.pt", "MIT", False, "ab")
    ]


def test_noncommercial_weights_are_marked(comparison):
    about = {"tracker": {"weights": "t", "sha256": "c", "licence": "x", "noncommercial": True}}
    results = [dataclasses.replace(comparison.results[0], about=about)]
    assert tables.weights_used(results)[0].noncommercial


def test_nested_content_becomes_names_and_values():
    content = {"a": {"b": [1, 2], "c": None}, "d": [{"e": True}], "f": 0.5}
    assert list(tables.flat(content)) == [
        ("a.b", "1, 2"),
        ("a.c", tables.UNKNOWN),
        ("d.0.e", "yes"),
        ("f", "0.5"),
    ]


def test_memory_that_is_unknown_is_not_said():
    assert tables.shown_memory(math.nan) is None
    assert tables.shown_memory(123.4) == "123 MB"
