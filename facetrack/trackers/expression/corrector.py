"""What one face's lids, brows, lips and chin do, by a tracker's points and by what networks see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from facetrack.ops.similarity import as_complex
from facetrack.runtime import onednn
from facetrack.runtime.device import cast_weights, choose_device, choose_precision, precision_name
from facetrack.trackers.expression.face_parts import (
    KINDS,
    PARTS,
    STEADY,
    WEIGHTS_PART,
    Kind,
    Pose,
    Rest,
    into,
    out_of,
)
from facetrack.trackers.expression.part_filter import Known, Memory, PartFilter, Seen
from facetrack.trackers.expression.part_network import PartNetwork, fold_norms
from facetrack.weights import resolve
from facetrack.weights.state_dict import load_state_dict, read_state_dict

WHAT = "a file of expressions"
LOOKS = (
    (0.0, 0.0, 1.0),
    (0.03, 0.0, 1.06),
    (-0.03, 0.02, 0.95),
    (0.0, -0.03, 1.03),
    (0.0, 0.02, 0.98),
)
"""Patches of the query frame in which the network looks at a face: shifts to the right and down, in
units of the face, and size."""
AGREES = 0.08
"""Distance of a part's points, in the mean, from where the network sees them in the query frame, in
units of the face, up to which both have the same face in mind."""
LEAST = 4.0
"""Pixels between the outer eye corners below which a face has no lids to be seen."""


class Look(NamedTuple):
    """What the network sees in patches of one part.

    Attributes:
        places: (points,) complex, in the patch.
        spread: (points,) how uncertain they are, in units of the face.
    """

    places: np.ndarray
    spread: np.ndarray


class ExpressionNetwork:
    """The networks of all kinds of parts, and the filters that decide between them and a tracker.

    Args:
        weights: "auto", a name of `facetrack.weights` or the path of a file.
        device, precision: as of `TrackerOptions`.

    Raises:
        FacetrackError: there is no such file, or it holds something else.
    """

    def __init__(
        self, weights: str = "auto", device: str = "auto", precision: str = "auto"
    ) -> None:
        self.found = resolve(WEIGHTS_PART, weights)
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device, trained_for_it=True)
        modules = build()
        load_state_dict(modules, read_state_dict(self.found.path), self.found.path, WHAT)
        modules.eval()
        networks, filters = modules["networks"], modules["filters"]
        fold_norms(networks)
        networks.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.precision != torch.float32:
            cast_weights(networks, self.precision)
        if self.device.type == "cpu":
            onednn.pack(networks)
        self.networks: dict[str, PartNetwork] = dict(networks.items())  # type: ignore[operator]
        self.filters: dict[str, PartFilter] = dict(filters.items())  # type: ignore[operator]

    @torch.inference_mode()
    def look(self, patches: Sequence[Sequence[np.ndarray]]) -> list[list[Look]]:
        """What is seen in the patches of all parts (PARTS) of some faces."""
        made: list[list[Look]] = [[] for _ in patches]
        if not patches:
            return made
        for name, kind in KINDS.items():
            which = [p for p, part in enumerate(PARTS) if part.kind is kind]
            several = np.stack([face[p] for face in patches for p in which])
            batch = torch.from_numpy(several).to(self.device).permute(0, 3, 1, 2).float() / 255
            places, spreads = self.networks[name](batch)
            xy = places.float().cpu().numpy().astype(float)
            looks = [
                Look(where[:, 0] + 1j * where[:, 1], spread)
                for where, spread in zip(xy, spreads.float().cpu().numpy(), strict=True)
            ]
            for i, face in enumerate(made):
                face += looks[i * len(which) : (i + 1) * len(which)]
        return made

    def describe(self) -> dict[str, Any]:
        """For the sidecar."""
        return {
            "name": WEIGHTS_PART,
            **self.found.describe(),
            "device": str(self.device),
            "precision": precision_name(self.precision),
        }


def build() -> nn.ModuleDict:
    """Networks and filters by kind, as they are in a file."""
    return nn.ModuleDict(
        {
            "networks": nn.ModuleDict({n: PartNetwork(kind) for n, kind in KINDS.items()}),
            "filters": nn.ModuleDict({n: PartFilter(kind) for n, kind in KINDS.items()}),
        }
    )


def query_poses(rest: Rest) -> list[Pose]:
    """The poses of LOOKS."""
    pose = rest.pose(rest.points)
    return [
        Pose(pose.arrow * scale, pose.middles + (right + 1j * down) * pose.arrow)
        for right, down, scale in LOOKS
    ]


def mean_look(part: int, rest: Rest, looks: Sequence[np.ndarray]) -> np.ndarray:
    """(points,) where a part's points are seen in the query frame's patch, by those of LOOKS."""
    home = rest.pose(rest.points)
    poses = query_poses(rest)
    return np.mean(
        [into(part, home, out_of(part, pose, xy)) for pose, xy in zip(poses, looks, strict=True)],
        0,
    )


@dataclass
class PartState:
    """What is known of the parts of one kind.

    Attributes:
        parts: their numbers among PARTS.
        first: (parts, points) where the network has them in the query frame, complex.
        known: of the query frame.
        memory: of the frames since; None before the first.
    """

    parts: list[int]
    first: np.ndarray
    known: Known
    memory: Memory | None = None


class Expressions:
    """How one face's points are to be corrected.

    Args:
        placed: (68, 2) its points in the query frame.
        looks: what is seen in the patches of LOOKS there.
    """

    def __init__(self, placed: np.ndarray, looks: Sequence[Sequence[Look]]) -> None:
        self.rest = Rest(placed)
        self._states: dict[str, PartState] = {}
        self._middles: np.ndarray | None = None
        home = self.rest.pose(self.rest.points)
        for name, kind in KINDS.items():
            parts, first, rests, spreads = [], [], [], []
            for p in _parts_of(kind):
                here = into(p, home, self.rest.points[PARTS[p].points])
                seen = mean_look(p, self.rest, [face[p].places for face in looks])
                if self.rest.unit < LEAST or not np.abs(here - seen).mean() < AGREES:
                    continue
                parts.append(p)
                first.append(seen)
                rests.append(here)
                spreads.append(np.mean([face[p].spread for face in looks], 0))
            if parts:
                rest, seen = np.stack(rests), np.stack(first)
                known = Known(
                    _tensor(_pairs(rest)), _tensor(_pairs(rest - seen)), _tensor(np.stack(spreads))
                )
                self._states[name] = PartState(parts, seen, known)

    @property
    def usable(self) -> bool:
        """Whether the network sees any part of the face where it was placed."""
        return bool(self._states)

    @staticmethod
    def poses(placed: np.ndarray) -> list[Pose]:
        """Of the patches that `looks` are to be of."""
        return query_poses(Rest(placed))

    @torch.inference_mode()
    def correct(
        self,
        network: ExpressionNetwork,
        xy: np.ndarray,
        confidence: np.ndarray,
        pose: Pose,
        looks: Sequence[Look],
    ) -> np.ndarray:
        """Correct the points of the next frame in their place.

        Args:
            xy: (68, 2) the tracker's, finite; confidence: (68,).
            pose: of the face there.
            looks: what is seen in its patches.

        Returns:
            Indices of the points that may have changed.
        """
        at = as_complex(xy)
        before = pose.middles if self._middles is None else self._middles
        self._middles = pose.middles
        # The filter knows one part alone: of a face that is lost it is as sure as of a shut eye.
        most = np.maximum(confidence, confidence[STEADY].mean())
        unit = abs(pose.arrow)
        away = np.abs(pose.middles - before) / unit
        for name, state in self._states.items():
            places = [PARTS[p].points for p in state.parts]
            here = np.stack(
                [into(p, pose, at[i]) for p, i in zip(state.parts, places, strict=True)]
            )
            rest = state.known.rest[..., 0].numpy() + 1j * state.known.rest[..., 1].numpy()
            seen = Seen(
                _tensor(_pairs(here - rest)),
                _tensor(_pairs(np.stack([looks[p].places for p in state.parts]) - state.first)),
                _tensor(np.stack([looks[p].spread for p in state.parts])),
                _tensor(np.stack([confidence[i] for i in places])),
                _tensor(np.stack([[away[p], np.log(unit / 100)] for p in state.parts])),
            )
            filtering = network.filters[name]
            memory = state.memory or filtering.begin(seen)
            moved, logits, state.memory = filtering(state.known, seen, memory)
            shift = moved.double().numpy()
            sure = logits.sigmoid().numpy()
            for p, i, off, one, known in zip(state.parts, places, shift, sure, rest, strict=True):
                there = out_of(p, pose, known + off[:, 0] + 1j * off[:, 1])
                xy[i] = np.stack([there.real, there.imag], -1)
                confidence[i] = np.minimum(one, most[i])
        return np.concatenate(
            [PARTS[p].points for state in self._states.values() for p in state.parts]
        )


def _parts_of(kind: Kind) -> list[int]:
    return [p for p, part in enumerate(PARTS) if part.kind is kind]


def _pairs(values: np.ndarray) -> np.ndarray:
    return np.stack([values.real, values.imag], -1)


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))
