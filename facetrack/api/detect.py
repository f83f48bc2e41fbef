"""Place landmarks in still images: `facetrack.detect`, and the files of `facetrack detect`."""

from __future__ import annotations

import dataclasses
import itertools
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facetrack.api.former_images import FormerImages, possible_names
from facetrack.api.keywords import DetectKeywords, check_keywords, image_options
from facetrack.api.ownership import outdated_warnings, refuse_inputs
from facetrack.api.read_inputs import failed_sentence, find_left_out, list_inputs
from facetrack.api.staging import new_names, publish, staged
from facetrack.callbacks import Loading, Progress, Started
from facetrack.errors import FacetrackError
from facetrack.files import sha256_of
from facetrack.images.pipeline import ImageFaces, ImageOptions, ImagePipeline, Source, find_images
from facetrack.images.writer import FORMATS, RECORD, TABLE, ImageWriter, check_names
from facetrack.landmarks import schemes
from facetrack.measures.coordinates import (
    PIXELS,
    check_coordinates,
    check_scheme,
    coordinates_record,
)
from facetrack.record import environment, write_record
from facetrack.runtime.interrupts import StopState, defer_interrupts
from facetrack.video.video_names import others_in_images

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class ImageOutputs:
    """The files to write.

    Attributes:
        folder: the output folder.
        formats: "csv" (always written) and "pts".
        overlay: also write each image with its landmarks drawn in.
        coordinates: of the points in the table; see `facetrack.measures.coordinates`.
        point_confidence: write the confidence of each point into the table.
    """

    folder: Path
    formats: tuple[str, ...] = ("csv",)
    overlay: bool = False
    coordinates: str = PIXELS
    point_confidence: bool = False

    def __post_init__(self) -> None:
        check_coordinates(self.coordinates)
        for name in self.formats:
            if name not in FORMATS:
                raise FacetrackError(
                    f"There is no format {name!r} for images; choose {' or '.join(FORMATS)}."
                )


@dataclass(frozen=True)
class ImagesReport:
    """The result of `detect_to_files`.

    Attributes:
        paths: the files about all images, by kind.
        images: number of images read.
        faces: number of faces detected in them.
        seconds: wall-clock time.
        warnings: sentences about missing faces and options without effect.
        failed: error messages of the images that could not be read.
        interrupted: True if the process was asked to stop; the files hold the images until then.
        left_out: paths of what the given folders hold besides images; folders end with a slash.
    """

    paths: dict[str, Path]
    images: int
    faces: int
    seconds: float
    warnings: list[str]
    failed: dict[Path, str]
    interrupted: bool = False
    left_out: list[str] = field(default_factory=list)


def detect(
    images: Source | Iterable[Source], **options: Unpack[DetectKeywords]
) -> list[ImageFaces]:
    """Place the landmarks of the faces in still images.

    The keywords are the options of the command line, with underscores: `init`, `faces`, `device`,
    `box` and more (`facetrack.api.keywords.DetectKeywords`).

    Args:
        images: one image or several: paths, or arrays (H, W, 3) RGB or (H, W) grey uint8. An array
            (N, H, W, 3) holds several.
        **options: see above.

    Returns:
        The faces of each image, in the given order; of one image, a list of one.

    Raises:
        FacetrackError: bad input, in one sentence.
        TypeError: an unknown keyword, or a value of another type.

    Example:
        >>> found = facetrack.detect(["a.jpg", "b.jpg"], init="ert")  # doctest: +SKIP
        >>> found[0].xy.shape  # doctest: +SKIP
        (1, 68, 2)
    """
    check_keywords("detect", options, DetectKeywords)
    sources, chosen = sources_of(images), image_options(options)
    _check_box(chosen, len(sources))
    return [found for _, found in ImagePipeline(chosen).run(sources)]


def sources_of(images: Source | Iterable[Source], function: str = "detect") -> list[Source]:
    """Return one or several images as a list.

    Args:
        images: a path or an array, or several.
        function: name of the caller, for the sentence.

    Raises:
        FacetrackError: an array is no image.
        TypeError: neither an image nor an iterable of images was given.
    """
    if isinstance(images, str | os.PathLike):
        return [images]
    if isinstance(images, np.ndarray):
        is_several = images.ndim == 4
        sources: list[Source] = list(images) if is_several else [images]
    elif isinstance(images, Iterable) and not isinstance(images, bytes | dict):
        sources = list(images)
    else:
        raise TypeError(
            f"{function}() takes an image, which is a path or an array (H, W, 3), or several, not "
            f"{type(images).__name__}."
        )
    for source in sources:
        if isinstance(source, np.ndarray):
            _check_image(source)
        elif not isinstance(source, str | os.PathLike):
            raise TypeError(
                f"An image is a path or an array (H, W, 3), not {type(source).__name__}."
            )
    return sources


def _check_image(image: np.ndarray) -> None:
    shape = image.shape
    if not (image.ndim == 2 or (image.ndim == 3 and shape[2] == 3)) or not image.size:
        raise FacetrackError(f"An image is an array (H, W, 3) or (H, W), not {shape}.")
    if image.dtype != np.uint8:
        raise FacetrackError(f"An image must be uint8 with values 0 to 255, not {image.dtype}.")


