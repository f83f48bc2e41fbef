"""One-dimensional heat maps refined over time: the tracker of the attentive 1D-heatmap paper.

Yin et al., "Attentive One-Dimensional Heatmap Regression for Facial Landmark Detection and
Tracking", ACM MM 2020 (arXiv 2004.02108). Where the paper takes the face's place in each frame as
given, here the crop follows the landmarks, and what is remembered of earlier frames moves with it:
maps of one dimension are shifted and stretched exactly as the crop is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.detectors.crops import SIZE, Placement, hog_box
from facetrack.detectors.heatmap1d import Heatmap1d
from facetrack.detectors.heatmap1d_maps import read
from facetrack.detectors.heatmap1d_network import TemporalRefinement
from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import FaceDetector
from facetrack.trackers.base import PointTracker, StepResult
from facetrack.weights import ResolvedWeights, state_dict

ARCH = "heatmap1d-time"
WHAT = "temporal refinement for 1D heat maps (safetensors)"
SEEN = 0.4
"""Height of the lower of a landmark's two peaks above which it counts as seen. With heatmap1d-s it
is so for 95 % of those of held-out faces, and for half of those of a mouth behind a square."""
LOST = 0.3
"""Mean height of all peaks below which the face is looked for anew: held-out faces have 0.62 and
more, half covered ones 0.5, places without a face 0.01 to 0.1."""
STAY = 0.05
"""Shares of the crop's side by which the face may move or grow before the crop follows."""


@dataclass
class Heatmap1dState:
    """All that is remembered between frames.

    Attributes:
        square: (4,) x0 y0 x1 y1 of the crop in pixels of the frame.
        memory: (1, channels, L) what earlier frames left, None before the first.
        lost: whether the face has to be found again.
    """

    square: np.ndarray
    memory: Tensor | None = None
    lost: bool = False


def load_refinement(found: ResolvedWeights, points: int) -> TemporalRefinement:
    """The trained module of a weights file, for N points.

    Raises:
        FacetrackError: the file is something else, or for another number of points.
    """
    state, metadata = state_dict.read_weights(found.path)
    if metadata.get("arch") != ARCH or "before.0.weight" not in state:
        raise FacetrackError(f"{found.path} is not {WHAT}: its metadata do not say so.")
    width = state["before.0.weight"].shape[0] // 2
    module = TemporalRefinement(points, width)
    state_dict.load_state_dict(module, state, found.path, WHAT)
    return module.eval()


