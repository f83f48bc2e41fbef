"""Write Biovision Hierarchy (BVH) motion of head poses: one file per face."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facetrack.exports.base import Source
from facetrack.exports.space import Y_UP_TO_CAMERA, Axes, Head, posed_heads
from facetrack.files import atomic_path
from facetrack.measures import rotations

AXES = Axes(Y_UP_TO_CAMERA, 0.1)
BONE = 10.0
"""Length of the bone that shows which way the head looks, in cm."""


def write(folder: Path, source: Source) -> list[str]:
    """Write `<stem>.face_0.bvh`, ...; see `facetrack.exports.base.Write`.

    BVH has one step for all frames, and no gaps: poses are interpolated at the frames of a constant
    rate, the first of which is the first frame of the tracks. Before the first and after the last
    pose the head stays where it is. Frames without a pose are reported.
    """
    time, clock = source.tracks.time, source.clock
    step = source.tracks.stride / clock.rate
    count = len(time) if clock.is_constant else 1 + round((time[-1] - time[0]) / step)
    # At a constant rate every frame keeps its own pose.
    times = time if clock.is_constant else time[0] + step * np.arange(count)
    warnings = []
    for head in posed_heads(source):
        known = head.poses.known
        if not known.any():
            warnings.append(f"{head.name} has no head pose, so no BVH file was written for it.")
            continue
        if not known.all():
            warnings.append(
                f"{head.name} has no head pose in {int((~known).sum())} of {len(known)} frames; "
                "its BVH file interpolates there."
            )
        with (
            atomic_path(folder / f"{source.stem}.{head.name}.bvh") as temporary,
            open(temporary, "w", encoding="ascii", newline="\n") as file,
        ):
            file.write(_hierarchy(head.name))
            file.write(f"MOTION\nFrames: {count}\nFrame Time: {step:.8f}\n")
            for row in _channels(head, time, times).tolist():
                file.write(" ".join(f"{value + 0.0:.5f}" for value in row) + "\n")
    return warnings


def _hierarchy(name: str) -> str:
    return (
        f"HIERARCHY\nROOT {name}\n{{\n"
        "\tOFFSET 0.00 0.00 0.00\n"
        "\tCHANNELS 6 Xposition Yposition Zposition Xrotation Yrotation Zrotation\n"
        f"\tEnd Site\n\t{{\n\t\tOFFSET 0.00 0.00 {BONE:.2f}\n\t}}\n}}\n"
    )


def _channels(head: Head, time: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return a row of channels for each of `times`."""
    from scipy.spatial.transform import Rotation, Slerp

    known = head.poses.known
    places = AXES.place(head.poses.translation[known])
    turns = Rotation.from_matrix(AXES.rotation(head.poses.rotation[known]))
    clock = time[known]
    inside = np.clip(times, clock[0], clock[-1])
    moved = np.stack([np.interp(inside, clock, places[:, axis]) for axis in range(3)], axis=1)
    turned = Slerp(clock, turns)(inside) if len(clock) > 1 else turns[np.zeros(len(times), int)]
    angles = np.degrees(rotations.to_angles(turned.as_matrix()))
    return np.concatenate([moved, angles], axis=1)
