"""Self-training on real, unlabelled clips, in the manner of BootsTAP (arXiv 2402.00847).

A teacher, the averaged weights, tracks points through a clean clip; the student must say the same
of a picture that was moved, covered and spoilt. What the teacher does not find again when it tracks
back is not taught.
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
from facetrack.training.render import SIZE, Clip, occlude, photograph
from facetrack.training.signals import Random
from facetrack.training.textures import SIDE
from facetrack.video.reader import VIDEO_NAME, VideoReader

FRAMES = 24
"""Frames of a stretch."""
LANDMARKS = "real-landmarks.npy"
STRETCHES, MOST = 10, 400
"""Stretches of a video, at most (the first that show a face), and of all videos, of 9 MB each."""
EVERY, LOOKED_AT = 6, 900
"""Frames between looks for a face, and after which a video has had its chance."""
HELD_OUT_VIDEOS = 5
"""One video in so many is kept out of the training, by a rule on its name."""
CYCLE = 3.0
"""Pixels by which a point may miss its start after a way there and back, and be taught."""
SURE = 0.7
"""Visibility above which, or under one less it, the teacher's word counts."""


class RealClips(NamedTuple):
    """Stretches of real videos, seen through a window that holds still about the face.

    Attributes:
        windows: K files of (FRAMES, SIDE, SIDE, 3) uint8 RGB.
        landmarks: (K, 68, 2) float32, in the first frames; pixels of the window, origin at the
            CORNER of its top-left pixel.
    """

    windows: list[Path]
    landmarks: np.ndarray


def is_held_out(path: Path) -> bool:
    """Whether the training keeps off this video."""
    return zlib.crc32(path.name.encode()) % HELD_OUT_VIDEOS == 0


