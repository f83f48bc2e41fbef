"""The training loop of landmark networks: see `facetrack.training.loop`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrack.detectors import DetectorOptions, LandmarkDetector, alignment, create
from facetrack.detectors.alignment import FaceFrame
from facetrack.detectors.cascades.dcnn import five_points
from facetrack.detectors.crops import SIZE, CropRule, hog_box
from facetrack.detectors.star import HALVED
from facetrack.errors import FacetrackError
from facetrack.evaluation import metrics
from facetrack.landmarks import schemes
from facetrack.training import loop, textures
from facetrack.training.detectors import augment, distillation, losses
from facetrack.training.detectors.data import (
    HeldOut,
    jittered,
    load,
    load_held_out,
    load_pseudo_labelled,
    names_of,
    refuse_few,
)
from facetrack.training.detectors.networks import make, restore
from facetrack.training.detectors.pseudo_labels import SCHEME, Teacher
from facetrack.training.detectors.trainee import Options, Trainee
from facetrack.training.precision import autocast
from facetrack.training.signals import Random
from facetrack.weights.state_dict import read_weights

SCHEMES = ("68", "98")
AT_ONCE = 32


@dataclass(frozen=True)
class Recipe(loop.Recipe):
    """All that decides a training run, besides the pictures; `batch` counts faces.

    Attributes:
        fifa: share of the budget over which Fiducial Focus squares shrink away; 0 for none. They
            are painted on half of the faces, so that the network always sees others as well.
        dcca: weight of the agreement of each face's features with and without squares (both are
            in the batch then); 0 for one view a face.
        halved: share of the budget, its first, over which pictures have half the side: a quarter
            of the work a face. Of 1, the detector will look at such pictures, too (star alone).
        aligned: whether crops are aligned to rough landmarks (`facetrack.detectors.alignment`)
            instead of the face's box.
        plain: share of the faces that are annotated and stay as they were photographed: not turned
            in depth, moved, covered or spoilt. The tests' faces are such.
        pseudo_share: share of the other faces with pseudo-labels, if there are such faces.
    """

    minutes: float = 60.0
    batch: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warm_up_steps: int = 200
    clip_norm: float = 5.0
    save_minutes: float = 10.0
    fifa: float = 0.6
    dcca: float = 0.0
    halved: float = 0.0
    aligned: bool = True
    plain: float = 0.5
    pseudo_share: float = 0.4
    ema: float = 0.999


def measured(
    detector: LandmarkDetector, faces: HeldOut, boxes: np.ndarray, scheme: schemes.Scheme
) -> dict[str, float]:
    """NME and FR_10, in per cent, of a detector that is given `boxes` (M, 4).

    A detector of the layout of five points is compared with the five that the annotation implies.
    """
    truth = faces.points
    if detector.scheme == "5" != scheme.name:
        truth, scheme = five_points(torch.from_numpy(truth)).numpy(), schemes.get("5")
    assert scheme.eye_corners is not None
    found = []
    for first in range(0, len(faces.images), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        answers = detector.detect_many(faces.images[part], [b[None] for b in boxes[part]])
        found += [answer.xy[0] for answer in answers]
    nme = metrics.nme_ic(np.array(found), truth, scheme.eye_corners)
    return {
        "nme_ic": round(metrics.mean_nme(nme), 3),
        "fr_10": round(100 * metrics.failure_rate(nme), 3),
    }


def measure_both(
    detector: LandmarkDetector, faces: HeldOut, scheme: schemes.Scheme
) -> dict[str, dict[str, float]]:
    """`measured` in exact boxes and in boxes as far off as a face detector's."""
    boxes = hog_box(faces.points)
    return {
        "exact_boxes": measured(detector, faces, boxes, scheme),
        "jittered_boxes": measured(detector, faces, jittered(boxes), scheme),
    }


@contextmanager
def _listening(layer: nn.Module) -> Iterator[list[Tensor]]:
    """What `layer` answers meanwhile."""
    heard: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _, __, output: heard.append(output))
    try:
        yield heard
    finally:
        handle.remove()


