"""Fixtures of the tests of `track`, `detect`, `compare` and `edit`."""

from comparison_fakes import fakes  # noqa: F401
from short_runs import clip, record  # noqa: F401
