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

from facetrack.detectors.alignment import WHOLE, FaceFrame
from facetrack.detectors.crops import SIZE, Placement
from facetrack.detectors.heatmap1d import Heatmap1d
from facetrack.detectors.heatmap1d_maps import Marginals, read
from facetrack.detectors.heatmap1d_network import TemporalRefinement
from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import FaceDetector
from facetrack.landmarks import schemes
from facetrack.landmarks.geometry import inside_picture
from facetrack.orientation.search import eye_roll, find_turned
from facetrack.orientation.turning import QUARTER, nearest_quarter, rotation, wrapped
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
MAX_UPRIGHT_ROLL = np.radians(30)
"""Roll of a face up to which the crop of a network that was not trained on aligned crops stays
upright."""
MAX_DRIFT, MAX_TURN = 0.05, np.radians(5)
"""Share of the crop's side by which the face may move or grow before the crop follows, and angle by
which it may turn."""
MAX_KEPT_TURN = np.radians(15)
"""Turn of the crop beyond which the memory is lost: maps of x and y cannot be turned."""


@dataclass
class Heatmap1dState:
    """State between frames.

    Attributes:
        frame: the square that the crop shows.
        memory: (1, channels, L) of the refinement, None before the first frame.
        lost: True if the face has to be detected again.
    """

    frame: FaceFrame
    memory: Tensor | None = None
    lost: bool = False


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
    module = state_dict.build(
        lambda: TemporalRefinement(points, width), state, found.path, WEIGHTS_KIND
    )
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
        return Heatmap1dState(self._frame(points))

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
        look = self._look(state.frame, frame)
        if look is not None:
            xy, score = self._read(*look, state.frame)
            # A face that has moved may reach over the edge of its crop.
            if score.mean() >= MIN_MEAN_PEAK and self._follow(state, xy):
                look = self._look(state.frame, frame)
        if look is None:
            state.lost, state.memory = True, None
            return self._unknown()
        maps, placement = look
        if self._refinement is not None:
            maps, state.memory = self._refinement.step(maps, state.memory)
        xy, score = self._read(maps, placement, state.frame)
        if score.mean() < MIN_MEAN_PEAK:
            state.lost, state.memory = True, None
            return self._unknown()
        visible = inside_picture(xy, frame) & (score >= MIN_VISIBLE_PEAK)
        return xy.astype(np.float32), visible, score

    def _look(self, place: FaceFrame, frame: np.ndarray) -> tuple[Marginals, Placement] | None:
        """Return the maps of a square of a frame, and the placement of the crop in the square."""
        picture = place.cut(frame)
        cut = None if picture is None else self._detector.crop(picture, WHOLE)
        if cut is None:
            return None
        crop, placement = cut
        return self._detector.maps(crop[None]), placement

    def _read(
        self, maps: Marginals, placement: Placement, place: FaceFrame
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the landmarks (N, 2) of maps in pixels of the frame, and their peaks (N,)."""
        places, heights = read(maps, self._detector.config.sigma)
        score, found = download(heights[0], places[0])
        return place.to_image(self._detector.to_image(found.astype(float), placement)), score

    def _unknown(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        count = self._detector.config.points
        unknown = np.full((count, 2), np.nan, np.float32)
        return unknown, np.zeros(count, bool), np.zeros(count, np.float32)

    def _frame(self, points: np.ndarray) -> FaceFrame:
        """Return the square for landmarks (N, 2), turned as far as the network needs it."""
        roll = eye_roll(points, self._scheme)
        if self._detector.aligned is not None or abs(roll) <= MAX_UPRIGHT_ROLL:
            return self._detector.frame_around(points)
        turn = rotation(roll)
        place = self._detector.frame_around(points @ turn)
        return FaceFrame(turn @ place.centre, place.side, roll)

    def _redetect(self, state: Heatmap1dState, frame: np.ndarray) -> bool:
        boxes, quarters = self._faces.detect(frame).boxes, nearest_quarter(state.frame.roll)
        if quarters and not len(boxes):
            boxes = find_turned(self._faces, frame, (quarters,))
        else:
            quarters = 0
        if not len(boxes):
            return False
        distances = np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - state.frame.centre, axis=-1)
        box = boxes[int(np.argmin(distances))].astype(float)
        place = self._turned_square(box, wrapped(quarters * QUARTER))
        # The first landmarks say where the square should be.
        look = self._look(place, frame)
        if look is not None:
            xy, score = self._read(*look, place)
            place = self._frame(xy) if score.mean() >= MIN_MEAN_PEAK else place
        state.frame, state.memory, state.lost = place, None, False
        return True

    def _turned_square(self, box: np.ndarray, roll: float) -> FaceFrame:
        """Return the square for the box (4,) of a face with a roll."""
        place = FaceFrame.of_square(self._detector.crop_box(box))
        centre = (box[:2] + box[2:]) / 2
        return FaceFrame(centre + rotation(roll) @ (place.centre - centre), place.side, roll)

    def _follow(self, state: Heatmap1dState, xy: np.ndarray) -> bool:
        """Move the crop to the landmarks (N, 2), and the memory with it, if they moved enough.

        Returns:
            Whether the crop has moved.
        """
        old, new = state.frame, self._frame(xy)
        moved = np.linalg.norm(new.centre - old.centre) / old.side
        grown, turned = abs(np.log(new.side / old.side)), abs(wrapped(new.roll - old.roll))
        if moved < MAX_DRIFT and grown < MAX_DRIFT and turned < MAX_TURN:
            return False
        state.frame = new
        if turned > MAX_KEPT_TURN:
            state.memory = None
        if state.memory is None:
            return True
        # Pixel p of the new crop lies at scale * p + shift in the old one, but for a small turn.
        scale = new.side / old.side
        shift = old.to_crop(new.centre) - scale * (SIZE - 1) / 2
        state.memory = move_memory(state.memory, scale, shift)
        return True


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
