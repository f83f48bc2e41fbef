"""Create components by name; a component's module is imported on first use."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

from facetrack.errors import FacetrackError
from facetrack.suggestions import did_you_mean

Component = TypeVar("Component")


class Registry(Generic[Component]):
    """Create components of one kind from "module:class" entries.

    Args:
        kind: description of a component in error messages, e.g. "tracker".
        entries: name on the command line -> "module:class".
    """

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self._kind, self._entries = kind, dict(entries)

    def available(self) -> list[str]:
        """Return the names of all components."""
        return list(self._entries)

    def create(self, name: str, *arguments: Any) -> Component:
        """Create the component called `name`, with `arguments` for its class.

        Raises:
            FacetrackError: no component has that name.
        """
        if name not in self._entries:
            choices = ", ".join(self._entries)
            hint = did_you_mean(name, self._entries) or "."
            raise FacetrackError(
                f"There is no {self._kind} '{name}'{hint} Choose one of: {choices}."
            )
        module, attribute = self._entries[name].split(":")
        component: Component = getattr(import_module(module), attribute)(*arguments)
        return component
