"""Common base of the landmark networks: batch face crops, run the network, map points back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from facetrack.detectors import create
from facetrack.detectors.alignment import WHOLE, FaceFrame, align, read_side
from facetrack.detectors.base import DetectorOptions, Landmarks, is_usable_box
from facetrack.detectors.crops import Placement, hog_box, second_boxes
from facetrack.detectors.scores import ScoreCalibration
from facetrack.detectors.shape_correction import ShapeCorrection
from facetrack.detectors.views import average, find_frames, mirror
from facetrack.landmarks import schemes
from facetrack.ops.image import as_rgb
from facetrack.runtime import onednn
from facetrack.runtime.device import cast_weights, choose_device, choose_precision, precision_name
from facetrack.runtime.malloc import keep_freed_memory
from facetrack.weights import ResolvedWeights

if TYPE_CHECKING:
    from facetrack.detectors.crops import CropRule

BATCH, THREAD_BATCH = 32, 8
"""Maximum number of crops per batch: in total, and per thread on a CPU. The features of larger
batches do not fit in a CPU's caches."""


COARSE, COARSE_WEIGHTS = "star", "star-xs"
"""The bundled network that places rough landmarks."""


class _QueuedCrop(NamedTuple):
    """A crop that waits for its batch.

    Attributes:
        result: landmarks of the crop's image, to be filled in.
        face: index of the face in `result`.
        crop: (256, 256, 3) RGB uint8.
        placement: of the crop.
        frame: the part of the image from which the crop was cut; None for the image itself.
    """

    result: Landmarks
    face: int
    crop: np.ndarray
    placement: Placement
    frame: FaceFrame | None = None


