// What stands beside the frame: the point, the face, doubtful frames, corrections.

import { choose, place, restore } from "./edits.js";
import { shownPoints } from "./stage.js";
import { CORRECTED, HIDDEN, VISIBLE } from "./tracks.js";
import { listen, nameOf, regionOf, rowOf, say, seek, set, store, touch } from "./store.js";

const $ = (id) => document.getElementById(id);
const SHOWN = 400; // entries of a list

function element(kind, text, values = {}) {
  const made = document.createElement(kind);
  if (text !== null) made.textContent = text;
  Object.assign(made, values);
  return made;
}

export function options(select, entries, value) {
  const same = select.options.length === entries.length
    && entries.every(([key, text], k) => select.options[k].value === String(key) && select.options[k].text === text);
  if (!same) select.replaceChildren(...entries.map(([key, text]) => element("option", text, { value: key })));
  select.value = String(value);
}

// ---------------------------------------------------------------- the point

function showPoint() {
  const chosen = [...store.chosen];
  const found = shownPoints();
  const point = chosen.length === 1 ? chosen[0] : null;
  const first = chosen.length > 1 ? [["", `${chosen.length} points`]] : [["", "none"]];
  options($("point"), [...first, ...Array.from({ length: store.session.points }, (_, k) => [k, nameOf(k)])], point ?? "");
  const spot = point === null ? null : found?.xy[point];
  for (const [id, axis] of [["point-x", 0], ["point-y", 1]]) {
    const input = $(id);
    input.disabled = !spot || !store.connected;
    if (document.activeElement !== input || store.drag) input.value = spot ? spot[axis].toFixed(1) : "";
  }
  const known = chosen.filter((p) => found?.xy[p]);
  const seen = known.some((p) => (found.states[p] & 3) === VISIBLE);
  const by = known.filter((p) => found.states[p] & CORRECTED).length;
  $("hide").disabled = !known.length || !store.connected;
  $("hide").textContent = seen || !known.length ? "Hide" : "Show";
  $("take-back").disabled = !by || !store.connected;
  $("select-part").disabled = !chosen.length || regionOf(chosen[0]) === undefined;
  $("point-state").textContent = !chosen.length
    ? "Click a point, or choose it here, to move it."
    : point === null
      ? `${by} of ${chosen.length} corrected in this frame.`
      : !spot ? "It has no place in this frame." : describePoint(found, point);
}

function describePoint(found, point) {
  const state = found.states[point];
  const words = [(state & 3) === HIDDEN ? "hidden" : "visible"];
  words.push(state & CORRECTED ? "placed by hand" : `confidence ${Math.round((found.confidence[point] / 255) * 100)} %`);
  return `In this frame: ${words.join(", ")}.`;
}

function typePoint() {
  const [point] = store.chosen;
  const x = Number.parseFloat($("point-x").value);
  const y = Number.parseFloat($("point-y").value);
  if (store.chosen.size === 1 && Number.isFinite(x) && Number.isFinite(y)) place(point, x, y);
}

// ---------------------------------------------------------------- the face

function showFace() {
  const { faces } = store.state;
  options($("face"), faces.map((face) => [face, `face ${face}`]), store.face);
  const found = shownPoints();
  const seen = found ? found.states.filter((s) => (s & 3) === VISIBLE).length : 0;
  $("face-state").textContent = found?.isThere
    ? `In this frame: ${seen} of ${store.session.points} points visible.`
    : "It is not in this frame.";
  $("other-person").disabled = $("no-face").disabled = !found?.isThere || !store.connected;
  $("start-here").disabled = !store.connected;
}

export function nextFace() {
  const { faces } = store.state;
  if (faces.length < 2) return;
  const face = faces[(faces.indexOf(store.face) + 1) % faces.length];
  set({ face, chosen: new Set() });
  say(`Face ${face}`);
}

// ---------------------------------------------------------------- doubtful frames

const nameOfDoubt = (doubt) => `${doubt.frame}:${doubt.face}`;

function showDoubts() {
  const { doubts } = store;
  if (!doubts) return;
  const several = store.state.faces.length > 1;
  const left = doubts.filter((doubt) => !store.looked.has(nameOfDoubt(doubt))).length;
  $("doubts-note").textContent = doubts.length
    ? `${doubts.length} of ${store.session.count} frames, the most doubtful first; ${left} not looked at.`
    : "No frame is doubtful.";
  $("doubts").replaceChildren(...doubts.slice(0, SHOWN).map((doubt) => {
    const item = document.createElement("li");
    const button = element("button", null, { type: "button" });
    const bar = element("span", null, { className: "bar", title: `doubt ${Math.round(doubt.doubt * 100)} %` });
    const inner = document.createElement("i");
    inner.style.width = `${Math.round(doubt.doubt * 100)}%`;
    bar.append(inner);
    const where = several ? `face ${doubt.face}: ` : "";
    button.append(
      element("span", `${doubt.frame}`, { className: "number" }), bar,
      element("span", where + doubt.reasons[0].text),
      element("span", ` (doubt ${Math.round(doubt.doubt * 100)} %)`, { className: "visually-hidden" }),
    );
    button.addEventListener("click", () => look(doubt));
    if (store.looked.has(nameOfDoubt(doubt))) button.classList.add("looked");
    if (store.doubt && nameOfDoubt(store.doubt) === nameOfDoubt(doubt)) button.setAttribute("aria-current", "true");
    item.append(button);
    return item;
  }));
  $("next-doubt").disabled = !doubts.length;
}

