"""Checks frame counts, frame times, overlays and CSV files against the videos they came from.

    python benchmarks/checks/video_times.py FOLDER [--overlays DIR] [--ffmpeg-only]

For every video in FOLDER: the frames ffmpeg decodes, the frames facetrack reads, and the worst
difference between facetrack's times and the packets' (ffprobe's where it is installed, else
ffmpeg's framecrc listing). With --overlays also, for DIR/<stem>.overlay.mp4: frame times, the
difference of the video's duration in frames, and the sound; and that DIR/<stem>.csv, where it
exists, has every frame with its time. Exit status 1 on any disagreement.
"""

from __future__ import annotations

import argparse
import csv
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median

from facetrack.errors import FacetrackError
from facetrack.video import ffmpeg
from facetrack.video.reader import VideoReader, probe

SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".gif", ".m4v", ".ts"}
TOLERANCE = 1e-3
Packet = tuple[float, float]
"""Presentation time and duration (0 where unknown), seconds."""


def listing(path: Path, *options: str) -> list[Packet]:
    """Lines of ffmpeg's framecrc muxer: `stream, dts, pts, duration, size, checksum`."""
    command = [ffmpeg.executable(), *ffmpeg.LOG_OPTIONS, "-copyts", "-i", ffmpeg.file_url(path)]
    command += ["-map", "0:V:0", *options, "-f", "framecrc", "-"]
    text = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    found = re.search(r"#tb 0: (\d+)/(\d+)", text)
    if found is None:
        raise FacetrackError(f"ffmpeg lists no frame of {path}.")
    rows = [line.split(",") for line in text.splitlines() if line and not line.startswith("#")]
    second = int(found[2]) / int(found[1])
    return [(int(row[2]) / second, int(row[3]) / second) for row in rows]


def packets(path: Path, use_ffprobe: bool) -> list[Packet]:
    """Packets that are shown (not cut away by an edit list), in order of their time."""
    if not use_ffprobe:
        return sorted(listing(path, "-c", "copy"))
    command = ["ffprobe", "-v", "error", "-select_streams", "V:0", "-show_entries"]
    command += ["packet=pts_time,duration_time,flags", "-of", "compact=p=0", ffmpeg.file_url(path)]
    text = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    shown = []
    for line in text.splitlines():
        row = dict(cell.split("=", 1) for cell in line.split("|") if "=" in cell)
        if "D" not in row.get("flags", "") and row.get("pts_time", "N/A") != "N/A":
            length = row.get("duration_time", "N/A")
            shown.append((float(row["pts_time"]), 0.0 if length == "N/A" else float(length)))
    return sorted(shown)


def worst(ours: list[float], theirs: list[float]) -> float:
    """Largest distance in seconds of one of our times to the nearest of theirs, in order."""
    if len(ours) == len(theirs):
        return max((abs(a - b) for a, b in zip(ours, theirs, strict=True)), default=0.0)
    return max((min(abs(a - b) for b in theirs) for a in ours), default=0.0) if theirs else 1e9


def stream_end(shown: list[Packet], times: list[float]) -> float:
    """Where the video ends: the last frame's time and its duration."""
    last = max(times)
    known = [length for time, length in shown if abs(time - last) < TOLERANCE and length > 0]
    steps = [b - a for a, b in pairwise(times)]
    return last + (known[0] if known else median(steps) if steps else 0.0)


def check_overlay(path: Path, overlay: Path, times: list[float], probed: bool) -> list[str]:
    """What is wrong with an overlay, one string for each disagreement; prints its figures."""
    wrong = []
    with VideoReader(overlay) as reader:
        drawn = [frame.time for frame in reader]
    if len(drawn) != len(times):
        wrong.append(f"overlay has {len(drawn)} frames")
    difference = worst(drawn, times)
    if difference > TOLERANCE:
        wrong.append("overlay times")
    steps = [b - a for a, b in pairwise(times)] or [0.04]
    source_end = stream_end(packets(path, probed), times)
    overlay_end = stream_end(listing(overlay, "-c", "copy"), drawn)
    frames = abs(overlay_end - source_end) / max(median(steps), 1e-6)
    if frames > 1:
        wrong.append("overlay duration")
    source, result = probe(path), probe(overlay)
    if source.has_audio != result.has_audio:
        wrong.append("overlay sound")
    print(
        f"    overlay: {len(drawn)} frames, {difference * 1e3:.4f} ms, duration off by "
        f"{frames:.2f} frames, sound {source.audio_codec} -> {result.audio_codec}"
    )
    return wrong


def check_csv(table: Path, times: list[float]) -> list[str]:
    """What is wrong with a CSV: every frame must have a row, with its time to three decimals."""
    with open(table, newline="") as stream:
        rows = list(csv.DictReader(stream))
    stamps = {int(row["frame"]): float(row["timestamp"]) for row in rows}
    if sorted(stamps) != list(range(len(times))):
        return [f"csv has {len(stamps)} frames"]
    difference = max(abs(stamps[i] - time) for i, time in enumerate(times))
    print(f"    csv: {len(rows)} rows, {len(stamps)} frames, {difference * 1e3:.4f} ms")
    return ["csv times"] if difference > TOLERANCE else []


def check(path: Path, overlays: Path | None, probed: bool) -> list[str]:
    """Compare one video; prints its figures and returns the disagreements."""
    decoded = len(listing(path, *ffmpeg.passthrough()))
    with VideoReader(path) as reader:
        times = [frame.time for frame in reader]
    shown = [time for time, _ in packets(path, probed)]
    # Packets of an AVI file with B-frames have no presentation time to compare with.
    difference = worst(times, shown) if shown else 0.0
    print(f"{path.name}: decoded {decoded}, ours {len(times)}, worst {difference * 1e3:.4f} ms")
    wrong = []
    if decoded != len(times):
        wrong.append("frame count")
    if difference > TOLERANCE:
        wrong.append("times")
    if reader.warnings:
        print("    " + " ".join(reader.warnings))
    if overlays is not None:
        overlay = overlays / f"{path.stem}.overlay.mp4"
        wrong += check_overlay(path, overlay, times, probed) if overlay.exists() else ["no overlay"]
        table = overlays / f"{path.stem}.csv"
        if table.exists():
            wrong += check_csv(table, times)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--overlays", type=Path)
    parser.add_argument("--ffmpeg-only", action="store_true", help="do not use ffprobe")
    arguments = parser.parse_args()
    probed = not arguments.ffmpeg_only and shutil.which("ffprobe") is not None
    videos = sorted(p for p in arguments.folder.iterdir() if p.suffix.lower() in SUFFIXES)
    failures = 0
    for path in videos:
        try:
            wrong = check(path, arguments.overlays, probed)
        except (FacetrackError, subprocess.CalledProcessError) as error:
            wrong = [str(error)]
        if wrong:
            failures += 1
            print(f"    WRONG: {path.name}: {', '.join(wrong)}")
    tool = "ffprobe" if probed else "ffmpeg"
    print(f"{len(videos)} videos, {failures} disagree (packet times by {tool})")
    return 1 if failures or not videos else 0


if __name__ == "__main__":
    sys.exit(main())
