"""The part of Blender's Python interface that the script uses, for machines without Blender.

It follows the documentation of Blender 4.2 (https://docs.blender.org/api/4.2/), with actions that
have F-curves of their own, or with the slots of Blender 4.4 and later.
"""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np


class Keyframes:
    def __init__(self) -> None:
        self.places = np.zeros((0, 2))
        self.interpolation: list[int] = []

    def add(self, count: int) -> None:
        self.places = np.zeros((count, 2))

    def foreach_set(self, name: str, values: Any) -> None:
        assert len(values) == {"co": 2, "interpolation": 1}[name] * len(self.places)
        if name == "co":
            self.places = np.asarray(values, float).reshape(-1, 2)
        else:
            self.interpolation = list(values)


class Curves:
    def __init__(self) -> None:
        self.by_path: dict[tuple[str, int], Keyframes] = {}

    def new(self, data_path: str, *, index: int = 0) -> SimpleNamespace:
        assert (data_path, index) not in self.by_path
        points = self.by_path[data_path, index] = Keyframes()
        return SimpleNamespace(keyframe_points=points, update=lambda: None)


class Action:
    """An action before Blender 4.4."""

    def __init__(self, name: str) -> None:
        self.name, self.fcurves = name, Curves()


class SlottedAction:
    """An action since Blender 4.4; the F-curves belong to a slot."""

    def __init__(self, name: str) -> None:
        self.name, self._curves = name, Curves()
        self.slots = SimpleNamespace(new=self._new_slot)
        self.layers = SimpleNamespace(new=self._new_layer)
        self._slot: object = None

    @property
    def curves(self) -> Curves:
        return self._curves

    def _new_slot(self, *, id_type: str, name: str) -> object:
        assert id_type == "OBJECT"
        self._slot = object()
        return self._slot

    def _new_layer(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(strips=SimpleNamespace(new=self._new_strip))

    def _new_strip(self, *, type: str) -> SimpleNamespace:
        assert type == "KEYFRAME"
        return SimpleNamespace(channelbag=self._channelbag)

    def _channelbag(self, slot: object, *, ensure: bool = False) -> SimpleNamespace:
        assert slot is self._slot
        assert ensure
        return SimpleNamespace(fcurves=self._curves)


class Thing(dict[str, Any]):
    """An object: attributes, custom properties and animation."""

    def __init__(self, name: str, data: Any) -> None:
        super().__init__()
        self.name, self.data = name, data
        self.animation = SimpleNamespace(action=None, action_slot=None)

    def animation_data_create(self) -> SimpleNamespace:
        return self.animation

    @property
    def curves(self) -> dict[tuple[str, int], Keyframes]:
        action = self.animation.action
        if isinstance(action, SlottedAction):
            assert self.animation.action_slot is action._slot
            return action.curves.by_path
        return dict(action.fcurves.by_path)


class Collection:
    def __init__(self, name: str) -> None:
        self.name = name
        self.linked: list[Any] = []
        self.objects = SimpleNamespace(link=self.linked.append)
        self.children = SimpleNamespace(link=self.linked.append)


def stub(slotted: bool) -> tuple[ModuleType, dict[str, Thing], SimpleNamespace]:
    """Return a module `bpy`, its objects by name, and its scene."""
    things: dict[str, Thing] = {}

    def new_object(name: str, data: Any) -> Thing:
        things[name] = Thing(name, data)
        return things[name]

    scene = SimpleNamespace(render=SimpleNamespace(), collection=Collection("Scene"))
    module = ModuleType("bpy")
    module.context = SimpleNamespace(scene=scene)  # type: ignore[attr-defined]
    module.data = SimpleNamespace(  # type: ignore[attr-defined]
        objects=SimpleNamespace(new=new_object),
        actions=SimpleNamespace(new=SlottedAction if slotted else Action),
        cameras=SimpleNamespace(new=lambda name: SimpleNamespace(name=name)),
        collections=SimpleNamespace(new=Collection),
    )
    return module, things, scene
