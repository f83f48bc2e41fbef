"""Show tracks in one line, and as a table in notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from facetrack.landmarks import schemes

if TYPE_CHECKING:
    from facetrack.tracks import Tracks

WIDTH, ROW_HEIGHT = 240, 12
"""Size of the picture of a face's visibility, in pixels."""
MAX_FACES = 20
SEEN_COLOUR, UNKNOWN_COLOUR = "#56b4e9", "#e0e0e0"
"""Of Okabe and Ito's palette, as in the overlay."""


def one_line(tracks: Tracks) -> str:
    """Return the size and the extent of tracks in one line."""
    frames, faces, points = tracks.visible.shape
    width, height = tracks.size
    parts = [counted(frames, "frame"), counted(faces, "face"), counted(points, "point")]
    if frames:
        parts.append(f"{tracks.time[0]:.2f} to {tracks.time[-1]:.2f} s")
    parts.append(f"{width} x {height} pixels" if width and height else "size unknown")
    if tracks.visible.size:
        unknown = 1 - np.isfinite(tracks.xy).all(-1).mean()
        parts.append(f"{tracks.visible.mean():.0%} visible, {unknown:.0%} unknown")
    return f"<Tracks: {', '.join(parts)}>"


def counted(count: int, noun: str) -> str:
    """Return "1 frame" or "2 frames"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def table(tracks: Tracks) -> str:
    """Return an HTML table with a row per face: when it is seen, and how surely."""
    title = schemes.get(tracks.scheme).title
    rows = "".join(_row(tracks, index) for index in range(min(len(tracks.face_id), MAX_FACES)))
    more = len(tracks.face_id) - MAX_FACES
    note = f"<p>and {counted(more, 'more face')}</p>" if more > 0 else ""
    return (
        f"<div><p>{escape(one_line(tracks)[1:-1])}; {escape(title)}</p>"
        "<table><thead><tr><th>face</th><th>visible over time</th><th>known</th>"
        f"<th>visible</th><th>confidence</th></tr></thead><tbody>{rows}</tbody></table>{note}</div>"
    )


def _row(tracks: Tracks, face: int) -> str:
    known = np.isfinite(tracks.xy[:, face]).all(-1)
    visible = tracks.visible[:, face]
    has_any = bool(known.any())
    confidence = f"{tracks.confidence[:, face][known].mean():.2f}" if has_any else "-"
    cells = [f"{_share(known)}", f"{_share(visible)}", confidence]
    shown = "".join(f"<td>{cell}</td>" for cell in cells)
    return f"<tr><th>{tracks.face_id[face]}</th><td>{_strip(visible)}</td>{shown}</tr>"


def _share(values: np.ndarray) -> str:
    return f"{values.mean():.0%}" if values.size else "-"


def _strip(visible: np.ndarray) -> str:
    """Return a picture of the share of visible points over time."""
    shares = visible.mean(-1) if visible.size else np.zeros(0)
    bars = []
    for piece in np.array_split(np.arange(len(shares)), min(WIDTH // 2, max(len(shares), 1))):
        if len(piece):
            height = ROW_HEIGHT * float(shares[piece].mean())
            left, right = (WIDTH * edge / len(shares) for edge in (piece[0], piece[-1] + 1))
            bars.append(
                f'<rect x="{left:.1f}" y="{ROW_HEIGHT - height:.1f}" width="{right - left:.1f}" '
                f'height="{height:.1f}" fill="{SEEN_COLOUR}"/>'
            )
    return (
        f'<svg width="{WIDTH}" height="{ROW_HEIGHT}" role="img" aria-label="visible over time" '
        f'style="background:{UNKNOWN_COLOUR}">{"".join(bars)}</svg>'
    )
