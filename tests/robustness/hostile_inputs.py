"""Make hostile inputs of every kind from a seed, each with the command that reads it."""

from __future__ import annotations

import functools
import io
import pickle
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import clips
import fuzz_tables
import fuzz_weights
import hostile_states
import numpy as np
from fuzz import ROOT, Case, Workshop
from fuzz_images import encoded
from fuzz_videos import CONTAINERS
from hostile_mutations import (
    NUMBERS,
    mutate,
    mutate_json,
    mutate_numbers,
    mutate_safetensors,
    mutate_text,
)

MEGABYTES = 2000
"""Limit of memory for facetrack and the programs that it starts together."""
SECONDS = 240
"""Limit of wall-clock time, for machines that are busy with other work."""
SHARES = {
    "media": 110,
    "images": 90,
    "weights": 90,
    "points": 70,
    "manifests": 40,
    "resume states": 50,
    "records": 30,
    "records of a batch": 20,
}
"""Number of inputs of each kind."""
WEIGHTS = ROOT / "weights"

Make = Callable[[Workshop, random.Random], list[str]]


def cases(seed: int) -> list[tuple[str, Case]]:
    """Return (kind, case) of all inputs."""
    makers: dict[str, Make] = {
        "media": _media,
        "images": _image,
        "weights": _weights,
        "points": _points,
        "manifests": _manifest,
        "resume states": hostile_states.make,
        "records": _record,
        "records of a batch": _batch_record,
    }
    return [
        (kind, _case(kind, number, seed, makers[kind]))
        for kind, count in SHARES.items()
        for number in range(count)
    ]


def _case(kind: str, number: int, seed: int, make: Make) -> Case:
    name = f"{kind} {number} of seed {seed}"

    def build(workshop: Workshop) -> list[str]:
        return make(workshop, random.Random(name))

    many = kind in ("manifests", "images", "records of a batch")
    # A resumed run replaces its state, and a batch the results of earlier runs.
    may_change = r"^out/" if kind in ("resume states", "records of a batch") else "$^"
    return Case(name, build, seconds=SECONDS, megabytes=MEGABYTES, many=many, may_change=may_change)


# ---------------------------------------------------------------- media and images


def _media(workshop: Workshop, rng: random.Random) -> list[str]:
    suffix = rng.choice(sorted(CONTAINERS))
    data = workshop.clip(suffix, codec=CONTAINERS[suffix])
    if rng.random() < 0.1:
        other = rng.choice(sorted(CONTAINERS))
        tail = workshop.clip(other, codec=CONTAINERS[other])
        data = data[: rng.randrange(len(data))] + tail[rng.randrange(len(tail)) :]
    name = f"clip{rng.choice((suffix, suffix, suffix, '.mp4', '.dat', ''))}"
    path = workshop.write(name, mutate(rng, data))
    return workshop.track(path, overlay=rng.random() < 0.3)


@functools.cache
def _zeros(count: int) -> bytes:
    """Return zlib's compression of zeros."""
    return zlib.compress(bytes(count), 1)


