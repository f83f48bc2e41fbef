"""Options of `facetrack track` that no other command shares, except those of live sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facetrack.cli import choices
from facetrack.cli.options import NETWORKS, OUTPUT
from facetrack.cli.output_folder import folder_option

PLACING = "Where the points are placed"
TRACKING = "How they are tracked"
BATCH = "Several videos"
"""Headings of groups of options in the help."""

Videos = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="VIDEO",
        help="Video files, folders or series of images, folders of videos, patterns; or one "
        "camera (0), address (rtsp, http, udp, ...) or - for standard input.",
        show_default=False,
    ),
]
Init = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"Landmark detector: {', '.join(choices.LANDMARK_DETECTORS)}; or points to give your "
        "own points.",
        autocompletion=choices.completing(choices.INITS),
    ),
]
Points = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="With --init points: a .pts file, or a CSV of x,y rows "
        "(pixels; 0,0 is the centre of the top-left pixel).",
        rich_help_panel=PLACING,
    ),
]
QueryFrame = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        help="Frame (counted from 0) on which the landmarks are detected; they are tracked "
        "forwards and backwards from it. Of several, such as 0,120,480, the tracks are blended. "
        "[default: the first frame with a face]",
        rich_help_panel=PLACING,
    ),
]
Corrections = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Corrections by hand: a file, <stem>.corrections.csv, whose points are tracked to "
        "both sides. For several videos a folder of such files, or beside: in the output folder "
        "or beside each video.",
        rich_help_panel=PLACING,
    ),
]
Tracker = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"Point tracker: {choices.listed(choices.TRACKERS)}. lk is Lucas-Kanade, per-frame "
        "detects on every frame.",
        autocompletion=choices.completing(choices.TRACKERS),
    ),
]
TrackerWeights = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Weights of the tracker: the bundled tapir-s, or a TAPIR checkpoint (.pt, .npy, "
        ".safetensors).",
        rich_help_panel=NETWORKS,
    ),
]
Causal = Annotated[
    bool | None,
    typer.Option(
        "--causal/--offline",
        help="Whether an official TAPIR checkpoint was trained as a causal model. [default: "
        "read from its file name]",
        rich_help_panel=NETWORKS,
    ),
]
SoftmaxTemperature = Annotated[
    float | None,
    typer.Option(
        help="Softmax temperature of an official TAPIR checkpoint. [default: 20]",
        rich_help_panel=NETWORKS,
    ),
]
FollowFace = Annotated[
    bool,
    typer.Option(
        "--follow-face/--whole-frame",
        help="Track in a window that follows the face, or in the whole frame resized to "
        "256 x 256 as in the TAPIR demos.",
        rich_help_panel=TRACKING,
    ),
]
Steady = Annotated[
    bool,
    typer.Option(
        "--steady/--raw",
        help="Refine TAPIR's points by template alignment to the query frame and by optical "
        "flow, or write the network's raw output.",
        rich_help_panel=TRACKING,
    ),
]
Expressions = Annotated[
    bool,
    typer.Option(
        "--expressions/--no-expressions",
        help="Correct eyes, brows, mouth and chin with small networks that see every frame "
        "(only tapir with 68 points; not with --raw or --redetect never).",
        rich_help_panel=TRACKING,
    ),
]
NumFaces = Annotated[
    str,
    typer.Option(
        metavar="N",
        help="Number of faces to track: a number, largest (1) or all.",
        autocompletion=choices.completing(("largest", "all")),
    ),
]
Redetect = Annotated[
    str,
    typer.Option(
        metavar="N",
        help="When to detect faces again: auto (at cuts, when a face is lost, and periodically "
        "as a check), never, or at cuts, when a face is lost, and every N frames.",
        autocompletion=choices.completing(("auto", "never")),
        rich_help_panel=PLACING,
    ),
]
Start = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Start of the part to track: seconds, or h:mm:ss. [default: the beginning]",
    ),
]
End = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="End of the part to track. [default: the end]"),
]
Stride = Annotated[
    int, typer.Option(min=1, help="Track every Nth frame.", rich_help_panel=TRACKING)
]
Out = Annotated[
    str | None,
    folder_option(
        "Output folder; with --engine ray also a URL such as s3://bucket/folder. "
        "[default: the video's folder]",
        show_default=False,
    ),
]
Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help=f"Output format: {choices.listed(choices.FORMATS)}; may be repeated. [default: csv]",
        autocompletion=choices.completing(choices.FORMATS),
    ),
]
Overlay = Annotated[bool, typer.Option(help="Write the overlay video.")]
Report = Annotated[
    bool,
    typer.Option("--report", help="Write <stem>.report.html, a page that shows the result."),
]
Measures = Annotated[
    bool,
    typer.Option(
        "--measures",
        help="Write <stem>.measures.csv and <stem>.events.csv: head pose, eyes, mouth, brows, "
        "asymmetries, and blinks.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue an interrupted run of the same command. Always on with several videos.",
    ),
]
Manifest = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Text file with one video path per line, relative to the file's folder; - is "
        "standard input.",
        rich_help_panel=BATCH,
    ),
]
Jobs = Annotated[int, typer.Option(min=1, help="Number of videos processed in parallel.")]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Track only every Nth video of the sorted list, starting with the Ith (1/N to N/N).",
        rich_help_panel=BATCH,
    ),
]
OverwriteResults = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace whatever lies at the outputs' names, except inputs: complete results "
        "of several videos, results of another input, and files that facetrack did not write.",
        rich_help_panel=OUTPUT,
    ),
]
KeepFolders = Annotated[
    bool,
    typer.Option(
        "--keep-folders",
        help="Recreate the videos' folder structure in --out, so that the results of a/x.mp4 "
        "and b/x.mp4 do not collide.",
        rich_help_panel=BATCH,
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Where the videos are processed: local (processes on this machine) or ray (a Ray "
        "cluster: one video at a time per GPU, or --jobs videos without GPUs).",
        autocompletion=choices.completing(("local", "ray")),
        rich_help_panel=BATCH,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Address of the Ray cluster, such as 10.0.0.1:6379. [default: the cluster that "
        "Ray finds on this machine, otherwise this machine alone]",
        show_default=False,
        rich_help_panel=BATCH,
    ),
]
StallTimeout = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        min=0,
        help="End the process of a video that gives no sign of work for this long, e.g. "
        "because it was stopped; the video fails and the others go on. 0: never.",
        rich_help_panel=BATCH,
    ),
]