class Heatmap1dTracker(PointTracker):
    """Draws the maps of each frame in a crop that follows the face, and corrects them by those of
    the frames before.

    The points are the detector's own; those given to `start` say which face is meant. A face that
    is lost is looked for by the face detector in each frame, nearest to where it was.

    Args:
        detector: draws the maps.
        refinement: corrects them; None leaves them as they are.
        faces: finds the face again.
        found: the refinement's weights file, for the sidecar.
    """

    name = "heatmap1d"

    def __init__(
        self,
        detector: Heatmap1d,
        refinement: TemporalRefinement | None,
        faces: FaceDetector,
        found: ResolvedWeights | None = None,
    ) -> None:
        self._detector, self._faces, self._found = detector, faces, found
        self._refinement = None if refinement is None else refinement.to(detector.device)

    def start(self, frame: np.ndarray, points: np.ndarray) -> Heatmap1dState:
        """Remember the face that `points` (N, 2) of `frame` (H, W, 3) uint8 RGB belong to.

        Raises:
            FacetrackError: they are not the detector's own N points, or not all are known.
        """
        points = np.asarray(points, float).reshape(-1, 2)
        if len(points) != self._detector.config.points:
            raise FacetrackError(
                f"The heatmap1d tracker follows the {self._detector.config.points} landmarks that "
                f"it has learned, not {len(points)} points: choose another tracker."
            )
        if not np.isfinite(points).all():
            raise FacetrackError("The heatmap1d tracker needs all landmarks of the query frame.")
        return Heatmap1dState(self._square(points))

    @torch.inference_mode()
    def step(self, state: Heatmap1dState, frames: np.ndarray) -> StepResult:
        """Find the points in `frames` (K, H, W, 3) uint8 RGB; updates `state` in place."""
        each = [self._one(state, frame) for frame in frames]
        return StepResult(*(np.stack(kind) for kind in zip(*each, strict=True)))

    def describe(self) -> dict[str, Any]:
        """What the sidecar says of this tracker: its detector and the refinement's weights."""
        return {
            "name": self.name,
            "paper": self._detector.paper,
            "detector": self._detector.describe(),
            **(self._found.describe() if self._found else {}),
        }

    # ---------------------------------------------------------------- one frame

    def _one(
        self, state: Heatmap1dState, frame: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if state.lost and not self._found_again(state, frame):
            return self._nothing()
        cut = self._detector.crop(frame, state.square)
        if cut is None:
            state.lost = True
            return self._nothing()
        crop, placement = cut
        maps = self._detector.maps(crop[None])
        if self._refinement is not None:
            maps, state.memory = self._refinement.step(maps, state.memory)
        places, heights = read(maps, self._detector.config.sigma)
        score = heights[0].cpu().numpy().astype(np.float32)
        if score.mean() < LOST:
            state.lost, state.memory = True, None
            return self._nothing()
        xy = self._detector.to_image(places[0].cpu().numpy().astype(float), placement)
        size = np.array(frame.shape[1::-1])
        inside = ((xy >= -0.5) & (xy < size - 0.5)).all(-1)
        self._follow(state, xy, placement)
        return xy.astype(np.float32), inside & (score >= SEEN), score

    def _nothing(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        count = self._detector.config.points
        unknown = np.full((count, 2), np.nan, np.float32)
        return unknown, np.zeros(count, bool), np.zeros(count, np.float32)

    def _square(self, points: np.ndarray) -> np.ndarray:
        return self._detector.crop_box(hog_box(points))

    def _found_again(self, state: Heatmap1dState, frame: np.ndarray) -> bool:
        boxes = self._faces.detect(frame).boxes
        if not len(boxes):
            return False
        was = (state.square[:2] + state.square[2:]) / 2
        away = np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - was, axis=-1)
        state.square = self._detector.crop_box(boxes[int(np.argmin(away))].astype(float))
        state.memory, state.lost = None, False
        return True

    def _follow(self, state: Heatmap1dState, xy: np.ndarray, placement: Placement) -> None:
        """Move the crop to where the landmarks are, if they have moved enough, and the memory
        with it."""
        wanted = self._square(xy)
        side, now = wanted[2] - wanted[0], state.square[2] - state.square[0]
        moved = np.abs(wanted[:2] + wanted[2:] - state.square[:2] - state.square[2:]).max() / 2
        if moved < STAY * now and abs(np.log(side / now)) < STAY:
            return
        state.square = wanted
        if state.memory is None:
            return
        # Pixel p of the new crop shows what was at scale * p + shift in the old one.
        scale = side / now
        origin = wanted[:2] + side / SIZE / 2
        shift = (origin - placement.origin) / placement.scale
        state.memory = moved_along(state.memory, scale, shift)


def moved_along(memory: Tensor, scale: float, shift: np.ndarray) -> Tensor:
    """Channels along x and along y as they would be for another crop; zero beyond the old one.

    Args:
        memory: (1, C, L), the first half of the channels along x, the second along y.
        scale, shift: crop pixel p now shows what was at scale * p + shift[axis].
    """
    length = memory.shape[-1]
    pixels = (torch.arange(length, device=memory.device) + 0.5) * (SIZE / length) - 0.5
    sides = []
    for part, offset in zip(memory.chunk(2, 1), shift, strict=True):
        place = (pixels * scale + float(offset) + 0.5) / SIZE * 2 - 1
        grid = torch.stack([place, torch.zeros_like(place)], -1)[None, None]
        sides.append(F.grid_sample(part[:, :, None], grid, align_corners=False)[:, :, 0])
    return torch.cat(sides, 1)
