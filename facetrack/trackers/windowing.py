"""Cut a stream into overlapping windows, as trackers that also use later frames need them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Window(Generic[Item]):
    """Consecutive items, some of which were new in an earlier window.

    Attributes:
        items: all items of the window.
        new: slice of `items` whose results are wanted; the windows' new items join without gaps.
    """

    items: list[Item]
    new: slice


@dataclass
class OverlapBuffer(Generic[Item]):
    """Collects the items of the next window.

    Attributes:
        items: the items that the next window begins with.
        num_done: how many of these were new in an earlier window.
    """

    items: list[Item] = field(default_factory=list)
    num_done: int = 0

    def append(self, item: Item) -> None:
        """Add the next item of the stream."""
        self.items.append(item)

    def cut(self, overlap: int = 0) -> Window[Item] | None:
        """Return the window of all items; None if none of them would be new.

        Args:
            overlap: number of items that the next window repeats. The second half of them stays
                new for that window, which also knows the items that follow them.
        """
        items, start = self.items, self.num_done
        stop = len(items) - overlap // 2
        repeated = min(overlap, len(items))
        self.items = items[len(items) - repeated :]
        self.num_done = repeated - repeated // 2
        return Window(items, slice(start, stop)) if stop > start else None
