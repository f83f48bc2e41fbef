"""Draw the 68 landmarks with their numbers: `python examples/make_points_picture.py`.

The points are those of the mean face of the shape model (`shape-s`). The lower lip and the chin are
moved down so that the numbers of the inner lips fit. The picture is `docs/landmarks68.svg`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facetrack.identity.shape_model import ShapeModel
from facetrack.landmarks import schemes

TARGET = Path(__file__).parents[1] / "docs" / "landmarks68.svg"
PIXELS = 330
"""Pixels between the outer eye corners."""
MARGIN = 36
OPENING = 0.14
"""How far the lower lip is moved down, in units of the distance between the outer eye corners."""
LOWER_LIP = [*range(55, 60), *range(65, 68)]
CHIN = [*range(4, 13)]
COLOURS = {
    "jaw": "#52606d",
    "right_brow": "#8a5a00",
    "left_brow": "#8a5a00",
    "nose_bridge": "#1f7a4d",
    "nose_base": "#1f7a4d",
    "right_eye": "#1d5fa8",
    "left_eye": "#1d5fa8",
    "outer_lips": "#b3261e",
    "inner_lips": "#7b1fa2",
}
STYLE = (
    "text{font:13px sans-serif;text-anchor:middle;dominant-baseline:central}"
    "polyline,polygon{fill:none;stroke-width:1.5;opacity:.45}"
)


def label_offsets(xy: np.ndarray, regions: dict[str, tuple[int, ...]]) -> np.ndarray:
    """Return (68, 2) pixels from each point to its number: away from the middle of its part."""
    offsets = np.zeros_like(xy)
    for name, indices in regions.items():
        points = xy[list(indices)]
        middle = points.mean(0)
        if name == "jaw":
            middle = xy[30]
        away = points - middle
        away /= np.linalg.norm(away, axis=-1, keepdims=True)
        if name == "inner_lips":
            away = -away
            upper, lower = (1, 2, 3), (5, 6, 7)
            away[upper, :], away[lower, :] = (0, 1), (0, -1)
        if "brow" in name:
            away[:] = (0, -1)
        if name == "nose_bridge":
            away[:] = (1, 0)
        if name == "nose_base":
            away[:] = (0, 1)
        offsets[list(indices)] = 14 * away
    return offsets


def main() -> None:
    """Write the picture."""
    scheme = schemes.get("68")
    xy = ShapeModel.load().mean.copy()
    xy[LOWER_LIP, 1] += OPENING
    xy[CHIN, 1] += OPENING * np.sin(np.linspace(0, np.pi, len(CHIN)))
    xy *= PIXELS
    xy += MARGIN - xy.min(0)
    width, height = np.ceil(xy.max(0) + MARGIN).astype(int)
    colour = {i: COLOURS[name] for name, indices in scheme.regions.items() for i in indices}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">',
        "<title>The 68 landmarks of iBUG 300-W with their numbers, counted from 0</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{width}" height="{height}" rx="12" fill="#ffffff"/>',
    ]
    for line in scheme.lines:
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in xy[list(line.indices)])
        shape = "polygon" if line.closed else "polyline"
        parts.append(f'<{shape} points="{places}" stroke="{COLOURS[line.region]}"/>')
    numbers = xy + label_offsets(xy, dict(scheme.regions))
    for i, ((x, y), (u, v)) in enumerate(zip(xy, numbers, strict=True)):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour[i]}"/>')
        parts.append(f'<text x="{u:.1f}" y="{v:.1f}" fill="{colour[i]}">{i}</text>')
    TARGET.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
