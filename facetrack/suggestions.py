"""Suggest the name that was meant by a mistyped one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

MIN_LIKENESS = 0.74
"""Least likeness (`difflib` ratio, 0 to 1) of a suggestion: "trakc" is like "track" (0.8), and not
like "train" (0.6)."""
MAX_WORSE = 0.08
"""A further suggestion is at most this much less like the word than the best one."""

MIN_PREFIX, PREFIX_LIKENESS = 3, 0.9
"""From this number of letters on, a word that a name begins with is taken for a short form of it,
and counts as this much like it."""


def closest(word: str, names: Iterable[str]) -> list[str]:
    """Return the names that a mistyped word may mean, the likeliest first; often none or one.

    >>> closest("trak", ["track", "train", "detect"])
    ['track']
    >>> closest("gpu", ["fps", "out"])
    []
    """
    plain = _plain(word)
    likeness = {name: _likeness(plain, _plain(name)) for name in names}
    best = max(likeness.values(), default=0.0)
    least = max(MIN_LIKENESS, best - MAX_WORSE)
    found = [name for name, value in likeness.items() if value >= least]
    return sorted(found, key=lambda name: -likeness[name])


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Return "; did you mean ...?" for a mistyped word, or "" if no name is like it.

    >>> did_you_mean("taipr", ["tapir", "lk"])
    '; did you mean tapir?'
    """
    found = closest(word, names)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def _plain(text: str) -> str:
    return text.strip("-").replace("_", "-").casefold()


def _likeness(word: str, name: str) -> float:
    if len(word) >= MIN_PREFIX and name.startswith(word):
        return max(PREFIX_LIKENESS, SequenceMatcher(None, word, name).ratio())
    # Insensitive to the order of the two, which SequenceMatcher is not.
    ratios = (SequenceMatcher(None, *pair).ratio() for pair in ((word, name), (name, word)))
    return max(ratios)
