"""Write raw video with timestamps as a Matroska stream.

ffmpeg accepts no timestamps on a rawvideo pipe. Matroska is the simplest container with timestamps
that ffmpeg reads from a pipe, and uncompressed video needs only the dozen elements below (RFC 9559;
V_UNCOMPRESSED of the Matroska codec specifications).
"""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np

CLOCK = 1_000_000
"""Ticks per second of the stream's timestamps."""


def element(identifier: int, payload: bytes) -> bytes:
    """Return an EBML element: identifier, size of the payload in 8 bytes, payload."""
    return _head(identifier, len(payload)) + payload


def _head(identifier: int, size: int) -> bytes:
    name = identifier.to_bytes((identifier.bit_length() + 7) // 8, "big")
    return name + (size | 1 << 56).to_bytes(8, "big")


def _number(identifier: int, value: int) -> bytes:
    return element(identifier, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


class MatroskaWriter:
    """Write frames to a stream, each with a time and a duration.

    Args:
        stream: output stream; need not be seekable.
        size: (width, height) of all frames, in pixels.
        step: typical interval between frames in seconds; only a hint for the reader.
    """

    def __init__(self, stream: BinaryIO, size: tuple[int, int], step: float) -> None:
        self._stream = stream
        width, height = size
        header = element(
            0x1A45DFA3,  # EBML
            _number(0x4286, 1)  # EBMLVersion
            + _number(0x42F7, 1)  # EBMLReadVersion
            + _number(0x42F2, 4)  # EBMLMaxIDLength
            + _number(0x42F3, 8)  # EBMLMaxSizeLength
            + element(0x4282, b"matroska")  # DocType
            + _number(0x4287, 4)  # DocTypeVersion
            + _number(0x4285, 2),  # DocTypeReadVersion
        )
        info = element(
            0x1549A966,  # Info
            _number(0x2AD7B1, 1_000_000_000 // CLOCK)  # TimestampScale, nanoseconds a tick
            + element(0x4D80, b"facetrack")  # MuxingApp
            + element(0x5741, b"facetrack"),  # WritingApp
        )
        video = element(
            0xE0,  # Video
            _number(0x9A, 2)  # FlagInterlaced: progressive
            + _number(0xB0, width)  # PixelWidth
            + _number(0xBA, height)  # PixelHeight
            + element(0x2EB524, b"RGB\x18"),  # UncompressedFourCC: 8-bit red, green, blue
        )
        track = element(
            0xAE,  # TrackEntry
            _number(0xD7, 1)  # TrackNumber
            + _number(0x73C5, 1)  # TrackUID
            + _number(0x83, 1)  # TrackType: video
            + _number(0x9C, 0)  # FlagLacing
            + _number(0x23E383, max(1, round(step * 1e9)))  # DefaultDuration, nanoseconds
            + element(0x86, b"V_UNCOMPRESSED")  # CodecID
            + video,
        )
        segment = bytes.fromhex("18538067 01FFFFFFFFFFFFFF")  # Segment of unknown size
        stream.write(header + segment + info + element(0x1654AE6B, track))  # Tracks

    def write(self, image: np.ndarray, ticks: int, duration: int) -> None:
        """Write a frame (H, W, 3) uint8 RGB; `ticks` >= 0 and `duration` are in 1/CLOCK seconds."""
        data = np.ascontiguousarray(image, dtype=np.uint8)
        # One cluster per frame, because a block's offset in its cluster has only 16 bits.
        block = struct.pack(">BhB", 0x81, 0, 0)  # track 1, offset 0, no flags
        length = _number(0x9B, duration)  # BlockDuration
        block_head = _head(0xA1, len(block) + data.nbytes)  # Block
        group_head = _head(0xA0, len(block_head) + len(block) + data.nbytes + len(length))
        timestamp = _number(0xE7, ticks)  # Timestamp
        group_size = len(block_head) + len(block) + data.nbytes + len(length)
        cluster_head = _head(0x1F43B675, len(timestamp) + len(group_head) + group_size)
        self._stream.write(cluster_head + timestamp + group_head + block_head + block)
        self._stream.write(data.data.cast("B"))
        self._stream.write(length)
