"""Fixtures of a comparison's tests."""

from comparison_fakes import fakes  # noqa: F401
