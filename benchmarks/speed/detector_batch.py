"""Measure how much faster a landmark network is on 64 faces at once than one by one.

PIPNet with a ResNet-18 and random weights runs on pictures of noise, because the time does not
depend on the content. The script prints the median of several rounds, in which the methods
alternate so that all have the same load, and each method's speed relative to one by one in
float32.

    python benchmarks/speed/detector_batch.py [--faces 64] [--threads N] [--device cpu] [--rounds 5]
        [--precisions float32,bfloat16]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from facetrack import detectors
from facetrack.detectors.neural import NeuralDetector
from facetrack.detectors.pipnet import PipConfig, PipNetwork


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=64)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precisions", default="float32,bfloat16")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    random = np.random.default_rng(0)
    images = [random.integers(0, 255, (360, 480, 3)).astype(np.uint8) for _ in range(options.faces)]
    boxes = [np.array([[150, 100, 299, 249.0]])] * options.faces

    def one_by_one(detector: NeuralDetector) -> None:
        for image, some in zip(images, boxes, strict=True):
            detector.detect(image, some)

    def at_once(detector: NeuralDetector) -> None:
        detector.detect_many(images, boxes)

    ways = {}
    for precision in options.precisions.split(","):
        detector = made(options.device, precision)
        for name, run in (("one by one", one_by_one), ("at once", at_once)):
            ways[f"{precision}, {name}"] = (run, detector)
            run(detector)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, (run, detector) in ways.items():
            start = time.perf_counter()
            run(detector)
            seconds[name].append(time.perf_counter() - start)
    print(f"{options.faces} faces, {options.device}, {torch.get_num_threads()} threads:\n")
    print("| | ms a face | times as fast as the first |\n|---|---:|---:|")
    first = float(np.median(next(iter(seconds.values()))))
    for name, some in seconds.items():
        median = float(np.median(some))
        print(f"| {name} | {1000 * median / options.faces:.1f} | {first / median:.2f} |")


def made(device: str, precision: str) -> NeuralDetector:
    """Create the detector with random weights."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipnet.safetensors"
        save_file(PipNetwork(PipConfig()).state_dict(), path)
        chosen = detectors.DetectorOptions(str(path), device, precision=precision)
        detector = detectors.create("pipnet", chosen)
    assert isinstance(detector, NeuralDetector)
    return detector


if __name__ == "__main__":
    main()
