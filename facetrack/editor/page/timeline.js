// All frames at a glance: doubts, corrections, events, and what is tracked again.

import { frameOf, listen, rowOf, seek, store } from "./store.js";

const canvas = document.getElementById("timeline");
const context = canvas.getContext("2d");
const probe = document.createElement("i");
let colours = null;
let drawn = null; // everything but the cursor
let again = []; // [face, first, last] rows that were tracked again lately

function readColours() {
  document.body.append(probe);
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  colours = Object.fromEntries(["grid", "line", "text", "quiet", "accent", "doubt", "done", "card"].map((n) => [n, colour(n)]));
  probe.remove();
}

const xOf = (row) => ((row + 0.5) / store.session.count) * canvas.width;

function paintAll() {
  const ratio = window.devicePixelRatio || 1;
  const high = canvas.height;
  drawn = document.createElement("canvas");
  drawn.width = canvas.width;
  drawn.height = high;
  const c = drawn.getContext("2d");
  c.fillStyle = colours.grid;
  c.fillRect(0, 0, drawn.width, high);
  const floor = high - 10 * ratio;
  c.fillStyle = colours.done;
  c.globalAlpha = 0.55;
  for (const [face, first, last] of again) {
    if (face === store.face) c.fillRect(xOf(first - 0.5), floor + 3 * ratio, Math.max(1, xOf(last + 0.5) - xOf(first - 0.5)), 5 * ratio);
  }
  c.globalAlpha = 1;
  c.strokeStyle = colours.quiet;
  c.lineWidth = ratio;
  c.setLineDash([2 * ratio, 3 * ratio]);
  for (const event of store.session.events) {
    if (!String(event.reason).startsWith("cut")) continue;
    const x = xOf(rowOf(event.frame) - 0.5);
    c.beginPath();
    c.moveTo(x, 0);
    c.lineTo(x, high);
    c.stroke();
  }
  c.setLineDash([]);
  const wide = Math.max(2 * ratio, drawn.width / store.session.count);
  for (const doubt of store.doubts ?? []) {
    c.globalAlpha = (doubt.face === store.face ? 1 : 0.35) * (store.looked.has(`${doubt.frame}:${doubt.face}`) ? 0.35 : 1);
    c.fillStyle = colours.doubt;
    const tall = Math.max(3 * ratio, doubt.doubt * (floor - 12 * ratio));
    c.fillRect(xOf(rowOf(doubt.frame)) - wide / 2, floor - tall, wide, tall);
  }
  c.globalAlpha = 1;
  c.fillStyle = colours.accent;
  for (const frame of new Set(store.state.corrections.filter((x) => x.face === store.face).map((x) => x.frame))) {
    const x = xOf(rowOf(frame));
    const d = 4.5 * ratio;
    c.beginPath();
    c.moveTo(x, 1);
    c.lineTo(x + d, 1 + d);
    c.lineTo(x, 1 + 2 * d);
    c.lineTo(x - d, 1 + d);
    c.fill();
  }
}

function paint() {
  if (!canvas.width) return;
  if (!drawn) paintAll();
  context.drawImage(drawn, 0, 0);
  const ratio = window.devicePixelRatio || 1;
  const x = xOf(store.row);
  context.fillStyle = colours.card;
  context.fillRect(x - 2 * ratio, 0, 4 * ratio, canvas.height);
  context.fillStyle = colours.text;
  context.fillRect(x - ratio, 0, 2 * ratio, canvas.height);
}

let waiting = false;
function paintSoon() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    paint();
  });
}

function repaint() {
  drawn = null;
  paintSoon();
}

export function markTracked(face, first, last) {
  again.push([face, rowOf(first), rowOf(last)]);
  if (again.length > 400) again = again.slice(-200);
  repaint();
}

function fit() {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = Math.round(canvas.clientHeight * ratio);
  repaint();
}

export function startTimeline() {
  readColours();
  listen("row", paintSoon);
  listen("state doubts looked face", repaint);
  listen("theme", () => { readColours(); repaint(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); repaint(); });
  new ResizeObserver(fit).observe(canvas);
  const go = (event) => {
    const box = canvas.getBoundingClientRect();
    seek(Math.floor(((event.clientX - box.left) / box.width) * store.session.count));
  };
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); go(event); });
  canvas.addEventListener("pointermove", (event) => { if (event.buttons & 1) go(event); });
  canvas.title = "Doubt of the frames (bars), corrections (diamonds), cuts (dashes), tracked again (band below)";
  fit();
}

export const frameLabel = (row) => `frame ${frameOf(row)}, ${store.session.times[row].toFixed(3)} s`;
