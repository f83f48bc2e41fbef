"""Render clips of moving, deforming, occluded faces with exactly known point tracks.

Clips are rendered with tensors on one device, from a seed. Layers (background, head, occluders) are
sampled through maps whose inverse gives the ground truth (`geometry`), then degraded.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from facetrack.training import degrade, occluders
from facetrack.training.geometry import (
    BLINK,
    LayerMap,
    deform,
    expression_basis,
    pixel_grid,
    sample,
    similarity,
)
from facetrack.training.head_turns import draw_turns
from facetrack.training.lids import Lid, draw_blinks, draw_gaze, draw_lids
from facetrack.training.mouth import mouths, to_grid, to_texture
from facetrack.training.signals import Random
from facetrack.training.textures import SIDE, Textures

SIZE = 256
CALM_MOTION_CHANCE = 0.3
"""Chance that eyes, and that mouths, of calm clips move."""


class Clip(NamedTuple):
    """B rendered clips of T frames with N points each.

    Attributes:
        video: (B, T, 3, SIZE, SIZE) float32 RGB in [0, 1], on the 8-bit grid.
        xy: (B, N, T, 2) float32 pixels, origin at the CORNER of the top-left pixel.
        visible: (B, N, T) bool.
        valid: (B, N, T) bool, False if the position is not known exactly (in a fold of the map),
            and for points other than landmarks that are hidden in the first frame.
    """

    video: Tensor
    xy: Tensor
    visible: Tensor
    valid: Tensor


def _pick(bank: Tensor, index: Tensor) -> Tensor:
    return bank[index].float() / 255


def _face_layer(
    random: Random, landmarks: Tensor, batch: int, frames: int, lively: Tensor
) -> LayerMap:
    """Draw the head's motion over time; `lively` (B,) scales its speed."""
    box = landmarks.amax(1) - landmarks.amin(1)
    # A window that follows the face shows it at FACE_SHARE of SIZE; in a whole frame it is smaller.
    wanted = random.log_uniform(95, 195, batch)
    small = random.chance(0.15, batch)
    wanted = wanted * (1 - small * random.uniform(0.2, 0.75, batch))
    scale = wanted / box.amax(1)
    zoom = torch.exp(random.smooth(frames, batch) * 0.10 * lively[:, None])
    # Some heads roll far from their angle in the query frame.
    rolling = 1 + random.chance(0.25, batch, 1) * random.uniform(0.5, 3, batch, 1)
    angle = (
        random.normal(batch, 1) * 0.2
        + random.smooth(frames, batch) * rolling * 0.15 * (lively[:, None])
    )
    drift = random.smooth(frames, batch, 2, slowest=120).transpose(1, 2)
    shake = random.normal(batch, frames, 2) * random.chance(0.3, batch, 1, 1) * 0.8
    size = random.log_uniform(2, 34, batch, 1, 1) * lively[:, None, None]
    position = SIZE / 2 + random.normal(batch, 1, 2) * 14 + drift * size + shake
    skew = torch.eye(2, device=random.device) + random.normal(batch, 2, 2) * 0.04
    return similarity(landmarks.mean(1), position, scale[:, None] * zoom, angle, skew)


def _plane(random: Random, batch: int, frames: int, speed: float) -> LayerMap:
    """Draw the drifting motion of a background image."""
    centre = random.uniform(0.3, 0.7, batch, 2) * SIDE
    scale = random.log_uniform(0.8, 3, batch, 1) * torch.exp(random.smooth(frames, batch) * 0.05)
    angle = random.uniform(-0.6, 0.6, batch, 1) + random.smooth(frames, batch) * 0.04 * speed
    position = SIZE / 2 + random.smooth(frames, batch, 2).transpose(1, 2) * 8 * speed
    return similarity(centre, position, scale, angle)


def _scenery(random: Random, textures: Textures, batch: int) -> Tensor:
    """Draw images for backgrounds and occluders: photographs or other faces."""
    photo = _pick(textures.photographs, random.integers(len(textures.photographs), batch))
    other = _pick(textures.faces, random.integers(len(textures.faces), batch))
    take = random.chance(0.5, batch, 1, 1, 1)
    return photo * take + other * (1 - take)