def gather(folder: Path, out: Path, held_out: bool = False) -> None:
    """Cut stretches with a face out of the videos of `folder` and write `out`/real-0000.npy and so
    on, and at last `out`/real-landmarks.npy, for `load`.

    Args:
        held_out: of the held-out videos instead of all others.

    Raises:
        FacetrackError: no video of the folder, but for held-out ones, shows a face long enough.
    """
    if not folder.is_dir():
        raise FacetrackError(f"{folder} is not a folder of videos.")
    find, place = face_detectors.create("auto"), detectors.create("star")
    landmarks: list[np.ndarray] = []

    def look(image: np.ndarray) -> np.ndarray | None:
        boxes = find.detect(image).boxes[:1]
        return place.detect(image, boxes).xy[0] + 0.5 if len(boxes) else None

    found = sorted(p for p in folder.iterdir() if VIDEO_NAME.fullmatch(p.name))
    videos = [path for path in found if is_held_out(path) == held_out]
    most = max(1, min(STRETCHES, MOST // max(len(videos), 1)))
    for path in videos:
        if len(landmarks) == MOST:
            break
        taken, start = 0, None
        stretch: list[np.ndarray] = []
        with VideoReader(path) as reader:
            for count, frame in enumerate(reader):
                if taken == most or count == LOOKED_AT:
                    break
                if start is None and count % EVERY == 0:
                    start, stretch = look(frame.image), []
                if start is None:
                    continue
                stretch.append(frame.image)
                if len(stretch) < FRAMES:
                    continue
                end = look(frame.image)
                if end is not None and _same(start, end):
                    window, xy = _cut(stretch, start, end)
                    with atomic_path(out / _window_name(len(landmarks))) as file:
                        np.save(file, window)
                    landmarks.append(xy)
                    taken += 1
                start = None
    if not landmarks:
        raise FacetrackError(f"No video in {folder} shows a face for {FRAMES} frames on end.")
    with atomic_path(out / LANDMARKS) as file:
        np.save(file, np.stack(landmarks).astype(np.float32))


def load(out: Path) -> RealClips:
    """What `gather` wrote; the windows stay on disk."""
    landmarks = np.load(out / LANDMARKS)
    return RealClips([out / _window_name(i) for i in range(len(landmarks))], landmarks)


def _window_name(index: int) -> str:
    return f"real-{index:04d}.npy"


def _same(start: np.ndarray, end: np.ndarray) -> bool:
    """Whether two shapes can be one face, less than a second apart."""
    size = np.ptp(start, axis=0).max()
    growth = np.ptp(end, axis=0).max() / size
    return bool(np.linalg.norm(end.mean(0) - start.mean(0)) < size and 0.6 < growth < 1.6)


def _cut(
    images: list[np.ndarray], start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Windows (T, SIDE, SIDE, 3) about a face, and its first landmarks in them."""
    both = np.concatenate([start, end])
    centre = (both.min(0) + both.max(0)) / 2
    side = np.ptp(start, axis=0).max() / FACE_SHARE * (SIDE / SIZE)
    scale = SIDE / side
    cut = []
    for image in images:
        shrink = min(1.0, 2 * scale)
        if shrink < 1:  # a bilinear look at every fourth pixel would alias
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
    """Stretches (B, T, 3, SIDE, SIDE) float32 in [0, 1] and landmarks (B, 68, 2) of their first
    frames; of few frames, some skip every other one."""
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
    """A clip (B, T, 3, SIDE, SIDE) as a layer's map shows it, (B, T, 3, SIZE, SIZE)."""
    grid = pixel_grid(layer, SIZE).flatten(0, 1)
    seen = F.grid_sample(video.flatten(0, 1), grid, padding_mode="border", align_corners=False)
    return seen.unflatten(0, video.shape[:2])


def follow(network: CompactTapirNetwork, video: Tensor, start: Tensor) -> Estimate:
    """Where the network has points (B, N, 2) of the first frame in all frames."""
    from facetrack.training.forward import forward

    nothing = torch.zeros((*start.shape[:2], 1), dtype=torch.bool)
    with torch.autocast(video.device.type, torch.bfloat16):
        answer = forward(network, Clip(video, start[:, :, None], nothing, nothing))
    return answer.estimates[-1]


def resting(batch: int, frames: int, device: torch.device) -> LayerMap:
    """The middle of the windows, at their own size, in all frames."""
    middle = torch.full((batch, frames, 2), SIZE / 2, device=device)
    still = torch.ones(batch, frames, device=device)
    return similarity(torch.full((batch, 2), SIDE / 2, device=device), middle, still, 0 * still)


def there_and_back(
    network: CompactTapirNetwork, video: Tensor, start: Tensor
) -> tuple[Estimate, Estimate, Tensor]:
    """Track points (B, N, 2) of the first frame to the last one, and from there back.

    Returns both ways, each from its own first frame on, and (B, N) how far from home points end.
    """
    there = follow(network, video, start)
    back = follow(network, video.flip(1), there.xy[:, :, -1])
    return there, back, (back.xy[:, :, -1] - start).norm(dim=-1)


@torch.no_grad()
def taught(
    teacher: CompactTapirNetwork, video: Tensor, landmarks: Tensor, random: Random, points: int
) -> Clip:
    """What the student is shown, and what it is to say of it.

    Args:
        video, landmarks: of `draw`.
        points: query points a clip: landmarks, and places about them.
    """
    batch, frames = video.shape[:2]
    clean = resting(batch, frames, video.device)
    scenery = view(video, clean)
    chosen = landmarks.gather(1, random.integers(68, batch, points, 1).expand(-1, -1, 2))
    unit = (landmarks[:, 36] - landmarks[:, 45]).norm(dim=-1)[:, None, None]
    off = random.log_uniform(0.003, 0.3, batch, points, 1) * unit
    chosen = chosen + random.normal(batch, points, 2) * off
    start = clean.invert(chosen, SIZE)[0][:, 0]
    there, back, missed = there_and_back(teacher, scenery, start)
    seen = visibility(there)
    found = missed < CYCLE
    found &= (seen[:, :, -1] > SURE) & (visibility(back)[:, :, -1] > SURE)
    valid = found[:, :, None] & (seen > SURE)

    zoom = random.uniform(0.8, 1.25, batch, 1) * torch.exp(0.08 * random.smooth(frames, batch))
    turn = 0.25 * random.normal(batch, 1) + 0.1 * random.smooth(frames, batch)
    size = random.log_uniform(1, 16, batch, 1, 1)
    place = SIZE / 2 + size * random.smooth(frames, batch, 2, slowest=60).transpose(1, 2)
    centre = torch.full((batch, 2), SIDE / 2, device=video.device)
    moving = similarity(centre, place, zoom, turn)
    shown = view(video, moving)
    xy = moving.invert(clean.affine(there.xy.transpose(1, 2)), SIZE)[0]
    visible = valid.transpose(1, 2)
    if float(random.chance(0.5, 1)):
        shown, covered = occlude(random, shown, xy, video[:, 0].flip(-1))
        visible = visible & ~covered
    visible = (visible & ((xy > 0) & (xy < SIZE)).all(-1)).transpose(1, 2)
    shown = photograph(shown, xy, random)
    return Clip(shown, xy.transpose(1, 2), visible, valid & visible[:, :, :1])
