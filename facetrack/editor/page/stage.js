// The frame with its points.

import { anyPicture, isBroken, picture } from "./pictures.js";
import { frameOf, listen, store, touch } from "./store.js";
import { CORRECTED, HIDDEN, VISIBLE, pointsOf, rowAt } from "./tracks.js";
import { toCanvas, transformFor } from "./view.js";

export const canvas = document.getElementById("canvas");
const context = canvas.getContext("2d");
const stage = document.getElementById("stage");
const loupe = document.getElementById("loupe");
const FACES = ["#6cc5ff", "#ffb74d", "#8fe388", "#f48fb1", "#ce93d8", "#fff176"];
const HAND = "#ff5fd2"; // corrected points
const LOUPE_ZOOM = 3;

export let transform = { scale: 1, left: 0, top: 0 };
let frozen = false; // a view that follows the face stands still while a point is dragged
export const ratio = () => window.devicePixelRatio || 1;
export const colourOf = (face) => FACES[Math.max(0, store.state.faces.indexOf(face)) % FACES.length];

export function freeze(still) {
  frozen = still;
  touch("tracks");
}

let drawing = false;
export function drawSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

function fit() {
  const wide = Math.floor(stage.clientWidth);
  const [width, height] = store.session.size;
  const room = Math.max(220, window.innerHeight * (window.innerWidth < 1000 ? 0.55 : 0.66));
  // A narrow video still gets a stage as wide as there is, to zoom in.
  const high = Math.floor(Math.min(room, Math.max(wide * (height / width), Math.min(room, wide * 0.75))));
  if (!wide) return;
  canvas.style.width = `${wide}px`;
  canvas.style.height = `${high}px`;
  canvas.width = Math.round(wide * ratio());
  canvas.height = Math.round(high * ratio());
  draw();
}

// Whether what is drawn is the row that is wanted.
export const isDrawn = () => Number(canvas.dataset.frame) === frameOf(store.row);

function draw() {
  const { row } = store;
  const [width, height] = store.session.size;
  if (!frozen) transform = transformFor(row, canvas);
  const image = picture(row, width * transform.scale) ?? anyPicture(row);
  const tracks = rowAt(row);
  // A frame never shows under another's points: it waits for both.
  if ((!image && !isBroken(row)) || !tracks) return;
  context.fillStyle = "#16191d";
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (image) {
    const [left, top] = toCanvas(transform, [-0.5, -0.5]);
    context.imageSmoothingEnabled = transform.scale < 6 * ratio(); // far in, one sees pixels
    context.imageSmoothingQuality = "high";
    context.drawImage(image, left, top, width * transform.scale, height * transform.scale);
  }
  for (const face of tracks.faces) if (face !== store.face) drawFace(row, face, false);
  drawFace(row, store.face, true);
  drawCandidates();
  if (store.box) drawBox(...store.box);
  drawLoupe(image);
  canvas.dataset.frame = frameOf(row);
  canvas.dataset.fresh = tracks.fresh ? "yes" : "no";
  describe(row);
}

// Points of the active face as they are shown: what is being dragged is where the hand is.
export function shownPoints(row = store.row) {
  const found = pointsOf(row, store.face);
  const { drag } = store;
  if (!drag || drag.row !== row || drag.face !== store.face) return found;
  const count = store.session.points;
  const xy = found ? [...found.xy] : new Array(count).fill(null);
  if (drag.suggested) drag.suggested.forEach((place, point) => { xy[point] = place; });
  for (const [point, place] of drag.points) xy[point] = place;
  const states = found ? found.states : new Uint8Array(count);
  return { xy, states, confidence: found?.confidence ?? new Uint8Array(count), isThere: true };
}

function radius(xy) {
  const known = xy.filter((place) => place);
  const xs = known.map((place) => place[0]);
  const size = (Math.max(...xs) - Math.min(...xs)) * transform.scale;
  return Math.min(5 * ratio(), Math.max(1.4 * ratio(), size * 0.011));
}

function drawFace(row, face, active) {
  const found = active ? shownPoints(row) : pointsOf(row, face);
  if (!found || !found.isThere) return;
  const r = radius(found.xy) * (active ? 1 : 0.7);
  const colour = colourOf(face);
  context.globalAlpha = active ? 1 : 0.75;
  if (store.lines) drawLines(found, colour, r);
  const doubted = new Set(active && store.doubt && store.doubt.face === face && store.doubt.frame === frameOf(row)
    ? store.doubt.reasons.flatMap((reason) => reason.points) : []);
  found.xy.forEach((place, point) => {
    if (!place) return;
    const spot = toCanvas(transform, place);
    const state = found.states[point];
    const placed = Boolean(state & CORRECTED) || Boolean(active && store.drag?.points.has(point));
    if (store.points || (active && store.chosen.has(point))) mark(spot, r, placed ? HAND : colour, state & 3, placed);
    if (doubted.has(point)) ring(spot, r * 3.2, "#ffb000", 1.5 * ratio(), true);
    if (active && store.chosen.has(point)) ring(spot, r * 2.4, "#fff", 1.6 * ratio());
    if (active && store.numbers) label(spot, point, r);
  });
  context.globalAlpha = 1;
}