def skin_textures(random: Random, faces: Tensor, landmarks: Tensor) -> Tensor:
    """Draw occluder textures of the face's own skin, so that hands look realistic.

    Returns:
        An enlarged and tinted cheek, (B, 3, SIDE, SIDE).
    """
    batch = faces.shape[0]
    cheek = (landmarks[:, 2] + landmarks[:, 31] + landmarks[:, 48]) / 3
    position = torch.full((batch, 1, 2), SIDE / 2, device=faces.device)
    flat = similarity(
        cheek,
        position,
        torch.full((batch, 1), 7.0, device=faces.device),
        random.uniform(0, 6.28, batch, 1),
    )
    skin = sample(faces, pixel_grid(flat, SIDE), "reflection")[:, 0]
    # Mostly the face's own hue, except for make-up, gloves and other people's hands.
    hue = 0.06 + 0.2 * random.chance(0.25, batch, 1, 1, 1)
    tint = 1 + hue * random.uniform(-1, 1, batch, 3, 1, 1)
    tint = tint * random.uniform(0.75, 1.15, batch, 1, 1, 1)
    folds = F.interpolate(random.normal(batch, 1, 9, 9), size=(SIDE, SIDE), mode="bicubic")
    return (skin * tint * (1 + 0.08 * folds)).clamp(0, 1)


def _candidates(random: Random, landmarks: Tensor) -> Tensor:
    """Draw points to track on the head's texture (B, P, 2).

    They are landmarks with a detector's inaccuracy, and positions between landmarks.
    """
    batch = landmarks.shape[0]
    iod = (landmarks[:, 36] - landmarks[:, 45]).norm(dim=-1)[:, None, None]
    sloppy = random.log_uniform(0.002, 0.04, batch, 1, 1) * iod
    near = landmarks + random.normal(batch, 68, 2) * sloppy
    first = landmarks.gather(1, random.integers(68, batch, 24, 1).expand(-1, -1, 2))
    second = landmarks.gather(1, random.integers(68, batch, 24, 1).expand(-1, -1, 2))
    share = random.uniform(0, 1, batch, 24, 1)
    return torch.cat([near, first * share + second * (1 - share)], 1)


def _draw_gap(random: Random) -> int:
    """Draw the number of frames that are skipped after the first frame.

    In a long video most frames are far from the query frame; in a short clip none would be.
    """
    return int(random.log_uniform(2, 150, 1)) * int(random.chance(0.5, 1))


