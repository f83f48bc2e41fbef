"""Correct the points of eyelids, brows, lips and chin of one face with small networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from facetrack.ops.similarity import as_complex, as_xy
from facetrack.runtime import onednn
from facetrack.runtime.device import cast_weights, choose_device, choose_precision, precision_name
from facetrack.runtime.transfers import download, upload
from facetrack.trackers.expression.face_parts import (
    FACE_PARTS,
    PATCH_LAYOUTS,
    RIGID_POINTS,
    WEIGHTS_PART,
    FacePose,
    PatchLayout,
    QueryFace,
    frame_to_patch,
    patch_to_frame,
)
from facetrack.trackers.expression.part_filter import (
    FilterState,
    PartFilter,
    PartObservation,
    QueryReference,
)
from facetrack.trackers.expression.part_network import PartNetwork, fold_norms
from facetrack.weights import resolve
from facetrack.weights.state_dict import load_state_dict, read_state_dict

_FILE_DESCRIPTION = "a file of expressions"
QUERY_VIEWS = (
    (0.0, 0.0, 1.0),
    (0.03, 0.0, 1.06),
    (-0.03, 0.02, 0.95),
    (0.0, -0.03, 1.03),
    (0.0, 0.02, 0.98),
)
"""Crops of the query frame over which detections are averaged: shift to the right and shift down,
both in units of the face, and relative size."""
MAX_QUERY_DISTANCE = 0.08
"""Maximum mean distance, in units of the face, between a part's initial points and the network's
detections in the query frame. A part that is further off is left to the tracker."""
MIN_FACE_PX = 4.0
"""Minimum distance of the outer eye corners in pixels. Smaller faces are left to the tracker."""


class PartLandmarks(NamedTuple):
    """Landmarks detected in the patch of one part.

    Attributes:
        positions: (points,) complex positions in the patch.
        spread: (points,) their uncertainties, in units of the face.
    """

    positions: np.ndarray
    spread: np.ndarray


class ExpressionNetwork:
    """The landmark networks and filters of all patch layouts.

    Args:
        weights: "auto", a name of `facetrack.weights` or the path of a file.
        device, precision: as in `TrackerOptions`.

    Raises:
        FacetrackError: the file does not exist or holds other weights.
    """

    def __init__(
        self, weights: str = "auto", device: str = "auto", precision: str = "auto"
    ) -> None:
        self.resolved = resolve(WEIGHTS_PART, weights)
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device, trained_for_it=True)
        modules = build()
        path = self.resolved.path
        load_state_dict(modules, read_state_dict(path), path, _FILE_DESCRIPTION)
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
    def detect(self, patches: Sequence[Sequence[np.ndarray]]) -> list[list[PartLandmarks]]:
        """Detect the landmarks in the patches of all parts (FACE_PARTS) of several faces.

        Args:
            patches: one list of patches (height, width, 3) per face.

        Returns:
            One list per face, in the order of FACE_PARTS.
        """
        detections: list[list[PartLandmarks]] = [[] for _ in patches]
        if not patches:
            return detections
        groups = {name: _parts_with(layout) for name, layout in PATCH_LAYOUTS.items()}
        stacked = [
            np.stack([face[p] for face in patches for p in parts]) for parts in groups.values()
        ]
        outputs = [
            self.networks[name](batch.permute(0, 3, 1, 2).float() / 255)
            for name, batch in zip(groups, upload(stacked, self.device), strict=True)
        ]
        arrays = iter(download(*(array for output in outputs for array in output)))
        for parts, positions, spreads in zip(groups.values(), arrays, arrays, strict=True):
            xy = positions.astype(float)
            landmarks = [
                PartLandmarks(part_xy[:, 0] + 1j * part_xy[:, 1], spread)
                for part_xy, spread in zip(xy, spreads, strict=True)
            ]
            for i, face in enumerate(detections):
                face += landmarks[i * len(parts) : (i + 1) * len(parts)]
        return detections

    def describe(self) -> dict[str, Any]:
        """Return the entries for the record."""
        return {
            "name": WEIGHTS_PART,
            **self.resolved.describe(),
            "device": str(self.device),
            "precision": precision_name(self.precision),
        }


def build() -> nn.ModuleDict:
    """Build untrained networks and filters by layout, as in a weights file."""
    return nn.ModuleDict(
        {
            "networks": nn.ModuleDict({n: PartNetwork(k) for n, k in PATCH_LAYOUTS.items()}),
            "filters": nn.ModuleDict({n: PartFilter(k) for n, k in PATCH_LAYOUTS.items()}),
        }
    )


def query_view_poses(query: QueryFace) -> list[FacePose]:
    """Return the poses of the crops in QUERY_VIEWS."""
    pose = query.estimate_pose(query.points)
    return [
        FacePose(pose.axis * scale, pose.centres + (right + 1j * down) * pose.axis)
        for right, down, scale in QUERY_VIEWS
    ]


def average_query_views(part: int, query: QueryFace, positions: Sequence[np.ndarray]) -> np.ndarray:
    """Average a part's detections in the crops of QUERY_VIEWS.

    Args:
        part: index into FACE_PARTS.
        query: the face in the query frame.
        positions: (points,) complex positions in the patch, for each crop.

    Returns:
        (points,) complex positions in the unshifted patch of the query frame.
    """
    query_pose = query.estimate_pose(query.points)
    poses = query_view_poses(query)
    return np.mean(
        [
            frame_to_patch(part, query_pose, patch_to_frame(part, pose, xy))
            for pose, xy in zip(poses, positions, strict=True)
        ],
        0,
    )


@dataclass
class PartGroup:
    """The corrected parts of one layout.

    Attributes:
        parts: indices into FACE_PARTS.
        detected: (parts, points) complex detections in the query frame's patches.
        reference: measurements in the query frame.
        filter_state: the filter's state; None before the first frame.
    """

    parts: list[int]
    detected: np.ndarray
    reference: QueryReference
    filter_state: FilterState | None = None


class ExpressionCorrector:
    """Corrects the points of one face.

    Args:
        landmarks: (68, 2) its points in the query frame, pixels.
        detections: the detections in the crops of QUERY_VIEWS, for each part.
    """

    def __init__(
        self, landmarks: np.ndarray, detections: Sequence[Sequence[PartLandmarks]]
    ) -> None:
        self.query = QueryFace(landmarks)
        self._groups: dict[str, PartGroup] = {}
        self._previous_centres: np.ndarray | None = None
        query_pose = self.query.estimate_pose(self.query.points)
        for name, layout in PATCH_LAYOUTS.items():
            parts, all_positions, all_detected, spreads = [], [], [], []
            for p in _parts_with(layout):
                positions = frame_to_patch(p, query_pose, self.query.points[FACE_PARTS[p].points])
                detected = average_query_views(
                    p, self.query, [face[p].positions for face in detections]
                )
                distance = np.abs(positions - detected).mean()
                if self.query.unit < MIN_FACE_PX or not distance < MAX_QUERY_DISTANCE:
                    continue
                parts.append(p)
                all_positions.append(positions)
                all_detected.append(detected)
                spreads.append(np.mean([face[p].spread for face in detections], 0))
            if parts:
                stacked, stacked_detected = np.stack(all_positions), np.stack(all_detected)
                reference = QueryReference(
                    _as_tensor(as_xy(stacked)),
                    _as_tensor(as_xy(stacked - stacked_detected)),
                    _as_tensor(np.stack(spreads)),
                )
                self._groups[name] = PartGroup(parts, stacked_detected, reference)

    @property
    def usable(self) -> bool:
        """True if the network confirmed at least one part in the query frame."""
        return bool(self._groups)

    @staticmethod
    def query_poses(landmarks: np.ndarray) -> list[FacePose]:
        """Return the poses of the crops that the constructor's `detections` refer to."""
        return query_view_poses(QueryFace(landmarks))

    @torch.inference_mode()
    def correct(
        self,
        network: ExpressionNetwork,
        xy: np.ndarray,
        confidence: np.ndarray,
        pose: FacePose,
        detections: Sequence[PartLandmarks],
    ) -> np.ndarray:
        """Correct the points of the next frame in place.

        Args:
            network: provides the filters.
            xy: (68, 2) the tracker's points, finite, pixels.
            confidence: (68,) the tracker's confidences in [0, 1].
            pose: the pose of the face in the frame.
            detections: the detections in the frame, for each part.

        Returns:
            Indices of the points that may have changed.
        """
        frame_positions = as_complex(xy)
        previous = pose.centres if self._previous_centres is None else self._previous_centres
        self._previous_centres = pose.centres
        # The filter sees a part only and cannot tell a lost face from a shut eye. The rigid points
        # can, so their confidence limits the filter's.
        max_confidence = np.maximum(confidence, confidence[RIGID_POINTS].mean())
        unit = abs(pose.axis)
        moved = np.abs(pose.centres - previous) / unit
        for name, group in self._groups.items():
            indices = [FACE_PARTS[p].points for p in group.parts]
            tracked = np.stack(
                [
                    frame_to_patch(p, pose, frame_positions[i])
                    for p, i in zip(group.parts, indices, strict=True)
                ]
            )
            detected = np.stack([detections[p].positions for p in group.parts])
            reference = as_complex(group.reference.positions.numpy())
            observation = PartObservation(
                _as_tensor(as_xy(tracked - reference)),
                _as_tensor(as_xy(detected - group.detected)),
                _as_tensor(np.stack([detections[p].spread for p in group.parts])),
                _as_tensor(np.stack([confidence[i] for i in indices])),
                _as_tensor(np.stack([[moved[p], np.log(unit / 100)] for p in group.parts])),
            )
            part_filter = network.filters[name]
            state = group.filter_state or part_filter.initial_state(observation)
            offsets, logits, group.filter_state = part_filter(group.reference, observation, state)
            all_offsets = offsets.double().numpy()
            visibility = logits.sigmoid().numpy()
            for row, (p, i) in enumerate(zip(group.parts, indices, strict=True)):
                offset = all_offsets[row]
                corrected = patch_to_frame(
                    p, pose, reference[row] + offset[:, 0] + 1j * offset[:, 1]
                )
                xy[i] = as_xy(corrected)
                confidence[i] = np.minimum(visibility[row], max_confidence[i])
        return np.concatenate(
            [FACE_PARTS[p].points for group in self._groups.values() for p in group.parts]
        )


def _parts_with(layout: PatchLayout) -> list[int]:
    """Return the indices of the parts with this layout."""
    return [p for p, part in enumerate(FACE_PARTS) if part.layout is layout]


def _as_tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))
