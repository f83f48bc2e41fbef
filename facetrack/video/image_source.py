"""Read images as a video: a series of files, the pages of a TIFF file, an animated WebP.

An image that cannot be read does not end the video: its frame shows a neighbour and says why. An
image of another size than the first is scaled to fit, with black bars.
"""

from __future__ import annotations

import itertools
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from facetrack.errors import FacetrackError
from facetrack.video import animations, ffmpeg
from facetrack.video.decoder import MAX_PIXELS
from facetrack.video.frame import Frame
from facetrack.video.image_depth import dark_peak, darkness_warning
from facetrack.video.image_files import list_images, read_image, silence_opencv
from facetrack.video.image_names import naming_warnings
from facetrack.video.picture import Canvas
from facetrack.video.video_names import left_out_sentence, others_in_images

CACHE_BYTES = 2**26
"""Bytes of the pages that are decoded at once: reaching a page takes a walk from the first."""
_NUM_NAMED = 5
"""Number of images that a warning names."""


class ImageSequence(ABC):
    """Images in the order of a video.

    Attributes:
        path: the file, folder or series.
        codec: short name of the kind.
        times: start of each image and end of the last, in seconds; None if a rate gives them.
    """

    codec = "images"
    times: Sequence[float] | None = None

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""

    @abstractmethod
    def read(self, index: int) -> np.ndarray:
        """Return image `index` as (H, W, 3) uint8 RGB.

        Raises:
            FacetrackError: it cannot be read.
        """

    @abstractmethod
    def shown(self, index: int) -> str:
        """Return how a message names image `index`."""

    def name(self, index: int) -> str | None:
        """Return the file name of image `index`; None if all are in one file."""
        return None

    def dark_peak(self, index: int, image: np.ndarray) -> int | None:
        """Return the highest value of image `index`, if it is nearly black (`image_depth`).

        Args:
            image: (H, W, 3) uint8, the image as it was read.
        """
        return None

    def warnings(self) -> list[str]:
        """Return sentences about the images as a whole."""
        return []


def open_images(path: Path) -> ImageSequence:
    """Return the images of a folder, a series, or an image file.

    Raises:
        FacetrackError: there is none.
    """
    paths = list_images(path)
    if paths != [path]:
        return ImageFiles(path, paths)
    ffmpeg.check_file(path)
    try:
        pages = animations.tiff_pages(path)
        if len(pages) == 1 and (count := animations.imagej_images(path)) > 1:
            raise FacetrackError(
                f"{path} is a stack of {count} images that ImageJ wrote without a page for each, "
                "which cannot be read: save it with a page for each image."
            )
        delays = [] if len(pages) > 1 else animations.webp_delays(path)
    except OSError as error:
        raise FacetrackError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(pages) > 1:
        return TiffPages(path, pages)
    return AnimatedWebP(path, delays) if len(delays) > 1 else ImageFiles(path, paths)


class ImageFiles(ImageSequence):
    """Image files, one per frame."""

    def __init__(self, path: Path, paths: list[Path]) -> None:
        super().__init__(path)
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, index: int) -> np.ndarray:
        return read_image(self._paths[index])

    def shown(self, index: int) -> str:
        return self._paths[index].name

    def dark_peak(self, index: int, image: np.ndarray) -> int | None:
        return dark_peak(image, self._paths[index])

    def name(self, index: int) -> str | None:
        return None if self._paths == [self.path] else self._paths[index].name

    def warnings(self) -> list[str]:
        if self._paths == [self.path]:
            return []
        return list(self._place_warnings)

    @cached_property
    def _place_warnings(self) -> list[str]:
        sentences = naming_warnings(self.path, [path.name for path in self._paths])
        others = others_in_images(self.path) if os.path.isdir(self.path) else []
        return sentences + ([left_out_sentence(self.path, others, "images")] if others else [])

    def num_inside(self, index: int) -> int:
        """Return the number of images inside file `index`."""
        return animations.count_images(self._paths[index])