@torch.no_grad()
def render(
    textures: Textures,
    random: Random,
    batch: int,
    frames: int,
    points: int | None,
    effort: float = 1.0,
    rate: float = 0.0,
    calm: bool = False,
) -> Clip:
    """Render `batch` clips.

    Args:
        textures: with relief (`Textures.profiles`), some heads turn out of plane.
        points: number of points, some on the face and some elsewhere, preferably visible in the
            first frame; None for the 68 landmarks in their order, all of them valid.
        effort: difficulty from 0 (slow, without occluders) to 1 (the full range), for a curriculum.
        rate: frames per second. If not 0, eyes shut (`lids.draw_lids`), for landmarks only, and
            most mouths move and change their looks.
        calm: nothing covers the faces, and in most clips neither eyes nor mouths open and shut.
    """
    index = random.integers(len(textures.faces), batch)
    faces, landmarks = _pick(textures.faces, index), textures.landmarks[index]
    lively = random.log_uniform(0.15, 1.3, batch) * (0.4 + 0.6 * effort)
    # Some clips show arbitrary images, so that the tracker does not depend on faces alone.
    thing = random.chance(0.12, batch, 1, 1) * (points is not None)
    painted = _pick(textures.photographs, random.integers(len(textures.photographs), batch))
    faces = faces + thing[..., None] * (painted - faces)
    random.gap = round(_draw_gap(random) * effort)

    head = _face_layer(random, landmarks, batch, frames, lively)
    basis = expression_basis(landmarks, random)
    waves = random.smooth(frames, batch, basis.shape[1], slowest=60, fastest=6)
    amount = (
        random.uniform(0.1, 0.85, batch, basis.shape[1], 1) * lively.clamp(max=1)[:, None, None]
    )
    amount = waves * amount
    # Eyes close fully and quickly, even if the head is calm.
    closing = (random.smooth(frames, batch, slowest=40, fastest=5) - 0.5).clamp(0, 0.9) * 1.7
    amount[:, BLINK] += closing * random.chance(0.4, batch, 1)
    eyes: tuple[Lid, ...] = ()
    if rate:
        amount[:, BLINK : BLINK + 2] = 0
        rates = torch.full((batch,), rate)
        closing_eyes = draw_blinks(random, batch, frames, rates) * _moves(random, calm)
        eyes = draw_lids(random, landmarks, closing_eyes, draw_gaze(random, batch, frames, rates))
    head = deform(head, basis, amount, SIZE)
    grid, turns = pixel_grid(head, SIZE), None
    if textures.profiles is not None and not rate:
        turns = draw_turns(random, textures.profiles, index, frames, effort)
    if turns is not None:
        grid = to_grid(turns.carry(to_texture(grid)))
    willing = lively.clamp(max=1) * (1 - thing[:, 0, 0])
    if rate:
        moves = torch.full_like(willing, _moves(random, calm))
        mouth = mouths(random, landmarks, frames, moves, 0.75)
    else:
        mouth = mouths(random, landmarks, frames, willing)
    grid, shade = _shut(eyes, grid, head, landmarks)
    if mouth is None:
        video = sample(faces, grid, "zeros")
    else:
        shown, inside, paint = mouth.open(to_texture(grid))
        grid = to_grid(shown)
        video = sample(faces, grid, "zeros")
        if rate:
            video = _other_lips(random, textures, video, grid, landmarks)
        video = video + inside * (paint - video)
    if shade is not None:
        video = video * shade
    # Half of the clips show the whole photograph, half the head alone before another background.
    whole = random.chance(0.5, batch, 1, 1, 1)
    mask = textures.masks[index].float() / 255 * (1 - whole) + whole
    alpha = sample(mask, grid, "zeros")
    back = _plane(random, batch, frames, 0.2 + 1.5 * effort)
    scenery = _scenery(random, textures, batch)
    behind = sample(scenery, pixel_grid(back, SIZE), "reflection")
    video = video * alpha + behind * (1 - alpha)

    on_head = landmarks if points is None else _candidates(random, landmarks)
    anywhere = random.uniform(0.12, 0.88, *on_head.shape) * SIDE
    on_head = on_head + thing * (anywhere - on_head)
    on_face, known = on_head[:, None].expand(-1, frames, -1, -1), None
    if mouth is not None:
        on_face, known = mouth.carry(on_head, points is None)
    for eye, lid in enumerate(eyes if points is None else ()):
        on_face = lid.carry(on_face, eye)
    behind_head = None
    if turns is not None:
        on_face, behind_head = turns.place(on_face)
    xy, exact = head.invert(on_face, SIZE)
    if known is not None:
        exact &= known[:, None]
    back_points = random.uniform(0.1, 0.9, batch, 12, 2) * SIDE
    back_xy, back_exact = back.invert(back_points, SIZE)
    shown_head = _at(alpha, xy) > 0.5
    if behind_head is not None:
        shown_head &= ~behind_head
    seen = torch.cat([shown_head, _at(alpha, back_xy) < 0.5], 2)
    xy, exact = torch.cat([xy, back_xy], 2), torch.cat([exact, back_exact], 2)

    for chance in (0.75, 0.3):
        if calm or float(random.uniform(0, 1, 1)) > chance * effort:
            continue
        skinny = random.chance(0.5, batch, 1, 1, 1)
        other = _scenery(random, textures, batch)
        other = other + skinny * (skin_textures(random, faces, landmarks) - other)
        video, covered = occlude(random, video, xy, other)
        seen &= ~covered

    inside = ((xy > 0) & (xy < SIZE)).all(-1)
    seen &= inside & exact
    video = photograph(video, xy, random)
    if points is None:
        xy, seen, exact = (x[:, :, :68].transpose(1, 2) for x in (xy, seen, exact))
        return Clip(video, xy, seen & exact, exact)
    return _choose(random, video, xy, seen, exact, points)


