"""`facetrack info`: what to paste into a report of a problem."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import typer

VARIABLES = (
    "FACETRACK_HOME",
    "XDG_CACHE_HOME",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "OPENCV_IO_MAX_IMAGE_PIXELS",
)
"""Environment variables that change how facetrack runs."""


def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print versions, devices, weights and folders: what to paste into a report of a problem."""
    found = collect()
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    for title, entries in found.items():
        typer.echo(title)
        for name, value in entries.items():
            typer.echo(f"  {name:<28} {value}")


def collect() -> dict[str, dict[str, Any]]:
    """Return the information by section."""
    import torch

    from facetrack import detectors, face_detectors, record
    from facetrack.runtime.device import choose_device, choose_precision, precision_name
    from facetrack.video.ffmpeg import executable
    from facetrack.weights import store
    from facetrack.weights.registry import REGISTRY

    environment = record.environment()
    device = choose_device("auto")
    precision = choose_precision("auto", device, trained_for_it=True)
    weights = {}
    for name, entry in REGISTRY.items():
        state, _ = store.locate(entry)
        if state != "missing":
            weights[name] = f"{state}; {entry.licence}"
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "versions": dict(environment["versions"]),
        "machine": {
            "platform": environment["platform"],
            "processors": os.cpu_count(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "GPUs": ", ".join(gpus) or "none",
            "--device auto": str(device),
            "--precision auto": precision_name(precision),
        },
        "choices": {
            "landmark detectors": ", ".join(detectors.available()),
            "face detectors": ", ".join(face_detectors.available()),
        },
        "weights": weights,
        "folders": {
            "bundled weights": str(store.bundled_folder()),
            "fetched weights": str(store.cache_folder()),
            "ffmpeg": str(executable()),
        },
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }
