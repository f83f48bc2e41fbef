"""Which corrections are in force, after what was replaced, taken back and undone."""

from __future__ import annotations

from dataclasses import replace

from facetrack.corrections.correction import PERSON, START, Correction, active


def test_the_last_row_of_a_point_is_in_force_at_its_first_place() -> None:
    first, other, again = (
        Correction(3, 0, 30, 1, 1), Correction(3, 0, 31, 2, 2), Correction(3, 0, 30, 5, 5)
    )  # fmt: skip
    assert active([first, other, again]) == [again, other]
    elsewhere = [replace(first, frame=4), replace(first, face=1)]
    assert active([first, *elsewhere]) == [first, *elsewhere]


def test_rows_after_another_person_was_named_do_not_replace_those_before() -> None:
    """The same number of a face means another person then."""
    first, swap, second = Correction(10, 0, 30, 101, 101), Correction(5, 0, PERSON, 1), None
    second = Correction(10, 0, 30, 299, 299)
    assert active([first, swap, second]) == [first, swap, second]
    assert active([first, swap, second, second.undo()]) == [first, swap]
    assert active([swap, swap]) == [swap, swap]
    assert active([swap, swap, swap.undo()]) == [swap]
    moved = Correction(10, 0, 30, 300, 300)
    assert active([first, swap, second, moved]) == [first, swap, moved]


def test_what_is_taken_back_is_not_in_force_until_it_is_made_again() -> None:
    first, other = Correction(3, 0, 30, 1, 1), Correction(3, 0, START)
    assert active([first, other, first.undo()]) == [other]
    assert active([first, other, first.undo(), first]) == [other, first]
    assert active([first, first, first.undo()]) == []
    assert active([first.undo(), other.undo()]) == []
    assert active([first, replace(first, frame=4).undo()]) == [first]


def test_a_reverted_row_was_never_there() -> None:
    first, other = Correction(3, 0, 30, 1, 1), Correction(3, 0, START)
    again = replace(first, x=5.0)
    assert active([first, other, again, again.revert()]) == [first, other]
    assert active([first, first.undo(), first.revert()]) == [first]
    assert active([first, other, first.undo(), first.revert()]) == [first, other]
    taken_back = [first, other, first.undo(), again, again.revert()]
    assert active(taken_back) == [other]
    assert active([*taken_back, first.revert()]) == [first, other]
    assert active([first.revert(), other, first.undo(), first.revert()]) == [other]


def test_what_is_reverted_is_that_of_the_same_names() -> None:
    """What was said before a face got another name is neither replaced nor moved."""
    first, swap = Correction(10, 0, 30, 101, 101), Correction(5, 0, PERSON, 1)
    second = Correction(10, 0, 30, 299, 299)
    assert active([first, swap, second, second.revert()]) == [first, swap]
    assert active([first, swap, first.undo(), first.revert()]) == [first, swap]
    both = [first.undo(), first.undo()]
    assert active([first, swap, second, *both]) == [swap]
    assert active([first, swap, second, *both, first.revert(), first.revert()]) == [
        first, swap, second
    ]  # fmt: skip
