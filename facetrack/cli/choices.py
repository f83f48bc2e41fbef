"""Names of the parts that options choose from, for help, completion and errors.

The registries import NumPy and OpenCV, which `--help` and completion must not wait for: a test
compares these names with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from facetrack.cli import synonyms
from facetrack.errors import FacetrackError
from facetrack.suggestions import did_you_mean

LANDMARK_DETECTORS = (
    *("ert", "pipnet", "fan", "star", "heatmap1d", "star+fan"),
    *("cascade", "cfan", "dan", "dcnn", "fifa", "mdm", "san"),
)
OWN_POINTS = "points"
"""The value of --init for the user's own points."""
INITS = (*LANDMARK_DETECTORS, OWN_POINTS)
FACE_DETECTORS = ("auto", "hog", "cnn", "mtcnn", "yunet", "sfd", "haar")
TRACKERS = ("tapir", "lk", "per-frame", "heatmap1d")
FORMATS = ("csv", "openface", "dlc", "pts", "npz")
IMAGE_FORMATS = ("csv", "pts")
POSE_METHODS = ("landmarks", "network")
SCHEMES = ("68", "98", "29", "19", "5")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "bfloat16")


def listed(names: Sequence[str]) -> str:
    """Return names as a list in a sentence: "a, b or c"."""
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def completing(names: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a function that completes a value on the command line."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def check_parts(
    init: str | None = None,
    tracker: str | None = None,
    face_detector: str | None = None,
    formats: Sequence[str] | None = None,
    device: str | None = None,
    inits: Sequence[str] = INITS,
) -> None:
    """Check the names of parts that a command's options choose; None is not checked.

    Args:
        inits: the values of --init that the command takes.

    Raises:
        FacetrackError: a name is unknown. The sentence suggests the one that may be meant.
    """
    if init is not None:
        check_choice("landmark detector", init, inits)
    if tracker is not None:
        check_choice("tracker", tracker, TRACKERS)
    if face_detector is not None:
        check_choice("face detector", face_detector.partition("=")[0], FACE_DETECTORS)
        check_face_detector_weights(face_detector)
    for name in formats or ():
        check_choice("format", name, FORMATS)
    if device is not None and device.casefold().split(":")[0] in ("gpu", "nvidia"):
        raise FacetrackError(f"There is no device {device!r}; did you mean cuda?")


def check_face_detector_weights(face_detector: str) -> None:
    """Check the weights of NAME=FILE before anything is written.

    Raises:
        FacetrackError: the face detector takes none, or there are no such weights.
    """
    if "=" in face_detector:
        from facetrack import face_detectors

        face_detectors.create(face_detector)


def check_choice(option: str, value: str, names: Sequence[str]) -> None:
    """Check that an option's value is one of its names.

    Raises:
        FacetrackError: it is not. The sentence suggests the name that may be meant.
    """
    if value in names:
        return
    meant = [name for name in synonyms.VALUES.get(value.casefold(), ()) if name in names]
    hint = f"; did you mean {' or '.join(meant)}?" if meant else did_you_mean(value, names)
    choices = f" The choices are {', '.join(names)}." if hint else f"; choose {listed(names)}."
    raise FacetrackError(f"There is no {option} {value!r}{hint}{choices}")
