"""Measure facetrack's speed beside that of the tools people would pick instead.

    python benchmarks/speed/side_by_side.py VIDEO --mesh-python MESH/bin/python [--rounds 3]

Each tool tracks the same video from the file to a file of points, in a process of its own, in turn:
facetrack with its defaults and `--measures` (68 points, blinks), Lucas-Kanade from the same first
landmarks, dlib's ERT (`ert-s`) and `star-s` on every frame, and MediaPipe's face mesh (478 points),
whose interpreter --mesh-python names. All of it once as the processor is, and once with PyTorch and
oneDNN limited to AVX2 and float32, which is what most processors have. MediaPipe takes what it
finds: its figure is the same in both. Figures are medians over the rounds of the frames per second
between the first frame and the last, without the start of a program. Compare them within one run
only. `--json` keeps them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

TOOLS = {
    "facetrack": ["--measures"],
    "Lucas-Kanade": ["--tracker", "lk", "--measures"],
    "ERT on every frame": ["--tracker", "per-frame", "--init", "ert"],
    "star-s on every frame": ["--tracker", "per-frame", "--init", "star"],
}
MESH = "MediaPipe's mesh"
LIMITS = {
    "as it is": {},
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
}
"""Environment variables by the limit's name."""
ONCE = ("load", "search")
"""Stages of a run whose time does not grow with the video."""


def time_facetrack(video: Path, options: list[str], limit: dict[str, str]) -> float:
    """Return the frames per second of `facetrack track`."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [sys.executable, "-m", "facetrack", "track", str(video), "--out", str(out)]
        subprocess.run(
            [*command, "--no-overlay", "--quiet", *options],
            env={**os.environ, **limit},
            check=True,
            stderr=subprocess.DEVNULL,
        )
        record = json.loads((out / f"{video.stem}.json").read_text())
        seconds = record["seconds"]
        rows = (out / f"{video.stem}.csv").read_text().count("\n") - 1
    return rows / (seconds["total"] - sum(seconds[stage] for stage in ONCE))


def time_mesh(video: Path, python: Path, limit: dict[str, str]) -> float:
    """Return the frames per second of MediaPipe's mesh."""
    script = Path(__file__).resolve().parents[1] / "common" / "mesh_3d.py"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [python, script, video, Path(folder) / "mesh.npy"],
            env={**os.environ, **limit},
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    frames, seconds = done.stdout.split()
    return int(frames) / float(seconds)


def show(speeds: dict[str, dict[str, float]]) -> None:
    """Print a table: tools in rows, limits in columns."""
    names = list(speeds)
    print("| frames a second | " + " | ".join(names) + " |")
    print("| --- |" + " ---: |" * len(names))
    for tool in speeds[names[0]]:
        print(f"| {tool} | " + " | ".join(f"{speeds[n][tool]:.1f}" for n in names) + " |")
    for other in speeds[names[0]]:
        if other != "facetrack":
            shares = [f"{speeds[n]['facetrack'] / speeds[n][other]:.2f}" for n in names]
            print(f"| facetrack / {other} | " + " | ".join(shares) + " |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--mesh-python", type=Path, help="interpreter that has MediaPipe")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limits", default=",".join(LIMITS), help="[default: %(default)s]")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    runs: dict[str, dict[str, list[float]]] = {
        limit: {tool: [] for tool in [*TOOLS, *([MESH] if options.mesh_python else [])]}
        for limit in options.limits.split(",")
    }
    for _ in range(options.rounds):
        for limit, tools in runs.items():
            for tool, found in tools.items():
                if tool == MESH:
                    found.append(time_mesh(options.video, options.mesh_python, LIMITS[limit]))
                else:
                    found.append(time_facetrack(options.video, TOOLS[tool], LIMITS[limit]))
    speeds = {
        limit: {tool: float(np.median(found)) for tool, found in tools.items()}
        for limit, tools in runs.items()
    }
    show(speeds)
    if options.json:
        options.json.write_text(json.dumps({"median": speeds, "runs": runs}, indent=2) + "\n")


if __name__ == "__main__":
    main()
