"""Plot tracks with matplotlib, an optional package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.landmarks.selection import Points, point_indices

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from facetrack.tracks import Tracks

NUM_AXES = {"trajectories": 2, "visibility": 1}
CHARACTERISTIC_POINTS = {
    "68": (36, 45, 30, 48, 54, 8),
    "98": (60, 72, 54, 76, 82, 16),
    "29": (8, 9, 20, 22, 23, 28),
    "19": (6, 11, 13, 15, 17, 18),
    "5": (0, 1, 2, 3, 4),
}
"""Point layout -> outer eye corners (or eyes), tip of the nose, mouth corners, chin if any."""
MAX_LINES = 12
"""Maximum number of trajectories with a legend, and number drawn by default in a free layout."""
STATES = ("unknown", "hidden", "seen")
STATE_COLOURS = ("#ffffff", "#e69f00", "#0072b2")  # distinct for colour-blind readers and in grey


def plot(
    tracks: Tracks,
    kind: str,
    points: Points | None,
    face_id: int | None,
    axes: Axes | Sequence[Axes] | None,
) -> list[Axes]:
    """Plot one face's points over time; see `Tracks.plot`."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise FacetrackError(
            "Plotting needs matplotlib: pip install 'facetrack[plots]'."
        ) from error
    if kind not in NUM_AXES:
        raise FacetrackError(f"There is no plot {kind!r}; choose {' or '.join(NUM_AXES)}.")
    face = _face_index(tracks, face_id)
    selected = _point_indices(tracks, kind, points)
    count = NUM_AXES[kind]
    if axes is None:
        _, new_axes = pyplot.subplots(
            count, sharex=True, squeeze=False, figsize=(9, 5), layout="constrained"
        )
        drawn: list[Axes] = list(new_axes[:, 0])
    else:
        drawn = list(np.atleast_1d(np.asarray(axes, object)).ravel())
        if len(drawn) != count:
            raise FacetrackError(f"The plot {kind!r} takes {count} axes, not {len(drawn)}.")
    draw = _plot_trajectories if kind == "trajectories" else _plot_visibility
    draw(tracks, face, selected, drawn)
    drawn[-1].set_xlabel("time [s]")
    return drawn


def _face_index(tracks: Tracks, face_id: int | None) -> int:
    """Return the index of the face in the tracks."""
    ids = tracks.face_id.tolist()
    if not ids or not len(tracks):
        raise FacetrackError("These tracks hold no face to plot.")
    if face_id is None:
        return 0
    if face_id not in ids:
        raise FacetrackError(
            f"There is no face {face_id}; the faces are {', '.join(map(str, ids))}."
        )
    return ids.index(face_id)


def _point_indices(tracks: Tracks, kind: str, selection: Points | None) -> list[int]:
    """Return the indices of the selected points, without duplicates, in the given order."""
    count, regions = tracks.xy.shape[2], schemes.get(tracks.scheme).regions
    if selection is None:
        all_points = range(count)
        return list(
            all_points
            if kind == "visibility"
            else CHARACTERISTIC_POINTS.get(tracks.scheme, all_points[:MAX_LINES])
        )
    return point_indices(selection, count, regions)


def _plot_trajectories(tracks: Tracks, face: int, points: list[int], axes: list[Axes]) -> None:
    seen = tracks.visible[:, face]
    for index in points:
        xy = tracks.xy[:, face, index].astype(np.float64)
        for axis, values in zip(axes, xy.T, strict=True):
            (line,) = axis.plot(
                tracks.time, np.where(seen[:, index], values, np.nan), label=str(index)
            )
            axis.plot(tracks.time, values, ":", color=line.get_color(), linewidth=1, zorder=1)
    for axis, name in zip(axes, "xy", strict=True):
        axis.set_ylabel(f"{name} [px]")
    axes[1].invert_yaxis()  # y points down, as in the frame
    if len(points) <= MAX_LINES:
        axes[0].legend(title="point", loc="center left", bbox_to_anchor=(1.0, 0.5))


def _plot_visibility(tracks: Tracks, face: int, points: list[int], axes: list[Axes]) -> None:
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Patch

    (axis,) = axes
    known = np.isfinite(tracks.xy[:, face]).all(-1)[:, points]
    state = (known.astype(int) + (known & tracks.visible[:, face][:, points])).T
    axis.pcolormesh(
        _edges(tracks.time),
        np.arange(len(points) + 1) - 0.5,
        state,
        cmap=ListedColormap(STATE_COLOURS),
        norm=BoundaryNorm([0, 1, 2, 3], 3),
        rasterized=True,
    )
    ticks: dict[int, Any] = dict(enumerate(points))
    if len(points) > 3 * MAX_LINES:
        ticks = _region_ticks(tracks, points) or {k: ticks[k] for k in range(0, len(points), 10)}
    axis.set_yticks(list(ticks), [str(name) for name in ticks.values()])
    axis.invert_yaxis()
    axis.set_ylabel("point")
    patches = [
        Patch(facecolor=colour, edgecolor="#888888", label=name)
        for colour, name in zip(STATE_COLOURS, STATES, strict=True)
    ]
    axis.legend(handles=patches[::-1], loc="center left", bbox_to_anchor=(1.0, 0.5))


def _edges(time: np.ndarray) -> np.ndarray:
    """Return the borders (T + 1,) of frames at times (T,): a frame lasts until the next."""
    last_interval = time[-1] - time[-2] if len(time) > 1 else 1.0
    return np.append(time, time[-1] + last_interval)


def _region_ticks(tracks: Tracks, points: list[int]) -> dict[int, str]:
    """Return a dictionary row -> region, with each region at the middle of its rows."""
    rows = {point: row for row, point in enumerate(points)}
    ticks = {}
    for name, indices in schemes.get(tracks.scheme).regions.items():
        region_rows = [rows[i] for i in indices if i in rows]
        if region_rows:
            ticks[round(float(np.mean(region_rows)))] = name
    return ticks
