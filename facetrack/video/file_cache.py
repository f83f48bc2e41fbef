"""Remember what was read from a file until the file changes."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar, cast

Read = TypeVar("Read", bound=Callable[..., Any])

_MAX_RESULTS = 64
"""Results that are remembered for each function."""


def cached_by_file(missing: Any) -> Callable[[Read], Read]:
    """Return a decorator of functions that read a file, whose path comes first.

    A result is used again as long as the file has the same size and time of change. Arguments are
    given by position.

    Args:
        missing: the result for a file that cannot be reached, which is not read then.
    """

    def decorate(read: Read) -> Read:
        @functools.lru_cache(maxsize=_MAX_RESULTS)
        def cached(path: Path, size: int, modified: int, *others: Hashable) -> Any:
            return read(path, *others)

        @functools.wraps(read)
        def wrapper(path: Path, *others: Hashable) -> Any:
            try:
                stat = os.stat(path)
            except OSError:
                return missing
            place = Path(os.path.abspath(path))
            return cached(place, stat.st_size, stat.st_mtime_ns, *others)

        return cast(Read, wrapper)

    return decorate