def picture_side(trainee: Trainee) -> int:
    """Return the side of the pictures to load: faces fill two thirds of it, and of the crop all."""
    return textures.SIDE * trainee.side // SIZE


def find_frame(points: np.ndarray, rule: CropRule, aligned: bool) -> FaceFrame:
    """Return the square in which a network sees a face (N, 2) whose place is known exactly."""
    if aligned:
        return alignment.align(points)
    return FaceFrame.of_square(rule.square(hog_box(points)))


class DetectorRun(loop.Run):
    """One process's part of a training run."""

    half_from = 2  # running variances may lie beyond the range of float16
    recipe: Recipe

    def __init__(
        self,
        build: Callable[[], Trainee],
        faces: Path,
        pseudo: Path | None,
        recipe: Recipe,
        out: Path,
        rank: int,
        device: torch.device,
        taught: Tensor | None = None,
    ) -> None:
        def network() -> nn.Module:
            self.trainee = build()
            return self.trainee.network

        super().__init__(network, recipe, out, rank, device)
        trainee = self.trainee
        self.result = f"{trainee.arch}.safetensors"
        self.faces = load(faces, trainee.scheme.name, device, picture_side(trainee))
        if taught is not None:
            self.faces = self.faces._replace(points=taught.to(device))
        self.held_out = load_held_out(faces, trainee.scheme.name) if rank == 0 else None
        points = self.faces.points.cpu().numpy().astype(float)
        self.ranges = (
            augment.ALIGNED if recipe.aligned else trainee.ranges or augment.Augmentation()
        )
        turning = self.ranges.turned > 0
        swap = torch.tensor(trainee.scheme.swap, device=device)
        frame_of = functools.partial(find_frame, rule=trainee.rule, aligned=recipe.aligned)
        annotated = augment.Source.of(self.faces, frame_of, swap, turning)
        guessed_share = recipe.pseudo_share if pseudo is not None else 0.0
        known_share = (1 - recipe.plain) * (1 - guessed_share)
        self.parts = [
            augment.Part(annotated, recipe.plain, self.ranges.plain()),
            augment.Part(annotated, known_share, self.ranges),
        ]
        if pseudo is not None:
            more = load_pseudo_labelled(pseudo, trainee.scheme.name, device)
            guessed = augment.Source.of(more, frame_of, swap, turning)
            guessed_share *= 1 - recipe.plain
            self.parts.append(augment.Part(guessed, guessed_share, self.ranges))
        exact = np.array([frame_of(face).to_crop(face) for face in points])
        trainee.begin(torch.from_numpy(exact).float().to(device))
        # `begin` may set what is not trained.
        self.ema = {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def losses(self, random: Random, progress: float) -> tuple[Tensor, dict[str, float]]:
        """The loss on freshly augmented faces."""
        recipe, trainee = self.recipe, self.trainee
        trainee.advance(progress)
        views = augment.sample_from(self.parts, recipe.batch, random, trainee.side)
        size = augment.fifa_size(progress, recipe.fifa)
        twice = recipe.dcca > 0
        if twice:
            every = torch.ones(recipe.batch, dtype=torch.bool, device=self.device)
            # After the squares have shrunk away the second view differs by its light alone.
            second = augment.paint_squares(views, size, every)
            if not size:
                second = augment.spoil(second, random)
            pictures = torch.cat([views.pictures, second])
            points, labelled = views.points.repeat(2, 1, 1), views.labelled.repeat(2, 1)
        else:
            which = random.chance(0.5, recipe.batch).bool()
            pictures = augment.paint_squares(views, size, which)
            points, labelled = views.points, views.labelled
        if progress < recipe.halved:
            pictures = F.avg_pool2d(pictures, 2)
        batch = trainee.prepare(pictures).contiguous(memory_format=torch.channels_last)
        with (
            _listening(trainee.features) as heard,
            autocast(self.device),
        ):
            output = trainee.run(batch)
        loss, parts = trainee.loss(output, points, labelled)
        if twice:
            agreement = losses.agreement(*heard[-1].float().chunk(2))
            loss = loss - recipe.dcca * agreement
            parts = {**parts, "agreement": losses.number(agreement)}
        return loss, parts

    def adopt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Trunks can be shared: see `Trainee.adopt`."""
        return self.trainee.adopt(weights)

    def metadata(self) -> dict[str, str]:
        """What the detector reads."""
        stays = {HALVED: "true"} if self.recipe.halved >= 1 else {}
        crop = {alignment.KEY: alignment.write_side(alignment.SIDE)} if self.recipe.aligned else {}
        return {**self.trainee.metadata(), **stays, **crop}

    def measure(self) -> dict[str, Any]:
        """Errors of the weights file that was just written, through its detector."""
        assert self.held_out is not None
        options = DetectorOptions(weights=str(self.out / self.result), device=str(self.device))
        detector = create(self.trainee.arch, options)
        return measure_both(detector, self.held_out, self.trainee.scheme)


def train(
    arch: str,
    recipe: Recipe,
    faces: Path,
    out: Path,
    device: torch.device,
    scheme: str = "68",
    options: Options | None = None,
    resume: bool = False,
    start_from: Path | None = None,
    build: Callable[[], Trainee] | None = None,
    pseudo: Path | None = None,
    teacher: Teacher | None = None,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Train until the budget is spent; `out` receives checkpoint.pt, <arch>.safetensors (averaged
    weights) and log.jsonl.

    Args:
        arch: "pipnet", "fan", "star", "heatmap1d" or a network that regresses shapes, as "mdm".
        faces: folder of face crops with landmarks<scheme>.npz.
        scheme: the point layout.
        options: sizes of the network.
        resume: go on from `out`/checkpoint.pt.
        start_from: weights to begin with, as far as names and shapes go. If they are of `arch` and
            `options` give no size, their size is the network's.
        build: makes the network instead of `arch` and `options`.
        pseudo: folder of faces with pseudo-labels (`pseudo_labels`), to learn from as well.
        teacher: networks whose answers on the training faces are blended with the annotations.
        progress: called with what the teacher has done.

    Raises:
        FacetrackError: the faces, the layout or the options are not usable.
    """
    check_scheme(scheme)
    names_of(faces, scheme)
    refuse_few(faces)
    build = build or _choose_network(arch, scheme, options or Options(), start_from)
    trainee = build()  # what cannot be is better said here than in another process
    if trainee.from_box:
        recipe = replace(recipe, aligned=False, warm_up_steps=min(recipe.warm_up_steps, 50))
    if recipe.dcca and not trainee.has_maps:
        raise FacetrackError(f"{arch} has no maps of features whose agreement --dcca could rate.")
    if recipe.halved and not trainee.resizable:
        raise FacetrackError(
            f"{arch} cannot begin with pictures of half the side: it has weights for each place."
        )
    if recipe.halved >= 1 and arch != "star":
        raise FacetrackError("Of all landmark networks star alone can keep to half the side.")
    taught = None
    if teacher is not None:
        if scheme != SCHEME:
            raise FacetrackError(f"Teachers place {SCHEME} points, not the {scheme} of the faces.")
        annotated = load(faces, scheme, torch.device("cpu"), picture_side(trainee))
        taught = distillation.teach(annotated, teacher, progress).points
    loop.launch(
        functools.partial(DetectorRun, build, faces, pseudo, taught=taught),
        recipe,
        out,
        device,
        resume,
        start_from,
    )


def _choose_network(
    arch: str, scheme: str, options: Options, start_from: Path | None
) -> Callable[[], Trainee]:
    """Choose the network that `options` ask for, or else that of the start."""
    is_sized = options != Options(heatmap_loss=options.heatmap_loss)
    if start_from is not None and not is_sized and read_weights(start_from)[1].get("arch") == arch:
        return functools.partial(restore, start_from, scheme, options)
    return functools.partial(make, arch, scheme, options)


def check_scheme(scheme: str) -> None:
    """Refuse layouts that say too little about the face's box."""
    if scheme not in SCHEMES:
        raise FacetrackError(
            f"Detectors are trained on {' or '.join(SCHEMES)} points, not on {scheme!r}: "
            "face boxes follow from the jaw."
        )
