"""Test the colours of frames: ranges, matrices, gamuts, and high dynamic range."""

from __future__ import annotations

import json
from pathlib import Path

import clips
import numpy as np
import pytest
from clips import read_frames
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.video import colour
from facetrack.video.colour import Colour, conversion
from facetrack.video.probe import probe

PATCHES = np.array(
    [
        *([204, 152, 124], [176, 66, 54], [66, 138, 74]),
        *([58, 86, 168], [110, 110, 110], [225, 225, 225]),
    ],
    np.uint8,
)
"""Skin, red, green, blue, grey, white."""
COUNT = 6
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=0:qp=4")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "2M")
AV1 = ("-c:v", "libsvtav1", "-preset", "12", "-crf", "10", "-svtav1-params", "lp=1")
PRORES = ("-c:v", "prores_ks", "-profile:v", "3")
FFV1 = ("-c:v", "ffv1")
X264 = ("-c:v", "libx264", "-qp", "4", "-preset", "ultrafast")


def chart(size: tuple[int, int] = (192, 128)) -> np.ndarray:
    """Return (H, W, 3) uint8 with the six patches in two rows."""
    width, height = size
    patches = PATCHES.reshape(2, 3, 3)
    return patches.repeat(height // 2, 0).repeat(width // 3 + 1, 1)[:, :width].copy()


def write_chart(
    path: Path,
    filters: str,
    codec: tuple[str, ...],
    tags: str = "",
    size: tuple[int, int] = (192, 128),
    count: int = COUNT,
) -> Path:
    """Write a video of the chart.

    Args:
        filters: convert RGB to the wanted colours.
        tags: values of setparams for the encoder and the container.
    """
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-i", "pipe:0")
    stated = f",setparams={tags}" if tags else ""
    clips.run_ffmpeg(
        *source,
        *("-vf", f"{filters}{stated}", *codec, str(path)),
        data=chart(size).tobytes() * count,
    )
    return path


def patch_colours(image: np.ndarray) -> np.ndarray:
    """Return the mean colour (6, 3) of each patch."""
    height, width = image.shape[:2]
    return np.array(
        [
            image[
                int(height * (y + 0.2) / 2) : int(height * (y + 0.8) / 2),
                int(width * (x + 0.2) / 3) : int(width * (x + 0.8) / 3),
            ].mean((0, 1))
            for y in (0, 1)
            for x in (0, 1, 2)
        ]
    )


def assert_colours(path: Path, tolerance: float) -> None:
    frames, warnings = read_frames(path)
    assert len(frames) == COUNT
    np.testing.assert_allclose(patch_colours(frames[-1].image), PATCHES, atol=tolerance)
    assert warnings == []


MATRICES = {"smpte170m": "bt601", "bt709": "bt709", "bt2020nc": "bt2020"}


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
def test_stated_ranges_and_matrices_are_respected(tmp_path: Path, matrix: str, full: bool) -> None:
    limits = "pc" if full else "tv"
    filters = f"scale=out_color_matrix={MATRICES[matrix]}:out_range={limits},format=yuv444p"
    tags = f"colorspace={matrix}:range={limits}:color_primaries=bt709:color_trc=bt709"
    path = write_chart(tmp_path / "a.mp4", filters, X264, tags)
    assert_colours(path, 4)
    stated = probe(path).colour
    assert stated is not None
    assert (stated.range, stated.matrix) == (limits, matrix)


@pytest.mark.parametrize(
    ("size", "matrix"), [((192, 128), "bt601"), ((1280, 720), "bt709"), ((720, 1280), "bt709")]
)
def test_an_unstated_matrix_follows_from_the_size(
    tmp_path: Path, size: tuple[int, int], matrix: str
) -> None:
    filters = f"scale=out_color_matrix={matrix}:out_range=tv,format=yuv420p"
    tags = "colorspace=unknown:color_primaries=unknown:color_trc=unknown"
    path = write_chart(tmp_path / "a.mp4", filters, X264, tags, size)
    assert_colours(path, 4)
    standard = {"bt601": "BT.601", "bt709": "BT.709"}[matrix]
    assert probe(path).conversion.description == f"none: read as {standard}"


def test_bt2020_pictures_are_converted(tmp_path: Path) -> None:
    filters = "format=gbrp,zscale=tin=bt709:pin=bt709:min=gbr:rin=pc"
    filters += ":t=bt2020-10:p=bt2020:m=bt2020nc:r=tv,format=yuv420p10le"
    tags = "colorspace=bt2020nc:color_primaries=bt2020:color_trc=bt2020-10:range=tv"
    path = write_chart(tmp_path / "a.mp4", filters, X265, tags)
    assert_colours(path, 5)
    assert probe(path).conversion.description == "converted from BT.2020 to BT.709"


def hdr(transfer: str, pixels: str, white: int = 100) -> tuple[str, str]:
    """Return filters that render the chart with its white at `white` cd/m2, and tags."""
    rgb = pixels.startswith("gbr")
    matrix, limits = ("gbr", "pc") if rgb else ("bt2020nc", "tv")
    source = "format=gbrp,zscale=tin=bt709:pin=bt709:min=gbr:rin=pc"
    target = f"t={transfer}:npl={white}:p=bt2020:m={matrix}:r={limits},format={pixels}"
    tags = f"colorspace={matrix}:color_primaries=bt2020:color_trc={transfer}:range={limits}"
    return f"{source}:{target}", tags


HDR_FILES = [
    ("a.mov", X265, "arib-std-b67", "yuv420p10le"),
    ("a.mp4", X265, "smpte2084", "yuv422p10le"),
    ("a.mkv", X265, "smpte2084", "yuv420p12le"),
    ("a.ts", X265, "arib-std-b67", "yuv420p10le"),
    ("a.webm", VP9, "smpte2084", "yuv420p10le"),
    ("a.mp4", AV1, "arib-std-b67", "yuv420p10le"),
    ("a.mov", PRORES, "arib-std-b67", "yuv422p10le"),
    ("a.mkv", FFV1, "smpte2084", "gbrp10le"),
]


@pytest.mark.parametrize(("name", "codec", "transfer", "pixels"), HDR_FILES)
def test_hdr_pictures_are_tone_mapped(
    tmp_path: Path, name: str, codec: tuple[str, ...], transfer: str, pixels: str
) -> None:
    filters, tags = hdr(transfer, pixels)
    path = write_chart(tmp_path / name, filters, codec, tags)
    frames, warnings = read_frames(path)
    assert len(frames) == COUNT
    assert warnings == []
    seen = patch_colours(frames[-1].image)
    # Dark and middle tones as in the original; bright ones are compressed.
    np.testing.assert_allclose(seen[1:5], PATCHES[1:5], atol=12)
    np.testing.assert_allclose(seen, PATCHES, atol=26)
    assert seen.std() > 0.88 * PATCHES.std()
    info = probe(path)
    kind = {"arib-std-b67": "HLG", "smpte2084": "PQ"}[transfer]
    assert info.conversion.description == f"tone-mapped from {kind}, BT.2020 to BT.709"


def test_odd_sizes_are_tone_mapped(tmp_path: Path) -> None:
    filters, tags = hdr("smpte2084", "yuv444p10le")
    filters += ",format=yuv420p10le"
    path = write_chart(tmp_path / "a.mkv", filters, FFV1, tags, (191, 127))
    frames, _ = read_frames(path)
    assert frames[0].image.shape == (127, 191, 3)
    np.testing.assert_allclose(patch_colours(frames[0].image), PATCHES, atol=26)


def test_bright_hdr_keeps_its_highlights_apart(tmp_path: Path) -> None:
    filters, tags = hdr("smpte2084", "yuv420p12le", white=400)
    frames, _ = read_frames(write_chart(tmp_path / "a.mkv", filters, FFV1, tags))
    grey = patch_colours(frames[0].image).mean(1)
    skin, white = grey[0], grey[5]
    assert 175 < skin < white - 10
    assert white < 255


@pytest.mark.parametrize("transfer", ["arib-std-b67", "smpte2084"])
def test_hdr_without_further_tags_is_tone_mapped(tmp_path: Path, transfer: str) -> None:
    filters, _ = hdr(transfer, "yuv420p10le")
    tags = f"colorspace=unknown:color_primaries=unknown:color_trc={transfer}:range=tv"
    frames, _ = read_frames(write_chart(tmp_path / "a.mkv", filters, FFV1, tags))
    np.testing.assert_allclose(patch_colours(frames[0].image), PATCHES, atol=26)


def test_each_frame_of_changing_colours_is_converted_as_it_needs(tmp_path: Path) -> None:
    ordinary = "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p10le"
    tags = "colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
    first = write_chart(tmp_path / "first.ts", ordinary, X265, tags)
    filters, hdr_tags = hdr("arib-std-b67", "yuv420p10le")
    second = write_chart(tmp_path / "second.ts", filters, X265, hdr_tags)
    path = tmp_path / "joined.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    frames, warnings = read_frames(path)
    assert len(frames) == 2 * COUNT
    for frame in frames:
        atol = 6 if frame.index < COUNT else 26
        np.testing.assert_allclose(patch_colours(frame.image), PATCHES, atol=atol)
    assert any(f"colours of {path} change at frame {COUNT}" in w for w in warnings)
    tail, _ = read_frames(path, first=COUNT + 2)
    assert all((a.image == b.image).all() for a, b in zip(tail, frames[COUNT + 2 :], strict=True))


def test_without_the_filters_hdr_stays_and_is_labelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filters, tags = hdr("arib-std-b67", "yuv420p10le")
    path = write_chart(tmp_path / "a.mkv", filters, FFV1, tags)
    monkeypatch.setattr(colour, "has_zscale", lambda: False)
    colour.conversion.cache_clear()
    try:
        info = probe(path)
        frames, warnings = read_frames(path)
        assert len(frames) == COUNT
        assert len(warnings) == 1
        assert "lacks the filters zscale and tonemap" in warnings[0]
        assert info.conversion.description.startswith("none: HLG, BT.2020 needs an ffmpeg with")
        assert (info.conversion.primaries, info.conversion.transfer) == ("bt2020", "arib-std-b67")
    finally:
        colour.conversion.cache_clear()


def add_dolby_vision(path: Path, profile: int, compatibility: int) -> None:
    """Insert the box that declares Dolby Vision into an mp4 whose index comes last."""
    data = bytearray(path.read_bytes())
    record = bytes([1, 0, profile << 1, 4 << 3 | 0b101, compatibility << 4]) + bytes(19)
    box = (8 + len(record)).to_bytes(4, "big") + b"dvvC" + record
    entry = data.index(b"hev1") - 4
    data[entry + 86 : entry + 86] = box  # the first box in the sample entry
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hev1"):
        start = data.index(name) - 4
        size = int.from_bytes(data[start : start + 4], "big") + len(box)
        data[start : start + 4] = size.to_bytes(4, "big")
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("profile", "compatibility", "transfer"),
    [(8, 4, "arib-std-b67"), (8, 1, "smpte2084"), (5, 0, "smpte2084")],
)
def test_the_base_layer_of_dolby_vision_is_read(
    tmp_path: Path, profile: int, compatibility: int, transfer: str
) -> None:
    filters, tags = hdr(transfer, "yuv420p10le")
    path = write_chart(tmp_path / "a.mp4", filters, X265, tags)
    add_dolby_vision(path, profile, compatibility)
    frames, warnings = read_frames(path)
    described = probe(path).describe_colour()
    assert described is not None
    assert described["dolby_vision"] == f"{profile}.{compatibility}"
    if profile == 8:
        np.testing.assert_allclose(patch_colours(frames[0].image), PATCHES, atol=26)
        assert warnings == []
    else:
        assert len(warnings) == 1
        assert "Dolby Vision of profile 5" in warnings[0]