def _moves(random: Random, calm: bool) -> float:
    """Return 1 if eyes or mouths move in a batch, else 0."""
    return float(random.chance(CALM_MOTION_CHANCE, 1)) if calm else 1.0


def _shut(
    eyes: tuple[Lid, ...], grid: Tensor, head: LayerMap, landmarks: Tensor
) -> tuple[Tensor, Tensor | None]:
    """A grid (B, T, H, W, 2) with the lids where they are, and by what the picture's colours are
    multiplied (B, T, 1, H, W); None without eyes that shut."""
    if not eyes:
        return grid, None
    grid, shade = grid.clone(), torch.ones_like(grid[..., 0])
    for lid, points in zip(eyes, (slice(36, 42), slice(42, 48)), strict=True):
        xy = head.invert(landmarks[:, points], SIZE)[0]
        wide = (xy[..., 0].amax(2) - xy[..., 0].amin(2)).amax() * 0.7
        low = (xy.amin((0, 1, 2)) - wide).floor().clamp(0, SIZE - 1).long().tolist()
        high = (xy.amax((0, 1, 2)) + wide).ceil().clamp(1, SIZE).long().tolist()
        rows, columns = slice(low[1], high[1]), slice(low[0], high[0])
        texture, dark = lid.close(to_texture(grid[:, :, rows, columns]))
        grid[:, :, rows, columns] = to_grid(texture)
        shade[:, :, rows, columns] *= dark
    return grid, shade[:, :, None]


def _other_lips(
    random: Random, textures: Textures, video: Tensor, grid: Tensor, landmarks: Tensor
) -> Tensor:
    """Clips whose mouths come to look like somebody else's, as lips that smile or speak look other
    than lips at rest: of some faces the one whose lips fit best, laid over these."""
    batch, frames = video.shape[:2]
    index = random.integers(len(textures.faces), 64)
    lips, others = landmarks[:, 48:], textures.landmarks[index][:, 48:]
    ones = torch.ones(batch, 20, 1, device=video.device)
    from_here = torch.cat([lips, ones], 2)
    # By least squares, for each face here and there: texture there = map @ texture here.
    maps = torch.linalg.lstsq(
        from_here[:, None].expand(-1, 64, -1, -1), others[None].expand(batch, -1, -1, -1)
    ).solution
    fitted = from_here[:, None] @ maps
    unit = (lips[:, 0] - lips[:, 6]).norm(dim=-1)
    other_unit = (others[:, 0] - others[:, 6]).norm(dim=-1)
    missed = (fitted - others).norm(dim=-1).mean(-1) / other_unit
    best = missed.argmin(1)
    chosen = maps[torch.arange(batch), best]
    texture = to_texture(grid)
    middle = lips.mean(1)[:, None, None, None]
    away = (texture - middle) / unit[:, None, None, None, None]
    cover = (1.6 - 2 * (away * away.new_tensor([1.0, 1.3])).norm(dim=-1)).clamp(0, 1)
    there = torch.cat([texture, torch.ones_like(texture[..., :1])], -1).flatten(1, 3) @ chosen
    picture = _pick(textures.faces, index[best])
    laid = sample(picture, to_grid(there.view_as(texture)), "border")
    share = (random.smooth(frames, batch, slowest=60, fastest=10) * 0.6 + 0.2).clamp(0, 0.85)
    share = share * random.chance(0.6, batch, 1)
    share = (share - share[:, :1]).clamp_min(0)
    # Of the colours of the mouth that it replaces.
    weight = cover[:, :, None]
    total = weight.sum((1, 3, 4), keepdim=True).clamp_min(1)
    mean, other = ((weight * x).sum((1, 3, 4), keepdim=True) / total for x in (video, laid))
    laid = laid + mean - other
    return video + share[:, :, None, None, None] * weight * (laid - video)


