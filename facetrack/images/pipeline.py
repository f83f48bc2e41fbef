"""Detect faces and place landmarks in still images, batched over images."""

from __future__ import annotations

import contextlib
import glob
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from facetrack import defaults, face_detectors
from facetrack.detectors import DetectorOptions, LandmarkDetector, Landmarks, mapped
from facetrack.detectors.base import is_usable_box
from facetrack.errors import FacetrackError
from facetrack.face_detectors import FaceDetector
from facetrack.landmarks import schemes
from facetrack.ops.equality import EqualByValue
from facetrack.ops.image import as_rgb
from facetrack.orientation import detector as oriented
from facetrack.orientation.search import find_at_any_roll, places_any_roll
from facetrack.video.animations import count_images
from facetrack.video.image_depth import DarkPictures
from facetrack.video.image_files import list_images, read_image
from facetrack.video.image_names import IMAGE_SUFFIXES, list_first, natural_key

MAX_BATCH_FACES = 32
MAX_BATCH_BYTES = 256 * 2**20
"""Limits of a batch, which is complete at this number of faces or image bytes: the batch size of a
network, and the memory of a few large photographs."""
FACE_CHOICES = ("largest", "all")

Source = str | os.PathLike[str] | np.ndarray
Failed = Callable[[Source, FacetrackError], None]


@dataclass(frozen=True)
class ImageOptions:
    """Options of landmark detection in still images.

    Attributes:
        init: name of the landmark detector.
        detector_options: options of the landmark detector.
        scheme: landmark layout; None for the detector's own.
        face_detector: name of the face detector.
        faces: "largest" or "all".
        box: (x0, y0, x1, y1) of the only face, from brows to chin, instead of a detected one;
            pixels, origin at the centre of the top-left pixel.
    """

    init: str = defaults.INIT
    detector_options: DetectorOptions = field(default_factory=DetectorOptions)
    scheme: str | None = None
    face_detector: str = "auto"
    faces: str = "largest"
    box: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.scheme is not None:
            schemes.get(self.scheme)
        if self.faces not in FACE_CHOICES:
            raise FacetrackError(
                f"There is no --faces {self.faces}; choose {' or '.join(FACE_CHOICES)}."
            )
        if self.box is None:
            return
        if self.faces == "all":
            raise FacetrackError("--box names one face: it does not go with --faces all.")
        try:
            box = np.asarray(self.box, float)
        except (TypeError, ValueError):
            box = np.full(4, np.nan)
        if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] - box[:2] < 1).any():
            raise FacetrackError(
                "--box takes x0,y0,x1,y1 in pixels, with x0 left of x1 and y0 above y1."
            )
        # The library's own boxes are arrays, which neither compare nor hash as a tuple does.
        object.__setattr__(self, "box", tuple(box.tolist()))


@dataclass(frozen=True, eq=False)
class ImageFaces(EqualByValue):
    """The F faces of one image, N landmarks each.

    Attributes:
        source: the path or array that was given.
        size: (width, height) of the upright image.
        boxes: (F, 4) float32 x0 y0 x1 y1 pixels, pixel centres, largest first.
        xy: (F, N, 2) float32 pixels of the upright image, origin at the centre of the top-left
            pixel; NaN where unknown.
        score: (F, N) float32 in [0, 1]; 0 where unknown.
        scheme: name of the landmark layout.
    """

    source: Source
    size: tuple[int, int]
    boxes: np.ndarray
    xy: np.ndarray
    score: np.ndarray
    scheme: str

    @property
    def confidence(self) -> np.ndarray:
        """(F,) mean score of each face's known points; 0 if no point is known."""
        known = np.isfinite(self.xy).all(-1)
        total = np.where(known, self.score, 0).sum(1)
        return np.asarray(total / np.maximum(known.sum(1), 1))