class NeuralDetector(ABC):
    """A landmark detector that runs a network on 256 x 256 crops.

    Subclasses define how to crop and how to decode.

    Weights trained here use two views of each face: a first crop, and the mirrored crop that the
    first landmarks imply. The result is the mean of both. So a face gets nearly the same landmarks
    whichever face detector found it, and the errors of the two crops partly cancel; mirroring makes
    them cancel more. The first crop is that of the given box, or follows from the landmarks that a
    tiny network places in the box, if the weights were trained on aligned crops
    (`facetrack.detectors.alignment`). Published weights use one view, as their authors do.

    Attributes:
        name: the name on the command line.
        scheme: the point layout (`facetrack.landmarks.schemes`).
        num_views: 2 or 1; 1 also for layouts that imply no box.
        paper: the method's source.
        network: in evaluation mode, on `device`.
        device: the device of the network.
        precision: of the network's convolutions and linear layers.
        found: the weights file.
        rule: the crop that the weights were trained on; None for published weights.
        aligned: the side of aligned crops (`alignment.align`); None for crops of the given box.
        shape_correction: moves landmarks by what all of them imply; None to leave them.
        scores: maps scores to probabilities; None for the network's own scores.
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
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            network: with its weights loaded.
            scheme: the network's point layout.
            options: `device` and `precision` apply to every network.
            found: the weights file.
            rule: the crop that the weights were trained on; None for published weights.
            metadata: of the weights file.

        Raises:
            FacetrackError: the metadata are damaged.
        """
        self.scheme = scheme
        self.rule = rule
        metadata = metadata or {}
        self.aligned = read_side(metadata, found.path)
        count = schemes.get(scheme).count
        self.shape_correction = ShapeCorrection.read(metadata, count, found.path)
        self.scores = ScoreCalibration.read(metadata, count, found.path)
        self.num_views = 2 if rule and scheme in ("68", "98") else 1
        self.device = choose_device(options.device)
        self.precision = choose_precision(
            options.precision, self.device, trained_for_it=rule is not None
        )
        network = network.eval().to(self.device)
        if self.precision != torch.float32:
            cast_weights(network, self.precision)
        # Crops lie in memory this way; batches run a fifth faster on a CPU.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.found = found
        if self.device.type == "cpu":
            keep_freed_memory()
            onednn.pack(self.network)

    @property
    def batch(self) -> int:
        """Maximum number of crops per batch."""
        if self.device.type != "cpu":
            return BATCH
        return min(BATCH, THREAD_BATCH * torch.get_num_threads())

    # ------------------------------------------------------------------ for subclasses to define

    @abstractmethod
    def crop_box(self, box: np.ndarray) -> np.ndarray:
        """Convert a box to the style of the face detector that the network was trained with.

        Args:
            box: (4,) from `facetrack.face_detectors`.

        Returns:
            (4,). Both boxes are x0 y0 x1 y1 in image pixels (pixel centres).
        """

    @abstractmethod
    def crop(self, image: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, Placement] | None:
        """Cut a face out of an image.

        Args:
            image: (H, W, 3) RGB uint8.
            box: (4,) as returned by `crop_box`.

        Returns:
            The crop, (256, 256, 3) RGB uint8, and its placement; None if the crop does not overlap
            the image.
        """

    @abstractmethod
    def prepare(self, crops: np.ndarray) -> Tensor:
        """Convert crops (M, 256, 256, 3) RGB uint8 to the network's input on `device`."""

    @abstractmethod
    def decode(self, output: Any) -> tuple[np.ndarray, np.ndarray]:
        """Decode the output of `run` to landmarks (M, N, 2) in crop units and scores (M, N)."""

    def run(self, batch: Tensor) -> Any:
        """Compute the input of `decode` for a batch from `prepare`."""
        return self.infer(batch)

    def forward(self, batch: Tensor) -> Any:
        """Return the network outputs that `decode` needs: a tensor, or a list or tuple of them."""
        return self.network(batch)

    def infer(self, batch: Tensor) -> Any:
        """Run `forward` in `precision` and convert its outputs to float32."""
        is_reduced = self.precision != torch.float32
        with torch.autocast(self.device.type, self.precision, enabled=is_reduced):
            output = self.forward(batch)
        if isinstance(output, Tensor):
            return output.float()
        parts = [part.float() for part in output]
        return output._make(parts) if hasattr(output, "_make") else parts

    def to_image(self, xy: np.ndarray, placement: Placement) -> np.ndarray:
        """Convert points (N, 2) from crop units to image pixels."""
        return np.asarray(xy * placement.scale + placement.origin)

    def details(self) -> dict[str, Any]:
        """Return details for the record besides the weights."""
        return {}

    # ------------------------------------------------------------------ for callers

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        """Detect the landmarks of F faces.

        Args:
            image: (H, W, 3) RGB or (H, W) grey uint8.
            boxes: (F, 4) x0 y0 x1 y1 (pixel centres) in the style of dlib's HOG detector, as
                returned by `facetrack.face_detectors`.

        Returns:
            Landmarks of F faces. An empty box or a box outside the image gets NaN and score 0.
        """
        return self.detect_many([image], [boxes])[0]

    def detect_many(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[Landmarks]:
        """Detect landmarks in several images. Faces of different images share a batch.

        Args:
            images: see `detect`; they may differ in size.
            boxes: the boxes (F, 4) of each image.

        Returns:
            Landmarks of each image, in the given order.
        """
        boxes = [np.asarray(image_boxes, float).reshape(-1, 4) for image_boxes in boxes]
        if self.aligned is not None:
            found = self._detect_aligned(images, boxes, self.aligned)
        else:
            found = self._detect_in_boxes(images, boxes)
        if self.shape_correction is not None:
            found = [f._replace(xy=self.shape_correction.apply(f.xy)) for f in found]
        if self.scores is not None:
            found = [f._replace(score=self.scores.apply(f.score)) for f in found]
        return found

    def frame_around(self, points: np.ndarray) -> FaceFrame:
        """Return the square in which the network sees a face whose landmarks are known.

        Args:
            points: (N, 2) landmarks of its layout in image pixels; finite.
        """
        if self.aligned is not None:
            return align(points, self.aligned)
        return FaceFrame.of_square(self.crop_box(hog_box(points)))

    def _detect_in_boxes(
        self, images: Sequence[np.ndarray], boxes: list[np.ndarray]
    ) -> list[Landmarks]:
        """Detect landmarks in crops of the given boxes, and of those that the first ones imply."""
        first = self._detect_view(images, boxes)
        if self.num_views == 1:
            return first
        implied = [second_boxes(f.xy, given) for f, given in zip(first, boxes, strict=True)]
        second = self._detect_view(images, implied, mirrored=True)
        return [average(*pair) for pair in zip(first, second, strict=True)]

    def _detect_aligned(
        self, images: Sequence[np.ndarray], boxes: list[np.ndarray], side: float
    ) -> list[Landmarks]:
        """Detect landmarks in crops that are aligned to rough landmarks.

        Args:
            images, boxes: see `detect_many`.
            side: of the crops; see `alignment.align`.
        """
        rough = self._coarse._detect_view(images, boxes)
        first = self._detect_view(images, find_frames(rough, boxes, side))
        second = self._detect_view(images, find_frames(first, boxes, side), mirrored=True)
        return [average(*pair) for pair in zip(first, second, strict=True)]

    @cached_property
    def _coarse(self) -> NeuralDetector:
        """The network that places rough landmarks."""
        precision = precision_name(self.precision)
        options = DetectorOptions(COARSE_WEIGHTS, str(self.device), precision=precision)
        detector = create(COARSE, options)
        assert isinstance(detector, NeuralDetector)
        return detector

    def _detect_view(
        self,
        images: Sequence[np.ndarray],
        places: Sequence[np.ndarray | Sequence[FaceFrame | np.ndarray]],
        mirrored: bool = False,
    ) -> list[Landmarks]:
        """Detect landmarks from one crop of each face, mirrored on request.

        Args:
            images: see `detect_many`.
            places: where the faces of each image are: boxes (4,), NaN where there is nothing to
                detect, or aligned squares.
            mirrored: mirror the crops; the landmarks are mirrored back.
        """
        scheme = schemes.get(self.scheme)
        results = []
        batch: list[_QueuedCrop] = []
        for image, image_places in zip(images, places, strict=True):
            result = Landmarks(
                np.full((len(image_places), scheme.count, 2), np.nan, np.float32),
                np.zeros((len(image_places), scheme.count), np.float32),
            )
            results.append(result)
            rgb = as_rgb(image) if len(image_places) else image
            for face, place in enumerate(image_places):
                cut = self._cut(rgb, place, mirrored)
                if cut is not None:
                    frame = place if isinstance(place, FaceFrame) else None
                    batch.append(_QueuedCrop(result, face, *cut, frame))
                if len(batch) == self.batch:
                    self._run_batch(batch)
                    batch = []
        if batch:
            self._run_batch(batch)
        if mirrored:
            swap = list(scheme.swap)
            results = [Landmarks(r.xy[:, swap], r.score[:, swap]) for r in results]
        return results

    def _cut(
        self, image: np.ndarray, place: FaceFrame | np.ndarray, mirrored: bool
    ) -> tuple[np.ndarray, Placement] | None:
        """Cut out a face; see `crop`. The placement of an aligned square is that in the square."""
        if isinstance(place, FaceFrame):
            picture = place.cut(image)
            if picture is None:
                return None
            image, crop_box = picture, WHOLE
        elif is_usable_box(place, image):
            crop_box = self.crop_box(place)
        else:
            return None
        cut = self.crop(image, crop_box)
        if cut is None or not mirrored:
            return cut
        return mirror(*cut, about=float(crop_box[0] + crop_box[2]) / 2)

    def _run_batch(self, batch: list[_QueuedCrop]) -> None:
        """Run the network on a batch of crops and write the landmarks into their results."""
        xy, score = self.landmarks(np.stack([queued.crop for queued in batch]))
        for queued, face_xy, face_score in zip(batch, xy, score, strict=True):
            xy_image = self.to_image(face_xy, queued.placement)
            if queued.frame is not None:
                xy_image = queued.frame.to_image(xy_image)
            queued.result.xy[queued.face] = xy_image
            queued.result.score[queued.face] = face_score

    def landmarks(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return landmarks (M, N, 2) in crop units and scores (M, N) of crops (M, 256, 256, 3)."""
        with torch.inference_mode():
            return self.decode(self.run(self.prepare(crops)))

    def describe(self) -> dict[str, Any]:
        """Describe this detector for the record: weights file, sha256, licence, paper."""
        return {
            "name": self.name,
            "scheme": self.scheme,
            "device": str(self.device),
            "precision": precision_name(self.precision),
            "paper": self.paper,
            "looks": self.num_views,
            **({"coarse": COARSE_WEIGHTS} if self.aligned is not None else {}),
            **self.details(),
            # Last, because the entry of the weights file overrides the paper.
            **self.found.describe(),
        }
