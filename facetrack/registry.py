"""Parts that are chosen by name; a part's module is imported when the part is first made."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

from facetrack.errors import FacetrackError

Part = TypeVar("Part")


class Registry(Generic[Part]):
    """Makes parts of one kind from "module:class" entries.

    Args:
        kind: what a part is called in messages.
        entries: name on the command line -> "module:class".
    """

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self._kind, self._entries = kind, dict(entries)

    def available(self) -> list[str]:
        """The names."""
        return list(self._entries)

    def create(self, name: str, *arguments: Any) -> Part:
        """Make the part called `name`; its class gets `arguments`.

        Raises:
            FacetrackError: there is none of that name.
        """
        if name not in self._entries:
            choices = ", ".join(self._entries)
            raise FacetrackError(f"no {self._kind} '{name}'; choose one of: {choices}")
        module, attribute = self._entries[name].split(":")
        part: Part = getattr(import_module(module), attribute)(*arguments)
        return part
