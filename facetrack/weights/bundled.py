"""List the weights in facetrack's `weights` folder, as data."""

from __future__ import annotations

from facetrack.weights import papers
from facetrack.weights.base import Weights

_SCHEMES: dict[str, str | None] = {"tapir": None, "heatmap1d-time": None, "dcnn": "5"}
"""Point layouts other than 68, by part."""


def _bundled(
    name: str, part: str, paper: str, size: int, sha256: str, file: str = "", auto: bool = True
) -> Weights:
    """Describe weights trained with facetrack's own commands; each has a card beside it."""
    return Weights(
        name=name,
        part=part,
        file=file or f"{name}.safetensors",
        licence="research use only: trained on pictures of 300-W",
        paper=f"{paper}; weights our own",
        scheme=_SCHEMES.get(part, "68"),
        noncommercial=True,
        bytes=size,
        sha256=sha256,
        auto=auto,
        origin="facetrack",
    )


BUNDLED_WEIGHTS: tuple[Weights, ...] = (
    _bundled(
        "tapir-s",
        "tapir",
        papers.TAPIR,
        4299236,
        "36df3b1ce65bdbafff7f489b7b5c852339dfa177f2fdf18d758dd9630ddc3dc8",
    ),
    _bundled(
        "expressions-s",
        "expressions",
        "Compact networks of facetrack's own",
        2307048,
        "e19e2607b76caf2384df824beb3499056413f82dca318d5583db44c369ba05a5",
    ),
    _bundled(
        "confidence-s",
        "confidence",
        "A compact network of facetrack's own",
        883040,
        "841964e7288a6d1361f6a2ee003b420182957b526a17730a65ff0c0e00c81f47",
    ),
    _bundled(
        "pose-s",
        "pose",
        papers.FACE_POSE_NET,
        1137528,
        "64bca6a9556c9cf59ce09bdfdb6da58575407ee27cd9736717583a24c2279c44",
    ),
    _bundled(
        "star-s",
        "star",
        papers.STAR,
        2528868,
        "1a251b0bb27aae074fd2b45adcf5d90f05e0030e63af2559d1e62ecea26fa9d5",
    ),
    _bundled(
        "star-xs",
        "star",
        papers.STAR,
        658884,
        "bf95e29fd85b92e353d008fc5c00ed399507caf88e43962844260cd7ad212f6a",
        auto=False,
    ),
    _bundled(
        "pipnet-s",
        "pipnet",
        papers.PIPNET,
        24178936,
        "f05a86aabe635bc0dd207b2f5d0f19d989d201cd4f5b14b6c6c84a937c557153",
    ),
    _bundled(
        "fan-s",
        "fan",
        papers.FAN,
        12763976,
        "46a75d57c275fe1445657f21b0b8efe2b4c422d7ebf88658817f1b11a23a5bbb",
    ),
    _bundled(
        "heatmap1d-s",
        "heatmap1d",
        papers.HEATMAP1D,
        3976272,
        "60117e7b5cc24f1fbd081ae3ab5a279ccf886d5d8150500f205c1bbecd1d5e61",
    ),
    _bundled(
        "dan-s",
        "dan",
        papers.DAN,
        1183032,
        "686fc65e3adc53a20f25535f8668bf12c98d59458b6bfe8d0227692b697fd005",
    ),
    _bundled(
        "mdm-s",
        "mdm",
        papers.MDM,
        2930184,
        "0f774da71e68b5961e1cc65afc2a6a26b6ac23ff507b399087fd9c0b5d8d296d",
    ),
    _bundled(
        "san-s",
        "san",
        papers.SAN,
        1735244,
        "6cde084188f9748cfda03fb92441a69e3c7261c1cca017e79e61dcd41fda32a8",
    ),
    _bundled(
        "fifa-s",
        "fifa",
        papers.FIFA,
        1543900,
        "2a5c3a6a2511683e0ff6d81d0f35558a9ba0c63c3f74ebeb4410d481ffa39b59",
    ),
    _bundled(
        "cascade-s",
        "cascade",
        papers.COARSE_TO_FINE,
        455576,
        "963e584f6f73f0687cb11e1b4fa182679fd929a411fe900ea4913ee6ec49b571",
    ),
    _bundled(
        "dcnn-s",
        "dcnn",
        papers.DCNN,
        1690400,
        "0052be34c8590bacea3075a9a78424277ab4ba41555c146f3d4c21e2955e02bc",
    ),
    _bundled(
        "cfan-s",
        "cfan",
        papers.CFAN,
        4942944,
        "99d616e54b09515c1ac097e035abbe78aec9ad169b0efa52a3f92ec86c78cc50",
    ),
    _bundled(
        "ert-s",
        "ert",
        papers.ERT,
        9837902,
        "359f424b0ec8bc171d4f70433f5397a78786cae18324b4efe61d2149d9765d55",
        file="ert-s.dat",
        auto=False,
    ),
    _bundled(
        "heatmap1d-time",
        "heatmap1d-time",
        papers.HEATMAP1D,
        610328,
        "2d3c9d155e66f24d816965b19913512d6c76be46d6ff57d3e5b92db805eeecb1",
    ),
    _bundled(
        "shape-s",
        "shape",
        papers.ACTIVE_SHAPE_MODELS,
        9168,
        "3a72186fcba9b445fc61ec027f7488630ed541dbce112ac8bab7dd5cc782a1c6",
    ),
    _bundled(
        "shape3d-s",
        "shape3d",
        papers.STRUCTURE_FROM_MOTION,
        7904,
        "0998c7b1665435772bf07ead5dc9ebf315cef34cf48266bed1b635313c7b9fd7",
    ),
    Weights(
        name="mtcnn",
        part="mtcnn",
        file="mtcnn.safetensors",
        licence="MIT (ipazc/mtcnn)",
        paper=papers.MTCNN,
        bytes=1988112,
        sha256="83425bc23e9e9cf5ef66823210af1430ceb6aa57f8eaf3dd41dd6cad74f06498",
        origin="facetrack",
    ),
)
"""In the order in which "auto" considers them."""
