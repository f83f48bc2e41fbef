"""Self-training on real, unlabelled clips, similar to BootsTAP (arXiv 2402.00847).

A teacher with the averaged weights tracks points through a clean clip. The student must give the
same tracks on a moved, occluded and degraded version of the clip. Points that the teacher loses
when it tracks them back are not used.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack import detectors, face_detectors
from facetrack.errors import FacetrackError
from facetrack.files import atomic_path
from facetrack.trackers.tapir.compact import CompactTapirNetwork
from facetrack.trackers.tapir.face_window import FACE_SHARE
from facetrack.trackers.tapir.types import Estimate, visibility
from facetrack.training.geometry import LayerMap, pixel_grid, similarity
from facetrack.training.precision import autocast
from facetrack.training.render import SIZE, Clip, occlude, photograph
from facetrack.training.signals import Random
from facetrack.training.textures import SIDE
from facetrack.video.reader import VideoReader
from facetrack.video.video_names import is_video_name

FRAMES = 24
"""Number of frames per clip."""
LANDMARKS = "real-landmarks.npy"
"""Name of the file of landmarks."""
MAX_CLIPS_PER_VIDEO, MAX_CLIPS = 10, 400
"""Maximum number of clips (9 MB each) of a video, the first that show a face, and of all videos."""
DETECT_EVERY, MAX_SEARCHED_FRAMES = 6, 900
"""Number of frames between face detections, and number of frames searched per video."""
HELD_OUT_VIDEOS = 5
"""One in this many videos is held out of the training, by a rule on its name."""
MAX_CYCLE_ERROR = 3.0
"""Maximum cycle error in pixels of points that are used."""
MIN_VISIBILITY = 0.7
"""Minimum visibility by the teacher of points that are used."""


class RealClips(NamedTuple):
    """Clips of real videos, cropped to a static window around the face.

    Attributes:
        windows: K files of (FRAMES, SIDE, SIDE, 3) uint8 RGB.
        landmarks: (K, 68, 2) float32, in the first frames; pixels of the window, origin at the
            CORNER of its top-left pixel.
    """

    windows: list[Path]
    landmarks: np.ndarray


def is_held_out(path: Path) -> bool:
    """Return True if the video is held out of the training."""
    return zlib.crc32(path.name.encode()) % HELD_OUT_VIDEOS == 0


def gather(folder: Path, out: Path, held_out: bool = False) -> None:
    """Cut clips with a face out of the videos of a folder, for `load`.

    Args:
        folder: of videos.
        out: folder for real-0000.npy and so on, and finally real-landmarks.npy.
        held_out: use the held-out videos instead of all others.

    Raises:
        FacetrackError: no video in use shows a face for long enough.
    """
    if not folder.is_dir():
        raise FacetrackError(f"{folder} is not a folder of videos.")
    face_detector, landmark_detector = face_detectors.create("auto"), detectors.create("star")
    landmarks: list[np.ndarray] = []

    def detect(image: np.ndarray) -> np.ndarray | None:
        boxes = face_detector.detect(image).boxes[:1]
        return landmark_detector.detect(image, boxes).xy[0] + 0.5 if len(boxes) else None

    files = sorted(p for p in folder.iterdir() if is_video_name(p.name))
    videos = [path for path in files if is_held_out(path) == held_out]
    max_clips = max(1, min(MAX_CLIPS_PER_VIDEO, MAX_CLIPS // max(len(videos), 1)))
    for path in videos:
        if len(landmarks) == MAX_CLIPS:
            break
        num_clips, start = 0, None
        clip: list[np.ndarray] = []
        with VideoReader(path) as reader:
            for count, frame in enumerate(reader):
                if num_clips == max_clips or count == MAX_SEARCHED_FRAMES:
                    break
                if start is None and count % DETECT_EVERY == 0:
                    start, clip = detect(frame.image), []
                if start is None:
                    continue
                clip.append(frame.image)
                if len(clip) < FRAMES:
                    continue
                end = detect(frame.image)
                if end is not None and _is_same_face(start, end):
                    window, xy = _cut(clip, start, end)
                    with atomic_path(out / _window_name(len(landmarks))) as file:
                        np.save(file, window)
                    landmarks.append(xy)
                    num_clips += 1
                start = None
    if not landmarks:
        raise FacetrackError(f"No video in {folder} shows a face for {FRAMES} frames on end.")
    with atomic_path(out / LANDMARKS) as file:
        np.save(file, np.stack(landmarks).astype(np.float32))


def load(out: Path) -> RealClips:
    """Load the clips that `gather` wrote; the windows stay on disk."""
    landmarks = np.load(out / LANDMARKS)
    return RealClips([out / _window_name(i) for i in range(len(landmarks))], landmarks)


def _window_name(index: int) -> str:
    return f"real-{index:04d}.npy"


def _is_same_face(start: np.ndarray, end: np.ndarray) -> bool:
    """Return True if two shapes, less than a second apart, can be the same face."""
    size = np.ptp(start, axis=0).max()
    growth = np.ptp(end, axis=0).max() / size
    return bool(np.linalg.norm(end.mean(0) - start.mean(0)) < size and 0.6 < growth < 1.6)


def _cut(
    images: list[np.ndarray], start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cut windows (T, SIDE, SIDE, 3) around a face; returns them and its first landmarks."""
    start_and_end = np.concatenate([start, end])
    centre = (start_and_end.min(0) + start_and_end.max(0)) / 2
    side = np.ptp(start, axis=0).max() / FACE_SHARE * (SIDE / SIZE)
    scale = SIDE / side
    cut = []
    for image in images:
        shrink = min(1.0, 2 * scale)
        if shrink < 1:  # sampling only a few pixels bilinearly would alias
            image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        rate = scale / shrink
        # OpenCV counts from the centres of pixels.
        shift = SIDE / 2 - scale * centre + 0.5 * rate - 0.5
        matrix = np.array([[rate, 0, shift[0]], [0, rate, shift[1]]])
        cut.append(
            cv2.warpAffine(
                image,
                matrix,
                (SIDE, SIDE),
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
        )
    return np.stack(cut), (start - centre) * scale + SIDE / 2


def draw(clips: RealClips, random: Random, batch: int, frames: int) -> tuple[Tensor, Tensor]:
    """Draw random clips; short ones may skip every other frame.

    Returns:
        Clips (B, T, 3, SIDE, SIDE) float32 in [0, 1], and the landmarks (B, 68, 2) of their first
        frames.
    """
    video, landmarks = [], []
    for _ in range(batch):
        index = int(random.integers(len(clips.windows), 1))
        step = 2 if 2 * frames <= FRAMES and float(random.chance(0.5, 1)) else 1
        window = np.load(clips.windows[index], mmap_mode="r")
        cut = np.array(window[: step * frames : step])
        video.append(torch.from_numpy(cut).permute(0, 3, 1, 2).to(random.device))
        landmarks.append(torch.from_numpy(clips.landmarks[index]).to(random.device))
    return torch.stack(video).float() / 255, torch.stack(landmarks)


def view(video: Tensor, layer: LayerMap) -> Tensor:
    """Show a clip (B, T, 3, SIDE, SIDE) through a layer's map, as (B, T, 3, SIZE, SIZE)."""
    grid = pixel_grid(layer, SIZE).flatten(0, 1)
    shown = F.grid_sample(video.flatten(0, 1), grid, padding_mode="border", align_corners=False)
    return shown.unflatten(0, video.shape[:2])


def track(network: CompactTapirNetwork, video: Tensor, start: Tensor) -> Estimate:
    """Track points (B, N, 2) of the first frame through all frames."""
    from facetrack.training.forward import forward

    nothing = torch.zeros((*start.shape[:2], 1), dtype=torch.bool)
    with autocast(video.device):
        answer = forward(network, Clip(video, start[:, :, None], nothing, nothing))
    return answer.estimates[-1]


def static_map(batch: int, frames: int, device: torch.device) -> LayerMap:
    """Return the map that shows the middle of the windows at their own size in all frames."""
    middle = torch.full((batch, frames, 2), SIZE / 2, device=device)
    still = torch.ones(batch, frames, device=device)
    return similarity(torch.full((batch, 2), SIDE / 2, device=device), middle, still, 0 * still)


def track_cycle(
    network: CompactTapirNetwork, video: Tensor, start: Tensor
) -> tuple[Estimate, Estimate, Tensor]:
    """Track points (B, N, 2) of the first frame to the last one, and from there back.

    Returns:
        The forward and the backward estimate, each from its own first frame on, and the distances
        (B, N) of the points' ends to their starts in pixels.
    """
    forward_pass = track(network, video, start)
    back = track(network, video.flip(1), forward_pass.xy[:, :, -1])
    return forward_pass, back, (back.xy[:, :, -1] - start).norm(dim=-1)


@torch.no_grad()
def taught(
    teacher: CompactTapirNetwork, video: Tensor, landmarks: Tensor, random: Random, points: int
) -> Clip:
    """Create the student's clip: a changed video, with the teacher's tracks as the truth.

    Args:
        teacher: tracks the unchanged video.
        video, landmarks: see `draw`.
        random: draws the points and the changes.
        points: number of query points per clip: landmarks, and positions near them.
    """
    batch, frames = video.shape[:2]
    clean = static_map(batch, frames, video.device)
    scenery = view(video, clean)
    chosen = landmarks.gather(1, random.integers(68, batch, points, 1).expand(-1, -1, 2))
    unit = (landmarks[:, 36] - landmarks[:, 45]).norm(dim=-1)[:, None, None]
    off = random.log_uniform(0.003, 0.3, batch, points, 1) * unit
    chosen = chosen + random.normal(batch, points, 2) * off
    start = clean.invert(chosen, SIZE)[0][:, 0]
    forward_pass, back, cycle_error = track_cycle(teacher, scenery, start)
    visible_share = visibility(forward_pass)
    is_tracked = cycle_error < MAX_CYCLE_ERROR
    is_tracked &= (visible_share[:, :, -1] > MIN_VISIBILITY) & (
        visibility(back)[:, :, -1] > MIN_VISIBILITY
    )
    valid = is_tracked[:, :, None] & (visible_share > MIN_VISIBILITY)

    zoom = random.uniform(0.8, 1.25, batch, 1) * torch.exp(0.08 * random.smooth(frames, batch))
    turn = 0.25 * random.normal(batch, 1) + 0.1 * random.smooth(frames, batch)
    size = random.log_uniform(1, 16, batch, 1, 1)
    position = SIZE / 2 + size * random.smooth(frames, batch, 2, slowest=60).transpose(1, 2)
    centre = torch.full((batch, 2), SIDE / 2, device=video.device)
    moving = similarity(centre, position, zoom, turn)
    student_video = view(video, moving)
    xy = moving.invert(clean.affine(forward_pass.xy.transpose(1, 2)), SIZE)[0]
    visible = valid.transpose(1, 2)
    if float(random.chance(0.5, 1)):
        student_video, covered = occlude(random, student_video, xy, video[:, 0].flip(-1))
        visible = visible & ~covered
    visible = (visible & ((xy > 0) & (xy < SIZE)).all(-1)).transpose(1, 2)
    student_video = photograph(student_video, xy, random)
    return Clip(student_video, xy.transpose(1, 2), visible, valid & visible[:, :, :1])
