"""`facetrack train detector | scores | pseudo-labels`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facetrack.cli.options import Device
from facetrack.cli.train_options import (
    FacesFolder,
    Resume,
    SaveMinutes,
    Seed,
    Steps,
    Workers,
    check_start,
    count_faces,
    refuse_existing,
)


def detector(
    faces: FacesFolder,
    arch: Annotated[
        str | None,
        typer.Option(
            help="Detector to train: pipnet, fan, star, heatmap1d, cascade, cfan, dan, dcnn, fifa, "
            "mdm, san or ert. [default: that of --start-from]"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for checkpoint.pt, ARCH.safetensors (ert.dat) and log.jsonl. "
            "[default: runs/ARCH]"
        ),
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0.01, help="Wall-clock budget; ert ignores it.")
    ] = 60.0,
    steps: Steps = 0,
    batch: Annotated[int, typer.Option(min=1, help="Faces per process and step.")] = 8,
    learning_rate: Annotated[
        float | None,
        typer.Option(min=0, help="Peak learning rate. [default: 0.001; of few faces 0.0002]"),
    ] = None,
    seed: Seed = 1,
    workers: Workers = 2,
    save_minutes: SaveMinutes = 10.0,
    device: Device = "auto",
    resume: Resume = False,
    start_from: Annotated[
        str | None,
        typer.Option(
            help="Start from these weights where the layers are the same: a file, or a name from "
            "`facetrack weights list`. Their size is that of the network unless you give another."
        ),
    ] = None,
    points_scheme: Annotated[
        str, typer.Option(help="Landmark layout: 68, or 98 (in landmarks98.npz).")
    ] = "68",
    stacks: Annotated[
        int, typer.Option(min=0, help="Number of stacked hourglasses. [default: compact]")
    ] = 0,
    width: Annotated[
        int, typer.Option(min=0, help="Channels of the hourglasses. [default: compact]")
    ] = 0,
    heatmap_loss: Annotated[
        str, typer.Option(help="fan: loss of the heat maps, awing or mse.")
    ] = "awing",
    fifa: Annotated[
        bool,
        typer.Option(help="Use Fiducial Focus Augmentation: shrinking black squares on landmarks."),
    ] = True,
    dcca: Annotated[
        float,
        typer.Option(
            min=0,
            help="Weight of the loss on the agreement of two views of each face; 1 as published.",
        ),
    ] = 0.0,
    halved: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="First fraction of the budget, which trains on images of half the side at four "
            "times as many faces per minute. Not for heatmap1d. 1 trains a star for such images.",
        ),
    ] = 0.0,
    pseudo_faces: Annotated[
        Path | None,
        typer.Option(help="Also learn from this folder of `facetrack train pseudo-labels`."),
    ] = None,
    teachers: Annotated[
        str | None,
        typer.Option(
            help="Detectors whose answers on the training faces are blended with the annotations, "
            "with commas between; NAME=FILE for weights other than the bundled ones."
        ),
    ] = None,
    plain: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of the faces that are annotated and stay as they were photographed: not "
            "turned in depth, moved, covered or spoilt.",
        ),
    ] = 0.5,
    aligned: Annotated[
        bool,
        typer.Option(
            help="Train on crops that are aligned to the landmarks of a tiny network instead of "
            "the face's box. Cascades always start from the box."
        ),
    ] = True,
    antialiased: Annotated[
        bool, typer.Option(help="star and heatmap1d: blur before each downsampling.")
    ] = False,
    ff_parser: Annotated[
        bool, typer.Option(help="star and heatmap1d: use learned filters in the Fourier domain.")
    ] = False,
) -> None:
    """Train a landmark detector on annotated faces, or adapt one to a few faces.

    One face in ten is held out, by a rule on its file name, and evaluated at each save. --resume
    continues an interrupted run; give the same options as before.

    Up to 201 faces, or those of `facetrack export faces`, adapt the network of --start-from: it
    keeps its size and crop, the last fifth of each clip is held out, and its error there before and
    after is printed. A few minutes are enough.
    """
    from facetrack.errors import FacetrackError
    from facetrack.runtime.device import choose_device
    from facetrack.training.detectors import adapting
    from facetrack.training.detectors.data import is_small
    from facetrack.training.detectors.ert import RESULT, ErtRecipe, train_ert
    from facetrack.training.detectors.networks import Options
    from facetrack.training.detectors.pseudo_labels import Teacher
    from facetrack.training.detectors.train import Recipe, train

    if arch == "ert":
        if resume or start_from is not None:
            raise FacetrackError("dlib trains an ERT in one go: nothing to resume or start from.")
        out = out or Path("runs/ert")
        refuse_existing(out / RESULT)
        count_faces(faces, points_scheme)
        train_ert(ErtRecipe(seed=seed, workers=workers), faces, out, points_scheme)
        return
    start = None if start_from is None else adapting.find_start(start_from)
    if arch is None:
        arch = None if start is None else start.arch
    if arch is None:
        raise FacetrackError("Name a network to train (--arch), or one to start from.")
    out = out or Path("runs") / arch
    check_start(out, resume)
    options = Options(stacks, width, heatmap_loss, antialiased, ff_parser)
    is_adapted = start is not None and is_small(faces)
    if learning_rate is None:
        learning_rate = adapting.LEARNING_RATE if is_adapted else Recipe.learning_rate
    recipe = Recipe(
        minutes=minutes,
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        seed=seed,
        workers=workers,
        save_minutes=save_minutes,
        fifa=Recipe.fifa if fifa else 0.0,
        dcca=dcca,
        halved=halved,
        plain=plain,
        aligned=aligned,
    )
    where = choose_device(device)
    if start is not None and is_adapted:
        if arch != start.arch or options != Options() or pseudo_faces or teachers or dcca or halved:
            raise FacetrackError(
                f"{faces} has few faces, to which {start_from} is adapted as it is: leave out "
                "--arch, --pseudo-faces, --teachers, --dcca, --halved and the options of its size."
            )
        adapting.adapt(start, recipe, faces, out, where, points_scheme, resume, progress=typer.echo)
        return
    count_faces(faces, points_scheme)
    train(
        arch,
        recipe,
        faces,
        out,
        where,
        points_scheme,
        options,
        resume,
        None if start is None else start.path,
        pseudo=pseudo_faces,
        teacher=None if teachers is None else Teacher.of(teachers.split(","), str(where)),
        progress=typer.echo,
    )


def scores(
    weights: Annotated[Path, typer.Argument(help="Weights of `facetrack train detector`.")],
    arch: Annotated[str, typer.Option(help="Their network: pipnet, fan, star or heatmap1d.")],
    faces: FacesFolder,
) -> None:
    """Calibrate a detector's scores: of landmarks scored 0.9, nine in ten are exact.

    The calibration is fitted to the training faces and written into the weights file. What it says
    of the held-out faces is printed.
    """
    from facetrack.training.detectors.scores import calibrate

    calibrate(arch, weights, faces, progress=typer.echo)


def shape_correction(
    weights: Annotated[Path, typer.Argument(help="Weights of `facetrack train detector`.")],
    arch: Annotated[str, typer.Option(help="Their network: star, heatmap1d, fan, mdm, ...")],
    faces: FacesFolder,
    pictures: Annotated[
        int, typer.Option(min=300, help="Number of pictures drawn from the training faces.")
    ] = 9000,
) -> None:
    """Fit a detector's shape correction: landmarks move by what all of them imply.

    The correction is fitted to the training faces and written into the weights file. How it changes
    errors on the held-out faces is printed. Calibrate the scores after it.
    """
    from facetrack.training.detectors.shape_correction import correct

    correct(arch, weights, faces, pictures, progress=typer.echo)


def pseudo_labels(
    folders: Annotated[list[Path], typer.Argument(help="Folders of pictures of faces.")],
    out: Annotated[Path, typer.Option(help="New folder for the faces and their labels.")],
    detectors: Annotated[
        str,
        typer.Option(
            help="Networks whose mean labels the faces, with commas between; NAME=FILE for "
            "weights other than the bundled ones."
        ),
    ] = "star,fan,heatmap1d,pipnet",
    labels: Annotated[
        Path | None,
        typer.Option(help="Another tool's labels (.npz with names and points), one view more."),
    ] = None,
    face_detector: Annotated[str, typer.Option(help="Face detector.")] = "auto",
    device: Device = "auto",
) -> None:
    """Label faces without annotations by what several networks agree on.

    `facetrack train detector --pseudo-faces OUT` learns from them.
    """
    from facetrack.runtime.device import choose_device
    from facetrack.training.detectors.pseudo_labels import Teacher, label_faces

    teacher = Teacher.of(detectors.split(","), str(choose_device(device)))

    def show(done: int, count: int) -> None:
        typer.echo(f"{done} of {count} pictures", err=True)

    labelled, count = label_faces(folders, teacher, out, face_detector, labels, show)
    typer.echo(f"{labelled} of {count} pictures show a face whose landmarks are agreed on.")
