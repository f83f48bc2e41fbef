// Which part of the frame is shown, and where a pixel of the video is on the canvas.
// Places of points count from the CENTRE of the top-left pixel; those of pictures from its corner.

import { store, within } from "./store.js";
import { pointsOf } from "./tracks.js";

const AROUND = 1.5; // side of a view in sizes of what it shows
const LEAST = 12; // pixels of the video, the closest view

// The view as { scale, left, top }: canvas = (pixel + 0.5 - left) * scale.
export function transformFor(row, canvas) {
  const [width, height] = store.session.size;
  const whole = Math.min(canvas.width / width, canvas.height / height);
  const box = boxOf(row);
  if (!box) {
    return { scale: whole, left: (width - canvas.width / whole) / 2, top: (height - canvas.height / whole) / 2 };
  }
  const scale = Math.max(whole, Math.min(canvas.width, canvas.height) / Math.max(LEAST, box.side));
  const wide = canvas.width / scale;
  const high = canvas.height / scale;
  return { scale, left: bounded(box.x + 0.5 - wide / 2, width - wide), top: bounded(box.y + 0.5 - high / 2, height - high) };
}

// Half of the view may lie outside the picture, so that points at its edge can be dragged.
const bounded = (start, most) => (most < 0 ? most / 2 : within(start, -0.25 * most, 1.25 * most));

function boxOf(row) {
  if (store.view === "frame") return null;
  if (store.view === "free") return store.free;
  const found = pointsOf(row, store.face);
  if (!found || !found.isThere) return last;
  const region = store.session.regions[store.view];
  const places = (region ? region.map((point) => found.xy[point]) : found.xy).filter((place) => place);
  if (!places.length) return last;
  const xs = places.map((place) => place[0]);
  const ys = places.map((place) => place[1]);
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const size = Math.max(x1 - x0, y1 - y0, region ? sizeOf(found.xy) / 8 : 0);
  // Sides in steps, so that the picture does not breathe with every frame.
  const side = 1.12 ** Math.ceil(Math.log(Math.max(LEAST, AROUND * size)) / Math.log(1.12));
  last = { x: (x0 + x1) / 2, y: (y0 + y1) / 2, side };
  return last;
}

let last = null; // where a face was before it was lost

function sizeOf(xy) {
  const xs = xy.filter((place) => place).map((place) => place[0]);
  return Math.max(...xs) - Math.min(...xs);
}

export const toCanvas = (t, [x, y]) => [(x + 0.5 - t.left) * t.scale, (y + 0.5 - t.top) * t.scale];
export const toVideo = (t, [x, y]) => [x / t.scale + t.left - 0.5, y / t.scale + t.top - 0.5];

// The free view that zooms by a factor and leaves a place of the canvas where it is.
export function zoomed(t, canvas, factor, at = [canvas.width / 2, canvas.height / 2]) {
  const [x, y] = toVideo(t, at);
  const [width, height] = store.session.size;
  const least = Math.min(canvas.width / width, canvas.height / height);
  const most = Math.min(canvas.width, canvas.height) / LEAST;
  const scale = within(t.scale * factor, least, most);
  if (scale <= least * 1.001) return null; // the whole frame
  return freeView(canvas, scale, x + 0.5 - at[0] / scale, y + 0.5 - at[1] / scale);
}

export function freeView(canvas, scale, left, top) {
  return {
    x: left + canvas.width / scale / 2 - 0.5,
    y: top + canvas.height / scale / 2 - 0.5,
    side: Math.min(canvas.width, canvas.height) / scale,
  };
}
