"""`facetrack bench [VIDEO]`."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facetrack.cli import choices
from facetrack.cli.options import (
    Device,
    LandmarkDetector,
    Overwrite,
    Precision,
    Quiet,
    split_names,
)
from facetrack.cli.printing import echo
from facetrack.defaults import INIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from facetrack.bench import NetworkSpeed, RunSpeed

WIDTH = 120


def bench(
    video: Annotated[
        Path | None,
        typer.Argument(help="Video to track. [default: the example clip]", show_default=False),
    ] = None,
    trackers: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help=f"Trackers to time, comma-separated: {', '.join(choices.TRACKERS)}.",
        ),
    ] = "tapir,lk",
    init: LandmarkDetector = INIT,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Time each run also with the overlay video.")
    ] = False,
    compare_checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Time the network of this TAPIR checkpoint as well; any checkpoint in the "
            "official layout, whatever its weights."
        ),
    ] = None,
    points: Annotated[
        int, typer.Option(min=1, max=4096, help="Number of points the networks track.")
    ] = 68,
    frames_at_once: Annotated[
        int, typer.Option(min=1, max=256, help="Number of frames per call of the networks.")
    ] = 8,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Annotated[
        int, typer.Option(min=0, help="Threads of PyTorch and OpenCV; 0 keeps their defaults.")
    ] = 0,
    out: Annotated[
        Path | None, typer.Option("--json", help="Write all figures to this JSON file.")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Measure the speed of facetrack on this machine: whole runs by stage, and single networks.

    A run is `facetrack track` with CSV output into a temporary folder. The networks process noise
    images of 256 x 256 pixels. Their frames per second come with the fraction of this processor's
    speed at multiplying large matrices.
    """
    from facetrack.api.compare import example_clip
    from facetrack.api.single_file import SingleFile
    from facetrack.files import not_found
    from facetrack.record import environment
    from facetrack.runtime.device import choose_device, choose_precision
    from facetrack.runtime.memory import peak_memory
    from facetrack.video.image_files import is_present

    chosen = example_clip() if video is None else video
    if not is_present(chosen):
        raise not_found(chosen)
    names = split_names(trackers)
    for name in names:
        choices.check_parts(init, name, device=device, inits=choices.LANDMARK_DETECTORS)
    _set_threads(threads)
    torch_device = choose_device(device)
    choose_precision(precision, torch_device, True)  # report a wrong name before any work
    with ExitStack() as stack:
        staged = None
        if out is not None:
            inputs = {"video": chosen}
            if compare_checkpoint is not None:
                inputs["checkpoint"] = compare_checkpoint
            file = SingleFile(out, "benchmark", "--json", inputs, overwrite)
            staged = stack.enter_context(file.staged())
        networks = list(
            _networks(names, compare_checkpoint, points, frames_at_once, torch_device, precision)
        )
        runs = list(_runs(chosen, names, init, overlay, device, precision))
        memory = peak_memory()
        if staged is not None:
            figures = _figures(runs, networks, memory)
            figures |= {"video": str(chosen), "device": str(torch_device), **environment()}
            staged.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if not quiet:
        _show(runs, networks, memory)
        if out is not None:
            echo(f"json: {out}")


def _set_threads(count: int) -> None:
    if count:
        import cv2
        import torch

        torch.set_num_threads(count)
        cv2.setNumThreads(count)


def _runs(
    video: Path, names: tuple[str, ...], init: str, overlay: bool, device: str, precision: str
) -> Iterator[RunSpeed]:
    from facetrack.bench import run_speed
    from facetrack.detectors import DetectorOptions
    from facetrack.pipeline.options import Options
    from facetrack.trackers.base import TrackerOptions

    for name in names:
        options = Options(
            init=init,
            detector_options=DetectorOptions(device=device, precision=precision),
            tracker=name,
            tracker_options=TrackerOptions(device=device, precision=precision),
        )
        for with_overlay in (False, True) if overlay else (False,):
            yield run_speed(video, options, with_overlay)


