"""`facetrack info`: what to paste into a report of a problem."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import typer

from facetrack.cli import choices, environment
from facetrack.cli.printing import echo


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
            echo(f"  {name:<28} {value}")


def collect() -> dict[str, dict[str, Any]]:
    """Return the information by section."""
    import torch

    from facetrack import detectors, face_detectors, record
    from facetrack.formats.base import FORMATS
    from facetrack.runtime.device import choose_device, choose_precision, precision_name
    from facetrack.trackers import factory
    from facetrack.video.ffmpeg import executable
    from facetrack.weights import store
    from facetrack.weights.registry import REGISTRY

    described = record.environment()
    device = choose_device("auto")
    precision = choose_precision("auto", device, trained_for_it=True)
    weights = {}
    for name, entry in REGISTRY.items():
        state, _ = store.locate(entry)
        if state != "missing":
            weights[name] = f"{state}; {entry.licence}"
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "versions": dict(described["versions"]),
        "machine": {
            "platform": described["platform"],
            "processors": os.cpu_count(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "GPUs": ", ".join(gpus) or "none",
            "--device auto": str(device),
            "--precision auto": precision_name(precision),
        },
        "choices": {
            "landmark detectors": ", ".join([*detectors.available(), choices.OWN_POINTS]),
            "face detectors": ", ".join(face_detectors.available()),
            "trackers": ", ".join(factory.available()),
            "formats": ", ".join(FORMATS),
        },
        "weights": weights,
        "folders": {
            "bundled weights": str(store.bundled_folder()),
            "fetched weights": str(store.cache_folder()),
            "ffmpeg": str(executable()),
        },
        "environment": environment.values(),
    }
