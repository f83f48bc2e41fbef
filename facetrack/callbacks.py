"""Types of the functions that report on a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Progress = Callable[[int, "int | None"], None]
"""Called with the frames done and about how many there are."""


Started = Callable[[dict[str, dict[str, Any]]], None]