function look(doubt) {
  store.looked.add(nameOfDoubt(doubt));
  touch("looked");
  set({ doubt, face: doubt.face, playing: false, chosen: new Set(doubt.face === store.face ? store.chosen : []) });
  seek(rowOf(doubt.frame));
  say(`Frame ${doubt.frame}: ${doubt.reasons.map((reason) => reason.text).join("; ")}`);
}

// Go to the most doubtful frame that was not looked at, or back to the one before.
export function nextDoubt(back = false) {
  const doubts = store.doubts ?? [];
  const at = store.doubt ? doubts.findIndex((d) => nameOfDoubt(d) === nameOfDoubt(store.doubt)) : -1;
  if (back) {
    if (at > 0) look(doubts[at - 1]);
    return;
  }
  const next = doubts.find((doubt) => !store.looked.has(nameOfDoubt(doubt)));
  if (next) look(next);
  else say("All doubtful frames were looked at.");
}

function showReasons() {
  const { doubt } = store;
  const here = doubt && rowOf(doubt.frame) === store.row;
  $("why").hidden = !here;
  if (!here) return;
  const several = store.state.faces.length > 1 ? `Face ${doubt.face}: ` : "";
  $("reasons").replaceChildren(...doubt.reasons.map((reason) => {
    const points = reason.points.length ? ` (${reason.points.slice(0, 8).join(", ")}${reason.points.length > 8 ? ", …" : ""})` : "";
    return element("li", `${several}${reason.text}${points}: ${Math.round(reason.doubt * 100)} %`);
  }));
}

// ---------------------------------------------------------------- corrections

const ACTIONS = {
  start: () => "new start",
  absent: (c) => (c.x === null ? "no face from here on" : c.x === c.frame ? "no face in this frame" : `no face up to frame ${c.x}`),
  person: (c) => `from here on this is person ${c.x}`,
};

function showCorrections() {
  const groups = new Map();
  for (const c of store.state.corrections) {
    const name = `${c.frame}:${c.face}`;
    if (!groups.has(name)) groups.set(name, { frame: c.frame, face: c.face, entries: [] });
    groups.get(name).entries.push(c);
  }
  const list = [...groups.values()].sort((a, b) => a.frame - b.frame || a.face - b.face);
  const count = store.state.corrections.length;
  $("corrections-note").textContent = count
    ? `${count} in ${list.length} frame${list.length > 1 ? "s" : ""}, stored as they were made.`
    : "None yet: drag a point to where it belongs.";
  $("corrections").replaceChildren(...list.slice(0, SHOWN).map(({ frame, face, entries }) => {
    const item = document.createElement("li");
    const points = entries.filter((c) => typeof c.point === "number").length;
    const words = entries.filter((c) => typeof c.point === "string").map((c) => ACTIONS[c.point](c));
    if (points) words.push(`${points} point${points > 1 ? "s" : ""}`);
    const go = element("button", null, { type: "button" });
    const where = store.state.faces.length > 1 ? `face ${face}: ` : "";
    go.append(element("span", `${frame}`, { className: "number" }), element("span", where + words.join(", ")));
    go.addEventListener("click", () => { set({ face }); seek(rowOf(frame)); });
    const back = element("button", "Take back", { type: "button", className: "small" });
    back.setAttribute("aria-label", `Take back the corrections of face ${face} in frame ${frame}`);
    back.disabled = !store.connected;
    back.addEventListener("click", () => restore(frame, face, entries.map((c) => c.point)));
    item.append(go, back);
    return item;
  }));
}

// ---------------------------------------------------------------- all

export function startPanels() {
  listen("row face chosen tracks drag state connected", showPoint);
  listen("row face tracks state drag connected", showFace);
  listen("doubts looked doubt", showDoubts);
  listen("doubt row", showReasons);
  listen("state connected", showCorrections);
  $("point").addEventListener("change", (event) => {
    choose(event.target.value === "" ? [] : [Number(event.target.value)]);
  });
  for (const id of ["point-x", "point-y"]) $(id).addEventListener("change", typePoint);
  $("select-part").addEventListener("click", () => {
    choose([...store.chosen].map(regionOf).filter(Boolean).flatMap((name) => store.session.regions[name]));
  });
  $("face").addEventListener("change", (event) => set({ face: Number(event.target.value), chosen: new Set() }));
  showPoint();
  showFace();
  showCorrections();
}

