"""Tracks a live RTSP source and prints what came, what was dropped, and how late the rows left.

    python benchmarks/checks/live.py [--seconds 60] [--trackers tapir,lk] [--clip CLIP | --url URL]

A server on this machine plays a clip again and again at its own speed, as H.264 over RTSP. Each
tracker follows it with the default options, in a process of its own, and writes the CSV and the
overlay video. `--url` takes another source instead.

- in: frames that came after the networks had been loaded; rows: frames tracked; dropped: the rest.
- delay: time from the arrival of a decoded frame to the moment when its row had been handed to the
  system, in the median and at worst; in frames: how many later frames had arrived by then.
- ahead: most frames of the same source that were taken before the row of an earlier one had left.
  It must be at most 2.
- load: mean number of running processes in the last minute, after the run; compare it with the
  number of cores.

Exit status 1 if a row waited for more than two further frames, or if rows and dropped frames do not
add up to the frames that came.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# The server belongs to the tests.
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from facetrack.api.compare import example_clip  # noqa: E402

COLUMNS = ("tracker", "in", "rows", "dropped", "rows/s", "delay s", "worst", "frames", "worst")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--trackers", default="tapir,lk")
    parser.add_argument("--clip", type=Path, help="the clip to play; default: the example clip")
    parser.add_argument("--url", help="another source instead of the clip")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, {options.seconds:g} s of the source for each tracker")
    print(("{:>10}" * len(COLUMNS)).format(*COLUMNS) + "     ahead      load")
    faults = 0
    with ExitStack() as stack:
        url = options.url or _serve(stack, options.clip)
        for tracker in options.trackers.split(","):
            record, ahead = _run(url, tracker, options.seconds)
            faults += _print(tracker, record, ahead)
    sys.exit(1 if faults else 0)


def _serve(stack: ExitStack, clip: Path | None) -> str:
    from live_servers import RtspServer

    return stack.enter_context(RtspServer(clip or example_clip())).url()


def _run(url: str, tracker: str, seconds: float) -> tuple[dict[str, Any], int]:
    """Return the record of a run, and the largest number of frames taken before a row left."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "facetrack", "track", url, "--tracker", tracker]
        command += ["--seconds", str(seconds), "--out", folder, "--name", "live", "--json"]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if run.returncode:
            sys.exit(run.stderr)
        lines = [json.loads(line) for line in run.stdout.splitlines()]
        # All frames of one step were taken before the first of their rows left.
        frames = [line for line in lines if line["event"] == "frame"]
        taken = [line["received"] - line["dropped"] for line in frames]
        ahead = max(count - 1 - line["frame"] for count, line in zip(taken, frames, strict=True))
        record = json.loads((Path(folder) / "live.json").read_text(encoding="utf-8"))
        return record, ahead


def _print(tracker: str, record: dict[str, Any], ahead: int) -> int:
    """Print the figures of a run; return the number of faults."""
    live, rows = record["input"]["live"], record["input"]["frames"]
    delay, seconds = live["delay"], record["seconds"]["total"] - record["seconds"]["load"]
    print(
        f"{tracker:>10}{live['received']:>10}{rows:>10}{live['dropped']:>10}{rows / seconds:>10.1f}"
        f"{delay['median_s']:>10.3f}{delay['worst_s']:>10.3f}{delay['median_frames']:>10.0f}"
        f"{delay['worst_frames']:>10}{ahead:>10}{os.getloadavg()[0]:>10.1f}",
        flush=True,
    )
    return (ahead > 2) + (rows + live["dropped"] != live["received"])


if __name__ == "__main__":
    main()
