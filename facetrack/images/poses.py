"""Estimate head poses in pictures and videos, each frame by itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from facetrack import defaults, face_detectors
from facetrack.detectors import DetectorOptions
from facetrack.errors import FacetrackError
from facetrack.head_pose.estimator import HeadPoseEstimator
from facetrack.head_pose.picture_pose import PicturePoses
from facetrack.head_pose.picture_pose import choose_camera as choose_camera_of_pictures
from facetrack.images.pipeline import FACE_CHOICES, ImageOptions, ImagePipeline, Source
from facetrack.measures import face_model, rotations
from facetrack.measures.face_measures import map_to_68
from facetrack.measures.head import choose_camera
from facetrack.measures.person import fit_each
from facetrack.measures.pose import Camera, check_focal
from facetrack.ops.equality import EqualByValue
from facetrack.ops.image import as_rgb
from facetrack.video.image_depth import DarkPictures
from facetrack.video.image_files import read_image
from facetrack.video.reader import VideoReader
from facetrack.video.video_names import is_still_image

METHODS = ("landmarks", "network")
NO_FACE = -1
"""`face_id` of a frame without a face."""


@dataclass(frozen=True)
class PoseOptions:
    """Options of `facetrack pose`.

    Attributes:
        method: "landmarks": landmarks are detected, and a 3-D face is fitted to them
            (perspective-n-point). "network": a network sees the pose in the picture.
        init, detector_options: the landmark detector of the method "landmarks", and its options.
        pose_weights: weights of the method "network".
        face_detector: name of the face detector.
        faces: "largest" or "all".
        focal: focal length in pixels; None for OpenFace's rule.
        device: of the networks.
    """

    method: str = METHODS[0]
    init: str = defaults.INIT
    detector_options: DetectorOptions = field(default_factory=DetectorOptions)
    pose_weights: str = "auto"
    face_detector: str = "auto"
    faces: str = "largest"
    focal: float | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise FacetrackError(
                f"There is no --method {self.method}; choose {' or '.join(METHODS)}."
            )
        if self.faces not in FACE_CHOICES:
            raise FacetrackError(
                f"There is no --faces {self.faces}; choose {' or '.join(FACE_CHOICES)}."
            )
        check_focal(self.focal)


@dataclass(frozen=True, eq=False)
class HeadPoses(EqualByValue):
    """Head poses in one picture or video: a row for each face of each frame, R in all.

    Points on the head go to rotation @ point + translation, in the camera's axes: x to the right of
    the image, y down, z away from the camera, as in OpenFace. A frame without a face has one row.

    Attributes:
        source: the path or array that was given.
        size: (width, height) of the upright frames.
        frame: (R,) int64, from 0; 0 in a picture.
        time: (R,) seconds; NaN in a picture.
        face_id: (R,) int64, from 0, the largest face of the frame first; -1 where there is none.
            Faces are not followed, so the same number may be another person in the next frame.
        rotation: (R, 3, 3), NaN where there is no pose.
        translation: (R, 3) mm of the centre of the 3-D face, NaN where there is no pose.
        focal: focal length in pixels.
        warnings: sentences about the reading of a video.
    """

    source: Source
    size: tuple[int, int]
    frame: np.ndarray
    time: np.ndarray
    face_id: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    focal: float
    warnings: tuple[str, ...] = ()

    @property
    def angles(self) -> np.ndarray:
        """(R, 3) OpenFace's pitch, yaw and roll in radians, NaN where there is no pose."""
        return rotations.to_angles(self.rotation)

    @property
    def known(self) -> np.ndarray:
        """(R,) bool: rows with a pose."""
        return np.asarray(np.isfinite(self.translation).all(-1))


class PoseMethod(Protocol):
    """A way to see poses in pictures. What is seen in a picture of F faces has a length of F."""

    def see(self, images: Iterable[np.ndarray]) -> Iterator[Any]:
        """Yield what is seen in each image (H, W, 3) uint8 RGB."""
        ...

    def solve(
        self, seen: Sequence[Any], size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray, Camera]:
        """Return rotations (R, 3, 3) and translations (R, 3) of all faces seen, and the camera."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return the models' descriptions by kind."""
        ...

    @property
    def warnings(self) -> list[str]:
        """Sentences about options without effect."""
        ...


