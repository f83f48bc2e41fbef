"""Measure the time spent in calls, on any device."""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class Clock:
    """Adds up the seconds of calls by stage.

    Attributes:
        seconds: so far, by stage.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._running: defaultdict[str, int] = defaultdict(int)

    def now(self) -> float:
        """Return the time in seconds, after the device has finished its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    @contextmanager
    def timing(
        self, owner: Any, name: str, stage: str, within: str | None = None
    ) -> Iterator[None]:
        """Add the time of all calls of a method of `owner` to a stage, while in the context.

        Args:
            owner: a class or an object.
            name: of the method.
            stage: name for `seconds`.
            within: another stage; calls outside of it are not counted.
        """
        method, own = getattr(owner, name), vars(owner).get(name)

        @functools.wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if within is not None and not self._running[within]:
                return method(*args, **kwargs)
            start = self.now()
            self._running[stage] += 1
            try:
                return method(*args, **kwargs)
            finally:
                self._running[stage] -= 1
                self.seconds[stage] += self.now() - start

        setattr(owner, name, timed)
        try:
            yield
        finally:
            if own is None:
                delattr(owner, name)
            else:
                setattr(owner, name, own)
