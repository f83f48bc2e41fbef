"""Types of the callbacks that report on a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Progress = Callable[[int, "int | None"], None]
"""Called with the number of frames done and the estimated total (None if unknown)."""

Loading = Callable[[], None]
"""Called before the models are loaded, once the input and the outputs are checked."""

Started = Callable[[dict[str, dict[str, Any]]], None]
"""Called once all models are loaded, with their descriptions by kind (`describe()`)."""