def _png_bomb(width: int, height: int, rows: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = _zeros(rows * (3 * width + 1))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def _bomb(rng: random.Random) -> tuple[str, bytes]:
    side = rng.choice((1, 9000, 20000, 65535))
    kind = rng.randrange(7)
    if kind == 0:
        return ".png", _png_bomb(10_000, 10_000, 10_000)
    if kind == 1:
        return ".png", _png_bomb(2**31 - 1, 1, 0)
    if kind == 2:
        return ".png", _png_bomb(side, side, 1)
    if kind == 3:
        small = encoded(".gif", clips.draw_square(1, (64, 64)))
        return ".gif", small[:6] + struct.pack("<HH", side, side) + small[10:]
    if kind == 4:
        return ".ppm", f"P6 {side} {side} 255\n".encode() + bytes(100)
    if kind == 5:
        return ".pgm", f"P5 {10**12} {side} 65535\n".encode() + bytes(100)
    head = struct.pack("<IIIIiiHHI", 99, 0, 54, 40, side, -side, 1, 24, 0)
    return ".bmp", b"BM" + head


def _image(workshop: Workshop, rng: random.Random) -> list[str]:
    suffixes = (".png", ".jpg", ".bmp", ".gif", ".webp", ".tiff", ".ppm", ".pgm", ".jp2", ".hdr")
    suffix = rng.choice(suffixes)
    if rng.random() < 0.2:
        suffix, data = _bomb(rng)
    else:
        picture = clips.draw_square(1, (64, 64))
        if suffix == ".hdr":
            picture = picture.astype(np.float32)
        data = encoded(suffix, picture[..., 0] if suffix == ".pgm" else picture)
        data = mutate(rng, data)
    name = workshop.write(f"a{suffix}", data)
    if rng.random() < 0.4:
        return workshop.track(name)
    if rng.random() < 0.2:
        return ["pose", "--method", "network", "--out", "out", "--", name]
    outputs = ["--out", "out", *(["--overlay"] if rng.random() < 0.3 else [])]
    return ["detect", "--init", "ert", "--box", "10,10,50,50", *outputs, "--", name]


# ---------------------------------------------------------------- weights

_BUNDLED = {
    "pipnet": "pipnet-s.safetensors",
    "fan": "fan-s.safetensors",
    "star": "star-xs.safetensors",
    "heatmap1d": "heatmap1d-s.safetensors",
    "tapir": "tapir-s.safetensors",
    "ert": "ert-s.dat",
    "pose": "pose-s.safetensors",
    "mtcnn": "mtcnn.safetensors",
}


def _expanded(rng: random.Random) -> bytes:
    """Return a small file whose tensors claim gigabytes."""
    import torch

    side = rng.choice((1000, 30_000, 2**20))
    tensor = torch.zeros(1).expand(side, side)
    name = rng.choice(("conv1.weight", "torch_pips_mixer.linear.weight"))
    stream = io.BytesIO()
    torch.save({name: tensor, "w": torch.zeros(2)}, stream)
    return stream.getvalue()


def _zip_bomb(rng: random.Random) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("archive/data.pkl", bytes(300_000_000))
        if rng.random() < 0.5:
            archive.writestr("archive/code/__torch__.py", "def forward(self):\n  return 1\n")
    return stream.getvalue()


def _pickle_of_nothing(rng: random.Random) -> bytes:
    """Return pickles that nest, repeat or allocate."""
    return rng.choice(
        (
            pickle.dumps(fuzz_tables.Trap()),
            b"\x80\x02" + b"(" * 300_000 + b"l" * 300_000 + b".",
            b"\x80\x04\x8e" + struct.pack("<Q", 10**15) + b"abc",
            b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
            b"\x80\x02cnumpy\nndarray\n(J\xff\xff\xff\x7fK\x10t\x85R.",
            b"\x80\x04" + b"]\x94" + b"h\x00h\x00\x86" * 100_000 + b".",
        )
    )


def _saved(rng: random.Random) -> bytes:
    import torch

    stream = io.BytesIO()
    state = {"conv.weight": torch.ones(8, 3, 3, 3), "conv.bias": torch.zeros(8)}
    legacy = rng.random() < 0.5
    torch.save(state, stream, _use_new_zipfile_serialization=not legacy)
    return mutate(rng, stream.getvalue())


def _weights(workshop: Workshop, rng: random.Random) -> list[str]:
    kind = rng.choice(sorted(_BUNDLED))
    source = WEIGHTS / _BUNDLED[kind]
    choice = rng.random()
    if choice < 0.6:
        data = source.read_bytes()
        change = mutate_safetensors if source.suffix == ".safetensors" else mutate
        suffix, data = source.suffix, change(rng, data)
    else:
        builders = (_expanded, _zip_bomb, _pickle_of_nothing, _saved)
        suffix, data = rng.choice((".pth", ".pt", ".pkl", ".npy")), rng.choice(builders)(rng)
        if suffix == ".npy" and rng.random() < 0.8:
            head = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117) + b"\n"
            data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data
    name = workshop.write(f"w{suffix}", data)
    image = workshop.write("a.png", encoded(".png", clips.draw_square(1, (64, 64))))
    if kind == "tapir":
        workshop.points()
        points = ["--init", "points", "--points", "points.csv", "--no-overlay"]
        return ["track", *points, "--tracker-weights", name, "--out", "out", "--", image]
    return [*fuzz_weights.command(kind, name), "--out", "out", "--", image]