@pytest.mark.parametrize(
    ("stated", "description"),
    [
        (Colour("yuv420p", "tv", "bt709", "bt709", "bt709"), "none"),
        (Colour("yuvj420p", "pc", "bt470bg", None, None), "none"),
        (Colour("yuv420p", "tv"), "none: read as BT.601"),
        (Colour("rgb24", "pc"), "none"),
        (Colour("pal8", "pc"), "none"),
        (Colour("gray", "pc"), "none"),
        (Colour("yuv420p10le", "tv", "bt2020nc", "bt2020", "bt2020-10"), "converted from BT.2020"),
        (Colour("yuv420p10le", "tv", "bt709", "bt709", "smpte2084"), "tone-mapped from PQ"),
    ],
)
def test_what_is_done_follows_from_what_is_stated(stated: Colour, description: str) -> None:
    assert conversion(stated, hd=False).description.startswith(description)


def test_unconverted_pictures_are_tagged_with_what_is_stated() -> None:
    display = conversion(Colour("yuv420p", "tv", "bt709", "smpte432", "iec61966-2-1"), hd=True)
    assert (display.primaries, display.transfer) == ("smpte432", "iec61966-2-1")
    unknown = conversion(Colour("yuv420p", "tv", "bt709", "vgamut", "vlog"), hd=True)
    assert (unknown.primaries, unknown.transfer) == ("bt709", "bt709")


