"""One-dimensional heat maps refined over time: the tracker of the attentive 1D-heatmap paper.

Yin et al., "Attentive One-Dimensional Heatmap Regression for Facial Landmark Detection and
Tracking", ACM MM 2020 (arXiv 2004.02108). The paper assumes that the face's place in each frame is
known. Here the crop follows the landmarks, and the memory of earlier frames moves with it:
one-dimensional maps are shifted and stretched exactly as the crop is.
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
from facetrack.landmarks import schemes
from facetrack.orientation.placement import rolled_box
from facetrack.orientation.search import eye_roll, find_turned
from facetrack.orientation.turning import (
    QUARTER,
    Patch,
    cut_patch,
    nearest_quarter,
    rotation,
    wrapped,
)
from facetrack.runtime.transfers import download
from facetrack.trackers.base import PointTracker, StepResult
from facetrack.weights import ResolvedWeights, state_dict

ARCH = "heatmap1d-time"
"""Architecture in the metadata of weights files."""
WEIGHTS_KIND = "temporal refinement for 1D heat maps (safetensors)"
"""Name of the kind of weights file, for messages."""
MIN_VISIBLE_PEAK = 0.4
"""Height of the lower of a landmark's two peaks above which it counts as visible. With heatmap1d-s,
95 % of the landmarks of held-out faces are above it, and half of those of a mouth behind a
square."""
MIN_MEAN_PEAK = 0.3
"""Mean height of all peaks below which the face counts as lost: held-out faces have 0.62 and more,
half covered faces 0.5, places without a face 0.01 to 0.1."""
PATCH_SIDES = 1.3
"""Side of the turned picture from which the crop of a rolled face is cut, in sides of the crop."""
MAX_UPRIGHT_ROLL, MAX_RESIDUAL = np.radians(30), np.radians(10)
"""Roll of a face up to which its crop is not turned, and change of its roll from which on a turned
crop turns anew. The memory is lost with each turn."""
MAX_DRIFT = 0.05
"""Share of the crop's side by which the face may move or grow before the crop follows."""


@dataclass
class Heatmap1dState:
    """State between frames.

    Attributes:
        square: (4,) x0 y0 x1 y1 of the crop in pixels of the frame.
        memory: (1, channels, L) of the refinement, None before the first frame.
        lost: True if the face has to be detected again.
        roll: of the face in the crop, radians; the crop is turned by it.
    """

    square: np.ndarray
    memory: Tensor | None = None
    lost: bool = False
    roll: float = 0.0

    def patch(self, frame: np.ndarray) -> Patch:
        """Return the frame with the square, turned so that the face is upright."""
        if not self.roll:
            return Patch.whole(frame, self.square)
        return cut_patch(frame, self.square, self.roll, PATCH_SIDES)


def load_refinement(found: ResolvedWeights, points: int) -> TemporalRefinement:
    """Load the temporal refinement of a weights file.

    Args:
        points: N, the number of landmarks.

    Raises:
        FacetrackError: the file holds a different network, or one for another number of points.
    """
    state, metadata = state_dict.read_weights(found.path)
    if metadata.get("arch") != ARCH or "before.0.weight" not in state:
        raise FacetrackError(f"{found.path} is not {WEIGHTS_KIND}.")
    width = state["before.0.weight"].shape[0] // 2
    module = TemporalRefinement(points, width)
    state_dict.load_state_dict(module, state, found.path, WEIGHTS_KIND)
    return module.eval()