# ---------------------------------------------------------------- points and manifests


def _points(workshop: Workshop, rng: random.Random) -> list[str]:
    video = workshop.write("clip.mkv", workshop.clip(".mkv", codec=CONTAINERS[".mkv"]))
    rows = "".join(f"{rng.uniform(1, 90):.2f},{rng.uniform(1, 60):.2f}\n" for _ in range(5))
    suffix = rng.choice((".csv", ".pts", ".txt"))
    if suffix == ".pts":
        text = "version: 1\nn_points: 5\n{\n" + rows.replace(",", " ") + "}\n"
    else:
        text = rng.choice(("", "x,y\n", "y,x\n", "a,x,y\n")) + rows
    data = mutate_text(rng, text.encode())
    if rng.random() < 0.1:
        data = data * rng.choice((1000, 200_000))
    name = workshop.write(f"p{suffix}", data)
    start = ["track", "--init", "points", "--tracker", "lk", "--no-overlay", "--out", "out"]
    return [*start, "--points", name, "--", video]


def _manifest(workshop: Workshop, rng: random.Random) -> list[str]:
    clip = workshop.clip(".mkv", codec=CONTAINERS[".mkv"])
    workshop.write("good.mkv", clip)
    workshop.write("=bad.mkv", mutate(rng, clip))
    lines = [
        *("good.mkv", "=bad.mkv", "none.mkv", "list.txt", "@list.txt", ".", "..", "/dev/zero"),
        *(
            "/dev/stdin",
            "~",
            "~root",
            "*",
            "[",
            "**/*",
            "good.mkv\0",
            "g\x1b[2Jd.mkv",
            "\u202e.mkv",
        ),
        *("x" * 300 + ".mkv", "y/" * 3000, "http://127.0.0.1:1/x.mp4", "pipe:0", "concat:a|b"),
        *("good.mkv", "-", "--help", "# comment", "", "good.mkv\r", '"good.mkv"', *NUMBERS[:6]),
    ]
    chosen = [rng.choice(lines) for _ in range(rng.choice((1, 3, 8)))]
    text = "\n".join(chosen).encode("utf-8", "surrogateescape")
    if rng.random() < 0.3:
        text = mutate_text(rng, text)
    name = workshop.write("list.txt", text)
    start = ["track", *workshop.points(), "--no-overlay", "--jobs", "1"]
    return [*start, "--out", "out", "--manifest", name]


# ---------------------------------------------------------------- records


def _record(workshop: Workshop, rng: random.Random) -> list[str]:
    """Damage the files of an earlier run, which a report or an evaluation reads."""
    fuzz_tables.run_files(workshop)
    if rng.random() < 0.7:
        target = workshop.folder / rng.choice(("run.json", "run.json", "run.csv", "run.npz"))
        _damage(rng, target)
        table = "run.npz" if target.suffix == ".npz" else "run.csv"
        return ["report", "--out", "out.html", table]
    target = workshop.folder / rng.choice(("run.csv", "run.npz"))
    _damage(rng, target)
    return ["evaluate", target.name, "run.csv" if target.suffix == ".npz" else "run.npz"]


def _batch_record(workshop: Workshop, rng: random.Random) -> list[str]:
    """Damage the results of a batch, whose records decide which videos are skipped."""
    clip = workshop.write("clip.mkv", workshop.clip(".mkv", codec=CONTAINERS[".mkv"]))
    other = workshop.write("other.mkv", workshop.clip(".mkv", codec=CONTAINERS[".mkv"]))
    words = [*workshop.points(), "--out", "out", "--no-overlay", "--overwrite"]
    files = hostile_states.finished_run(workshop, ["track", *words, "--", clip, other])
    for name, data in files.items():
        workshop.write(name, data)
    if files:
        _damage(rng, workshop.folder / rng.choice(sorted(files)))
    again = [word for word in words if word != "--overwrite" or rng.random() < 0.5]
    return ["track", *again, "--", clip, other]


def _damage(rng: random.Random, path: Path) -> None:
    data = path.read_bytes()
    if path.suffix == ".json":
        data = mutate_json(rng, data)
    elif path.suffix == ".csv":
        data = rng.choice((mutate_text, mutate_numbers))(rng, data)
    else:
        data = mutate(rng, data)
    path.write_bytes(data)
