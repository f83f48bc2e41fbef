"""Every initialiser with every tracker over one decoding of a video, and what is measured of them.

Points are placed in one frame, on a face that is found once. The frames before it are decoded
backwards, then all are decoded forwards, and every method is fed from both; the first frames after
it are decoded backwards once more, for the cycle error. Memory does not grow with the video except
by the tracks.
"""

from __future__ import annotations

import dataclasses
import itertools
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
from facetrack.comparison.passes import Checks, ComparisonPasses, Method, Sink
from facetrack.comparison.results import Comparison, Result
from facetrack.comparison.tracker_groups import TrackerGroup
from facetrack.errors import FacetrackError
from facetrack.files import sha256_of
from facetrack.pipeline.query_frame import Query
from facetrack.record import environment
from facetrack.runtime.memory import peak_memory
from facetrack.trackers.base import TrackerOptions
from facetrack.tracks import Tracks
from facetrack.video.frame import Frame
from facetrack.video.reader import VideoInfo

Started = Callable[[dict[str, dict[str, Any]]], None]
Opened = Callable[[VideoInfo, list[str]], Sink]
"""Called once with the video and the methods' labels; what it returns is given all frames."""


def nowhere(frames: list[Frame], tracks: dict[str, Tracks]) -> None:
    """A sink for frames that nobody wants to see."""


def run(
    video: Path,
    options: CompareOptions,
    progress: Progress = lambda done, total: None,
    started: Started = lambda parts: None,
    opened: Opened = lambda info, labels: nowhere,
    command: str = "",
) -> Comparison:
    """Compare every init with every tracker on one video.

    Args:
        progress: called with the frames stepped over and about how many there are, of all passes.
        started: told, once all parts are made, what each says of itself; by kind.
        opened: see `Opened`.
        command: what was typed, or the call.

    Returns:
        The comparison, in the order inits x trackers.

    Raises:
        FacetrackError: bad input, in one sentence.
    """
    began = time.perf_counter()
    # What is cheapest to be wrong about is read first.
    truth = None if options.ground_truth is None else read_truth(options.ground_truth)
    stage = QueryStage(Path(video), options)
    warnings = list(stage.panel.left_out)
    truths = _fitted(truth, stage, warnings)
    faces = CachedFaceDetector(stage.faces)
    loaded = time.perf_counter()
    query, placed = stage.place()
    searched = time.perf_counter()
    methods = [Method(i, t, p) for (i, p), t in itertools.product(placed.items(), options.trackers)]
    failed = [init for init, one in placed.items() if one.failed]
    warnings += [
        f"{init} failed: it placed no landmarks on the face of frame {query.frame.index}."
        for init in failed
    ]
    _make_lanes(methods, options, stage, faces)
    told = {f"detector {init}": one.describe() for init, one in stage.detectors.items()}
    for method in methods:
        if method.lane is not None:
            described = method.lane.described[method.init]
            told.setdefault(f"tracker {method.tracker}", described)
            if "expressions" in described:
                told["expressions"] = described["expressions"]
    started(told)
    ready = time.perf_counter()
    checks = Checks(options.check_every, stage, (i for i in placed if i not in failed))
    sink = opened(stage.info, [method.label for method in methods])
    following = ComparisonPasses(stage, query, methods, checks, sink, progress)
    following.run(options.cycle_frames)
    warnings += following.warnings

    results = _results(methods, checks, stage, query)
    places, seen = _measure_truth(results, truths, query, warnings)
    by = "nrmse" if truths else "expected_error"
    values = [result.measures.get(by, np.nan) for result in results]
    ranked = len(results) > 1
    info = stage.info
    seconds = {
        "load": loaded - began + ready - searched,
        "search": searched - loaded,
        **following.seconds,
        "check": checks.face_seconds,
        "total": time.perf_counter() - began,
    }
    return Comparison(
        video=stage.video,
        input={
            "path": str(stage.video),
            "sha256": None if info.is_images else sha256_of(stage.video),
            "width": info.width,
            "height": info.height,
            "frames": len(results[0].tracks),
            "fps": None if info.fps is None else str(info.fps),
            "codec": info.codec,
            "audio": info.audio_codec,
        },
        results=results,
        ranking=measures.rank([r.label for r in results], values, "lower") if ranked else [],
        ranked_by=by if ranked else "",
        truth=places,
        command=command,
        environment=environment(),
        seconds=seconds,
        options=dataclasses.asdict(options),
        warnings=warnings,
        peak_memory=peak_memory(),
        truth_visible=seen,
    )