def occlude(random: Random, video: Tensor, xy: Tensor, texture: Tensor) -> tuple[Tensor, Tensor]:
    """Let an occluder cross a face.

    Args:
        random: draws the occluder.
        video: (B, T, 3, SIZE, SIZE).
        xy: (B, T, P, 2) points of the face.
        texture: (B, 3, SIDE, SIDE) of the occluder.

    Returns:
        The clip (B, T, 3, SIZE, SIZE), and (B, T, P) bool, True for covered points.
    """
    batch, frames = video.shape[:2]
    face_size = (xy[:, 0, :68].amax(1) - xy[:, 0, :68].amin(1)).amax(1)
    target = xy[:, frames // 2, :68].mean(1)
    extent = face_size * random.log_uniform(0.25, 1.1, batch)
    thing = occluders.draw(random, batch, frames, target, extent, SIZE)
    # A point covered in the first frame is useless, so most occluders come later.
    late = torch.ones_like(thing.alpha)
    late[:, 0] -= random.chance(0.8, batch, 1, 1, 1)
    cover = thing.alpha * late
    moving = similarity(
        torch.full_like(target, SIDE / 2),
        thing.position,
        random.log_uniform(0.4, 1.5, batch, 1).expand(-1, frames),
        thing.angle,
    )
    paint = (sample(texture, pixel_grid(moving, SIZE), "reflection") * thing.shade).clamp(0, 1)
    behind = video * (1 - late * (1 - thing.shadow))
    return paint * cover + behind * (1 - cover), _at(cover, xy) >= 0.5


def photograph(video: Tensor, xy: Tensor, random: Random) -> Tensor:
    """Degrade a clip (B, T, 3, H, W) as a camera would.

    The motion blur follows the velocity of its points xy (B, T, P, 2).
    """
    centre = xy[:, :, :68].mean(2)
    velocity = torch.cat([centre[:, 1:] - centre[:, :-1], centre[:, -1:] - centre[:, -2:-1]], 1)
    if random.gap:
        velocity[:, 0] = velocity[:, 1]
    video = degrade.highlights(video, random)
    video = degrade.motion_blur(video, velocity.clamp(-20, 20), random)
    video = degrade.light(video, random)
    video = degrade.soften(video, random)
    video = degrade.noise(video, random)
    video = degrade.blocks(video, random)
    return (video * 255).round() / 255


def _at(maps: Tensor, xy: Tensor) -> Tensor:
    """Sample maps (B, T, 1, H, W) at xy (B, T, P, 2), to (B, T, P); 0 outside."""
    grid = (xy / SIZE * 2 - 1).flatten(0, 1)[:, :, None]
    out = F.grid_sample(maps.flatten(0, 1), grid, align_corners=False)
    return out[:, 0, :, 0].view(xy.shape[:3])


def _choose(
    random: Random, video: Tensor, xy: Tensor, seen: Tensor, exact: Tensor, points: int
) -> Clip:
    """Select `points` of the candidates, preferring those visible in the first frame."""
    batch = xy.shape[0]
    weight = torch.ones(xy.shape[2], device=xy.device)
    weight[-12:] = 0.5  # the background matters less
    order = (random.uniform(0, 1, batch, xy.shape[2]) ** (1 / weight)) + seen[:, 0].float()
    order = order + 2 * exact[:, 0].float()
    chosen = order.topk(points, 1).indices
    rows = torch.arange(batch, device=xy.device)[:, None]
    xy, seen, exact = (x.transpose(1, 2)[rows, chosen] for x in (xy, seen, exact))
    # Limit positions to half an image outside: farther positions only destabilise the loss.
    known = exact & ((xy > -SIZE / 2) & (xy < 1.5 * SIZE)).all(-1)
    return Clip(video, xy, seen & known, known & seen[:, :, :1])
