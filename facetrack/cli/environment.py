"""The environment variables that change how facetrack runs."""

from __future__ import annotations

import os

VARIABLES = {
    "FACETRACK_HOME": "folder of fetched weights",
    "FACETRACK_OFFLINE": "1: never use the network",
    "FACETRACK_WEIGHTS_URL": "mirror to fetch weights from, instead of the publishers' servers",
    "XDG_CACHE_HOME": "the user's cache folder, which holds fetched weights without FACETRACK_HOME",
    "IMAGEIO_FFMPEG_EXE": "path of the ffmpeg to use",
    "OPENCV_IO_MAX_IMAGE_PIXELS": "largest image that is read, in pixels (2^27 by default)",
    "CUDA_VISIBLE_DEVICES": "numbers of the GPUs to use",
    "OMP_NUM_THREADS": "threads of PyTorch, for each video that is processed in parallel",
    "OMP_WAIT_POLICY": "active or passive: whether threads spin while they wait",
    "GOMP_SPINCOUNT": "how long they spin",
    "ATEN_CPU_CAPABILITY": "instructions that PyTorch uses, e.g. avx2",
    "ONEDNN_MAX_CPU_ISA": "newest instructions that convolutions use, e.g. AVX2",
    "TMPDIR": "folder of temporary files",
    "NO_COLOR": "any value: no colours",
    "COLUMNS": "width of help pages, tables and progress bars, in characters",
}
"""Name -> meaning."""


def values() -> dict[str, str]:
    """Return the variables that are set, without the passwords that an address may hold."""
    from facetrack.runtime.addresses import hide_secrets

    found = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    return {k: hide_secrets(v) if k.endswith("_URL") else v for k, v in found.items()}


def table() -> str:
    """Return the variables with their meaning, and the values that are set."""
    lines = []
    set_values = values()
    for name, meaning in VARIABLES.items():
        lines.append(f"{name}: {meaning}")
        lines.append(f"    {set_values.get(name, '(not set)')}")
    return "\n".join(lines)