class _Pages(ImageSequence):
    """Images inside one file, of which a few are decoded at once."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._cache: dict[int, np.ndarray] = {}

    def read(self, index: int) -> np.ndarray:
        if index not in self._cache:
            self._cache = {}
            count = self._num_at_once(index)
            images = self._decode(index, count) or (self._decode(index, 1) if count > 1 else [])
            if not images:
                raise FacetrackError(f"{self.shown(index)} cannot be decoded.")
            self._cache = {index + i: image for i, image in enumerate(images)}
        return _as_rgb(self._cache[index], self.shown(index))

    @abstractmethod
    def _num_at_once(self, index: int) -> int:
        """Return how many images to decode from `index` on.

        Raises:
            FacetrackError: the image is too large.
        """

    @abstractmethod
    def _decode(self, index: int, count: int) -> Sequence[np.ndarray]:
        """Return `count` images from `index` on, BGR; empty if one cannot be decoded."""


class TiffPages(_Pages):
    """The pages of a TIFF file."""

    codec = "tiff"

    def __init__(self, path: Path, pages: list[animations.TiffPage]) -> None:
        super().__init__(path)
        self._pages = pages

    def __len__(self) -> int:
        return len(self._pages)

    def shown(self, index: int) -> str:
        return f"page {index + 1} of {self.path.name}"

    def dark_peak(self, index: int, image: np.ndarray) -> int | None:
        return dark_peak(image, self.path, self._pages[index].index)

    def _num_at_once(self, index: int) -> int:
        page = self._pages[index]
        if page.size[0] * page.size[1] > MAX_PIXELS:
            width, height = page.size
            raise FacetrackError(f"{self.shown(index)} is too large: {width}x{height} pixels.")
        most = max(1, CACHE_BYTES // (3 * page.size[0] * page.size[1]))
        # Only pages of one size that follow each other in the file.
        count = 1
        for other in self._pages[index + 1 : index + most]:
            if other != (page.index + count, page.size):
                break
            count += 1
        return count

    def _decode(self, index: int, count: int) -> Sequence[np.ndarray]:
        with silence_opencv():
            try:
                done, images = cv2.imreadmulti(
                    str(self.path), self._pages[index].index, count, flags=cv2.IMREAD_COLOR
                )
            except cv2.error:
                return []
        return images if done and len(images) == count else []


class AnimatedWebP(_Pages):
    """The images of an animated WebP file, for an ffmpeg that cannot decode it."""

    codec = "webp"

    def __init__(self, path: Path, delays: list[int]) -> None:
        super().__init__(path)
        self.times = [end / 1000 for end in itertools.accumulate(delays, initial=0)]
        self._size = (0, 0)

    def __len__(self) -> int:
        assert self.times is not None
        return len(self.times) - 1

    def shown(self, index: int) -> str:
        return f"image {index + 1} of {self.path.name}"

    def _num_at_once(self, index: int) -> int:
        if self._size == (0, 0):
            first = self._decode(0, 1)
            if not first:
                raise FacetrackError(
                    f"{self.path} is an animated WebP, which neither this ffmpeg nor this OpenCV "
                    "can decode: convert it to GIF or MP4, or install a newer opencv-python."
                )
            self._size = (first[0].shape[1], first[0].shape[0])
        most = max(1, CACHE_BYTES // (4 * self._size[0] * self._size[1]))
        return min(most, len(self) - index)

    def _decode(self, index: int, count: int) -> Sequence[np.ndarray]:
        if not hasattr(cv2, "imreadanimation"):  # before OpenCV 4.11
            return []
        with silence_opencv():
            try:
                done, animation = cv2.imreadanimation(str(self.path), start=index, count=count)
            except cv2.error:
                return []
        images = animation.frames
        return images if done and len(images) == count else []


def _as_rgb(image: np.ndarray, shown: str) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4):
        raise FacetrackError(f"{shown} has a kind of pixels that cannot be read.")
    code = cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGB
    return cv2.cvtColor(image, code)


class ImageSource:
    """Iterate over images as the frames of a video.

    Args:
        images: the images.
        size: (width, height) of the frames.
        first: index of the first frame to yield.
        rate: frames per second, unless the images have their own times.

    Attributes:
        count: number of images.
    """

    def __init__(
        self, images: ImageSequence, size: tuple[int, int], first: int, rate: Fraction | None
    ) -> None:
        self._images, self._size, self._first, self._rate = images, size, first, rate
        self._killed = threading.Event()
        self._problems: dict[int, str] = {}
        self._resized: dict[int, tuple[int, int]] = {}
        self._with_more: dict[int, int] = {}
        self._is_dark = True  # as long as all images were
        self._peak = 0
        self.count = len(images)

    def kill(self) -> None:
        """End the iteration; may be called from another thread."""
        self._killed.set()

    def __iter__(self) -> Iterator[Frame]:
        last_good: np.ndarray | None = None
        for index in range(self._first, self.count):
            if self._killed.is_set():
                return
            image = self._read(index)
            if image is not None:
                last_good = image
            elif last_good is None:
                last_good = self._neighbour(index)
            time, duration = self._timing(index)
            yield Frame(
                index,
                time,
                last_good,
                duration,
                name=self._images.name(index),
                problem=self._problems.get(index),
            )

    def warnings(self, last: int) -> list[str]:
        """Return sentences about the images up to frame `last`."""
        sentences = list(self._images.warnings())
        bad = {index: why for index, why in self._problems.items() if self._first <= index <= last}
        if bad:
            first = next(iter(bad.values()))
            sentences.append(
                f"{len(bad)} of {self.count} images of {self._images.path} cannot be read, so "
                f"{'its row is' if len(bad) == 1 else 'their rows are'} empty: "
                f"{self._listed(list(bad))}. {first}"
            )
        resized = {index: size for index, size in self._resized.items() if index <= last}
        if resized:
            width, height = next(iter(resized.values()))
            sentences.append(
                f"{len(resized)} of {self.count} images of {self._images.path} do not have "
                f"{self._size[0]}x{self._size[1]} pixels, as the first has; they were scaled to "
                f"fit, with black bars where the shape differs: {self._listed(list(resized))} "
                f"({self._images.shown(next(iter(resized)))} has {width}x{height})."
            )
        if self._is_dark and self._peak:
            sentences.append(darkness_warning(str(self._images.path), self._peak))
        inside = {index: count for index, count in self._with_more.items() if index <= last}
        if inside:
            name = self._images.shown(next(iter(inside)))
            sentences.append(
                f"Only the first image was read of {len(inside)} of the files of "
                f"{self._images.path}, which hold several: {self._listed(list(inside))}. To read "
                f"{name} as a video, give it by itself."
            )
        return sentences

    def _listed(self, indices: Sequence[int]) -> str:
        names = ", ".join(self._images.shown(index) for index in indices[:_NUM_NAMED])
        return f"{names}, ..." if len(indices) > _NUM_NAMED else names

    def _read(self, index: int) -> np.ndarray | None:
        """Return the image at the size of the frames; None if it cannot be read."""
        images = self._images
        try:
            image = images.read(index)
        except FacetrackError as error:
            self._problems[index] = str(error)
            return None
        if isinstance(images, ImageFiles) and (inside := images.num_inside(index)) > 1:
            self._with_more[index] = inside
        if self._is_dark:
            peak = images.dark_peak(index, image)
            self._is_dark, self._peak = peak is not None, max(self._peak, peak or 0)
        size = (image.shape[1], image.shape[0])
        if size != self._size:
            self._resized[index] = size
            image = Canvas(self._size, Fraction(1)).fit(image, Fraction(1))
        return image

    def _neighbour(self, index: int) -> np.ndarray:
        """Return the last image before `index` that can be read, else the first one after it."""
        for other in (*range(index - 1, -1, -1), *range(index + 1, self.count)):
            problems, resized = dict(self._problems), dict(self._resized)
            image = self._read(other)
            if other < self._first:
                # Not a frame of this reading.
                self._problems, self._resized = problems, resized
            if image is not None:
                return image
        raise FacetrackError(self._problems[index])

    def _timing(self, index: int) -> tuple[float, float]:
        """Return the start and the duration of an image in seconds."""
        times = self._images.times
        if times is not None:
            return times[index], times[index + 1] - times[index]
        assert self._rate is not None
        return float(index / self._rate), float(1 / self._rate)


def first_readable(images: ImageSequence) -> np.ndarray:
    """Return the first image that can be read.

    Raises:
        FacetrackError: there is none.
    """
    first_error: FacetrackError | None = None
    for index in range(len(images)):
        try:
            return images.read(index)
        except FacetrackError as error:
            first_error = first_error or error
    assert first_error is not None
    if len(images) == 1:
        raise first_error
    raise FacetrackError(
        f"None of the {len(images)} images of {images.path} can be read. {first_error}"
    )
