"""Build the inputs and targets of `part_filter`'s training from recorded clips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from facetrack.ops.similarity import as_complex, as_xy
from facetrack.trackers.expression.corrector import average_query_views
from facetrack.trackers.expression.face_parts import (
    EYE,
    FACE_PARTS,
    FacePose,
    QueryFace,
    frame_to_patch,
)
from facetrack.trackers.expression.part_filter import PartObservation, QueryReference
from facetrack.trackers.expression.part_network import PartNetwork
from facetrack.training.part_clips import Recording

MOVING_POINTS = {
    "eye": [6, 7, 9, 10],
    "mouth": [*range(1, 6), *range(7, 12), 13, 14, 15, 17, 18, 19],
}
"""Indices, among a layout's landmarks, of the points that a tracker loses when eyes or mouths open
and shut."""
SLIDING_POINTS: dict[str, list[int]] = {"eye": [], "mouth": [*range(20)]}
"""The same of the points that it loses across the face, as when lips smile or pucker."""


class Sequences(NamedTuple):
    """Clips of M parts of one layout with T frames each; positions as in `PartObservation`.

    Attributes:
        reference: measurements in the query frame.
        observation: observations, (M, T, ...) each.
        target: (M, T, points, 2) true positions, NaN where unknown.
        visible: (M, T, points) float32.
    """

    reference: QueryReference
    observation: PartObservation
    target: Tensor
    visible: Tensor


@torch.no_grad()
def detect(network: PartNetwork, patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Detect landmarks in patches (..., h, w, 3) uint8.

    Returns:
        Complex positions (..., points) and uncertainties (..., points).
    """
    flat = torch.from_numpy(patches.reshape(-1, *patches.shape[-3:]))
    positions, spreads = [], []
    for part in flat.split(256):
        output = network(part.permute(0, 3, 1, 2).float() / 255)
        positions.append(output[0].float().numpy())
        spreads.append(output[1].float().numpy())
    xy = np.concatenate(positions).reshape(*patches.shape[:-3], -1, 2)
    return xy[..., 0] + 1j * xy[..., 1], np.concatenate(spreads).reshape(xy.shape[:-1])


def build_sequences(clips: Recording, networks: Mapping[str, PartNetwork]) -> dict[str, Sequences]:
    """Build the filter's inputs and targets, by layout, from recorded clips."""
    eyes, eye_spread = detect(networks["eye"], clips.eyes)
    mouths, mouth_spread = detect(networks["mouth"], clips.mouths)
    first_eyes, first_spread = detect(networks["eye"], clips.first_eyes)
    first_mouths, first_mouth_spread = detect(networks["mouth"], clips.first_mouths)
    rows: dict[str, list[tuple[np.ndarray, ...]]] = {"eye": [], "mouth": []}
    for c in range(len(clips.placed)):
        query = QueryFace(clips.placed[c])
        query_pose = query.estimate_pose(query.points)
        poses = [query.estimate_pose(as_complex(points)) for points in clips.tracked[c]]
        tracked, truth = as_complex(clips.tracked[c]), as_complex(clips.truth[c])
        for p, part in enumerate(FACE_PARTS):
            if p < 2:
                first, first_part_spread = first_eyes[c, :, p], first_spread[c, :, p].mean(0)
                now, spread = eyes[c, :, p], eye_spread[c, :, p]
            else:
                first, first_part_spread = first_mouths[c], first_mouth_spread[c].mean(0)
                now, spread = mouths[c], mouth_spread[c]
            placed = frame_to_patch(p, query_pose, query.points[part.points])
            detected_first = average_query_views(p, query, list(first))
            tracked_part = np.array(
                [
                    frame_to_patch(p, pose, xy[part.points])
                    for pose, xy in zip(poses, tracked, strict=True)
                ]
            )
            true = np.array(
                [
                    frame_to_patch(p, pose, xy[part.points])
                    for pose, xy in zip(poses, truth, strict=True)
                ]
            )
            true_first = frame_to_patch(p, query_pose, truth[0][part.points])
            initial_error = (placed - true_first) * _kept_error(true, true_first, p)
            rows["eye" if p < 2 else "mouth"].append(
                (
                    as_xy(placed),
                    as_xy(placed - detected_first),
                    first_part_spread,
                    as_xy(tracked_part - placed),
                    as_xy(now - detected_first),
                    spread,
                    clips.sure[c][:, part.points],
                    _motion(poses, p),
                    as_xy(true + initial_error - placed),
                    clips.seen[c][:, part.points].astype(float),
                )
            )
    sequences = {}
    for name, row in rows.items():
        values = [torch.from_numpy(np.stack(field)).float() for field in zip(*row, strict=True)]
        sequences[name] = Sequences(
            QueryReference(*values[:3]), PartObservation(*values[3:8]), values[8], values[9]
        )
    return sequences


def _motion(poses: list[FacePose], part: int) -> np.ndarray:
    """Return `PartObservation.motion` (T, 2) of one part."""
    centres = np.array([pose.centres[part] for pose in poses])
    units = np.array([abs(pose.axis) for pose in poses])
    return np.stack(
        [np.abs(np.diff(centres, prepend=centres[:1])) / units, np.log(units / 100)], -1
    )


def _kept_error(true: np.ndarray, first: np.ndarray, part: int) -> np.ndarray:
    """Return the share (T, points) of the initial error that the target keeps.

    The share is 1, but 0 for the lids of a shut eye, which meet whatever the initial error.
    """
    kept = np.ones(true.shape)
    if part < 2:
        open_now, open_first = (
            (x[..., list(EYE.lower)] - x[..., list(EYE.upper)]).imag.mean(-1) for x in (true, first)
        )
        share = np.clip(np.nan_to_num(open_now / max(float(open_first), 0.02), nan=1.0), 0, 1)
        kept[:, MOVING_POINTS["eye"]] = share[:, None]
    return kept


def select(batch: Sequences, index: Tensor) -> Sequences:
    """Return the parts with these indices."""
    return Sequences(
        QueryReference(*(x[index] for x in batch.reference)),
        PartObservation(*(x[index] for x in batch.observation)),
        batch.target[index],
        batch.visible[index],
    )
