// What the page shows, and who wants to know when that changes.

export const store = {
  session: null, // what does not change: see describe_session
  state: null, // corrections, progress, ...: see Editor.state
  doubts: null, // doubtful frames, the most doubtful first
  doubt: null, // the one that is looked at
  looked: new Set(), // "frame:face" of those that were looked at
  row: 0,
  face: 0,
  chosen: new Set(), // points
  view: "frame",
  free: null, // { x, y, side }: the picture's part that a hand has chosen, in pixels
  points: true,
  lines: true,
  numbers: false,
  playing: false,
  connected: true,
  drag: null, // { points: Map(point -> [x, y]), suggested: (N, 2) or null }
  box: null, // two corners on the canvas, while points are chosen in a frame
  candidates: null, // faces (F, N, 2) to choose a start from
  candidate: null,
};

const listeners = [];
let changed = new Set();

export function listen(names, call) {
  listeners.push({ names: new Set(names.split(" ")), call });
}

// Listeners are called once per turn, however much has changed in it.
export function set(values) {
  for (const [name, value] of Object.entries(values)) {
    if (Object.is(store[name], value)) continue;
    store[name] = value;
    touch(name);
  }
}

export function touch(name) {
  if (changed.size === 0) queueMicrotask(flush);
  changed.add(name);
}

function flush() {
  const names = changed;
  changed = new Set();
  for (const { names: wanted, call } of listeners) {
    if ([...names].some((name) => wanted.has(name))) call();
  }
}

export const frameOf = (row) => store.session.first_frame + row * store.session.stride;
export const rowOf = (frame) => Math.round((frame - store.session.first_frame) / store.session.stride);
export const within = (value, low, high) => Math.min(high, Math.max(low, value));

export function seek(row) {
  const last = store.session.count - 1;
  set({ row: within(Math.round(row), 0, last) });
}

let spoken = 0;
// Say something to those who hear the page.
export function say(text) {
  const live = document.getElementById("live");
  clearTimeout(spoken);
  spoken = setTimeout(() => { live.textContent = text; }, 60);
}

export function regionOf(point) {
  return Object.entries(store.session.regions).find(([, points]) => points.includes(point))?.[0];
}

export const readable = (name) => name.replaceAll("_", " ");

export function nameOf(point) {
  const region = regionOf(point);
  if (!region) return `${point}`;
  return `${point}, ${readable(region)} ${store.session.regions[region].indexOf(point) + 1}`;
}