class Heatmap1dTracker(PointTracker):
    """Computes the maps of each frame in a crop that follows the face, and refines them over time.

    The points are the detector's own; the points given to `start` only select the face. A lost face
    is searched for by the face detector in each frame, and the nearest to its last place is taken.

    Args:
        detector: computes the maps.
        refinement: refines them by those of earlier frames; None leaves them unchanged.
        faces: detects a lost face.
        found: the refinement's weights file, for the record.
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
        self._scheme = schemes.for_count(detector.config.points).name
        self._refinement = None if refinement is None else refinement.to(detector.device)

    def start(self, frame: np.ndarray, points: np.ndarray) -> Heatmap1dState:
        """Return a new state that follows the face of `points`.

        Args:
            frame: (H, W, 3) uint8 RGB.
            points: (N, 2) pixels of `frame`.

        Raises:
            FacetrackError: N is not the detector's number of points, or not all are known.
        """
        points = np.asarray(points, float).reshape(-1, 2)
        if len(points) != self._detector.config.points:
            raise FacetrackError(
                f"The heatmap1d tracker follows its own {self._detector.config.points} landmarks, "
                f"not {len(points)} points: choose another tracker."
            )
        if not np.isfinite(points).all():
            raise FacetrackError("The heatmap1d tracker needs all landmarks of the query frame.")
        roll = eye_roll(points, self._scheme)
        if abs(roll) <= MAX_UPRIGHT_ROLL:
            return Heatmap1dState(self._square(points))
        return Heatmap1dState(self._rolled_square(rolled_box(points, roll), roll), roll=roll)

    @torch.inference_mode()
    def step(self, state: Heatmap1dState, frames: np.ndarray) -> StepResult:
        """Track the points through `frames` (K, H, W, 3) uint8 RGB; update `state` in place."""
        results = [self._step_frame(state, frame) for frame in frames]
        return StepResult(*(np.stack(kind) for kind in zip(*results, strict=True)))

    def describe(self) -> dict[str, Any]:
        """Return the record's entry for this tracker: its detector and the refinement's weights."""
        return {
            "name": self.name,
            "paper": self._detector.paper,
            "detector": self._detector.describe(),
            **(self._found.describe() if self._found else {}),
        }

    # ---------------------------------------------------------------- one frame

    def _step_frame(
        self, state: Heatmap1dState, frame: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if state.lost and not self._redetect(state, frame):
            return self._unknown()
        patch = state.patch(frame)
        cut = self._detector.crop(patch.image, patch.box)
        if cut is None:
            state.lost = True
            return self._unknown()
        crop, placement = cut
        maps = self._detector.maps(crop[None])
        if self._refinement is not None:
            maps, state.memory = self._refinement.step(maps, state.memory)
        places, heights = read(maps, self._detector.config.sigma)
        score, found = download(heights[0], places[0])
        if score.mean() < MIN_MEAN_PEAK:
            state.lost, state.memory = True, None
            return self._unknown()
        upright = self._detector.to_image(found.astype(float), placement)
        xy = patch.to_picture(upright)
        size = np.array(frame.shape[1::-1])
        inside = ((xy >= -0.5) & (xy < size - 0.5)).all(-1)
        if not self._turn(state, xy):
            self._follow(state, upright, placement, patch)
        return xy.astype(np.float32), inside & (score >= MIN_VISIBLE_PEAK), score

    def _unknown(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        count = self._detector.config.points
        unknown = np.full((count, 2), np.nan, np.float32)
        return unknown, np.zeros(count, bool), np.zeros(count, np.float32)

    def _square(self, points: np.ndarray) -> np.ndarray:
        return self._detector.crop_box(hog_box(points))

    def _redetect(self, state: Heatmap1dState, frame: np.ndarray) -> bool:
        boxes, quarters = self._faces.detect(frame).boxes, nearest_quarter(state.roll)
        if quarters and not len(boxes):
            boxes = find_turned(self._faces, frame, (quarters,))
        else:
            quarters = 0
        if not len(boxes):
            return False
        centre = (state.square[:2] + state.square[2:]) / 2
        distances = np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - centre, axis=-1)
        box = boxes[int(np.argmin(distances))].astype(float)
        state.roll = wrapped(quarters * QUARTER)
        state.square = self._rolled_square(box, state.roll)
        state.memory, state.lost = None, False
        return True

    def _rolled_square(self, box: np.ndarray, roll: float) -> np.ndarray:
        """Return the crop's square (4,) for the box (4,) of a face with a roll."""
        square = self._detector.crop_box(box)
        if not roll:
            return square
        centre = (box[:2] + box[2:]) / 2
        middle = centre + rotation(roll) @ ((square[:2] + square[2:]) / 2 - centre)
        half = (square[2:] - square[:2]) / 2
        return np.concatenate([middle - half, middle + half])

    def _turn(self, state: Heatmap1dState, xy: np.ndarray) -> bool:
        """Turn the crop if the face (N, 2) has rolled far; return whether it has."""
        roll = eye_roll(xy, self._scheme)
        limit = MAX_RESIDUAL if state.roll else MAX_UPRIGHT_ROLL
        if abs(wrapped(roll - state.roll)) <= limit:
            return False
        state.roll = 0.0 if abs(roll) < MAX_UPRIGHT_ROLL - MAX_RESIDUAL else roll
        state.square, state.memory = self._rolled_square(rolled_box(xy, roll), state.roll), None
        return True

    def _follow(
        self, state: Heatmap1dState, xy: np.ndarray, placement: Placement, patch: Patch
    ) -> None:
        """Move the crop to the landmarks, and the memory with it, if they have moved enough.

        Args:
            state: of the face.
            xy: (N, 2) landmarks in the patch.
            placement: of the crop in the patch.
            patch: the part of the frame that the crop was cut from.
        """
        square = self._square(xy)
        side, now = square[2] - square[0], patch.box[2] - patch.box[0]
        moved = np.abs(square[:2] + square[2:] - patch.box[:2] - patch.box[2:]).max() / 2
        if moved < MAX_DRIFT * now and abs(np.log(side / now)) < MAX_DRIFT:
            return
        state.square = patch.box_to_picture(square) if state.roll else square
        if state.memory is None:
            return
        # Pixel p of the new crop lies at scale * p + shift in the old one.
        scale = side / now
        origin = square[:2] + side / SIZE / 2
        shift = (origin - placement.origin) / placement.scale
        state.memory = move_memory(state.memory, scale, shift)


def move_memory(memory: Tensor, scale: float, shift: np.ndarray) -> Tensor:
    """Resample the memory for another crop, with zeros outside the old one.

    Args:
        memory: (1, C, L), the first half of the channels along x, the second along y.
        scale, shift: pixel p of the new crop lies at scale * p + shift[axis] in the old one.
    """
    length = memory.shape[-1]
    pixels = (torch.arange(length, device=memory.device) + 0.5) * (SIZE / length) - 0.5
    sides = []
    for part, offset in zip(memory.chunk(2, 1), shift, strict=True):
        place = (pixels * scale + float(offset) + 0.5) / SIZE * 2 - 1
        grid = torch.stack([place, torch.zeros_like(place)], -1)[None, None]
        sides.append(F.grid_sample(part[:, :, None], grid, align_corners=False)[:, :, 0])
    return torch.cat(sides, 1)
