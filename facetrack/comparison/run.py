"""Run every initialiser with every tracker in shared passes through a video, and measure them.

Landmarks are detected in the query frame, on a face that is detected once. The frames before it are
decoded backwards, then all frames forwards, and both passes feed all methods. The first frames
after it are decoded backwards once more for the cycle error. Only the tracks grow with the video's
length.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.callbacks import Progress
from facetrack.comparison import measures
from facetrack.comparison.ground_truth import Truth, read_truth
from facetrack.comparison.initialisers import CachedFaceDetector, QueryStage
from facetrack.comparison.options import CompareOptions
from facetrack.comparison.passes import ComparisonPasses, DriftChecks, Method, Sink
from facetrack.comparison.results import Comparison, Result
from facetrack.comparison.tracker_groups import TrackerGroup
from facetrack.errors import FacetrackError
from facetrack.measures.coordinates import check_scheme
from facetrack.pipeline.query_frame import Query
from facetrack.record import environment
from facetrack.runtime.memory import peak_memory
from facetrack.trackers.base import TrackerOptions
from facetrack.tracks import Tracks
from facetrack.video.checksum import input_sha256
from facetrack.video.frame import Frame
from facetrack.video.reader import VideoInfo

Started = Callable[[dict[str, dict[str, Any]]], None]
Opened = Callable[[VideoInfo, list[str]], Sink]
"""Called once with the video and the methods' labels; returns the sink of all frames."""


def null_sink(frames: list[Frame], tracks: dict[str, Tracks]) -> None:
    """Ignore the frames."""


def run(
    video: Path,
    options: CompareOptions,
    progress: Progress = lambda done, total: None,
    started: Started = lambda parts: None,
    opened: Opened = lambda info, labels: null_sink,
    command: str = "",
) -> Comparison:
    """Compare every init with every tracker on one video.

    Args:
        video: the video.
        options: of the comparison.
        progress: called with the number of processed frames and roughly their total, over all
            passes.
        started: called, once all models are loaded, with their descriptions by kind.
        opened: see `Opened`.
        command: the command line or the call, for the record.

    Returns:
        The comparison, in the order inits x trackers.

    Raises:
        FacetrackError: bad input, in one sentence.
    """
    start_time = time.perf_counter()
    # Read the ground truth first, to report an error in it before expensive work.
    truth = None if options.ground_truth is None else read_truth(options.ground_truth)
    stage = QueryStage(Path(video), options)
    for detector in stage.detectors.values():
        check_scheme(options.coordinates, detector.scheme)
    warnings = [*stage.ensemble.left_out, *stage.reader.option_warnings]
    truths = _fitted(truth, stage, warnings)
    faces = CachedFaceDetector(stage.face_detector)
    loaded = time.perf_counter()
    query, placed = stage.place()
    searched = time.perf_counter()
    methods = [Method(i, t, p) for (i, p), t in itertools.product(placed.items(), options.trackers)]
    failed = [init for init, points in placed.items() if points.failed]
    warnings += [
        f"{init} failed: it placed no landmarks on the face of frame {query.frame.index}."
        for init in failed
    ]
    _create_groups(methods, options, stage, faces)
    descriptions = {
        f"detector {init}": detector.describe() for init, detector in stage.detectors.items()
    }
    for method in methods:
        if method.tracker_group is not None:
            described = method.tracker_group.described[method.init]
            descriptions.setdefault(f"tracker {method.tracker}", described)
            for kind in ("expressions", "head"):
                if kind in described:
                    descriptions[kind] = described[kind]
    started(descriptions)
    ready = time.perf_counter()
    checks = DriftChecks(options.check_every, stage, (i for i in placed if i not in failed))
    sink = opened(stage.info, [method.label for method in methods])
    passes = ComparisonPasses(stage, query, methods, checks, sink, progress)
    passes.run(options.cycle_frames)
    warnings += passes.warnings

    results = _results(methods, checks, stage, query)
    true_points, true_visible = _measure_truth(results, truths, query, warnings)
    # Unlike the mean error, the area counts frames that a method does not answer.
    is_measured = any(np.isfinite(result.measures.get("auc", np.nan)) for result in results)
    ranking_key = "auc" if is_measured else "expected_error"
    values = [result.measures.get(ranking_key, np.nan) for result in results]
    is_ranked = len(results) > 1
    info = stage.info
    seconds = {
        "load": loaded - start_time + ready - searched,
        "search": searched - loaded,
        **passes.seconds,
        "check": checks.face_seconds,
        "total": time.perf_counter() - start_time,
    }
    return Comparison(
        video=stage.video,
        input={
            "path": str(stage.video),
            "absolute_path": os.path.abspath(stage.video),
            "sha256": input_sha256(stage.video),
            "width": info.width,
            "height": info.height,
            "frames": len(results[0].tracks),
            "fps": None if info.fps is None else str(info.fps),
            "codec": info.codec,
            "colour": info.describe_colour(),
            "deinterlaced": info.is_deinterlaced,
            "audio": info.audio_codec,
        },
        results=results,
        ranking=measures.rank(
            [r.label for r in results], values, measures.BY_KEY[ranking_key].better
        )
        if is_ranked
        else [],
        ranked_by=ranking_key if is_ranked else "",
        truth=true_points,
        command=command,
        environment=environment(),
        seconds=seconds,
        options=dataclasses.asdict(options),
        warnings=warnings,
        peak_memory=peak_memory(),
        truth_visible=true_visible,
    )


