// Mouse, pen and fingers on the frame.

import { post } from "./server.js";
import { cancelMove, choose, endMove, finishNudges, moveBy, startMoving } from "./edits.js";
import { frameOf, regionOf, set, store, touch } from "./store.js";
import { canvas, freeze, ratio, shownPoints, transform } from "./stage.js";
import { pointsOf } from "./tracks.js";
import { freeView, toCanvas, toVideo, transformFor, zoomed } from "./view.js";

const NEAR = { mouse: 12, pen: 14, touch: 26 }; // CSS pixels from a press to the point it means
const STILL = 3; // CSS pixels of motion that are not a drag
const SLOW = 0.2; // motion of a point per motion of the hand, with Alt
const pointers = new Map(); // those that are down: id -> place on the canvas
let action = null; // { kind: "move" | "pan" | "box" | "pinch", ... }

const spotOf = (event) => {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * ratio(), (event.clientY - box.top) * ratio()];
};

function nearest(spot, kind) {
  let best = { away: (NEAR[kind] ?? 14) * ratio(), point: null, face: null };
  const look = (face, found) => {
    found?.xy.forEach((place, point) => {
      if (!place) return;
      const at = toCanvas(transform, place);
      const away = Math.hypot(at[0] - spot[0], at[1] - spot[1]);
      if (away < best.away) best = { away, point, face };
    });
  };
  look(store.face, shownPoints());
  // Another face only where the active one has nothing.
  if (best.point === null) for (const face of store.state.faces) if (face !== store.face) look(face, pointsOf(store.row, face));
  return best;
}

function onDown(event) {
  if (event.button !== 0 && event.button !== 1) return;
  event.preventDefault();
  document.getElementById("stage").focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  const spot = spotOf(event);
  pointers.set(event.pointerId, spot);
  if (pointers.size === 2) {
    if (action?.kind === "move") cancelMove();
    freeze(false);
    const [a, b] = [...pointers.values()];
    action = { kind: "pinch", apart: Math.hypot(a[0] - b[0], a[1] - b[1]), middle: middleOf(a, b) };
    return;
  }
  if (pointers.size > 2) return;
  finishNudges();
  const found = event.button === 0 ? nearest(spot, event.pointerType) : { point: null };
  if (found.point === null) {
    const kind = event.shiftKey && event.button === 0 ? "box" : "pan";
    action = { kind, from: spot, transform: { ...transform }, moved: false };
    return;
  }
  if (found.face !== store.face) set({ face: found.face, chosen: new Set() });
  const add = event.shiftKey || event.ctrlKey || event.metaKey;
  if (add) {
    choose([found.point], true);
    return;
  }
  if (!store.chosen.has(found.point)) choose([found.point]);
  action = { kind: "move", point: found.point, from: spot, last: spot, offset: [0, 0], moved: false };
}

function onMove(event) {
  const spot = spotOf(event);
  if (!pointers.has(event.pointerId)) {
    if (event.pointerType === "mouse") canvas.style.cursor = nearest(spot, "mouse").point === null ? "" : "grab";
    return;
  }
  pointers.set(event.pointerId, spot);
  if (!action) return;
  if (action.kind === "pinch") {
    const [a, b] = [...pointers.values()];
    const apart = Math.hypot(a[0] - b[0], a[1] - b[1]);
    const middle = middleOf(a, b);
    pan(transformFor(store.row, canvas), middle[0] - action.middle[0], middle[1] - action.middle[1]);
    zoom(apart / Math.max(1, action.apart), middle);
    Object.assign(action, { apart, middle });
    return;
  }
  const far = Math.hypot(spot[0] - action.from[0], spot[1] - action.from[1]) > STILL * ratio();
  if (!action.moved && !far) return;
  if (action.kind === "move") {
    if (!action.moved) {
      action.moved = true;
      action.last = action.from;
      freeze(true);
      if (!startMoving(action.point, true)) { action = null; return; }
    }
    dragTo(action, spot, event.altKey);
    suggestSoon();
  } else if (action.kind === "pan") {
    action.moved = true;
    canvas.classList.add("grabbing");
    pan(action.transform, spot[0] - action.from[0], spot[1] - action.from[1]);
  } else {
    action.moved = true;
    action.to = spot;
    boxChosen(action);
  }
}

// With Alt the point goes slowly, however the key is pressed meanwhile.
function dragTo(drag, spot, slowly) {
  const share = slowly ? SLOW : 1;
  drag.offset[0] += (share * (spot[0] - drag.last[0])) / transform.scale;
  drag.offset[1] += (share * (spot[1] - drag.last[1])) / transform.scale;
  drag.last = spot;
  moveBy(...drag.offset);
}

function onUp(event) {
  if (!pointers.delete(event.pointerId) || !action) return;
  canvas.classList.remove("grabbing");
  const done = action;
  if (done.kind === "pinch") {
    if (pointers.size < 2) action = null;
    return;
  }
  action = null;
  freeze(false);
  set({ box: null });
  if (done.kind === "move" && done.moved) {
    dragTo(done, spotOf(event), event.altKey); // the last moves may come with the release
    endMove();
  }
  if (done.kind === "pan" && !done.moved && event.button === 0) choose([]);
}

export function cancelDrag() {
  if (action?.kind !== "move" || !action.moved) return false;
  action = null;
  freeze(false);
  cancelMove();
  return true;
}

const middleOf = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];

function pan(from, dx, dy) {
  const free = freeView(canvas, from.scale, from.left - dx / from.scale, from.top - dy / from.scale);
  if (store.view !== "frame") set({ view: "free", free });
}

export function zoom(factor, at) {
  // From the view that is wanted, which may not be drawn yet.
  const free = zoomed(transformFor(store.row, canvas), canvas, factor, at);
  set(free ? { view: "free", free } : { view: "frame", free: null });
}

function boxChosen({ from, to }) {
  const found = shownPoints();
  const [a, b] = [toVideo(transform, from), toVideo(transform, to)];
  const inside = (v, one, two) => v >= Math.min(one, two) && v <= Math.max(one, two);
  const points = [];
  found?.xy.forEach((place, point) => {
    if (place && inside(place[0], a[0], b[0]) && inside(place[1], a[1], b[1])) points.push(point);
  });
  set({ chosen: new Set(points), box: [from, to] });
}

// While a point is dragged, the program says where the others would be: one question at a time.
let asking = false;
async function suggestSoon() {
  const { drag } = store;
  if (asking || !drag || store.state.tracking.done < store.state.tracking.total) return;
  asking = true;
  try {
    const points = [...drag.points].map(([point, [x, y]]) => ({ point, x, y }));
    const { xy } = await post("suggest", { frame: frameOf(drag.row), face: drag.face, points });
    if (store.drag === drag && !drag.sent) {
      drag.suggested = xy;
      touch("drag");
    }
  } catch { /* without a suggestion only the dragged points move */ } finally {
    asking = false;
  }
}

export function startPointing() {
  canvas.addEventListener("pointerdown", onDown);
  canvas.addEventListener("pointermove", onMove);
  canvas.addEventListener("pointerup", onUp);
  canvas.addEventListener("pointercancel", (event) => {
    pointers.delete(event.pointerId);
    cancelDrag();
    action = null;
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(1.2 ** -Math.sign(event.deltaY), spotOf(event));
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => {
    const { point } = nearest(spotOf(event), "mouse");
    const region = point === null ? null : regionOf(point);
    if (region) choose(store.session.regions[region]);
    else set({ view: store.view === "frame" ? "face" : "frame" });
  });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
}
