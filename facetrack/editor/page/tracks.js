// The tracks, in blocks of frames that are fetched when they are shown.

import { get } from "./server.js";
import { frameOf, store, touch } from "./store.js";

const BLOCK = 64; // rows
const KEPT = 400; // blocks
const blocks = new Map(); // number -> block, the latest used last
const wanted = []; // numbers of blocks to fetch, the most wanted last
let fetching = null;

export const UNKNOWN = 0;
export const HIDDEN = 1;
export const VISIBLE = 2;
export const CORRECTED = 4;

// What is known of a row, even if it is out of date: { faces, points, xy, states, confidence, at },
// where at(face) is the index of the face's first point in xy / 2, states and confidence, or -1.
export function rowAt(row) {
  const number = Math.floor(row / BLOCK);
  const block = blocks.get(number);
  if (!block || block.stale) want(number);
  else if (row % BLOCK > BLOCK / 2 && (number + 1) * BLOCK < store.session.count) prefetch(number + 1);
  if (!block) return null;
  blocks.delete(number);
  blocks.set(number, block);
  const offset = row - number * BLOCK;
  return {
    ...block,
    fresh: !block.stale,
    at: (face) => {
      const column = block.faces.indexOf(face);
      return column < 0 ? -1 : (offset * block.faces.length + column) * block.points;
    },
  };
}

// The points of a face in a row: { xy: [[x, y] or null], states, confidence }, or null.
export function pointsOf(row, face) {
  const found = rowAt(row);
  const start = found ? found.at(face) : -1;
  if (start < 0) return null;
  const xy = [];
  for (let k = start; k < start + found.points; k++) {
    const x = found.xy[2 * k];
    xy.push(Number.isNaN(x) ? null : [x, found.xy[2 * k + 1]]);
  }
  return {
    xy,
    states: found.states.subarray(start, start + found.points),
    confidence: found.confidence.subarray(start, start + found.points),
    isThere: xy.some((place) => place !== null),
  };
}

export function invalidate(first = 0, last = store.session.count - 1) {
  for (const [number, block] of blocks) {
    if ((number + 1) * BLOCK > first && number * BLOCK <= last) {
      block.stale = true;
      block.version += 1;
    }
  }
  touch("tracks");
}

export const isFresh = (row) => {
  const block = blocks.get(Math.floor(row / BLOCK));
  return Boolean(block) && !block.stale;
};

function prefetch(number) {
  const block = blocks.get(number);
  if (!block || block.stale) want(number, false);
}

function want(number, first = true) {
  const place = wanted.indexOf(number);
  if (place >= 0) wanted.splice(place, 1);
  if (first) wanted.push(number);
  else wanted.unshift(number);
  if (wanted.length > 8) wanted.shift();
  void fetchNext();
}

async function fetchNext() {
  if (fetching !== null || !wanted.length) return;
  const number = wanted.pop();
  const version = blocks.get(number)?.version ?? 0;
  fetching = number;
  const last = Math.min((number + 1) * BLOCK, store.session.count) - 1;
  try {
    const answer = await get(`tracks/${frameOf(number * BLOCK)}/${frameOf(last)}`);
    const block = parse(await answer.arrayBuffer());
    // What has changed while it was on its way is fetched again.
    const now = blocks.get(number)?.version ?? 0;
    Object.assign(block, { version: now, stale: now !== version });
    blocks.delete(number);
    blocks.set(number, block);
    for (const old of blocks.keys()) {
      if (blocks.size <= KEPT) break;
      blocks.delete(old);
    }
    touch("tracks");
  } catch {
    // Without an answer it is asked for again when it is shown again.
  } finally {
    fetching = null;
    if (wanted.length) setTimeout(fetchNext, 0);
  }
}

function parse(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const count = header.rows * header.faces.length * header.points;
  let at = 4 + length;
  const xy = new Float32Array(buffer, at, 2 * count);
  at += 8 * count;
  const states = new Uint8Array(buffer, at, count);
  const confidence = new Uint8Array(buffer, at + count, count);
  return { faces: header.faces, points: header.points, xy, states, confidence };
}
