// Changes that a person makes to points.

import { change } from "./server.js";
import { frameOf, nameOf, say, set, store, touch } from "./store.js";
import { shownPoints } from "./stage.js";
import { CORRECTED, VISIBLE, invalidate, isFresh, pointsOf } from "./tracks.js";

const NUDGES_END = 350; // ms without a key after which nudges become one change
let ending = 0;

const rounded = ([x, y]) => [Math.round(x * 1000) / 1000, Math.round(y * 1000) / 1000];

// Points of this row that are being moved: they are shown where they will be. They start where they
// are shown, as the last move may not be in the tracks yet.
export function startMoving(main, byHand) {
  const found = shownPoints();
  const points = new Map();
  for (const point of store.chosen) if (found?.xy[point]) points.set(point, found.xy[point]);
  if (!points.size) return false;
  set({ drag: { row: store.row, face: store.face, main, byHand, points, from: new Map(points), suggested: null } });
  return true;
}

export function moveBy(dx, dy) {
  const { drag } = store;
  for (const [point, [x, y]] of drag.from) drag.points.set(point, rounded([x + dx, y + dy]));
  touch("drag");
}

export function cancelMove() {
  set({ drag: null });
}

export function endMove() {
  const { drag } = store;
  clearTimeout(ending);
  if (!drag || drag.sent) return;
  drag.sent = true;
  const found = pointsOf(drag.row, drag.face);
  const points = [...drag.points].map(([point, [x, y]]) => ({
    point, x, y, hidden: found ? (found.states[point] & (3 | CORRECTED)) === (1 | CORRECTED) : false,
  }));
  const [main] = points;
  say(points.length === 1
    ? `Point ${nameOf(main.point)} put at ${main.x.toFixed(1)}, ${main.y.toFixed(1)}. Tracking again.`
    : `${points.length} points moved. Tracking again.`);
  change("correct", { frame: frameOf(drag.row), face: drag.face, points }, () => settle(drag));
}

// Show the points where they were put until the new tracks are there.
function settle(drag) {
  invalidate(drag.row, drag.row);
  const began = Date.now();
  const wait = () => {
    if (store.drag !== drag) return;
    if (isFresh(drag.row) || store.row !== drag.row || Date.now() - began > 3000) set({ drag: null });
    else setTimeout(wait, 30);
  };
  wait();
}

// Move the chosen points by keys; several keys in a row are one change.
export function nudge(dx, dy) {
  if (store.drag?.byHand) return;
  if (!store.drag || store.drag.sent || store.drag.row !== store.row) {
    if (!startMoving([...store.chosen][0], false)) return;
    store.drag.nudged = [0, 0];
  }
  const { drag } = store;
  drag.nudged = [drag.nudged[0] + dx, drag.nudged[1] + dy];
  moveBy(...drag.nudged);
  const [x, y] = drag.points.get(drag.main);
  say(`${x.toFixed(1)}, ${y.toFixed(1)}`);
  clearTimeout(ending);
  ending = setTimeout(endMove, NUDGES_END);
}

// Nudges that are not sent yet belong to the frame that is about to be left.
export function finishNudges() {
  if (store.drag && !store.drag.byHand && !store.drag.sent) endMove();
}

export function place(point, x, y) {
  correct([{ point, x, y, hidden: false }]);
}

function correct(points) {
  finishNudges();
  const { row, face } = store;
  change("correct", { frame: frameOf(row), face, points }, () => invalidate(row, row));
}

// Hide the chosen points, or show them if all are hidden.
export function toggleHidden() {
  finishNudges();
  const found = shownPoints();
  const points = [...store.chosen].filter((point) => found?.xy[point]);
  if (!points.length) return;
  const hidden = points.some((point) => (found.states[point] & 3) === VISIBLE);
  correct(points.map((point) => {
    const [x, y] = rounded(found.xy[point]);
    return { point, x, y, hidden };
  }));
  say(`${points.length === 1 ? `Point ${nameOf(points[0])}` : `${points.length} points`} ${hidden ? "hidden" : "shown"}.`);
}

export function takeBack() {
  finishNudges();
  const frame = frameOf(store.row);
  const names = store.state.corrections
    .filter((c) => c.frame === frame && c.face === store.face && store.chosen.has(c.point))
    .map((c) => c.point);
  if (names.length) restore(frame, store.face, names);
}

export function restore(frame, face, names) {
  change("restore", { frame, face, names }, () => invalidate());
  say(`${names.length} correction${names.length > 1 ? "s" : ""} taken back.`);
}

export function undo() {
  if (store.drag?.byHand) return;
  finishNudges();
  change("undo", {}, (done) => { invalidate(); if (done) say("Undone."); });
}

export function redo() {
  change("redo", {}, (done) => { invalidate(); if (done) say("Done again."); });
}

export function choose(points, add = false) {
  finishNudges();
  const chosen = new Set(add ? store.chosen : []);
  for (const point of points) {
    if (add && points.length === 1 && chosen.has(point)) chosen.delete(point);
    else chosen.add(point);
  }
  set({ chosen });
}
