"""Make `astronaut.mp4`, the example clip: `python examples/make_clip.py [FILE]`.

A photograph is warped into a head that turns, nods, blinks and talks; a hand passes in front of it
once. The photograph is NASA's portrait of Eileen Collins, in the public domain, as scikit-image
ships it. The sound is synthetic: a soft tone, louder as the mouth opens.

Lengths and positions are in pixels of the photograph, y down; `t` is in seconds.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
from skimage.data import astronaut

FPS, FRAMES = 24, 96
WIDTH, HEIGHT = 640, 480
SCALE, LEFT, TOP = 1.6, 60.0, 0.0  # the part of the photograph that fills the frame
SAMPLE_RATE = 44100

HEAD, NECK = (225.0, 112.0), (225.0, 190.0)
EYES = ((203.5, 96.2, 105.0), (246.5, 97.7, 107.5))  # x, upper lid, lower lid
MOUTH_X, MOUTH_HALF = 223.5, 19.5
INSIDE_MOUTH = (58, 22, 26)
SKIN = (214, 160, 132)


def mouth_opening(t: float | np.ndarray) -> np.ndarray:
    """Return how far the mouth is open, 0 to 1."""
    syllables = np.sin(2 * np.pi * 2.1 * t) * np.sin(2 * np.pi * 0.55 * t + 0.4)
    return np.clip(syllables, 0, 1)


def eye_closure(t: float) -> float:
    """Return how far the eyes are closed, 0 to 1: two blinks of a third of a second."""
    return float(sum(np.exp(-(((t - blink) / 0.09) ** 2)) for blink in (0.8, 3.5)))


def smoothstep(value: np.ndarray) -> np.ndarray:
    """Return 0 below 0, 1 above 1, and a smooth step between."""
    value = np.clip(value, 0, 1)
    return value * value * (3 - 2 * value)


def undo_head(x: np.ndarray, y: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray]:
    """Map the head's points at time `t` to the photograph."""
    radius = np.hypot((x - HEAD[0]) / 80, (y - HEAD[1]) / 95)
    whole = 1 - smoothstep((radius - 0.85) / 0.75)
    nearness = np.clip(1 - (radius / 0.95) ** 2, 0, 1)  # the nose is nearer than the ears
    yaw, nod = np.sin(2 * np.pi * 0.31 * t), np.sin(2 * np.pi * 0.47 * t)
    x = x - whole * 5 * yaw - nearness * 9 * yaw
    y = y - whole * 2 * nod - nearness * 4 * nod
    angle = np.deg2rad(5) * np.sin(2 * np.pi * 0.23 * t) * whole
    dx, dy = x - NECK[0], y - NECK[1]
    return (
        NECK[0] + np.cos(angle) * dx + np.sin(angle) * dy,
        NECK[1] - np.sin(angle) * dx + np.cos(angle) * dy,
    )


def undo_blink(x: np.ndarray, y: np.ndarray, closure: float) -> np.ndarray:
    """Return the photograph's y of the pixels at (x, y) with lowered upper lids."""
    shift = np.zeros_like(y)
    for eye_x, upper, lower in EYES:
        across = np.exp(-(((x - eye_x) / 9) ** 4))
        fold, edge = upper - 2.5, upper + closure * (lower - upper)
        stretched = np.clip((y - fold) / (edge - fold), 0, 1)
        covered = 1 - smoothstep((y - edge) / 1.2)
        shift += (edge - upper) * across * stretched * covered
    return y - shift


