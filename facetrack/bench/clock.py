"""Time that is spent in calls, on any device."""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class Clock:
    """Adds up the seconds of calls by name.

    Attributes:
        seconds: so far.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def now(self) -> float:
        """Seconds, once the device has done what it was asked for."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    @contextmanager
    def listening(self, owner: Any, name: str, stage: str) -> Iterator[None]:
        """Meanwhile count the calls of a method of `owner`, a class or an object, as `stage`."""
        method, own = getattr(owner, name), vars(owner).get(name)

        @functools.wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = self.now()
            try:
                return method(*args, **kwargs)
            finally:
                self.seconds[stage] += self.now() - began

        setattr(owner, name, timed)
        try:
            yield
        finally:
            if own is None:
                delattr(owner, name)
            else:
                setattr(owner, name, own)
