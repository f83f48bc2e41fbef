"""Variants of a source of exports."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from facetrack.exports.base import Source


def variant(source: Source, **changes: Any) -> Source:
    """A source that differs in other things than its tracks; nothing is measured again."""
    other = replace(source, **changes)
    other.__dict__["measured"] = source.measured
    return other
