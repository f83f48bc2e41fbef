"""What landmark networks share: crops of many faces through one network, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from facetrack.detectors.base import DetectorOptions, Landmarks, usable
from facetrack.detectors.crops import Placement, second_boxes
from facetrack.landmarks import schemes
from facetrack.ops.image import as_rgb
from facetrack.runtime import onednn
from facetrack.runtime.device import choose_device, choose_precision, precision_name, cast_weights
from facetrack.runtime.malloc import keep_freed_memory
from facetrack.weights import ResolvedWeights

if TYPE_CHECKING:
    from facetrack.detectors.crops import CropRule

BATCH, THREAD_BATCH = 32, 8
"""Crops that pass through the network at once, at most; on a CPU only so many for each thread: of
more the features leave the caches."""


class NeuralDetector(ABC):
    """A landmark detector that is a network on 256 x 256 crops. Subclasses say how to crop and
    decode.

    With weights trained here it looks twice: at the crop of the box that it is given, and, in the
    mirror, at that of the box which the first answer implies; the mean of both is its answer. So
    the same face gets nearly the same landmarks whichever face detector found it, and the errors
    of two crops partly cancel, those of a picture and its mirror image more than others. Published
    weights look once, as their authors had it.

    Attributes:
        name: as on the command line.
        scheme: the point layout (`facetrack.landmarks.schemes`).
        looks: 2 or 1; 1 also for layouts from which no box is known.
        paper: the method's source.
        network: in evaluation mode, on `device`.
        device: where it runs.
        precision: of the network's convolutions and linear layers.
        found: the weights file.
        rule: the square that the weights say they learned on; None for published ones.
    """

    name: str
    paper: str

    def __init__(
        self,
        network: nn.Module,
        scheme: str,
        options: DetectorOptions,
        found: ResolvedWeights,
        rule: CropRule | None,
    ) -> None:
        """
        Args:
            network: with its weights.
            options: `device` and `precision` concern every network.
        """
        self.scheme = scheme
        self.rule = rule
        self.num_views = 2 if rule and scheme in ("68", "98") else 1
        self.device = choose_device(options.device)
        self.precision = choose_precision(
            options.precision, self.device, trained_for_it=rule is not None
        )
        network = network.eval().to(self.device)
        if self.precision != torch.float32:
            cast_weights(network, self.precision)
        # As crops lie in memory; a fifth faster in batches on a CPU.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.found = found
        if self.device.type == "cpu":
            keep_freed_memory()
            onednn.pack(self.network)

    @property
    def batch(self) -> int:
        """Crops that the network sees at once, at most."""
        if self.device.type != "cpu":
            return BATCH
        return min(BATCH, THREAD_BATCH * torch.get_num_threads())

    # ------------------------------------------------------------------ what subclasses say

    @abstractmethod
    def crop_box(self, box: np.ndarray) -> np.ndarray:
        """The box (4,) that the network's own face detector would give, from one of
        `facetrack.face_detectors` (4,); both x0 y0 x1 y1 in image pixels, pixel centres."""

    @abstractmethod
    def crop(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, Placement] | None:
        """Cut a face out of `image` (H, W, 3) RGB uint8.

        Args:
            box: (4,) as `crop_box` gives it.

        Returns:
            The crop, (256, 256, 3) RGB uint8, and where it lies; None where nothing of the image
            is in it.
        """

    @abstractmethod
    def prepare(self, crops: np.ndarray) -> Tensor:
        """The network's input on `device`, from crops (M, 256, 256, 3) RGB uint8."""

    @abstractmethod
    def decode(self, output: Any) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks (M, N, 2) in crop units and scores (M, N) in [0, 1] from what `run` gives."""

    def run(self, batch: Tensor) -> Any:
        """What `decode` takes, for a batch that `prepare` made."""
        return self.infer(batch)

    def forward(self, batch: Tensor) -> Any:
        """What of the network's answer is looked at: a tensor, or a list or named tuple of them."""
        return self.network(batch)

    def infer(self, batch: Tensor) -> Any:
        """What `ask` gives, computed in `precision`: float32 tensors."""
        rounded = self.precision != torch.float32
        with torch.autocast(self.device.type, self.precision, enabled=rounded):
            said = self.forward(batch)
        if isinstance(said, Tensor):
            return said.float()
        parts = [part.float() for part in said]
        return said._make(parts) if hasattr(said, "_make") else parts

    def to_image(self, xy: np.ndarray, placement: Placement) -> np.ndarray:
        """(N, 2) image pixels from (N, 2) crop units."""
        return np.asarray(xy * placement.scale + placement.origin)

    def details(self) -> dict[str, Any]:
        """What the sidecar says beside the weights."""
        return {}

    # ------------------------------------------------------------------ what users call

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        """Place the landmarks of F faces.

        Args:
            image: (H, W, 3) RGB or (H, W) grey uint8.
            boxes: (F, 4) x0 y0 x1 y1, pixel centres, in the style of dlib's HOG detector, as
                `facetrack.face_detectors` gives them.

        Returns:
            Landmarks of F faces. A box outside the image, or one without any extent, gets NaN and
            score 0.
        """
        return self.detect_many([image], [boxes])[0]

    def detect_many(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[Landmarks]:
        """Place the landmarks in several images; faces of different images share a batch.

        Args:
            images: each as `detect` takes it; they may differ in size.
            boxes: the boxes (F, 4) of each.

        Returns:
            Landmarks of each image, in their order.
        """
        boxes = [np.asarray(some, float).reshape(-1, 4) for some in boxes]
        first = self._detect_views(images, boxes)
        if self.num_views == 1:
            return first
        again = [second_boxes(one.xy, some) for one, some in zip(first, boxes, strict=True)]
        second = self._detect_views(images, again, mirrored=True)
        return [_both(*pair) for pair in zip(first, second, strict=True)]

    def _detect_views(
        self, images: Sequence[np.ndarray], boxes: list[np.ndarray], mirrored: bool = False
    ) -> list[Landmarks]:
        """The landmarks in the boxes (F, 4) of each image, from one crop for each face, which the
        network may see mirrored."""
        scheme = schemes.get(self.scheme)
        count = scheme.count
        answers = []
        waiting: list[tuple[Landmarks, int, np.ndarray, Placement]] = []
        for image, some in zip(images, boxes, strict=True):
            answer = Landmarks(
                np.full((len(some), count, 2), np.nan, np.float32),
                np.zeros((len(some), count), np.float32),
            )
            answers.append(answer)
            rgb = as_rgb(image) if len(some) else image
            for face, box in enumerate(some):
                if not usable(box, rgb):
                    continue
                own = self.crop_box(box)
                cut = self.crop(rgb, own)
                if cut is not None:
                    if mirrored:
                        cut = _mirrored(*cut, about=float(own[0] + own[2]) / 2)
                    waiting.append((answer, face, *cut))
                if len(waiting) == self.batch:
                    self._place(waiting)
                    waiting = []
        if waiting:
            self._place(waiting)
        if mirrored:
            swap = list(scheme.swap)
            answers = [Landmarks(a.xy[:, swap], a.score[:, swap]) for a in answers]
        return answers

    def _place(self, waiting: list[tuple[Landmarks, int, np.ndarray, Placement]]) -> None:
        """Run the network on the crops and fill their answers in."""
        xy, score = self.landmarks(np.stack([crop for _, _, crop, _ in waiting]))
        for (answer, face, _, placement), points, trust in zip(waiting, xy, score, strict=True):
            answer.xy[face] = self.to_image(points, placement)
            answer.score[face] = trust

    def landmarks(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks (M, N, 2) in crop units and scores (M, N) of crops (M, 256, 256, 3)."""
        with torch.inference_mode():
            return self.decode(self.run(self.prepare(crops)))

    def describe(self) -> dict[str, Any]:
        """What the sidecar says of this detector: weights file, sha256, licence, paper."""
        return {
            "name": self.name,
            "scheme": self.scheme,
            "device": str(self.device),
            "precision": precision_name(self.precision),
            "paper": self.paper,
            "looks": self.num_views,
            **self.details(),
            # Last: the file's own entry knows best which paper it belongs to.
            **self.found.describe(),
        }


def _mirrored(crop: np.ndarray, placement: Placement, about: float) -> tuple[np.ndarray, Placement]:
    """A crop flipped left to right, and where that lies; `about` is its middle in the image."""
    (step, down), (left, top) = placement
    flipped = Placement(np.array([-step, down]), np.array([2 * about - left, top]))
    return np.ascontiguousarray(crop[:, ::-1]), flipped


def _both(first: Landmarks, second: Landmarks) -> Landmarks:
    """The mean of two looks at the same faces; the first where there is no second."""
    alone = ~np.isfinite(second.xy).all((1, 2))
    xy, score = (first.xy + second.xy) / 2, (first.score + second.score) / 2
    xy[alone], score[alone] = first.xy[alone], first.score[alone]
    return Landmarks(xy, score)