function drawLines(found, colour, r) {
  for (const [style, thick, alpha] of [["#000", r * 0.55 + ratio(), 0.3], [colour, r * 0.5, 0.65]]) {
    context.beginPath();
    for (const line of store.session.lines) {
      for (let k = 0; k + 1 < line.length; k++) {
        const [a, b] = [found.xy[line[k]], found.xy[line[k + 1]]];
        if (!a || !b) continue;
        context.moveTo(...toCanvas(transform, a));
        context.lineTo(...toCanvas(transform, b));
      }
    }
    context.save();
    context.globalAlpha *= alpha;
    context.strokeStyle = style;
    context.lineWidth = thick;
    context.stroke();
    context.restore();
  }
}

function mark([x, y], r, colour, state, placed) {
  context.beginPath();
  if (placed) {
    const d = r * 1.35;
    context.moveTo(x, y - d);
    context.lineTo(x + d, y);
    context.lineTo(x, y + d);
    context.lineTo(x - d, y);
    context.closePath();
  } else {
    context.arc(x, y, state === HIDDEN ? r * 1.2 : r, 0, 2 * Math.PI);
  }
  context.strokeStyle = "rgba(0, 0, 0, 0.75)";
  context.lineWidth = Math.max(ratio(), r * 0.7);
  context.stroke();
  if (state === VISIBLE) {
    context.fillStyle = colour;
    context.fill();
  } else {
    context.strokeStyle = colour;
    context.lineWidth = Math.max(ratio(), r * 0.4);
    context.stroke();
  }
}

function ring([x, y], size, style, thick, dashed = false) {
  context.save();
  context.beginPath();
  context.arc(x, y, size, 0, 2 * Math.PI);
  context.lineWidth = thick + 1.5 * ratio();
  context.strokeStyle = "rgba(0, 0, 0, 0.6)";
  context.stroke();
  if (dashed) context.setLineDash([3 * ratio(), 2 * ratio()]);
  context.lineWidth = thick;
  context.strokeStyle = style;
  context.stroke();
  context.restore();
}

function label([x, y], text, r) {
  context.font = `${Math.max(10 * ratio(), r * 2.2)}px system-ui, sans-serif`;
  context.lineWidth = 2.5 * ratio();
  context.strokeStyle = "#000";
  context.strokeText(text, x + r * 1.5, y - r);
  context.fillStyle = "#fff";
  context.fillText(text, x + r * 1.5, y - r);
}

function drawBox([x0, y0], [x1, y1]) {
  context.strokeStyle = "#fff";
  context.lineWidth = ratio();
  context.setLineDash([4 * ratio(), 3 * ratio()]);
  context.strokeRect(x0, y0, x1 - x0, y1 - y0);
  context.setLineDash([]);
}

function drawCandidates() {
  (store.candidates ?? []).forEach((xy, number) => {
    const chosen = number === store.candidate;
    context.globalAlpha = chosen ? 1 : 0.5;
    const r = radius(xy);
    for (const place of xy) mark(toCanvas(transform, place), r, chosen ? HAND : "#fff", VISIBLE, chosen);
    const top = xy.reduce((best, place) => (place[1] < best[1] ? place : best));
    label(toCanvas(transform, [top[0], top[1]]), `${number + 1}`, 6 * ratio());
    context.globalAlpha = 1;
  });
}

// What is under a finger, or too small to see, enlarged while a point is dragged.
function drawLoupe(image) {
  const point = store.drag?.byHand ? store.drag.main : null;
  const place = point === null ? null : store.drag.points.get(point);
  loupe.hidden = !place || !image;
  if (loupe.hidden) return;
  const glass = loupe.getContext("2d");
  const side = loupe.width;
  const scale = Math.max(LOUPE_ZOOM * transform.scale / ratio(), 4);
  const perPixel = image.width / store.session.size[0];
  const span = side / scale;
  glass.imageSmoothingEnabled = false;
  glass.fillStyle = "#16191d";
  glass.fillRect(0, 0, side, side);
  glass.drawImage(image, (place[0] + 0.5 - span / 2) * perPixel, (place[1] + 0.5 - span / 2) * perPixel, span * perPixel, span * perPixel, 0, 0, side, side);
  glass.strokeStyle = HAND;
  glass.lineWidth = 1.5;
  glass.beginPath();
  for (const [x0, y0, x1, y1] of [[0.5, 0.2, 0.5, 0.45], [0.5, 0.55, 0.5, 0.8], [0.2, 0.5, 0.45, 0.5], [0.55, 0.5, 0.8, 0.5]]) {
    glass.moveTo(x0 * side, y0 * side);
    glass.lineTo(x1 * side, y1 * side);
  }
  glass.stroke();
  const spot = toCanvas(transform, place);
  loupe.classList.toggle("left", spot[0] > canvas.width / 2);
}

function describe(row) {
  const found = pointsOf(row, store.face);
  const seen = found ? found.states.filter((state) => (state & 3) === VISIBLE).length : 0;
  const text = found?.isThere ? `${seen} of ${store.session.points} points of face ${store.face} seen` : `face ${store.face} is not there`;
  stage.setAttribute("aria-label", `Frame ${frameOf(row)}: ${text}`);
}

export function startStage() {
  listen("row face chosen view free points lines numbers tracks pictures drag doubt box candidates candidate state", drawSoon);
  new ResizeObserver(fit).observe(stage);
  window.addEventListener("resize", fit);
  fit();
}
