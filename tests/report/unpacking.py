"""Read what the page's data hold, as its scripts do."""

from __future__ import annotations

import base64
import zlib

import numpy as np


def inflate(text):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)


def numbers(packed):
    """The values (T, width)."""
    planes = inflate(packed["data"]).astype(np.int64)
    count = len(planes) // 2
    codes = (planes[:count] | planes[count:] << 8).reshape(-1, packed["width"])
    codes = np.cumsum(codes, axis=0) & 0xFFFF
    return np.where(codes == 0xFFFF, np.nan, packed["low"] + codes * packed["step"])


def times(start, text):
    steps = inflate(text).view("<f8")
    return start + np.concatenate([[0.0], np.cumsum(steps)]) / 1e6