class FromLandmarks:
    """Fit the 3-D face to detected landmarks, as `facetrack measure` does for a single frame."""

    def __init__(self, options: PoseOptions) -> None:
        self._focal = options.focal
        images = ImageOptions(
            init=options.init,
            detector_options=options.detector_options,
            face_detector=options.face_detector,
            faces=options.faces,
        )
        self._pipeline = ImagePipeline(images)
        self._pipeline.prepare()
        self._indices = map_to_68(self._pipeline.detector.scheme, "Head poses")

    def see(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the 68 landmarks (F, 68, 2) of the faces of each image."""
        for _, found in self._pipeline.run(images):
            yield found.xy[:, self._indices].astype(float)

    def solve(
        self, seen: Sequence[np.ndarray], size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray, Camera]:
        """Return the poses by perspective-n-point."""
        model = face_model.load()
        columns = np.full((len(seen), max(map(len, seen), default=0), 68, 2), np.nan)
        for row, xy in enumerate(seen):
            columns[row, : len(xy)] = xy
        known = np.isfinite(columns).all(-1)
        camera = choose_camera(columns, known, size, self._focal, model)
        points = np.concatenate([np.zeros((0, 68, 2)), *seen])
        seen_points = np.asarray(np.isfinite(points).all(-1))
        return (*fit_each(points, seen_points, camera, model), camera)

    def describe(self) -> dict[str, Any]:
        """Return the models' descriptions by kind."""
        faces = self._pipeline.faces
        assert faces is not None
        return {"detector": self._pipeline.detector.describe(), "face_detector": faces.describe()}

    @property
    def warnings(self) -> list[str]:
        """Sentences about options without effect."""
        return self._pipeline.warnings


class FromNetwork:
    """Regress poses from the pictures of faces."""

    def __init__(self, options: PoseOptions) -> None:
        self._focal, self._options = options.focal, options
        self._faces = face_detectors.create(options.face_detector)
        self._estimator = HeadPoseEstimator(options.pose_weights, options.device)

    def see(self, images: Iterable[np.ndarray]) -> Iterator[PicturePoses]:
        """Yield the poses in the terms of each image."""
        for image in images:
            boxes = self._faces.detect(image).boxes
            yield self._estimator.estimate(
                image, boxes if self._options.faces == "all" else boxes[:1]
            )

    def solve(
        self, seen: Sequence[PicturePoses], size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray, Camera]:
        """Return the poses in front of the camera."""
        count = max(map(len, seen), default=0)
        columns = [
            PicturePoses.joined([poses.select([face]) for poses in seen if len(poses) > face])
            for face in range(count)
        ]
        camera = choose_camera_of_pictures(size, self._focal, columns)
        return (*PicturePoses.joined(seen).in_camera(camera), camera)

    def describe(self) -> dict[str, Any]:
        """Return the models' descriptions by kind."""
        return {"pose": self._estimator.describe(), "face_detector": self._faces.describe()}

    @property
    def warnings(self) -> list[str]:
        """Sentences about options without effect."""
        plain = PoseOptions()
        names = {
            "--init": self._options.init != plain.init,
            "--detector-weights": self._options.detector_options.weights
            != plain.detector_options.weights,
        }
        given = [name for name, is_given in names.items() if is_given]
        if not given:
            return []
        verb = "has" if len(given) == 1 else "have"
        return [f"{' and '.join(given)} {verb} no effect: --method network has no landmarks."]


_METHODS: dict[str, Callable[[PoseOptions], PoseMethod]] = {
    "landmarks": FromLandmarks,
    "network": FromNetwork,
}


class PosePipeline:
    """Estimates head poses in one picture or video after another."""

    def __init__(self, options: PoseOptions) -> None:
        self.options = options
        self._dark = DarkPictures()

    @property
    def warnings(self) -> list[str]:
        """Sentences about options without effect, and about pictures that were read."""
        return [*self.method.warnings, *self._dark.warnings]

    @cached_property
    def method(self) -> PoseMethod:
        """The method with its models; created on first use."""
        return _METHODS[self.options.method](self.options)

    def run(self, source: Source, passed: Callable[[int], None] = lambda frames: None) -> HeadPoses:
        """Estimate the head poses in a picture or a video.

        Args:
            source: path of a picture or a video, or an array (H, W, 3) RGB or (H, W) grey uint8.
            passed: called before each frame with the number of frames that are done.

        Raises:
            FacetrackError: it cannot be read.
        """
        if isinstance(source, np.ndarray):
            return self._picture(source, as_rgb(source))
        if is_still_image(Path(source)):
            image = read_image(Path(source))
            self._dark.note(Path(source), image)
            return self._picture(source, image)
        return self._video(source, passed)

    def _picture(self, source: Source, image: np.ndarray) -> HeadPoses:
        seen = list(self.method.see([image]))
        return self._rows(source, (image.shape[1], image.shape[0]), seen, [0], [float("nan")])

    def _video(self, source: str | os.PathLike[str], passed: Callable[[int], None]) -> HeadPoses:
        indices: list[int] = []
        times: list[float] = []

        def images() -> Iterator[np.ndarray]:
            for frame in reader:
                passed(len(indices))
                indices.append(frame.index)
                times.append(frame.time)
                yield frame.image

        with VideoReader(Path(source)) as reader:
            size = (reader.info.width, reader.info.height)
            seen = list(self.method.see(images()))
        return self._rows(source, size, seen, indices, times, tuple(reader.warnings))

    def _rows(
        self,
        source: Source,
        size: tuple[int, int],
        seen: Sequence[Any],
        indices: Sequence[int],
        times: Sequence[float],
        warnings: tuple[str, ...] = (),
    ) -> HeadPoses:
        """Return the poses of what was seen in each frame."""
        rotation, translation, camera = self.method.solve(seen, size)
        frame_of_row, face_id = [], []
        for row, faces in enumerate(map(len, seen)):
            frame_of_row += [row] * max(faces, 1)
            face_id += list(range(faces)) or [NO_FACE]
        rows, faces_of_rows = np.array(frame_of_row, int), np.array(face_id, np.int64)
        has_face = faces_of_rows != NO_FACE
        all_rotations = np.full((len(rows), 3, 3), np.nan)
        all_translations = np.full((len(rows), 3), np.nan)
        all_rotations[has_face], all_translations[has_face] = rotation, translation
        return HeadPoses(
            source,
            size,
            np.array(indices, np.int64)[rows],
            np.array(times, float)[rows],
            faces_of_rows,
            all_rotations,
            all_translations,
            camera.focal,
            warnings,
        )
