"""Fixtures of the tests of `track`, `detect` and `compare`."""

from comparison_fakes import fakes  # noqa: F401