def undo_jaw(x: np.ndarray, y: np.ndarray, opening: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the photograph's y at (x, y) with the jaw down, and the mouth's inside."""
    off = (x - MOUTH_X) / MOUTH_HALF
    lip = 150.5 - 9 * np.minimum(off**2, 1.5)
    below = y - lip
    width = MOUTH_HALF + 0.9 * np.clip(below, 0, 30)
    drop = 7 * opening * np.clip(1 - ((x - MOUTH_X) / width) ** 2, 0, 1)
    drop *= 1 - smoothstep((y - 168) / 35)
    inside = smoothstep(below / 1.2) * smoothstep((drop - below) / 1.2)
    return np.where(below > 0, y - np.minimum(drop, below), y), inside


def hand(t: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw a hand that passes from right to left: colour (H, W, 3), coverage (H, W), 0 to 1."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    x, y = 800 - 340 * (t - 1.5), 300 + 10 * np.sin(3 * t)
    palm = np.array([x, y])

    def capsule(start: np.ndarray, end: np.ndarray, radius: float) -> None:
        a, b = (tuple(int(v) for v in np.round(p * 16)) for p in (start, end))
        cv2.line(mask, a, b, 255, round(2 * radius), cv2.LINE_AA, 4)

    for degrees, length, radius in ((-24, 112, 12), (-7, 134, 13), (9, 128, 13), (26, 102, 11)):
        turn = np.deg2rad(degrees - 12)
        direction = np.array([np.sin(turn), -np.cos(turn)])
        capsule(palm + 25 * direction, palm + length * direction, radius)
    capsule(palm + [-10, 25], palm + [-78, -28], 16)
    capsule(palm + [0, 5], palm + [8, 12], 46)
    capsule(palm + [8, 40], palm + [70, 330], 40)
    depth = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 5)
    light = cv2.GaussianBlur(0.62 + 0.38 * smoothstep(depth / 18), (0, 0), 2)
    coverage = cv2.GaussianBlur(mask, (0, 0), 1.2).astype(np.float32) / 255
    return light[..., None] * np.array(SKIN, np.float32), coverage


def render(photo: np.ndarray, t: float) -> np.ndarray:
    """Return the frame (HEIGHT, WIDTH, 3) uint8 RGB at time `t`."""
    column, row = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    x = (column + 0.5) / SCALE - 0.5 + LEFT + 1.2 * np.sin(1.3 * t)  # a camera held by hand
    y = (row + 0.5) / SCALE - 0.5 + TOP + 1.5 + 1.2 * np.sin(1.9 * t + 1)
    x, y = undo_head(x, y, t)
    y, inside = undo_jaw(x, y, float(mouth_opening(t)))
    y = undo_blink(x, y, eye_closure(t))
    image = cv2.remap(
        photo, x.astype(np.float32), y.astype(np.float32), cv2.INTER_CUBIC, None, cv2.BORDER_REFLECT
    ).astype(np.float32)
    image += inside[..., None] * (np.array(INSIDE_MOUTH) - image)
    colour, coverage = hand(t)
    image += coverage[..., None] * (colour - image)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def write_tone(path: Path) -> None:
    """Write a mono 16-bit WAV as long as the clip."""
    t = np.arange(int(SAMPLE_RATE * FRAMES / FPS)) / SAMPLE_RATE
    tone = sum(np.sin(2 * np.pi * 165 * k * t) / k**1.5 for k in (1, 2, 3, 4))
    fade = np.minimum(1, np.minimum(t, t[-1] - t) / 0.1)
    sound = 0.12 * tone * (0.15 + 0.85 * mouth_opening(t)) * fade
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((sound * 32767).astype("<i2").tobytes())


def main(target: Path) -> None:
    """Render the clip and write it as H.264 and AAC."""
    photo = astronaut()
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "tone.wav"
        write_tone(sound)
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"]
        command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}"]
        command += ["-r", str(FPS), "-i", "-", "-i", str(sound)]
        command += ["-vf", "scale=out_color_matrix=bt709", "-colorspace", "bt709"]
        command += ["-color_primaries", "bt709", "-color_trc", "bt709", "-pix_fmt", "yuv420p"]
        command += ["-c:v", "libx264", "-preset", "veryslow", "-crf", "24", "-threads", "1"]
        command += ["-c:a", "aac", "-b:a", "48k", "-fflags", "+bitexact", "-flags:v", "+bitexact"]
        command += ["-flags:a", "+bitexact", "-movflags", "+faststart", str(target)]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as ffmpeg:
            assert ffmpeg.stdin is not None
            for frame in range(FRAMES):
                ffmpeg.stdin.write(render(photo, frame / FPS).tobytes())
        if ffmpeg.returncode:
            sys.exit(f"ffmpeg failed with code {ffmpeg.returncode}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("astronaut.mp4"))
