"""How much faster is a landmark network on 64 faces at once than on one after the other?

PIPNet with a ResNet-18 and random weights, in pictures of noise: time does not depend on what is
seen. Prints the median of several rounds, which alternate so that both see the same load.

    python benchmarks/detector_batch.py [--faces 64] [--threads N] [--device cpu] [--rounds 5]
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
from facetrack.detectors.pipnet import PipConfig, PipNetwork


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=64)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipnet.safetensors"
        save_file(PipNetwork(PipConfig()).state_dict(), path)
        chosen = detectors.DetectorOptions(weights=str(path), device=options.device)
        detector = detectors.create("pipnet", chosen)
    random = np.random.default_rng(0)
    images = [random.integers(0, 255, (360, 480, 3)).astype(np.uint8) for _ in range(options.faces)]
    boxes = [np.array([[150, 100, 299, 249.0]])] * options.faces

    def one_by_one() -> None:
        for image, some in zip(images, boxes, strict=True):
            detector.detect(image, some)

    def at_once() -> None:
        detector.detect_many(images, boxes)

    seconds: dict[str, list[float]] = {"one by one": [], "at once": []}
    detector.detect_many(images[:2], boxes[:2])
    at_once()
    for _ in range(options.rounds):
        for name, run in (("one by one", one_by_one), ("at once", at_once)):
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: float(np.median(some)) for name, some in seconds.items()}
    print(f"{options.faces} faces, {options.device}, {torch.get_num_threads()} threads, ms a face:")
    for name, value in medians.items():
        print(f"  {name:10}  {1000 * value / options.faces:.1f}")
    print(f"  ratio       {medians['one by one'] / medians['at once']:.2f}")


if __name__ == "__main__":
    main()
