// Corrections of a whole face.

import { finishNudges } from "./edits.js";
import { options } from "./panels.js";
import { change, post, warn } from "./server.js";
import { frameOf, say, set, store } from "./store.js";
import { shownPoints } from "./stage.js";
import { invalidate } from "./tracks.js";

const $ = (id) => document.getElementById(id);

// Open a dialog; call `then` if it is closed with its main button.
function ask(dialog, then, finallyDo = () => {}, modal = true) {
  dialog.returnValue = "";
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "yes") then();
    finallyDo();
    $("stage").focus({ preventScroll: true });
  }, { once: true });
  if (modal) dialog.showModal();
  else dialog.show();
}

function otherPerson() {
  finishNudges();
  const { face, row } = store;
  const others = store.state.faces.filter((other) => other !== face);
  $("person-text").textContent = `From frame ${frameOf(row)} to the end of this track, face ${face} is another person; where both are there, the two change over.`;
  options($("person"), [...others.map((other) => [other, `face ${other}`]), [store.state.new_face, "somebody new"]], others[0] ?? store.state.new_face);
  ask($("person-dialog"), () => {
    const person = Number($("person").value);
    change("rename", { frame: frameOf(row), face, person }, (done) => {
      invalidate();
      if (done) { set({ face: person }); say(`From here on this is face ${person}.`); }
    });
  });
}

function noFace() {
  finishNudges();
  const { face, row } = store;
  $("absent-text").textContent = `There is no face ${face} from frame ${frameOf(row)} on,`;
  $("absent-last").min = frameOf(row);
  $("absent-last").max = frameOf(store.session.count - 1);
  $("absent-last").value = frameOf(row);
  ask($("absent-dialog"), () => {
    const until = document.querySelector("input[name=until]:checked").value;
    const chosen = Number.parseInt($("absent-last").value, 10);
    const last = { stretch: null, frame: frameOf(row), last: chosen }[until];
    change("remove", { frame: frameOf(row), face, last }, (done) => {
      invalidate();
      if (done) say(`Face ${face} removed.`);
    });
  });
}

// A start is one of the faces that are detected here, or the points as a person has put them.
async function startHere() {
  finishNudges();
  const { face, row } = store;
  const found = shownPoints();
  set({ playing: false });
  $("start-here").disabled = true;
  let faces = [];
  try {
    ({ faces } = await post("detect", { frame: frameOf(row) }));
  } catch (error) {
    warn(error.message);
    return;
  } finally {
    $("start-here").disabled = false;
  }
  if (store.row !== row) return;
  const own = found?.isThere ? found.xy.map((place, point) => ({ place, point })).filter(({ place }) => place) : [];
  const choices = faces.map((_, number) => [String(number), `detected face ${number + 1}${faces.length > 1 ? "" : ", as drawn"}`]);
  if (own.length >= 3) choices.push(["own", "the points as they are"]);
  if (!choices.length) {
    warn("No face is detected in this frame, and there are no points to start from. Choose another frame.", "start");
    return;
  }
  const chosen = () => document.querySelector("input[name=start]:checked").value;
  $("start-choices").replaceChildren(...choices.map(([value, text], k) => {
    const label = document.createElement("label");
    label.className = "check";
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "start", value, checked: k === 0 });
    input.addEventListener("change", () => set({ candidate: value === "own" ? null : Number(value) }));
    label.append(input, ` ${text}`);
    return label;
  }));
  options($("start-as"), [...store.state.faces.map((f) => [f, `face ${f}`]), [store.state.new_face, "somebody new"]], face);
  set({ candidates: faces, candidate: faces.length ? 0 : null });
  ask($("start-dialog"), () => {
    const value = chosen();
    const as = Number($("start-as").value);
    const points = value === "own"
      ? own.map(({ point, place: [x, y] }) => ({ point, x, y }))
      : faces[Number(value)].map(([x, y], point) => ({ point, x, y }));
    change("start", { frame: frameOf(row), face: as, points }, (done) => {
      invalidate();
      if (done) { set({ face: as, chosen: new Set() }); say("Started anew. Tracking again."); }
    });
  }, () => set({ candidates: null, candidate: null }), false);
}

export function startDialogs() {
  $("other-person").addEventListener("click", otherPerson);
  $("no-face").addEventListener("click", noFace);
  $("start-here").addEventListener("click", startHere);
  $("absent-last").addEventListener("input", () => {
    document.querySelector("input[name=until][value=last]").checked = true;
  });
}
