"""Change bytes, texts and JSON values at random, under a seeded generator."""

from __future__ import annotations

import json
import random
import re
import struct
from collections.abc import Callable
from typing import Any

Mutation = Callable[[random.Random, bytearray], None]

EXTREMES = (
    *(b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"),
    *(b"\x80\0\0\0", b"\0\0\0\x80", b"\0\0\0\1", b"\1\0\0\0"),
)
"""Values of header fields at which arithmetic goes wrong, in both byte orders."""
NUMBERS = (
    *("nan", "inf", "-inf", "1e308", "-1e308", "1e-320", "9" * 400, "9" * 5000, "-0", "0x10"),
    *("1e5", "30000", "-30000", "1000000000000000", "2147483648", "-1", "0", "", " ", "1_0"),
    *("\u0662\u0660", "\u00b2", "=1+1", "1;2", '"', "\0", "true", "null", "1,5"),
)
"""Texts in place of a number."""
_NUMBER = re.compile(rb"-?[0-9]+(\.[0-9]+)?")


def _flip_bits(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 4, 30, 200))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _flip_head(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 3, 10))):
        data[rng.randrange(min(len(data), 256))] = rng.randrange(256)


def _set_field(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 2, 8))):
        start = rng.randrange(min(len(data), rng.choice((64, 1024, len(data)))))
        data[start : start + 4] = rng.choice(EXTREMES)


def _truncate(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data)) :]


def _remove(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.randrange(1, 1 + len(data) // 4)]


def _duplicate(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data))
    piece = data[start : start + rng.randrange(1, 1 + len(data) // 2)]
    data[start:start] = piece * rng.choice((1, 2, 20))


def _insert_noise(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data))
    data[start:start] = rng.randbytes(rng.choice((1, 7, 5000)))


def _blank(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.randrange(1, 1 + len(data) // 3))
    data[start:stop] = bytes([rng.choice((0, 255))]) * (stop - start)


def _swap(rng: random.Random, data: bytearray) -> None:
    middle = rng.randrange(len(data))
    data[:] = data[middle:] + data[:middle]


def _prefix(rng: random.Random, data: bytearray) -> None:
    heads = (b"\n", b"<?xml version='1.0'?>", b"#EXTM3U\n", b"PK\3\4", b"\0" * 512, b"RIFF")
    data[:0] = rng.choice(heads)


MUTATIONS: tuple[Mutation, ...] = (
    *(_flip_bits, _flip_head, _set_field, _set_field, _truncate, _remove, _duplicate),
    *(_insert_noise, _blank, _swap, _prefix),
)


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Return the bytes after one to three random changes."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if changed:
            rng.choice(MUTATIONS)(rng, changed)
    return bytes(changed)


def mutate_numbers(rng: random.Random, text: bytes) -> bytes:
    """Return the text with absurd values in place of one to three numbers."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        found = list(_NUMBER.finditer(text))
        if not found:
            break
        match = rng.choice(found)
        value = rng.choice(NUMBERS).encode()
        text = text[: match.start()] + value + text[match.end() :]
    return text


def mutate_text(rng: random.Random, text: bytes) -> bytes:
    """Return the text after changes of its numbers, lines, bytes or encoding."""
    kind = rng.randrange(6)
    if kind < 2:
        return mutate_numbers(rng, text)
    if kind == 2:
        return mutate(rng, text)
    lines = text.split(b"\n")
    if kind == 3:
        line = rng.randrange(len(lines))
        lines[line : line + 1] = rng.choice(([], [lines[line]] * 50, [b""], [b"," * 1000]))
    elif kind == 4:
        rng.shuffle(lines)
    else:
        encoding = rng.choice(("utf-16", "utf-32", "utf-8-sig", "utf-7"))
        return text.decode("utf-8", "replace").encode(encoding)
    return b"\n".join(lines)


def absurd(rng: random.Random) -> Any:
    """Return a value that no field of a record expects."""
    return rng.choice(
        (
            *(None, True, -1, 0, 10**30, 10**300, -1e308, 0.1, "", "x", "9" * 10_000, [], {}),
            *([[]], [None], {"": {}}, "\0", "../../x", "/dev/zero", "=1+1", "\ud800", [1] * 10_000),
        )
    )


def mutate_json(rng: random.Random, text: bytes) -> bytes:
    """Return JSON with another value, a missing or a further key somewhere, or damaged JSON."""
    special = rng.randrange(12)
    if special == 0:
        return b"[" * 200_000
    if special == 1:
        return b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    if special == 2:
        return mutate(rng, text)
    if special == 3:
        return mutate_numbers(rng, text)
    value = json.loads(text)
    for _ in range(rng.choice((1, 1, 2, 4))):
        value = _change(rng, value)
    return json.dumps(value).encode()


def _change(rng: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        if rng.random() < 0.15:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: _change(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.7:
        place = rng.randrange(len(value))
        return [*value[:place], _change(rng, value[place]), *value[place + 1 :]]
    return absurd(rng)


def mutate_safetensors(rng: random.Random, data: bytes) -> bytes:
    """Return a safetensors file with a changed header, changed numbers, or damage anywhere."""
    (length,) = struct.unpack("<Q", data[:8])
    header, body = data[8 : 8 + length], bytearray(data[8 + length :])
    kind = rng.randrange(5)
    if kind == 0:
        return mutate(rng, data)
    if kind == 1:
        start = rng.randrange(0, len(body) - 4, 4)
        numbers = (float("nan"), float("inf"), 3e38, -3e38, 0.0)
        body[start : start + 4] = struct.pack("<f", rng.choice(numbers))
    elif kind == 2:
        body = body[: rng.randrange(len(body))]
    elif kind == 3:
        header = mutate_numbers(rng, header)
    else:
        header = mutate_json(rng, header)
    size = rng.choice((len(header),) * 6 + (0, 2**31, 2**63, 10**15))
    return struct.pack("<Q", size) + header + bytes(body)