def _fitted(truth: Truth | None, stage: QueryStage, warnings: list[str]) -> dict[str, Truth]:
    """The ground truth in the layout of each init it can be brought to."""
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
            warnings.append(f"{init} is not held against the ground truth: {error}")
    if not fitted:
        raise problem
    return fitted


def _make_lanes(
    methods: list[Method], options: CompareOptions, stage: QueryStage, faces: CachedFaceDetector
) -> None:
    """Give every method that has points its place in a lane: a tracker carries all inits of one
    layout together."""
    chosen = TrackerOptions(
        weights=options.tracker_weights, device=options.device, precision=options.precision
    )
    alive = [method for method in methods if not method.placed.failed]
    kinds = dict.fromkeys((method.tracker, method.placed.scheme) for method in alive)
    for tracker, scheme in kinds:
        together = [m for m in alive if (m.tracker, m.placed.scheme) == (tracker, scheme)]
        points = {method.init: method.placed.xy for method in together}
        lane = TrackerGroup(tracker, chosen, points, stage.detectors, faces)
        for group, method in enumerate(together):
            method.lane, method.group = lane, group
            method.seconds["load"] = stage.panel.seconds[method.init] + lane.load_seconds
            method.seconds["detect"] = method.placed.seconds


def _results(
    methods: list[Method], checks: Checks, stage: QueryStage, query: Query
) -> list[Result]:
    """What is measured without ground truth."""
    tracks = [Tracks.concatenate(method.parts) for method in methods]
    apart, sizes = _disagreements(tracks)
    results = []
    for method, own, far, size in zip(methods, tracks, apart, sizes, strict=True):
        missing = ~np.isfinite(own.xy[:, 0]).all(-1)
        drift = _drift(method, own, checks, size)
        trembling = measures.jitter(own, size)
        spent = method.seconds.get("track", 0.0) + method.seconds.get("backwards", 0.0)
        if method.init in checks.seconds:
            method.seconds["check"] = checks.seconds[method.init]
        failed = checks.failed.get(method.init)
        described = None if method.lane is None else method.lane.described[method.init]
        figures = {
            "expected_error": measures.expected_error(far, missing, trembling, method.cycle),
            "disagreement": measures.mean(far),
            "drift": measures.mean(drift),
            "cycle": method.cycle,
            "jitter": trembling,
            "visible": 100 * float(own.visible.mean()),
            "missing": 100 * float(missing.mean()),
            "detections_failed": np.nan if failed is None else float(failed),
            "fps": len(own) / spent if spent else np.nan,
        }
        about = {
            "detector": stage.detectors[method.init].describe(),
            "face_detector": stage.faces.describe(),
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
        if method.lane is None:
            warnings.append(f"{method.init} placed no landmarks in the query frame.")
        series = {"disagreement": measures.by_frame(far), "drift": drift}
        results.append(
            Result(
                label=method.label,
                init=method.init,
                tracker=method.tracker,
                tracks=own,
                measures=figures,
                series=series,
                seconds=dict(method.seconds),
                about=about,
                warnings=warnings,
            )
        )
    return results


def _disagreements(tracks: list[Tracks]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of each method: (T, N) disagreement with the others of its layout, and (T,) the face's
    size."""
    apart: list[np.ndarray] = [np.empty(0)] * len(tracks)
    sizes: list[np.ndarray] = [np.empty(0)] * len(tracks)
    for scheme in dict.fromkeys(own.scheme for own in tracks):
        index = [i for i, own in enumerate(tracks) if own.scheme == scheme]
        alike = [tracks[i] for i in index]
        size = measures.consensus_size(alike)
        for i, far in zip(index, measures.disagreement(alike, size), strict=True):
            apart[i], sizes[i] = far, size
    return apart, sizes


def _drift(method: Method, tracks: Tracks, checks: Checks, size: np.ndarray) -> np.ndarray:
    """(T,) per cent between the method and its own detector, where that was asked; a detector on
    every frame has no drift to speak of."""
    drift = np.full(len(tracks), np.nan)
    if method.lane is not None and method.lane.carries:
        for index, points in checks.found[method.init].items():
            far = measures.distance(tracks.xy[index, 0], points, size[index])
            drift[index] = measures.mean(far)
    return drift


def _measure_truth(
    results: list[Result], truths: dict[str, Truth], query: Query, warnings: list[str]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Add what needs ground truth to the results; returns the truth, in the layout of the first
    that it fits, and what can truly be seen."""
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
                    f"{beyond} annotated frames lie beyond the video's {count}; they do not count."
                )
    return first
