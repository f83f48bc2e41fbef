// The frames' pictures: one is fetched at a time, always the one that is wanted now.

import { get, warn } from "./server.js";
import { frameOf, store, touch } from "./store.js";

const KEPT_PIXELS = 40e6;
const AHEAD = 3; // rows
const kept = new Map(); // "row:width" -> ImageBitmap, the latest used last
let fetching = false;
let wanted = null;
let pixels = 0;
let broken = new Set();

// The picture of a row that is at least so wide, or null until it is there.
export function picture(row, width) {
  const size = sizeFor(width);
  const found = kept.get(`${row}:${size}`) ?? kept.get(`${row}:0`);
  wanted = { row, size };
  void fetchNext();
  return found ?? null;
}

// Any picture of a row, to be shown until the right one is there.
export function anyPicture(row) {
  for (const size of [0, 2, 4]) {
    const found = kept.get(`${row}:${size}`);
    if (found) return found;
  }
  return null;
}

export const isBroken = (row) => broken.has(row);

// Pictures come in the full size (0), or divided by 2 or 4.
function sizeFor(width) {
  const full = store.session.size[0];
  return [4, 2].find((step) => full / step >= width) ?? 0;
}

async function fetchNext() {
  if (fetching || wanted === null) return;
  let { row, size } = wanted;
  // Get the next ones ready meanwhile.
  const end = Math.min(row + 1 + AHEAD, store.session.count);
  while (row < end && kept.has(`${row}:${size}`)) row += 1;
  if (row === end || broken.has(row)) return;
  fetching = true;
  const width = size ? Math.floor(store.session.size[0] / size) : 0;
  try {
    const answer = await get(`frame/${frameOf(row)}/${width}`);
    keep(`${row}:${size}`, await createImageBitmap(await answer.blob()));
  } catch (error) {
    if (store.connected && !(error instanceof TypeError)) {
      broken.add(row);
      warn(`Frame ${frameOf(row)} cannot be shown: ${error.message}`, "picture");
    } else {
      wanted = null;
    }
  } finally {
    fetching = false;
    touch("pictures");
    setTimeout(fetchNext, 0);
  }
}

function keep(name, bitmap) {
  kept.set(name, bitmap);
  pixels += bitmap.width * bitmap.height;
  for (const [old, dropped] of kept) {
    if (pixels <= KEPT_PIXELS || kept.size <= 4) break;
    pixels -= dropped.width * dropped.height;
    kept.delete(old);
    dropped.close();
  }
}