def _fitted(truth: Truth | None, stage: QueryStage, warnings: list[str]) -> dict[str, Truth]:
    """Convert the ground truth to the layouts of all inits for which that is possible."""
    if truth is None:
        return {}
    if truth.note:
        warnings.append(truth.note)
    fitted = {}
    for init, detector in stage.detectors.items():
        try:
            fitted[init] = truth.fitted(detector.scheme)
        except FacetrackError as error:
            problem = error
            warnings.append(f"{init} is not compared with the ground truth: {error}")
    if not fitted:
        raise problem
    return fitted


def _create_groups(
    methods: list[Method], options: CompareOptions, stage: QueryStage, faces: CachedFaceDetector
) -> None:
    """Assign every method with points to a tracker group.

    A group tracks the points of all inits of the same layout with one tracker.
    """
    chosen = TrackerOptions(
        weights=options.tracker_weights, device=options.device, precision=options.precision
    )
    active = [method for method in methods if not method.placed.failed]
    kinds = dict.fromkeys((method.tracker, method.placed.scheme) for method in active)
    for tracker, scheme in kinds:
        group_methods = [m for m in active if (m.tracker, m.placed.scheme) == (tracker, scheme)]
        points = {method.init: method.placed.xy for method in group_methods}
        tracker_group = TrackerGroup(tracker, chosen, points, stage.detectors, faces)
        for group, method in enumerate(group_methods):
            method.tracker_group, method.group = tracker_group, group
            method.seconds["load"] = (
                stage.ensemble.seconds[method.init] + tracker_group.load_seconds
            )
            method.seconds["detect"] = method.placed.seconds