class ImagePipeline:
    """Places landmarks in one image after another.

    Attributes:
        seconds: time spent, by stage.
    """

    def __init__(self, options: ImageOptions) -> None:
        self.options = options
        self.seconds = {"load": 0.0, "read": 0.0, "faces": 0.0, "landmarks": 0.0}
        self._with_more: list[str] = []
        self._dark = DarkPictures()

    @cached_property
    def detector(self) -> LandmarkDetector:
        """The landmark detector; created on first use."""
        options = self.options
        return oriented.create(options.init, options.detector_options, options.scheme)

    @cached_property
    def faces(self) -> FaceDetector | None:
        """The face detector; None if the face's box is given."""
        if self.options.box is not None:
            return None
        return face_detectors.create(self.options.face_detector)

    @cached_property
    def _fast_faces(self) -> FaceDetector:
        """Finds faces in pictures that are turned."""
        from facetrack.face_detectors.auto import quick

        return quick() if self.faces is None or self.faces.name == "auto" else self.faces

    @property
    def warnings(self) -> list[str]:
        """Sentences about options without effect, and about files that were read in part."""
        sentences = mapped.option_warnings(self.detector, self.options.detector_options)
        if self._with_more:
            sentences.append(
                f"Only the first image was read of {list_first(self._with_more)}: `facetrack "
                "track` reads all images of an animation or of a TIFF file."
            )
        return [*sentences, *self._dark.warnings]

    def prepare(self) -> None:
        """Create both detectors, so that a wrong name or file is reported before any work is done.

        Raises:
            FacetrackError: a detector cannot be created.
        """
        with self._timed("load"):
            _ = self.detector, self.faces

    def run(
        self, sources: Iterable[Source], failed: Failed | None = None
    ) -> Iterator[tuple[np.ndarray, ImageFaces]]:
        """Yield each image, (H, W, 3) uint8 RGB, with its faces, in order.

        Images are read on demand. A batch of them is kept in memory, so that the network processes
        faces of several images at once; see MAX_BATCH_FACES and MAX_BATCH_BYTES.

        Args:
            sources: paths, or arrays (H, W, 3) RGB or (H, W) grey uint8.
            failed: called for each image that cannot be read, which is skipped; None to raise the
                error instead.

        Raises:
            FacetrackError: a detector cannot be created, the given box is outside the image, or an
                image cannot be read.
        """
        self.prepare()
        waiting: list[tuple[Source, np.ndarray, np.ndarray]] = []
        found = size = 0
        for source in sources:
            try:
                with self._timed("read"):
                    image = _load(source)
            except FacetrackError as error:
                if failed is None:
                    raise
                failed(source, error)
                continue
            if not isinstance(source, np.ndarray):
                self._note(Path(source), image)
            with self._timed("faces"):
                boxes = self._boxes(image)
            waiting.append((source, image, boxes))
            found, size = found + len(boxes), size + image.nbytes
            if found >= MAX_BATCH_FACES or size >= MAX_BATCH_BYTES:
                yield from self._landmarks(waiting)
                waiting, found, size = [], 0, 0
        yield from self._landmarks(waiting)

    def _note(self, path: Path, image: np.ndarray) -> None:
        """Note what the user should know of a file."""
        if count_images(path) > 1:
            self._with_more.append(str(path))
        self._dark.note(path, image)

    def _boxes(self, image: np.ndarray) -> np.ndarray:
        """Return the boxes (F, 4) of the chosen faces."""
        if self.faces is not None:
            boxes = self.faces.detect(image).boxes
            return boxes if self.options.faces == "all" else boxes[:1]
        box = np.array([self.options.box], np.float32)
        if not is_usable_box(box[0], image):
            height, width = image.shape[:2]
            raise FacetrackError(f"--box lies outside the {width}x{height} picture.")
        return box

    def _landmarks(
        self, waiting: Sequence[tuple[Source, np.ndarray, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, ImageFaces]]:
        with self._timed("landmarks"):
            answers: list[Landmarks] = self.detector.detect_many(
                [image for _, image, _ in waiting], [boxes for _, _, boxes in waiting]
            )
        for (source, image, boxes), marks in zip(waiting, answers, strict=True):
            if self.faces is not None and places_any_roll(self.detector):
                boxes, marks = self._plausible(image, boxes, marks)
            size = (image.shape[1], image.shape[0])
            yield image, ImageFaces(source, size, boxes, *marks, self.detector.scheme)

    def _plausible(
        self, image: np.ndarray, boxes: np.ndarray, marks: Landmarks
    ) -> tuple[np.ndarray, Landmarks]:
        """Drop the boxes (F, 4) without landmarks; if none is left, look for faces at any roll."""
        known = np.isfinite(marks.xy).all((1, 2))
        if known.any():
            return boxes[known], Landmarks(marks.xy[known], marks.score[known])
        max_faces = None if self.options.faces == "all" else 1
        with self._timed("faces"):
            boxes, judged = find_at_any_roll(self._fast_faces, self.detector, image, max_faces)
        return boxes, Landmarks(judged.xy, judged.score)

    @contextlib.contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - began


def find_images(names: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Expand files, folders and patterns into image files.

    Args:
        names: files, which need not exist; folders, for their images in natural order (img2 before
            img10) without facetrack's overlays; and patterns with * ? [ ], for shells that do not
            expand them. Subfolders are not searched.

    Returns:
        Each file once, in the given order.

    Raises:
        FacetrackError: a folder or a pattern has no images.
    """
    found: dict[str, Path] = {}
    for name in names:
        if not os.fspath(name):
            raise FacetrackError("An image's name is empty: is a shell variable unset?")
        for path in _expand(Path(name)):
            found.setdefault(os.path.abspath(path), path)
    return list(found.values())


def _expand(path: Path) -> list[Path]:
    if os.path.isdir(path):
        return list_images(path)
    if os.path.exists(path) or not glob.has_magic(str(path)):
        return [path]
    matching = sorted(map(Path, glob.glob(str(path))), key=_order)
    images = [p for p in matching if p.suffix.lower() in IMAGE_SUFFIXES and os.path.isfile(p)]
    if not images:
        raise FacetrackError(f"No image matches {path}.")
    return images


def _order(path: Path) -> tuple[str, tuple[list[tuple[int, int | str]], str]]:
    return str(path.parent), natural_key(path.name)


def _load(source: Source) -> np.ndarray:
    """Return an image as (H, W, 3) uint8 RGB.

    Raises:
        FacetrackError: a file cannot be read.
        ValueError: an array is not an image.
    """
    if isinstance(source, np.ndarray):
        return as_rgb(source)
    return read_image(Path(source))
