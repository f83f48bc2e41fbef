"""Compare what was read of a video with what its header announces."""

from __future__ import annotations

import re
from dataclasses import replace

from facetrack.video import ffmpeg
from facetrack.video.decoder import FFmpegSource
from facetrack.video.frame import Frame
from facetrack.video.probe import VideoInfo


def clip_duration(info: VideoInfo, frame: Frame) -> Frame:
    """Return the frame with its duration clipped to the end of the video (of an edit list)."""
    if frame.duration is None or info.duration is None:
        return frame
    remaining = info.start_time + info.duration - frame.time
    # The header's duration is rounded to 10 ms, and estimated in some formats: ignore small excess.
    return replace(frame, duration=remaining) if 0 < 2 * remaining < frame.duration else frame


def loss_warnings(info: VideoInfo, source: FFmpegSource, end: float) -> list[str]:
    """Return sentences about lost frames and estimated times after a complete reading."""
    warnings = []
    truncated = any(
        re.search(r"ended prematurely|Packet corrupt|corrupt input|partial file|Truncat", line)
        for line in source.problems
    )
    # The header's duration is that of the longest stream, which is the video if there is only one.
    # Some containers count it from zero rather than from their start, so use the smaller value.
    announced = None if info.duration is None else info.duration + min(info.start_time, 0.0)
    # If times were repaired, the duration in the header comes from the faulty times.
    times_good = not source.timeline.num_faults
    short = times_good and announced is not None and announced - end > 0.5
    if short and (truncated or info.single_stream):
        warnings.append(
            f"{info.path} is truncated or damaged: {source.count} frames up to {end:.2f} s could "
            f"be read, but its header announces {announced:.2f} s."
        )
    elif source.problem_count:
        first = ffmpeg.message(source.problems[0]).rstrip(".")
        times = "once" if source.problem_count == 1 else f"{source.problem_count} times, first"
        warnings.append(
            f"{info.path} is damaged: {source.count} frames could be read, but some may be missing "
            f"or corrupt (ffmpeg reported errors {times}: {first})."
        )
    if source.untimed:
        warnings.append(
            f"{source.untimed} frames of {info.path} have no timestamp; "
            "their times were extrapolated from the preceding frame."
        )
    return warnings