def _results(
    methods: list[Method], checks: DriftChecks, stage: QueryStage, query: Query
) -> list[Result]:
    """Build the results with the measures that need no ground truth."""
    tracks = [Tracks.concatenate(method.parts) for method in methods]
    disagreements, sizes = _disagreements(tracks)
    results = []
    for method, method_tracks, disagreement, size in zip(
        methods, tracks, disagreements, sizes, strict=True
    ):
        missing = ~np.isfinite(method_tracks.xy[:, 0]).all(-1)
        drift = _drift(method, method_tracks, checks, size)
        jitter = measures.jitter(method_tracks, size)
        spent = method.seconds.get("track", 0.0) + method.seconds.get("backwards", 0.0)
        if method.init in checks.seconds:
            method.seconds["check"] = checks.seconds[method.init]
        failed = checks.failed.get(method.init)
        described = (
            None if method.tracker_group is None else method.tracker_group.described[method.init]
        )
        figures = {
            "expected_error": measures.expected_error(disagreement, missing, jitter, method.cycle),
            "disagreement": measures.mean(disagreement),
            "drift": measures.mean(drift),
            "cycle": method.cycle,
            "jitter": jitter,
            "visible": 100 * float(method_tracks.visible.mean()),
            "missing": 100 * float(missing.mean()),
            "detections_failed": np.nan if failed is None else float(failed),
            "fps": len(method_tracks) / spent if spent else np.nan,
        }
        about = {
            "detector": stage.detectors[method.init].describe(),
            "face_detector": stage.face_detector.describe(),
            "tracker": described,
            "query": {
                "frame": query.frame.index,
                "time": query.frame.time,
                "box": query.box,
                "scheme": method.placed.scheme,
                "points": len(method.placed.xy),
            },
        }
        warnings = []
        if method.tracker_group is None:
            warnings.append(f"{method.init} placed no landmarks in the query frame.")
        series = {"disagreement": measures.by_frame(disagreement), "drift": drift}
        results.append(
            Result(
                label=method.label,
                init=method.init,
                tracker=method.tracker,
                tracks=method_tracks,
                measures=figures,
                series=series,
                seconds=dict(method.seconds),
                about=about,
                warnings=warnings,
            )
        )
    return results


def _disagreements(tracks: list[Tracks]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return each method's disagreement (T, N) within its layout, and the face's size (T,)."""
    disagreements: list[np.ndarray] = [np.empty(0)] * len(tracks)
    sizes: list[np.ndarray] = [np.empty(0)] * len(tracks)
    for scheme in dict.fromkeys(method_tracks.scheme for method_tracks in tracks):
        index = [i for i, method_tracks in enumerate(tracks) if method_tracks.scheme == scheme]
        alike = [tracks[i] for i in index]
        size = measures.consensus_size(alike)
        for i, disagreement in zip(index, measures.disagreement(alike, size), strict=True):
            disagreements[i], sizes[i] = disagreement, size
    return disagreements, sizes


def _drift(method: Method, tracks: Tracks, checks: DriftChecks, size: np.ndarray) -> np.ndarray:
    """Return the distance (T,) in per cent between a method and its own detector's checks.

    It is NaN in frames without a check, and for a detector on every frame, which cannot drift.
    """
    drift = np.full(len(tracks), np.nan)
    if method.tracker_group is not None and method.tracker_group.is_tracking:
        for index, points in checks.found[method.init].items():
            disagreement = measures.distance(tracks.xy[index, 0], points, size[index])
            drift[index] = measures.mean(disagreement)
    return drift


def _measure_truth(
    results: list[Result], truths: dict[str, Truth], query: Query, warnings: list[str]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Add the measures that need ground truth to the results.

    Returns:
        The ground truth in the layout of the first result that it fits, and its visibility.
    """
    first: tuple[np.ndarray | None, np.ndarray | None] = (None, None)
    for result in results:
        if result.init not in truths:
            continue
        truth, count = truths[result.init], len(result.tracks)
        xy, seen = truth.spread(count)
        figures, error = measures.against_truth(result.tracks, xy, seen, query.frame.index)
        result.measures.update(figures)
        result.series["error"] = error
        if first[0] is None:
            first = (xy, seen)
            beyond = int((truth.frames >= count).sum())
            if beyond:
                warnings.append(
                    f"{beyond} annotated frames lie beyond the video's {count} and are ignored."
                )
            if not np.isfinite(xy).any():
                warnings.append(f"{truth.path} has no point in any frame of the video.")
            elif np.isnan(figures["auc"]):
                warnings.append(
                    f"{truth.path} has no frame with both outer eye corners, whose distance is the "
                    "unit: errors are unknown."
                )
    return first
