"""Compute the figures of a tracker on clips with ground truth, for `tracking`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from facetrack.evaluation import metrics

MOVING = 1.0  # pixels a frame above which a point has a direction to lag behind in
COLUMNS = {
    "nrmse": "NRMSE %",
    "nrmse_photograph": "NRMSE %, in photograph",
    "nrmse_cut_out": "NRMSE %, cut out",
    "nrmse_all": "NRMSE % with hidden",
    "hidden": "hidden %",
    "failure_rate": "failed frames %",
    "occlusion_accuracy": "OA",
    "average_jaccard": "AJ",
    "delta_avg": "delta_avg",
    "jitter": "jitter %",
    "lag": "lag %",
    "unanswered": "no answer %",
    "fps": "frames/s",
    "speed_to_lk": "speed / lk",
}
_DIGITS = {"occlusion_accuracy": 3, "average_jaccard": 3, "delta_avg": 3, "fps": 0}


class Truth(Protocol):
    """Ground truth of a clip; `warped_faces.Clip` implements it.

    Attributes:
        xy: (T, N, 2) pixels, NaN where unknown.
        visible: (T, N) bool.
        interocular: (T,) pixels.
        cut_out: the head alone moves over the background, and the jaw is its edge.
    """

    xy: np.ndarray
    visible: np.ndarray
    interocular: np.ndarray
    cut_out: bool


@dataclass
class Tally:
    """Figures of one tracker, gathered clip by clip; the first frame of each never counts.

    Errors are per cent of the frame's true inter-ocular distance. A point for which the tracker
    gives no position has no error: it is left out of the means and counted in `unanswered`, and a
    frame with a visible point unanswered is a failed frame. AJ and delta_avg take it as wrong.
    Points outside the frame count in occlusion accuracy and AJ alone.
    """

    size: tuple[int, int]
    visible: list[np.ndarray] = field(default_factory=list)
    cut_out: list[bool] = field(default_factory=list)
    hidden: list[np.ndarray] = field(default_factory=list)
    frames: list[np.ndarray] = field(default_factory=list)
    lag: list[np.ndarray] = field(default_factory=list)
    jitter: list[float] = field(default_factory=list)
    tapvid: list[metrics.PointTracking] = field(default_factory=list)
    seconds: float = 0.0
    count: int = 0

    def add(self, xy: np.ndarray, seen: np.ndarray, truth: Truth, seconds: float) -> None:
        """Add a clip: xy (T, N, 2), seen (T, N) bool, and the tracker's seconds."""
        self.seconds += seconds
        self.count += len(xy)
        scale = truth.interocular[:, None]
        error = 100 * np.linalg.norm(xy - truth.xy, axis=-1) / scale
        known = np.isfinite(truth.xy).all(-1) & np.isfinite(scale)
        known[0] = False
        inside = ((truth.xy > -0.5) & (truth.xy < np.array(self.size) - 0.5)).all(-1)
        shown, hidden = known & truth.visible, known & inside & ~truth.visible
        self.visible.append(error[shown])
        self.cut_out.append(truth.cut_out)
        self.hidden.append(error[hidden])
        counted = shown.any(1)
        sums = np.where(shown, error, 0).sum(1)[counted]  # NaN where any is unanswered
        self.frames.append(sums / shown.sum(1)[counted])

        # The way a point goes, seen from the frame before to the frame after.
        motion = (truth.xy[2:] - truth.xy[:-2]) / 2
        speed = np.linalg.norm(motion, axis=-1)
        moving = shown[1:-1] & (speed > MOVING)
        along = ((xy - truth.xy)[1:-1] * motion).sum(-1)[moving] / speed[moving]
        self.lag.append(100 * along / np.broadcast_to(scale[1:-1], speed.shape)[moving])

        shown_xy = np.where(shown[..., None], xy, np.nan)
        self.jitter.append(100 * metrics.jitter(shown_xy, truth.interocular, truth.xy))
        self.tapvid.append(
            metrics.point_tracking(xy, seen, truth.xy, truth.visible, self.size, known)
        )

    def figures(self) -> dict[str, float]:
        """Return the means, by the keys of COLUMNS except `speed_to_lk`, and each clip's NRMSE."""
        visible, hidden = (np.concatenate(part) for part in (self.visible, self.hidden))
        answered = np.concatenate([visible, hidden])
        tapvid = np.array(self.tapvid)
        return {
            "nrmse": _mean(visible),
            "nrmse_photograph": self._nrmse(cut_out=False),
            "nrmse_cut_out": self._nrmse(cut_out=True),
            "nrmse_all": _mean(answered),
            "hidden": _mean(hidden),
            "failure_rate": 100 * metrics.failure_rate(np.concatenate(self.frames)),
            "occlusion_accuracy": _mean(tapvid[:, 1]),
            "average_jaccard": _mean(tapvid[:, 2]),
            "delta_avg": _mean(tapvid[:, 0]),
            "jitter": _mean(np.array(self.jitter)),
            "lag": _mean(np.concatenate(self.lag)),
            "unanswered": 100 * float(np.isnan(answered).mean()),
            "fps": self.count / max(self.seconds, 1e-9),
        }

    def _nrmse(self, cut_out: bool) -> float:
        chosen = zip(self.visible, self.cut_out, strict=True)
        errors = [e for e, is_cut_out in chosen if is_cut_out == cut_out]
        return _mean(np.concatenate(errors)) if errors else float("nan")

    def by_clip(self) -> list[float]:
        """Return the NRMSE of each clip."""
        return [_mean(errors) for errors in self.visible]


def _mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")


def cell(key: str, value: float | None) -> str:
    """Format a figure for the table."""
    if value is None or not np.isfinite(value):
        return "-"
    return f"{value:.{_DIGITS.get(key, 2)}f}"


def markdown(results: dict[str, dict[str, dict[str, Any]]], badja: dict[str, Any]) -> str:
    """Format results[variant][tracker] and badja[clip][tracker] (per cent) as tables."""
    lines: list[str] = []
    for variant, rows in results.items():
        lines += [f"| {variant} | " + " | ".join(rows) + " |", "|---|" + "---:|" * len(rows)]
        for key, title in COLUMNS.items():
            cells = (cell(key, row.get(key)) for row in rows.values())
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
        lines.append("")
    if badja:
        names = list(next(iter(badja.values())))
        lines += ["| joints within 8 px at 480p, % | " + " | ".join(names) + " |"]
        lines += ["|---|" + "---:|" * len(names)]
        for clip, row in badja.items():
            lines.append(f"| {clip} | " + " | ".join(f"{row[n]:.1f}" for n in names) + " |")
        lines.append("")
    return "\n".join(lines)