def detect_to_files(
    names: Sequence[str | os.PathLike[str]],
    options: ImageOptions,
    outputs: ImageOutputs,
    progress: Progress = lambda done, total: None,
    started: Started = lambda models: None,
    overwrite: bool = False,
    loading: Loading = lambda: None,
) -> ImagesReport:
    """Place landmarks in images and write the files, all of them together at the end.

    When the process is asked to stop (`facetrack.runtime.interrupts`), the files hold the images
    that are done.

    Args:
        names: files, folders and patterns; see `find_images`.
        options: how to place landmarks.
        outputs: the files to write.
        progress: called with the number of images done and their total.
        started: called once all models are loaded, with their descriptions by kind.
        overwrite: replace files that facetrack did not write, or that hold other images' results.
        loading: called before the models are loaded.

    Raises:
        FacetrackError: bad input, no image that can be read, or an output that cannot be written,
            in one sentence.
        KeyboardInterrupt: the process was asked to stop, and the images that are done do not
            include those of the former results, which stay.
    """
    began = time.perf_counter()
    images = find_images(names)
    _check_box(options, len(images))
    pts, every = "pts" in outputs.formats, options.faces == "all"
    check_names(images, outputs.folder, pts, outputs.overlay, every)
    former = FormerImages(outputs.folder)
    names_of_images = list(possible_names(images, pts, outputs.overlay))
    refuse_inputs(
        [outputs.folder / name for name in (TABLE, RECORD, *names_of_images)],
        {f"image {image.name}": image for image in images}
        | {"detector's weights": Path(options.detector_options.weights)},
    )
    if not overwrite:
        former.refuse_loss(images)
        former.refuse_foreign_files(names_of_images)
    pipeline = ImagePipeline(options)
    loading()
    pipeline.prepare()
    started({"detector": pipeline.detector.describe()})
    statuses: dict[Path, dict[str, Any]] = {image: {"status": "not reached"} for image in images}
    failed: dict[Path, str] = {}
    lost: list[str] = []
    faces = done = 0

    def fail(source: Source, error: FacetrackError) -> None:
        assert isinstance(source, Path)
        failed[source] = str(error)
        statuses[source] = {"status": "unreadable", "message": str(error)}

    scheme = schemes.get(pipeline.detector.scheme)
    check_scheme(outputs.coordinates, scheme.name)
    interrupted = False
    with staged(outputs.folder) as place:
        images_writer = ImageWriter(
            *(place, scheme.count, pts, outputs.overlay),
            *(outputs.coordinates, outputs.point_confidence),
        )
        with images_writer as writer, ExitStack() as stack:
            stop = StopState()
            unwritten = iter(images)
            for image, found in pipeline.run(images, fail):
                for path in itertools.takewhile(lambda p: p != found.source, unwritten):  # noqa: B023
                    writer.write_unreadable(path)
                lost += writer.write(image, found)
                assert isinstance(found.source, Path)
                statuses[found.source] = _status(found)
                faces += len(found.xy)
                done += 1
                progress(done + len(failed), len(images))
                if done == 1:  # before that there is nothing to save
                    stop = stack.enter_context(defer_interrupts())
                if stop.requested and done + len(failed) < len(images):
                    interrupted = True
                    break
            if not done:
                raise FacetrackError(failed_sentence(failed, len(images), "images"))
            for path in unwritten:
                if path in failed:
                    writer.write_unreadable(path)
        reached = [path for path, some in statuses.items() if some["status"] != "not reached"]
        if interrupted and not overwrite and former.lost(reached):
            raise KeyboardInterrupt("the files of the earlier run stay as they are")
        without = [str(path) for path, some in statuses.items() if some["status"] == "no face"]
        warnings = [*pipeline.warnings, *lost]
        if without:
            listed = list_inputs(without, len(images), "images")
            warnings.append(f"No face was found in {listed}.")
        sentences, left_out = find_left_out(names, others_in_images, "images")
        warnings += sentences
        seconds = time.perf_counter() - began
        content = {
            **environment(),
            "options": {
                **dataclasses.asdict(options),
                "formats": list(outputs.formats),
                "overlay": outputs.overlay,
                "coordinates": outputs.coordinates,
                "point_confidence": outputs.point_confidence,
            },
            **coordinates_record(outputs.coordinates),
            "working_folder": os.getcwd(),
            "images": [{"image": str(path), **some} for path, some in statuses.items()],
            "left_out": left_out,
            "detector": pipeline.detector.describe(),
            "face_detector": None if pipeline.faces is None else pipeline.faces.describe(),
            "scheme": pipeline.detector.scheme,
            "seconds": {k: round(v, 3) for k, v in {**pipeline.seconds, "total": seconds}.items()},
            "interrupted": interrupted,
            "warnings": warnings,
        }
        warnings += outdated_warnings(former.left(new_names(place)))
        write_record(place / RECORD, content)
        written = [name for name in new_names(place) if name not in (TABLE, RECORD)]
        if not overwrite:
            former.refuse_foreign_files(written)
            FormerImages(outputs.folder).refuse_loss(reached)  # another run may have ended
        publish(place, [outputs.folder / name for name in (*written, TABLE, RECORD)])
    paths = {"csv": outputs.folder / TABLE, "sidecar": outputs.folder / RECORD}
    return ImagesReport(paths, done, faces, seconds, warnings, failed, interrupted, left_out)


def _check_box(options: ImageOptions, count: int) -> None:
    if options.box is not None and count != 1:
        raise FacetrackError(f"--box is the place of a face in one image, not in {count}.")


def _status(found: ImageFaces) -> dict[str, Any]:
    assert isinstance(found.source, Path)
    return {
        "status": "ok" if len(found.xy) else "no face",
        "sha256": sha256_of(found.source),
        "width": found.size[0],
        "height": found.size[1],
        "faces": len(found.xy),
        "boxes": found.boxes.astype(float).round(3),
    }
