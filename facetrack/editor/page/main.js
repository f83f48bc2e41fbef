// Start, controls and keys.

import { cancelMove, choose, finishNudges, nudge, redo, takeBack, toggleHidden, undo } from "./edits.js";
import { nextDoubt, nextFace, options, startPanels } from "./panels.js";
import { cancelDrag, startPointing, zoom } from "./pointing.js";
import { get, listenToServer, post, takeState, unsent, unwarn, warn } from "./server.js";
import { isDrawn, startStage } from "./stage.js";
import { frameOf, listen, nameOf, readable, rowOf, say, seek, set, store, touch } from "./store.js";
import { frameLabel, markTracked, startTimeline } from "./timeline.js";
import { invalidate } from "./tracks.js";
import { startDialogs } from "./dialogs.js";

const $ = (id) => document.getElementById(id);
const STEP = { ",": -1, "<": -10, ".": 1, ">": 10, PageUp: -10, PageDown: 10 };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// ---------------------------------------------------------------- moving through the video

function step(by) {
  set({ playing: false });
  go(store.row + by);
}

function go(row) {
  finishNudges();
  seek(row);
}

let due = 0;
function play(now) {
  if (!store.playing) return;
  const last = store.session.count - 1;
  if (store.row >= last) {
    set({ playing: false });
    return;
  }
  // The next frame comes when it is due and this one was shown: slow decoding shows all, later.
  if (now >= due && isDrawn()) {
    const { times } = store.session;
    const lasts = ((times[store.row + 1] - times[store.row]) * 1000) / Number($("speed").value);
    due = Math.max(due + lasts, now + lasts / 2);
    seek(store.row + 1);
  }
  requestAnimationFrame(play);
}

function togglePlay() {
  finishNudges();
  if (!store.playing && store.row === store.session.count - 1) seek(0);
  set({ playing: !store.playing });
}

function showPlaying() {
  const button = $("play");
  button.classList.toggle("playing", store.playing);
  button.setAttribute("aria-label", store.playing ? "Pause" : "Play");
  if (store.playing) {
    due = performance.now();
    requestAnimationFrame(play);
  }
}

function showRow() {
  $("slider").value = store.row;
  $("slider").setAttribute("aria-valuetext", frameLabel(store.row));
  $("where").textContent = frameLabel(store.row);
  if (!store.playing && document.activeElement !== $("slider") && !store.doubt) say(frameLabel(store.row));
  if (store.doubt && store.row !== rowOf(store.doubt.frame)) set({ doubt: null });
}

// ---------------------------------------------------------------- state

function showState() {
  const { state, session, connected } = store;
  $("undo").disabled = !state.can_undo || !connected;
  $("redo").disabled = !state.can_redo || !connected;
  const saving = state.busy.saving;
  $("save").disabled = !connected || Boolean(saving) || state.is_saved;
  $("save").textContent = saving ? (saving.total ? `Saving ${Math.round((100 * saving.done) / saving.total)} %` : "Saving …") : "Save";
  const pages = state.pages > 1 ? ` Open in ${state.pages} pages, which show the same.` : "";
  $("where-saved").textContent = (state.is_saved
    ? state.corrections.length ? "The run's files have all corrections." : "No corrections."
    : `Corrections are stored; Save writes them into the files of ${session.stem}.`) + pages;
  document.title = `${state.is_saved ? "" : "• "}${session.video} – facetrack edit`;
  if (!state.faces.includes(store.face) && state.faces.length) set({ face: state.faces[0] });
  showTracking(state.tracking);
  const checking = state.busy.checking;
  $("check").disabled = !connected || Boolean(checking);
  $("check-bar").hidden = !checking;
  if (checking) $("check-bar").value = checking.total ? checking.done / checking.total : 0;
  const fresh = state.warnings.filter((text) => !warnings.includes(text)).at(-1);
  if (fresh) warn(fresh, "warning");
  else if (warnings.some((text) => !state.warnings.includes(text))) unwarn("warning"); // e.g. undone
  warnings = state.warnings;
}
let warnings = [];

function showTracking({ done, total }) {
  const busy = done < total;
  $("tracking").hidden = !busy;
  $("tracking-bar").value = total ? done / total : 1;
  $("tracking-text").textContent = `Tracking again: ${done} of ${total} frames`;
}

let wasBusy = false;
const handlers = {
  state(message) {
    const known = store.state?.revision;
    takeState(message);
    if (known !== message.revision) invalidate(); // also changes of other pages and programs
    const busy = message.tracking.done < message.tracking.total;
    if (wasBusy && !busy) say("Tracked again.");
    wasBusy = busy;
  },
  tracked(message) {
    invalidate(rowOf(message.first), rowOf(message.last));
    markTracked(message.face, message.first, message.last);
    store.state.tracking = message.tracking;
    wasBusy = wasBusy || message.tracking.done < message.tracking.total;
    showTracking(message.tracking);
  },
  busy(message) {
    store.state.busy = message.busy;
    touch("state");
  },
  doubts(message) {
    if (message.doubts) set({ doubts: message.doubts });
  },
  saved(message) {
    say(`Saved: ${message.files.length} files.`);
  },
  problem(message) {
    warn(message.text);
  },
  reconnected() {
    invalidate();
  },
};