def _networks(
    names: tuple[str, ...],
    checkpoint: Path | None,
    points: int,
    frames_at_once: int,
    device: Any,
    precision: str,
) -> Iterator[NetworkSpeed]:
    import torch

    from facetrack.bench import network_speed
    from facetrack.runtime.device import choose_precision
    from facetrack.trackers.base import TrackerOptions
    from facetrack.weights import resolve

    if "tapir" in names:
        path = resolve("tapir", TrackerOptions.weights).path
        dtype = choose_precision(precision, device, True)
        yield network_speed(
            path, TrackerOptions.weights, dtype, device, points, frames_at_once, frames=48
        )
    if checkpoint is not None:
        dtypes = (
            (torch.float32, torch.bfloat16)
            if precision == "auto"
            else (choose_precision(precision, device, True),)
        )
        for dtype in dtypes:
            yield network_speed(checkpoint, checkpoint.name, dtype, device, points, frames_at_once)


def _figures(runs: list[RunSpeed], networks: list[NetworkSpeed], memory: float) -> dict[str, Any]:
    import dataclasses

    import torch

    return {
        "runs": [
            {
                **dataclasses.asdict(run),
                "frames_per_second": run.frames_per_second,
            }
            for run in runs
        ],
        "networks": [
            {
                **dataclasses.asdict(speed),
                "frames_per_second": speed.frames_per_second,
                "share_of_ceiling": speed.share,
            }
            for speed in networks
        ],
        "peak_memory_mb": memory if memory == memory else None,
        "threads": torch.get_num_threads(),
    }


def _show(runs: list[RunSpeed], networks: list[NetworkSpeed], memory: float) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    _show_runs(console, runs)
    _show_networks(console, networks)
    if memory == memory:
        console.print(f"peak memory: {memory:.0f} MB", highlight=False)


def _show_runs(console: Console, runs: list[RunSpeed]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title="Whole runs", title_justify="left")
    table.add_column("milliseconds per frame", no_wrap=True)
    for run in runs:
        table.add_column(f"{run.tracker}{' + overlay' if run.overlay else ''}", justify="right")
    for stage in dict.fromkeys(s for run in runs for s in run.milliseconds):
        cells = [run.milliseconds.get(stage) for run in runs]
        table.add_row(stage, *("-" if c is None else f"{c:.2f}" for c in cells))
    rows = {
        "seconds to load": [f"{run.load:.2f}" for run in runs],
        "seconds to the first face": [f"{run.first:.2f}" for run in runs],
        "frames": [str(run.frames) for run in runs],
        "seconds in total": [f"{run.total:.2f}" for run in runs],
        "processors busy": [f"{run.cpu / run.total:.2f}" for run in runs],
        "frames per second overall": [f"{run.frames_per_second:.1f}" for run in runs],
    }
    for name, values in rows.items():
        table.add_row(name, *values)
    console.print(table)
    console.print()


def _show_networks(console: Console, networks: list[NetworkSpeed]) -> None:
    from rich.table import Table

    if not networks:
        return
    table = Table(box=None, pad_edge=False, title="Single networks", title_justify="left")
    titles = (
        "",
        "precision",
        "points",
        "frames\nper call",
        "features\nms",
        "matching\nms",
        "refinement\nms",
        "other\nms",
        "frames\nper second",
        "GFLOP\nper frame",
        "share of\npeak",
    )
    for i, title in enumerate(titles):
        table.add_column(title, justify="left" if i < 2 else "right")
    for speed in networks:
        table.add_row(
            speed.name,
            speed.precision,
            str(speed.points),
            str(speed.frames_at_once),
            *(f"{value:.2f}" for value in speed.milliseconds.values()),
            f"{speed.frames_per_second:.2f}",
            f"{speed.gigaflops:.1f}",
            f"{100 * speed.share:.0f} %",
        )
    console.print(table)
    console.print()