def test_record_and_overlay_say_which_colours_they_have(tmp_path: Path) -> None:
    filters, tags = hdr("arib-std-b67", "yuv420p10le")
    path = write_chart(tmp_path / "a.mov", filters, X265, tags)
    (tmp_path / "points.csv").write_text("x,y\n60,60\n90,70\n")
    points = ("--init", "points", "--points", tmp_path / "points.csv", "--tracker", "lk")
    arguments = ("track", path, *points, "--out", tmp_path / "out")
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "out" / "a.json").read_text())
    assert record["input"]["colour"] == {
        "pixels": "yuv420p10le",
        "range": "tv",
        "matrix": "bt2020nc",
        "primaries": "bt2020",
        "transfer": "arib-std-b67",
        "hdr": "HLG",
        "conversion": "tone-mapped from HLG, BT.2020 to BT.709",
        "dolby_vision": None,
    }
    assert record["input"]["deinterlaced"] is False
    overlay = probe(tmp_path / "out" / "a.overlay.mp4").colour
    assert overlay == Colour("yuv420p", "tv", "bt709", "bt709", "bt709")


def test_a_shared_hlg_clip_has_the_contrast_of_its_original(shared_cases: Path) -> None:
    original = read_frames(shared_cases / "short.mp4")[0][0].image
    mapped = read_frames(shared_cases / "hlg.mov")[0][0].image
    face = (slice(90, 290), slice(220, 370))
    assert mapped[face].std() > 0.85 * original[face].std()