async function save() {
  finishNudges();
  try {
    await post("save");
  } catch (error) {
    warn(error.message);
  }
}

// ---------------------------------------------------------------- keys

const isTyping = (target) => target.matches("input[type=number], input[type=text], select, textarea");

function nextPoint(by) {
  const count = store.session.points;
  const [first] = store.chosen;
  const point = first === undefined ? (by > 0 ? 0 : count - 1) : (first + by + count) % count;
  choose([point]);
  say(`Point ${nameOf(point)}`);
}

function nextView() {
  const select = $("view");
  select.selectedIndex = (select.selectedIndex + 1) % (select.options.length - 1);
  select.dispatchEvent(new Event("change"));
}

function onKey(event) {
  if (document.querySelector("dialog[open]:modal")) return;
  const command = event.ctrlKey || event.metaKey;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (command) {
    const call = { z: event.shiftKey ? redo : undo, y: redo, s: save }[key];
    if (!call || (isTyping(event.target) && key !== "s")) return;
    event.preventDefault();
    call();
    return;
  }
  if (isTyping(event.target)) return;
  const onSlider = event.target === $("slider");
  const onButton = event.target.matches("button, summary, input[type=checkbox], input[type=radio], a");
  const arrow = ARROWS[event.key];
  if (arrow) {
    if (onSlider || (event.target !== $("stage") && event.target !== document.body)) return;
    if (store.chosen.size) {
      const by = event.altKey ? 0.1 : event.shiftKey ? 5 : 0.5;
      nudge(by * arrow[0], by * arrow[1]);
    } else if (arrow[0]) step(arrow[0] * (event.shiftKey ? 10 : 1));
    else return;
  } else if (event.altKey) return;
  else if (event.key in STEP && !(onSlider && event.key.startsWith("Page"))) step(STEP[event.key]);
  else if (key === " ") {
    if (onButton) return;
    togglePlay();
  } else if (event.key === "Home" && !onSlider) step(-store.row);
  else if (event.key === "End" && !onSlider) step(store.session.count);
  else if (key === "n") { finishNudges(); nextDoubt(event.shiftKey); }
  else if (key === "[") nextPoint(-1);
  else if (key === "]") nextPoint(1);
  else if (key === "h") toggleHidden();
  else if (event.key === "Delete" || event.key === "Backspace") takeBack();
  else if (key === "f") nextFace();
  else if (key === "v") nextView();
  else if (key === "+" || key === "=") zoom(1.4);
  else if (key === "-") zoom(1 / 1.4);
  else if (key === "0") set({ view: "frame", free: null });
  else if (event.key === "Escape") {
    if (!cancelDrag()) {
      if (store.drag && !store.drag.sent) cancelMove();
      else choose([]);
    }
  } else return;
  event.preventDefault();
}

// ---------------------------------------------------------------- start

function startControls() {
  const clicks = {
    undo, redo, save,
    first: () => step(-store.row),
    previous: () => step(-1),
    play: togglePlay,
    next: () => step(1),
    last: () => step(store.session.count),
    "next-doubt": () => { finishNudges(); nextDoubt(); },
    fine: () => { finishNudges(); nextDoubt(); },
    hide: toggleHidden,
    "take-back": takeBack,
    "zoom-in": () => zoom(1.4),
    "zoom-out": () => zoom(1 / 1.4),
    check: () => post("check").catch((error) => warn(error.message)),
  };
  for (const [id, call] of Object.entries(clicks)) $(id).addEventListener("click", call);
  for (const name of ["points", "lines", "numbers"]) {
    $(`show-${name}`).addEventListener("change", (event) => set({ [name]: event.target.checked }));
  }
  $("slider").max = store.session.count - 1;
  $("slider").addEventListener("input", (event) => { set({ playing: false }); go(Number(event.target.value)); });
  const parts = Object.keys(store.session.regions).map((name) => [name, readable(name)]);
  const views = [["frame", "whole frame"], ["face", "face"], ...parts, ["free", "by hand"]];
  options($("view"), views, store.view);
  listen("view", () => { $("view").value = store.view; });
  $("view").addEventListener("change", (event) => set({ view: event.target.value, free: event.target.value === "free" ? store.free : null }));
  $("theme").addEventListener("change", (event) => {
    document.documentElement.dataset.theme = event.target.value;
    touch("theme");
  });
  document.addEventListener("keydown", onKey);
  window.addEventListener("beforeunload", (event) => {
    finishNudges();
    if (unsent()) event.preventDefault();
  });
  document.addEventListener("visibilitychange", finishNudges);
}

async function start() {
  const [session, state] = await Promise.all(
    ["session", "state"].map(async (path) => (await get(path)).json()),
  );
  set({ session, state, face: state.faces[0] ?? 0 });
  $("title").textContent = session.video;
  startControls();
  startTimeline();
  startStage();
  startPointing();
  startPanels();
  startDialogs();
  listen("row", showRow);
  listen("state connected", showState);
  listen("playing", showPlaying);
  showRow();
  showState();
  listenToServer(handlers);
  document.documentElement.dataset.ready = "yes";
  window.facetrack = { store, set, seek, frameOf };
}

start().catch((error) => warn(`The page could not start: ${error.message}`));
